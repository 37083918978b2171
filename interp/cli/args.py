"""Groups of flags that several commands share: the policy or series, the task, the problems, the output."""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import tyro

from interp.artifacts import BadInput, reserve
from interp.checks import Count, Name, Range, Threads
from interp.cli.app import Args
from interp.costs import say_time
from interp.credit.names import (
    FEATURE_SCHEME_NAMES,
    LATENT_SCHEME_NAMES,
    READOUT_SCHEME_NAMES,
    SCHEME_NAMES,
    TASK_SCHEME_NAMES,
)
from interp.organism import load_task_or_default, shipped_path
from interp.policy.config import SampleConfig
from interp.policy.files import check_config
from interp.rollouts.series import Series
from interp.tasks import SPLITS, Chain, GymTask, JsonlTask, Problem, Task, Words
from interp.tasks.text.fallback import AnswerRule
from interp.tsae import PRESETS

if TYPE_CHECKING:
    from interp.activations import Store
    from interp.credit import CreditScheme
    from interp.grpo.config import GRPOConfig
    from interp.grpo.metrics import Sink
    from interp.policy import Policy

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
DEFAULT_PROBLEMS = 64
"""Number of problems taken from a task that can make any number of them."""
SECONDS_PER_PROBLEM = 2e-4
CREDIT_HELP = (
    f"{', '.join(SCHEME_NAMES + READOUT_SCHEME_NAMES + TASK_SCHEME_NAMES)}; with --tsae: "
    f"{', '.join(LATENT_SCHEME_NAMES)}; with --tsae and --roles: {', '.join(FEATURE_SCHEME_NAMES)}."
)


@dataclass(frozen=True)
class PolicyArgs(Args):
    """The policy to work with."""

    policy: Path | None = None
    """A local Hugging Face directory. Default: the shipped organism."""
    device: Name = "auto"
    """auto, cpu, cuda or mps."""
    dtype: Dtype = "auto"
    """Precision of the weights. auto: that in which they are stored, and float32 on the CPU."""
    json: bool = False
    """Print one JSON object and nothing else."""

    @property
    def path(self) -> Path:
        """The policy's directory. A directory without a model is refused before anything heavy is imported."""
        path = self.policy or shipped_path()
        check_config(path)
        return path

    def load(self) -> "Policy":
        from interp.policy import Policy

        return Policy.load(self.path, device=self.device, dtype=self.dtype)


