"""Groups of flags that several commands share: the policy or series to work with, the problems to ask."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from interp.artifacts import BadInput, expect_free
from interp.checks import expect_at_least
from interp.organism import shipped, task_for
from interp.policy.directory import check_config
from interp.rollouts.series import Series
from interp.tasks import BUCKETS, SPLITS, Chain, GymTask, JsonlTask, Problem, Task
from interp.tsae import PRESETS

if TYPE_CHECKING:
    from interp.activations import Store
    from interp.credit import CreditScheme
    from interp.grpo.metrics import Sink
    from interp.policy import Policy

ENDLESS = 64
"""Problems asked of a task that never runs out of them, unless told otherwise."""


@dataclass(frozen=True)
class Opened:
    """The policy to work with."""

    policy: Path | None = None
    """A local Hugging Face directory. The shipped organism if not given."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    dtype: str = "auto"
    """auto, float32, bfloat16 or float16."""
    json: bool = False
    """Print one JSON object and nothing else."""

    @property
    def path(self) -> Path:
        """Of a directory that holds a model: found out at once, before anything heavy is imported."""
        path = self.policy or shipped()
        check_config(path)
        return path

    def load(self) -> "Policy":
        from interp.policy import Policy

        return Policy.load(self.path, device=self.device, dtype=self.dtype)


@dataclass(frozen=True)
class OpenedSeries(Opened):
    """The policy to work with, or the checkpoints of one."""

    series: Path | None = None
    """A directory of checkpoint-<step>/ directories: a run's, or a trainer's output. Instead of --policy."""
    base: Path | None = None
    """The policy a trainer's --series began with: step 0, which a trainer does not keep."""
    checkpoints: tuple[Path, ...] = ()
    """Hugging Face directories, in order: steps 0, 1, 2, ... Instead of --policy."""
    skip_bad_checkpoints: bool = False
    """Go on without checkpoints of a --series that cannot be used. They are named."""

    def open(self) -> Series:
        """One checkpoint or many: whatever cannot be loaded is found out at once."""
        if sum(map(bool, (self.policy, self.series, self.checkpoints))) > 1:
            raise BadInput("expected one of --policy, --series and --checkpoints, got several")
        if self.base and not self.series:
            raise BadInput("--base is step 0 of a --series, and none was given")
        if self.series:
            series = Series.from_dir(self.series, base=self.base, skip_bad=self.skip_bad_checkpoints)
            for step, why in series.skipped:
                sys.stderr.write(f"interp: step {step} is left out: {why}\n")
            return series
        return Series.from_dirs(self.checkpoints or [self.path])


@dataclass(frozen=True)
class World:
    """What is asked about: the chain task, unless --jsonl or --gym names another."""

    jsonl: Path | None = None
    """Your own problems, one {"id", "prompt", "answer", ...} a line."""
    skip_bad: bool = False
    """Go on past lines of --jsonl that cannot be read. They are counted and listed."""
    gym: str | None = None
    """A dataset of reasoning-gym, by name."""
    task: Chain = field(default_factory=Chain)
    """The chain task's dials. If none is turned, those of the world the policy was raised in."""

    def open(self, policy: Path) -> Task:
        if self.jsonl and self.gym:
            raise BadInput("expected one of --jsonl and --gym, got both")
        if self.task != Chain() and (self.jsonl or self.gym):
            raise BadInput("--task flags shape the chain task: leave them out with --jsonl or --gym")
        if policy == shipped() and (self.jsonl or self.gym):
            raise BadInput("--jsonl and --gym need a --policy: the organism only knows the words of its own world")
        if self.skip_bad and not self.jsonl:
            raise BadInput("--skip-bad is about the lines of --jsonl, and none was given")
        if self.jsonl:
            return JsonlTask(self.jsonl, skip_bad=self.skip_bad)
        if self.gym:
            return GymTask(self.gym)
        return task_for(policy) if self.task == Chain() else self.task


@dataclass(frozen=True)
class Asked(World):
    """The problems to ask."""

    split: str | None = None
    """train, eval, probe or memorised. If not given: all of --jsonl, else eval (or train, to measure buckets on)."""
    level: str | None = None
    """A bucket (easy, medium, hard) or a depth. All depths in turn if not given."""
    problems: int | None = None
    """How many. If not given, all there are in --jsonl, 64 of a task without end."""

    def draw(self, task: Task, *, otherwise: str = "eval") -> list[Problem]:
        """Of the split asked for, or `otherwise`."""
        splits = (*SPLITS, "memorised")
        if self.split is not None and self.split not in splits:
            raise BadInput(f"split must be one of {', '.join(splits)}; got {self.split!r}")
        expect_at_least(self, 1, "problems")
        level = None if self.level is None else level_of(self.level)
        if not isinstance(task, JsonlTask):
            return task.problems(self.split or otherwise, level, self.problems or ENDLESS)
        held = [
            p for s in ([self.split] if self.split else SPLITS) for p in task.problems(s, level, task.size(s, level))
        ]
        if len(held) < (self.problems or 1):
            raise BadInput(
                f"{self.jsonl}: asked for {self.problems or 'its'} problems, it holds {len(held)} of that kind"
            )
        return held[: self.problems]


