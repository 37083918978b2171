"""What to track: which checkpoints, on how many problems of which buckets, and with what."""

from dataclasses import dataclass, field

from interp.artifacts import BadInput
from interp.checks import expect_at_least
from interp.policy.config import SampleConfig
from interp.tasks.base import BUCKETS

ON_POLICY, PROBE, AGAIN = "on-policy", "probe", "again"
SPLITS = {ON_POLICY: "eval", PROBE: "probe", AGAIN: "eval"}
"""Each corpus, and the split its problems are of.

on-policy   what each checkpoint answers to the same problems, itself
probe       what the base answered to other ones: the very same tokens, read by every checkpoint
again       what the base answers when it is asked a second time: between this and its first answers nothing has
            changed, and whatever is found to have is what chance finds
"""


@dataclass(frozen=True)
class AskConfig:
    """What checkpoints are asked, and how their answers are read."""

    levels: tuple[int | str, ...] = BUCKETS
    """Buckets of the task, or depths."""
    problems: int = 64
    """Of each level and corpus. They are what an interval is over."""
    recovered: int = 128
    """Rollouts of each checkpoint and corpus on which the loss recovered is measured. 0 leaves that out."""
    micro_tokens: int = 8_192
    """Tokens, padding included, in one forward."""
    chat: bool = False
    """Ask as a user's turn in the tokenizer's chat template."""
    sampling: SampleConfig = field(default_factory=lambda: SampleConfig(group=4, rows=1024))

    def __post_init__(self) -> None:
        if not self.levels or len(set(self.levels)) < len(self.levels):
            raise BadInput(f"levels must be named once each, one at least; got {list(self.levels)}")
        expect_at_least(self, 1, "problems", "micro_tokens")
        expect_at_least(self, 0, "recovered")


@dataclass(frozen=True)
class TrackConfig(AskConfig):
    steps: tuple[int, ...] = ()
    """Which checkpoints, by their steps and besides the base: a list, not a count. All if not given."""
