"""What the studies of credit share: a base, dictionaries of it, and labelled answers of it.

A base is the unit of evidence: an organism with weights and training data of its own. Its dictionaries are fitted on
what the base alone wrote and read, before any reward.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from interp.artifacts import locked
from interp.checks import Count, Layer, Processes, Range, Seed, Share, Tokens, expect_plausible

if TYPE_CHECKING:
    from interp.grpo import UpdateConfig
    from interp.policy import Policy, SampleConfig
    from interp.rollouts import Rollout
    from interp.tsae import TSAE


@dataclass(frozen=True)
class ReadingConfig:
    """What is read of a base, and by which labels."""

    seeds: Count = 3
    """Bases: the unit of evidence."""
    first_seed: Seed = 901
    """Seed of the first base. The shipped base is none of them: strengths were chosen on it."""
    dictionaries: Count = 3
    """Dictionaries of each base."""
    layer: Layer = 2
    """The layer that is read, counted from 0."""
    tokens: Tokens = 300_000
    """Tokens of the base's own answers to fit dictionaries on."""
    width: Count = 1024
    """Latents of a dictionary."""
    k: Count = 32
    """Active latents per token."""
    fit_steps: Count = 2000
    """Steps of fitting a dictionary."""
    ridge: Annotated[float, Range(0, 10**6, without_low=True)] = 0.1
    """Ridge penalty of a readout."""
    label_problems: Count = 400
    """Problems of all depths to which the base's answers, and their edits, are labels before the first step."""
    label_weight: Annotated[float, Range(0, 10**6)] = 32.0
    """How many audits they count as."""
    label_rate: Share = 0.03
    """The share of valid ones that they count as."""
    processes: Processes = 2
    """Runs at once."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    @property
    def dictionary_spec(self) -> dict[str, Any]:
        """What decides a dictionary of a base."""
        return {name: getattr(self, name) for name in ("tokens", "width", "k", "fit_steps", "layer")}


@dataclass(frozen=True)
class WorldConfig(ReadingConfig):
    """The same, and how bases are built."""

    build_steps: Count = 3000
    """Steps of supervised training that make a base."""

    @property
    def world_spec(self) -> dict[str, Any]:
        """What decides a base and its dictionaries: studies that agree in it can share them."""
        return {"build_steps": self.build_steps, **self.dictionary_spec}


@dataclass(frozen=True)
class TrainingSizes:
    """How a policy is trained from a base, and measured."""

    steps: Count = 40
    """GRPO steps of every training."""
    prompts: Count = 32
    """Prompts per step."""
    group: Annotated[int, Range(2, 100_000)] = 8
    """Rollouts per prompt."""
    audits: Count = 8
    """Successes that the verifier judges per step, for every scheme that is refitted."""
    problems: Count = 60
    """Held-out problems of each depth, at the end."""
    watch_problems: Count = 16
    """The same along the way."""
    answers: Count = 8
    """Answers to each held-out problem."""


@dataclass(frozen=True)
class TrainingConfig(TrainingSizes, WorldConfig):
    """Bases that are built, what is read of them, and how policies are trained from them."""


@dataclass(frozen=True)
class World:
    """A base with its dictionaries."""

    config: ReadingConfig
    seed: int
    directory: Path

    @property
    def base_path(self) -> Path:
        return self.directory / "base"

    def make(self) -> None:
        """Build the base and fit its dictionaries, as far as they are not there."""
        with locked(self.directory, wait=True):
            if not self.base_path.exists():
                self._build()
        for number in range(self.config.dictionaries):
            self._fit(number)

    def base(self) -> "Policy":
        from interp.policy import Policy

        return Policy.load(self.base_path, device="cpu")

    def dictionary(self, number: int) -> "TSAE":
        from interp.tsae import TSAE

        return TSAE.load(self.directory / f"dictionary-{number}")

    def sampling(self, group: int, seed: int = 0) -> "SampleConfig":
        """How every answer of this world is sampled."""
        from interp.policy import SampleConfig

        return SampleConfig(group, rows=1024, seed=seed)

    def update(self) -> "UpdateConfig":
        """How every policy of this world is updated."""
        from interp.grpo import UpdateConfig

        return UpdateConfig()

    def answers_to_label(self) -> "list[Rollout]":
        """What the base wrote for its labels, successes and failures: what labels cost."""
        return _answers_to_label(self.base_path, self.config.label_problems, self.sampling(4))

    def labelled_answers(self) -> "list[Rollout]":
        """The base's own successes at all depths, and every lucky edit of its valid ones, where the task has edits."""
        return _labelled_answers(self.base_path, self.config.label_problems, self.sampling(4))

    def base_answers(self) -> "list[Rollout]":
        """Answers of the base at all depths, to other problems than the labelled ones: how often each latent is active,
        and what it was about to write."""
        from interp.organism import load_task
        from interp.rollouts import roll_out

        task = load_task(self.base_path)
        problems = task.problems("train", None, self.config.label_problems + 500)[self.config.label_problems :]
        return roll_out(self.base(), task, problems, self.sampling(2), purpose="controls", progress=False).rows

    def _build(self) -> None:
        from interp.organism import build
        from interp.organism.config import OrganismConfig

        assert isinstance(self.config, WorldConfig), "else the base is finished"
        recipe = OrganismConfig(seed=self.seed, steps=self.config.build_steps, threads=1)
        build(recipe, self.base_path, progress=False)

    def _fit(self, number: int) -> None:
        from interp.activations import CollectConfig
        from interp.organism import load_task
        from interp.rollouts import Series
        from interp.studies.fitting import fit_dictionary

        config, out = self.config, self.directory / f"dictionary-{number}"
        with locked(out.with_name(f"{out.name}-once"), wait=True):
            if out.exists():
                return
            collecting = CollectConfig(
                (config.layer,), tokens=config.tokens, corpora=("on-policy",), sampling=self.sampling(4, self.seed)
            )
            series, task = Series.from_dirs([self.base_path]), load_task(self.base_path)
            sizes = {"width": config.width, "k": config.k, "steps": config.fit_steps}
            tsae = fit_dictionary(
                series, task, collecting, self.directory / "store", **sizes, seed=1000 * self.seed + number
            )
            tsae.save(out)


class ShippedWorld(World):
    """The shipped base: strengths are chosen on it, and nothing is reported of it."""

    @property
    def base_path(self) -> Path:
        from interp.organism import shipped_path

        return shipped_path()


@lru_cache(maxsize=2)
def _labelled_answers(base_path: Path, n_problems: int, sampling: "SampleConfig") -> "list[Rollout]":
    """The same for every run of a base: a process makes them once."""
    from interp.organism import load_task
    from interp.policy import Policy
    from interp.readouts import lucky_edits
    from interp.readouts.edits import EditableTask

    successes = [row for row in _answers_to_label(base_path, n_problems, sampling) if row.reward > 0]
    task = load_task(base_path)
    edits = lucky_edits(Policy.load(base_path, device="cpu"), task, successes) if isinstance(task, EditableTask) else []
    return [*successes, *edits]


@lru_cache(maxsize=2)
def _answers_to_label(base_path: Path, n_problems: int, sampling: "SampleConfig") -> "list[Rollout]":
    from interp.organism import load_task
    from interp.policy import Policy
    from interp.rollouts import roll_out

    base, task = Policy.load(base_path, device="cpu"), load_task(base_path)
    problems = task.problems("train", None, n_problems)
    return roll_out(base, task, problems, sampling, purpose="labels", progress=False).rows