def level_of(word: str) -> int | str:
    if word in BUCKETS:
        return word
    if not (word.isascii() and word.isdigit()):
        raise BadInput(f"level must be a depth or one of {', '.join(BUCKETS)}; got {word!r}")
    return int(word)


@dataclass(frozen=True)
class Kept:
    """Where the result goes."""

    out: Path | None = None
    """A directory to keep the result in, as Parquet with a manifest."""
    overwrite: bool = False
    """Replace what is there."""

    def expect_free(self) -> None:
        expect_free(self.out, overwrite=self.overwrite)


@dataclass(frozen=True)
class Trained:
    """What a policy is trained on, by what credit, and who is told."""

    levels: tuple[str, ...] = ()
    """A bucket or a depth. Several in turn make a curriculum; none means all depths."""
    buckets: Path | None = None
    """Train on the problems that `interp bucket --out` measured to be of the one bucket in --levels."""
    credit: str = "uniform"
    """uniform, entropy, random, position-matched, first-error, step-validity, step-validity-gate or -weights; and what
    looks inside, with --tsae and --roles: features, features-gate, features-weights or features-permuted."""
    tsae: Path | None = None
    """The dictionary that credit by features looks with."""
    roles: Path | None = None
    """What its latents have earned, as `interp roles --out` keeps it."""
    threads: int | None = None
    """Of the processor. On the CPU, a run ends in the same bits only with as many as it began with."""
    tensorboard: Path | None = None
    """Write metrics for TensorBoard here too."""
    wandb: str | None = None
    """Write metrics for this W&B project too, offline: `wandb sync` sends them."""

    def problems(self, base: "Policy") -> "list[int | str] | list[Problem] | None":
        if self.buckets is None:
            return [level_of(level) for level in self.levels] or None
        from interp.rollouts import Buckets

        if len(self.levels) != 1:
            raise BadInput(f"--buckets needs one bucket in --levels; got {len(self.levels)}")
        return Buckets.load(self.buckets, made_from={"policy": base.fingerprint()}).problems(self.levels[0])

    def scheme(self) -> "CreditScheme":
        from interp.credit import scheme

        return scheme(self.credit, tsae=self.tsae, roles=self.roles)

    def sinks(self) -> "list[Sink]":
        from interp.grpo import metrics as sinks

        wanted = [(sinks.tensorboard, self.tensorboard), (sinks.wandb, self.wandb)]
        return [sink(str(where)) for sink, where in wanted if where is not None]

    def settle_in(self) -> None:
        use_threads(self)


Preset = Literal[
    "interp",
    "paper",
    "released",
    "matryoshka",
    "matryoshka-weighted",
    "batchtopk",
    "shuffled",
    "contrast-only",
    "promotion-only",
]


def chosen_preset() -> str:
    """What --preset asks for: the other flags of a dictionary have the preset's values unless they are given."""
    words = sys.argv[1:]
    after = [word for flag, word in zip(words, words[1:], strict=False) if flag == "--preset"]
    glued = [word.removeprefix("--preset=") for word in words if word.startswith("--preset=")]
    named = [word for word in (*after, *glued) if word in PRESETS]
    return named[-1] if named else "interp"


@dataclass(frozen=True)
class Fitting:
    """Where a dictionary is fitted, and how it is told of."""

    device: str = "auto"
    """auto, cpu or cuda."""
    threads: int | None = None
    """Of the processor. On the CPU, a fit ends in the same bits only with as many as it began with."""
    skip_bad: bool = False
    """Go on without shards of the store that cannot be read. They are counted."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def open(self, store: Path) -> "Store":
        use_threads(self)
        return open_store(store, skip_bad=self.skip_bad)


def use_threads(config: Trained | Fitting) -> None:
    import torch

    expect_at_least(config, 1, "threads")
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def open_store(path: Path, *, skip_bad: bool) -> "Store":
    """What is left out of it is told."""
    from interp.activations import Store

    opened = Store.open(path, skip_bad=skip_bad)
    if opened.skipped:
        left_out = "; ".join(f"{name}: {why}" for name, why in opened.skipped)
        how_many = f"{len(opened.skipped)} shard{'s' if len(opened.skipped) > 1 else ''}"
        sys.stderr.write(f"interp: {how_many} left out: {left_out}\n")
    return opened