@dataclass(frozen=True)
class SeriesArgs(PolicyArgs):
    """The policy to work with, or a series of its checkpoints."""

    series: Path | None = None
    """A directory of checkpoint-<step>/ directories: a run's, or a trainer's output. Instead of --policy."""
    base: Path | None = None
    """The policy before training, as step 0 of a --series whose trainer did not save it. LoRA adapters of a --series or
    of --checkpoints are merged into it."""
    checkpoints: tuple[Path, ...] = ()
    """Hugging Face directories, in order: steps 0, 1, 2, ... Instead of --policy."""
    skip_bad_checkpoints: bool = False
    """Leave out checkpoints of a --series that cannot be loaded. They are named."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(map(bool, (self.policy, self.series, self.checkpoints))) > 1:
            raise BadInput("expected one of --policy, --series and --checkpoints, got several")
        if self.base and not (self.series or self.checkpoints):
            raise BadInput(
                "--base is step 0 of a --series, or the base of adapters in --checkpoints: expected one of them, got "
                "none"
            )

    def open(self) -> Series:
        """The series; a single policy is a series of one. A checkpoint that cannot be loaded is refused at once."""
        if self.series:
            series = Series.from_dir(self.series, base=self.base, skip_bad=self.skip_bad_checkpoints)
            for step, reason in series.skipped:
                sys.stderr.write(f"interp: step {step} is left out: {reason}\n")
            return series
        return Series.from_dirs(self.checkpoints or [self.path], base=self.base)


@dataclass(frozen=True)
class TaskArgs(Args):
    """The task: the chain task, unless --jsonl or --gym names another."""

    jsonl: Path | None = None
    """Your own problems, one {"prompt", "answer", ...} a line."""
    skip_bad: bool = False
    """Leave out lines of --jsonl that cannot be read. They are counted and listed."""
    prompt_field: Name | None = None
    """The entry of a line of --jsonl that holds the question: `question` for GSM8K. Default: prompt."""
    answer_field: Name | None = None
    """The entry of a line of --jsonl that holds the answer. Default: answer."""
    answer_rule: AnswerRule | None = None
    """What counts as an answer of --jsonl where none is announced ("The answer is 7", a box, ####): nothing (announced,
    the default), the result of the last-equation, or the last-number."""
    gym: Name | None = None
    """A reasoning-gym dataset, by name."""
    words: bool = False
    """English word problems, with default options. A words organism brings its own task: it needs no flag."""
    task: Chain = field(default_factory=Chain)
    """Options of the chain task. Default: those of the task that the policy was trained on."""

    def open(self, policy: Path) -> Task:
        if self.jsonl and self.gym:
            raise BadInput("expected one of --jsonl and --gym, got both")
        if self.words and (self.jsonl or self.gym):
            raise BadInput("--words is a task of its own: leave it out with --jsonl or --gym")
        if self.task != Chain() and (self.jsonl or self.gym or self.words):
            raise BadInput("--task flags are for the chain task: leave them out with --jsonl, --gym or --words")
        if policy == shipped_path() and (self.jsonl or self.gym or self.words):
            raise BadInput(
                f"{'--words needs' if self.words else '--jsonl and --gym need'} a --policy: the organism's tokenizer "
                "only has the chain task's words"
            )
        if self.skip_bad and not self.jsonl:
            raise BadInput("--skip-bad is for lines of --jsonl: expected --jsonl too, got none")
        if (self.prompt_field or self.answer_field or self.answer_rule) and not self.jsonl:
            raise BadInput("--prompt-field, --answer-field and --answer-rule are for --jsonl: got none")
        if self.jsonl:
            return JsonlTask(self.jsonl, self.skip_bad, self.prompt_field, self.answer_field, self.answer_rule)
        if self.gym:
            return GymTask(self.gym)
        if self.words:
            return Words()
        return load_task_or_default(policy) if self.task == Chain() else self.task


@dataclass(frozen=True)
class ProblemArgs(TaskArgs):
    """The task and the problems to take from it."""

    split: Name | None = None
    """train, eval, probe or memorised. Default: train for `interp bucket`; else all lines of --jsonl, or eval."""
    level: Name | None = None
    """A depth, or one of the task's own groups (chain task: shallow, middle, deep). Default: all depths in turn."""
    problems: Count | None = None
    """Number of problems. Default: all of --jsonl; 64 of a task that makes its problems."""

    def select(self, task: Task, *, default_split: str = "eval") -> list[Problem]:
        """The problems that the flags name, of `default_split` where no --split is given. (To look at rollouts, all
        lines of a file are taken; to train on, those of the training split alone.)"""
        splits = (*SPLITS, "memorised")
        if self.split is not None and self.split not in splits:
            raise BadInput(f"split must be one of {', '.join(splits)}; got {self.split!r}")
        level = None if self.level is None else parse_level(self.level)
        if not isinstance(task, JsonlTask):
            return task.problems(self.split or default_split, level, self.problems or DEFAULT_PROBLEMS)
        available = [
            problem
            for split in ([self.split] if self.split else ["train"] if default_split == "train" else SPLITS)
            for problem in task.problems(split, level, task.size(split, level))
        ]
        if len(available) < (self.problems or 1):
            raise BadInput(f"{self.jsonl}: expected {self.problems or 1} such problems or more, got {len(available)}")
        return available[: self.problems]


def expect_affordable(task: Task, sampling: SampleConfig, problems: int, levels: Sequence[object] = ()) -> None:
    """Refuse more rollouts than memory holds before their problems are drawn. A file may have fewer than are named."""
    if not isinstance(task, JsonlTask):
        n_problems = problems * max(1, len(levels))
        sampling.expect_affordable(n_problems)
        say_time(f"drawing {n_problems:,} problems", n_problems * SECONDS_PER_PROBLEM)


def parse_level(word: str) -> int | str:
    """A depth where the word is a number, else the name of a group, which the task accepts or refuses."""
    return int(word) if word.isascii() and word.isdigit() else word


class Savable(Protocol):
    def save(self, path: Path, *, overwrite: bool) -> None: ...


@dataclass(frozen=True)
class OutputArgs(Args):
    """The directory for the result."""

    out: Path | None = None
    """Save the result in this directory, as Parquet with a manifest."""
    overwrite: bool = False
    """Replace a result of the same kind in --out."""

    def reserve(self, kind: str) -> AbstractContextManager[None]:
        """Hold the place of a result of this kind from before the work until it is saved."""
        return reserve(self.out, overwrite=self.overwrite, kind=kind)

    def save(self, result: Savable) -> None:
        if self.out is not None:
            result.save(self.out, overwrite=self.overwrite)


Bucket = Literal["easy", "medium", "hard"]


def bucket_problems(buckets: Path | None, bucket: Bucket | None, levels: Sequence[object]) -> "list[Problem] | None":
    """The problems of one measured bucket. None without one."""
    if (buckets is None) != (bucket is None):
        raise BadInput("--buckets and --bucket go together: expected both or neither, got one of them")
    if buckets is None or bucket is None:
        return None
    from interp.rollouts import Buckets

    if levels:
        raise BadInput("expected one of --levels and --buckets, got both")
    return Buckets.load(buckets).problems(bucket)


