"""Claims of the literature as experiments."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from interp.cli.app import Flat, say, say_json, study_app
from interp.studies.dictionary.config import DictionaryConfig
from interp.studies.difficulty.config import DifficultyConfig
from interp.studies.features.config import FeaturesConfig
from interp.studies.roles.config import RolesStudyConfig

if TYPE_CHECKING:
    from interp.studies.verdict import Judged


@dataclass(frozen=True)
class Difficulty:
    study: Annotated[DifficultyConfig, Flat] = field(default_factory=DifficultyConfig)
    out: Path = Path("data/results/difficulty")
    """Where the result goes, and the ledger of runs."""
    runs: Path = Path("runs/difficulty")
    """Where the runs' own directories go."""
    json: bool = False
    """Print one JSON object and nothing else."""


@study_app.command(name="difficulty")
def difficulty_command(config: Annotated[Difficulty, Flat]) -> None:
    """Is learning an inverted U, does hard training harm, is luck the channel? Goes on where it was stopped."""
    from interp.studies.difficulty.study import study

    say_verdicts(study(config.study, config.out, config.runs), config.out, config.json)


@dataclass(frozen=True)
class Dictionary:
    study: Annotated[DictionaryConfig, Flat] = field(default_factory=DictionaryConfig)
    out: Path = Path("data/results/dictionary")
    """Where the result goes, and the ledger of dictionaries."""
    runs: Path = Path("runs/dictionary")
    """Where the worlds' own directories go."""
    json: bool = False
    """Print one JSON object and nothing else."""


@study_app.command(name="dictionary")
def dictionary_command(config: Annotated[Dictionary, Flat]) -> None:
    """Does a temporal dictionary's slow block hold what is slow, at little cost? Goes on where it was stopped."""
    from interp.studies.dictionary.study import study

    say_verdicts(study(config.study, config.out, config.runs), config.out, config.json)


@dataclass(frozen=True)
class RolesStudy:
    study: Annotated[RolesStudyConfig, Flat] = field(default_factory=RolesStudyConfig)
    out: Path = Path("data/results/roles")
    """Where the result goes, and the ledger of organisms."""
    runs: Path = Path("runs/roles")
    """Where the organisms go."""
    json: bool = False
    """Print one JSON object and nothing else."""


@study_app.command(name="roles")
def roles_command(config: Annotated[RolesStudy, Flat]) -> None:
    """Do latents that have earned a role carry what it is about? Goes on where it was stopped."""
    from interp.studies.roles.study import study

    say_verdicts(study(config.study, config.out, config.runs), config.out, config.json)


@dataclass(frozen=True)
class FeaturesStudy:
    study: Annotated[FeaturesConfig, Flat] = field(default_factory=FeaturesConfig)
    out: Path = Path("data/results/features")
    """Where the result goes, and the ledger of seeds and dictionaries."""
    runs: Path = Path("runs/features")
    """Where the policies go."""
    json: bool = False
    """Print one JSON object and nothing else."""


@study_app.command(name="features")
def features_command(config: Annotated[FeaturesStudy, Flat]) -> None:
    """Which families of features does each difficulty strengthen? Goes on where it was stopped."""
    from interp.studies.features.study import study

    say_verdicts(study(config.study, config.out, config.runs), config.out, config.json)


def say_verdicts(judged: "list[Judged]", out: Path, as_json: bool) -> None:
    if as_json:
        say_json({"out": out, "verdicts": {j.claim.name: j.verdict for j in judged}})
    else:
        say(*(f"{j.verdict:14} {j.claim.claim}" for j in judged), f"the result is {out / 'README.md'}")
