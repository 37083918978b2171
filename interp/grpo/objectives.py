"""The losses people expect, as one table. Each is a choice at five places, and nothing else.

    scale       what a rollout's reward is measured in: its group's deviation, the whole batch's, or nothing
    ratio       of what new and old policy are compared: a token, the whole completion, or a bounded constant weight
    reduction   what weighs the same in the sum: every rollout, every token, or a token against the longest allowed
    clip        how far the ratio may move a token before its gradient is cut off
    filters     whether groups without contrast are drawn anew, truncated rollouts left out, long ones fined

Papers: GRPO 2402.03300, Dr.GRPO 2503.20783, DAPO 2503.14476, GSPO 2507.18071, CISPO 2506.13585, Lite PPO 2508.08221.
BNPO is TRL's name for GRPO averaged over the tokens of the batch.
"""

from dataclasses import dataclass
from typing import Literal

Scale = Literal["group", "batch", "none"]
Ratio = Literal["token", "sequence", "weight"]
Reduction = Literal["rollout", "token", "longest"]


@dataclass(frozen=True)
class Objective:
    scale: Scale = "group"
    ratio: Ratio = "token"
    reduction: Reduction = "rollout"
    clip_low: float = 0.2
    """The ratio counts down to 1 - this."""
    clip_high: float = 0.2
    """The ratio counts up to 1 + this."""
    redraw: bool = False
    """Draw prompts until the batch is full of groups with contrast (dynamic sampling)."""
    mask_truncated: bool = False
    """Leave rollouts out that ran into the length limit."""
    fine_from: float = 1.0
    """Fine the reward of rollouts longer than this share of the limit, up to 1 at the limit; 1 fines nothing."""


OBJECTIVES: dict[str, Objective] = {
    "grpo": Objective(),
    "dr-grpo": Objective(scale="none", reduction="longest"),
    "bnpo": Objective(reduction="token"),
    "dapo": Objective(reduction="token", clip_high=0.28, redraw=True, mask_truncated=True, fine_from=0.8),
    "gspo": Objective(ratio="sequence", clip_low=3e-4, clip_high=4e-4),
    "cispo": Objective(ratio="weight", reduction="token", clip_high=4.0),
    "lite-ppo": Objective(scale="batch", reduction="token"),
}
