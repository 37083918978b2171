"""Train a base organism, or measure one again."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from interp.cli.app import Args, Flat, organism_app, say, say_json
from interp.organism import OrganismConfig, words_recipe


def recipe_on_command_line() -> OrganismConfig:
    """The recipe of the --kind on the command line. Flags default to its values."""
    words = [part for word in sys.argv[1:] for part in word.split("=", 1)]
    values = dict(zip(words, words[1:], strict=False))
    if values.get("--kind") != "words":
        return OrganismConfig()
    return words_recipe(Path(values["--start"]) if "--start" in values else None)


@dataclass(frozen=True)
class Build(Args):
    out: Path
    """Directory for the organism. A repeated command continues a training that was stopped."""
    organism: Annotated[OrganismConfig, Flat] = field(default_factory=recipe_on_command_line)
    overwrite: bool = False
    """Replace what is in --out."""
    json: bool = False
    """Print one JSON object and nothing else."""


@organism_app.command(name="build")
def organism_build(config: Annotated[Build, Flat]) -> None:
    """Train a base organism and measure it. A repeated command continues a training that was stopped."""
    from interp.organism import build

    build(config.organism, config.out, overwrite=config.overwrite)
    _say_checks(config.out, config.json)


@dataclass(frozen=True)
class Card(Args):
    organism: tyro.conf.Positional[Path]
    """The directory of an organism."""
    json: bool = False
    """Print one JSON object and nothing else."""


@organism_app.command(name="card")
def organism_card(config: Annotated[Card, Flat]) -> None:
    """Measure an organism again and rewrite its card. Its weights stay as they are."""
    from interp.organism import update_card

    update_card(config.organism)
    _say_checks(config.organism, config.json)


def _say_checks(organism: Path, is_json: bool) -> None:
    checks = json.loads((organism / "measured.json").read_text())["checks"]
    if is_json:
        return say_json({"organism": organism, "checks": checks})
    for check in checks:
        say(f"{'yes' if check['passed'] else 'NO':3}  {check['requirement']}: {check['measured']}")
    return say("", f"Card: {organism / 'README.md'}")