@dataclass(frozen=True)
class TrainArgs(Args):
    """Training problems, credit scheme and metric sinks."""

    levels: tuple[Name, ...] = ()
    """Depths or groups of the task to train on; several are taken in turn. Default: all depths."""
    buckets: Path | None = None
    """A result of `interp bucket --out`: train on its problems of one measured --bucket. Instead of --levels."""
    bucket: Bucket | None = None
    """The measured bucket of --buckets to train on."""
    credit: Annotated[Name, tyro.conf.arg(help=CREDIT_HELP)] = "uniform"
    tsae: Path | None = None
    """The dictionary for credit by latents or by features."""
    roles: Path | None = None
    """The roles of its latents, as `interp roles --out` saves them."""
    readout: Path | None = None
    """What `interp readout --out` saved: pay each success by how likely it is to be valid. Instead of --credit."""
    audits: Count | None = None
    """With --readout: successes that the verifier judges per step, to refit it. Default: 8."""
    threshold: Annotated[float, Range(0, 1000)] | None = None
    """With --readout: the probability from which a success is paid, as a multiple of the mean. Default: 0.5."""
    threads: Threads | None = None
    """CPU threads. A CPU run ends in the same bits only with the same number of threads throughout."""
    tensorboard: Path | None = None
    """Also write metrics for TensorBoard, into this directory."""
    wandb: Name | None = None
    """Also write metrics for this W&B project, offline: `wandb sync` uploads them."""

    def problems(self) -> "list[int | str] | list[Problem] | None":
        """What to train on: levels of the task, or the problems of one measured bucket. None: the training split."""
        problems = bucket_problems(self.buckets, self.bucket, self.levels)
        return problems if problems is not None else [parse_level(level) for level in self.levels] or None

    def scheme(self, task: Task, config: "GRPOConfig") -> "CreditScheme":
        """The credit of a run of `config` on `task`."""
        from interp.credit import make_scheme

        if self.readout is not None:
            return self._readout_credit(self.readout)
        if self.audits is not None or self.threshold is not None:
            raise BadInput("--audits and --threshold are for credit by a --readout: expected it too, got none")
        return make_scheme(
            self.credit, tsae=self.tsae, roles=self.roles,
            task=task, sampling=config.sampling, prompt_format=config.prompt_format,
        )  # fmt: skip

    def _readout_credit(self, path: Path) -> "CreditScheme":
        """Credit that begins with a saved readout."""
        from interp.credit import ReadoutCredit
        from interp.readouts import Readout
        from interp.tsae import TSAE

        if self.credit != "uniform" or self.roles:
            raise BadInput("--readout is a credit of its own: leave out --credit and --roles")
        dictionaries = [] if self.tsae is None else [TSAE.load(self.tsae)]
        readout = Readout.load(path, dictionaries=dictionaries)
        settings = {"audits": self.audits, "threshold": self.threshold}
        return ReadoutCredit.of(readout, **{name: value for name, value in settings.items() if value is not None})

    def sinks(self) -> "list[Sink]":
        from interp.grpo import metrics

        places = [(metrics.tensorboard, self.tensorboard), (metrics.wandb, self.wandb)]
        return [sink(str(place)) for sink, place in places if place is not None]

    def set_threads(self) -> None:
        set_threads(self)


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


def preset_on_command_line() -> str:
    """The value of --preset. The other flags of a dictionary default to this preset's values."""
    words = sys.argv[1:]
    separate = [word for flag, word in zip(words, words[1:], strict=False) if flag == "--preset"]
    joined = [word.removeprefix("--preset=") for word in words if word.startswith("--preset=")]
    names = [word for word in (*separate, *joined) if word in PRESETS]
    return names[-1] if names else "interp"


@dataclass(frozen=True)
class FitArgs(Args):
    """Where a dictionary is fitted, and how the result is printed."""

    device: Name = "auto"
    """auto, cpu or cuda."""
    threads: Threads | None = None
    """CPU threads. A CPU fit ends in the same bits only with the same number of threads throughout."""
    skip_bad: bool = False
    """Leave out shards of the store that cannot be read. They are counted."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def open(self, store: Path) -> "Store":
        set_threads(self)
        return open_store(store, skip_bad=self.skip_bad)


def set_threads(config: TrainArgs | FitArgs) -> None:
    import torch

    if config.threads is not None:
        torch.set_num_threads(config.threads)


def open_store(path: Path, *, skip_bad: bool) -> "Store":
    """The store at `path`. Shards that are left out are named on stderr."""
    from interp.activations import Store

    store = Store.open(path, skip_bad=skip_bad)
    if store.skipped:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in store.skipped)
        count = f"{len(store.skipped)} shard{'s' if len(store.skipped) > 1 else ''}"
        sys.stderr.write(f"interp: {count} left out: {reasons}\n")
    return store
