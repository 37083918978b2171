"""From rewards to advantages: what a rollout earned above its group, in units of how much that varies."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.grpo.objectives import Scale

EPSILON = 1e-4
"""Beside a deviation, so that a group without contrast divides nothing by nothing."""


def advantages(rewards_B: Float[Tensor, " B"], group: int, scale: Scale) -> Float[Tensor, " B"]:
    """Groups lie one after another. A group whose rewards are all alike gets exactly zero."""
    rewards_PG = rewards_B.view(-1, group)
    above_PG = (rewards_PG - rewards_PG.mean(1, keepdim=True)) * contrasting(rewards_B, group)[:, None]
    if scale == "group":
        above_PG = above_PG / (rewards_PG.std(1, keepdim=True) + EPSILON)
    elif scale == "batch":
        above_PG = above_PG / (rewards_B.std() + EPSILON)
    return above_PG.flatten()


def contrasting(rewards_B: Float[Tensor, " B"], group: int) -> Bool[Tensor, " P"]:
    """Which groups hold different rewards: only they teach anything."""
    rewards_PG = rewards_B.view(-1, group)
    return rewards_PG.amax(1) > rewards_PG.amin(1)


def fined(
    rewards_B: Float[Tensor, " B"], lengths_B: Int[Tensor, " B"], limit: int, fine_from: float
) -> Float[Tensor, " B"]:
    """Less for rollouts near the length limit: nothing up to `fine_from` of it, one at the limit, linear between."""
    free = fine_from * limit
    if free >= limit:
        return rewards_B
    return rewards_B - ((lengths_B - free) / (limit - free)).clamp(0, 1)
