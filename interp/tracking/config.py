"""What to track: which checkpoints, on how many problems, on which text."""

from dataclasses import dataclass, field

from interp.artifacts import fingerprint
from interp.checks import Count, CountOrZero, Depth, Name, Step, Tokens, expect_once_each, expect_plausible
from interp.policy.config import SampleConfig
from interp.policy.prompts import PromptFormat
from interp.tasks.base import Problem

ON_POLICY, PROBE, RESAMPLED = CORPORA = ("on-policy", "probe", "resampled")
"""The corpora on which latents are measured.

on-policy   rollouts of each checkpoint, on the same problems
probe       rollouts of the base on other problems; every checkpoint is measured on the same tokens
resampled   a second set of on-policy rollouts of the base: a control, in which only chance differs
"""
SPLITS = {ON_POLICY: "eval", PROBE: "probe", RESAMPLED: "eval"}
"""Split of the task from which each corpus takes its problems."""
PURPOSES = {ON_POLICY: "track on-policy", PROBE: "track probe", RESAMPLED: "track again"}
"""Names of the random streams from which rollouts are sampled. Another name gives other rollouts."""


@dataclass(frozen=True)
class CorpusProblems:
    """The problems of one corpus by bucket, in an order that is the same for every checkpoint."""

    corpus: str
    buckets: dict[str, list[Problem]]

    @property
    def numbered(self) -> list[tuple[str, int, Problem]]:
        """Every problem, with its bucket and its number in the bucket."""
        return [(bucket, n, problem) for bucket, problems in self.buckets.items() for n, problem in enumerate(problems)]

    def fingerprint(self) -> str:
        return fingerprint(*(f"{bucket} {problem.id}" for bucket, _, problem in self.numbered))


@dataclass(frozen=True)
class CompareConfig(PromptFormat):
    """Problems, rollouts and batches, for each checkpoint that is compared."""

    levels: tuple[Depth | Name, ...] = ()
    """Depths, or names of levels. If none is given: the task's own levels, or the buckets measured."""
    problems: Count = 64
    """Problems of each level and corpus. Intervals are over them."""
    loss_rollouts: CountOrZero = 128
    """Rollouts of each checkpoint and corpus on which the loss recovered is measured. 0 leaves it out."""
    micro_tokens: Tokens = 8_192
    """Tokens in one forward pass, padding included."""
    sampling: SampleConfig = field(default_factory=lambda: SampleConfig(group=4, rows=1024))

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_plausible(self)
        expect_once_each(self, "levels")


@dataclass(frozen=True)
class TrackConfig(CompareConfig):
    """Problems, rollouts and batches as in `CompareConfig`, and the checkpoints of the series to track."""

    steps: tuple[Step, ...] = ()
    """Steps of the checkpoints to track besides the base, not their number. Empty: all."""
