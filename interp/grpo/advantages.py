"""Rewards to advantages: how far a rollout's reward is above its group's mean.

    R_b  = gate_b * reward_b + bonus_b - overlong penalty_b    `assign_advantages`
    A_b  = (R_b - mean of R in the group) / scale              `advantages`; 0 where all R of a group are equal
    A_bt = (A_b + added_b) * weights_bt                        the credit scheme gives gate, bonus, added and weights

The gate is applied before the baseline. After it, only penalties would be left, and the longer answers would pay them.
A rollout that the scheme screens out has an advantage of 0, and the mean and the deviations are those of the others.
"""

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.credit.base import Credit, CreditScheme, RolloutBatch
from interp.grpo.config import Objective, Scale

EPSILON = 1e-4
"""Added to a deviation, so that a group of equal rewards does not divide zero by zero."""


def advantages(
    rewards_B: Float[Tensor, " B"], group: int, scale: Scale, counts_B: Bool[Tensor, " B"] | None = None
) -> Float[Tensor, " B"]:
    """Reward above the group's mean, in units of `scale`. A group of equal rewards gets exactly zero.

    `counts_B` marks the rollouts that count. The others get zero, and have no part in mean and scale."""
    if counts_B is not None and not bool(counts_B.all()):
        return _counted_advantages(rewards_B, group, scale, counts_B)
    rewards_PG = rearrange(rewards_B, "(P G) -> P G", G=group)
    above_PG = (rewards_PG - reduce(rewards_PG, "P G -> P 1", "mean")) * mixed_groups(rewards_B, group)[:, None]
    if scale == "group":
        above_PG = above_PG / (rewards_PG.std(1, keepdim=True) + EPSILON)
    elif scale == "batch":
        above_PG = above_PG / (rewards_B.std() + EPSILON)
    return rearrange(above_PG, "P G -> (P G)")


def _counted_advantages(
    rewards_B: Float[Tensor, " B"], group: int, scale: Scale, counts_B: Bool[Tensor, " B"]
) -> Float[Tensor, " B"]:
    rewards_PG, counts_PG = (rearrange(x_B, "(P G) -> P G", G=group) for x_B in (rewards_B, counts_B))
    n_P1 = counts_PG.sum(1, keepdim=True)
    mean_P1 = (rewards_PG * counts_PG).sum(1, keepdim=True) / n_P1.clamp(min=1)
    above_PG = (rewards_PG - mean_P1) * (counts_PG & mixed_groups(rewards_B, group, counts_B)[:, None])
    if scale == "group":
        variance_P1 = (above_PG**2).sum(1, keepdim=True) / (n_P1 - 1).clamp(min=1)
        above_PG = above_PG / (variance_P1.sqrt() + EPSILON)
    elif scale == "batch" and int(counts_B.sum()) > 1:
        above_PG = above_PG / (rewards_B[counts_B].std() + EPSILON)
    return rearrange(above_PG, "P G -> (P G)")


def mixed_groups(
    rewards_B: Float[Tensor, " B"], group: int, counts_B: Bool[Tensor, " B"] | None = None
) -> Bool[Tensor, " P"]:
    """Which groups have different rewards, among the rollouts that count. Only they have a gradient."""
    low_B, high_B = rewards_B, rewards_B
    if counts_B is not None:
        low_B, high_B = rewards_B.masked_fill(~counts_B, torch.inf), rewards_B.masked_fill(~counts_B, -torch.inf)
    highest_P, lowest_P = (rearrange(x_B, "(P G) -> P G", G=group) for x_B in (high_B, low_B))
    return highest_P.amax(1) > lowest_P.amin(1)


def penalize_overlong(
    rewards_B: Float[Tensor, " B"], lengths_B: Int[Tensor, " B"], limit: int, overlong_from: float
) -> Float[Tensor, " B"]:
    """Rewards minus a penalty for length: 0 up to the share `overlong_from` of the limit, 1 at the limit, linear
    between."""
    free_length = overlong_from * limit
    if free_length >= limit:
        return rewards_B
    return rewards_B - ((lengths_B - free_length) / (limit - free_length)).clamp(0, 1)


def _added_advantages(credit: Credit) -> Float[Tensor, " B"]:
    """What the scheme adds, to the rollouts that count."""
    assert credit.added_B is not None, "a scheme that adds nothing has nothing to add"
    return credit.added_B if credit.counts_B is None else credit.added_B * credit.counts_B


@dataclass(frozen=True)
class Advantages:
    """The credit of a batch, the rewards it leaves, and each token's advantage."""

    credit: Credit
    gated_rewards_B: Float[Tensor, " B"]
    """Rewards times gate, plus bonus."""
    shaped_rewards_B: Float[Tensor, " B"]
    """Gated rewards minus the overlong penalty: what the group's baseline is taken from."""
    advantages_BL: Float[Tensor, "B L"]

    def mixed_groups(self, group: int, *, with_penalty: bool = True) -> Bool[Tensor, " P"]:
        """Which groups are left with different rewards, or with an added advantage, among the rollouts that count."""
        rewards_B = self.shaped_rewards_B if with_penalty else self.gated_rewards_B
        is_mixed_P = mixed_groups(rewards_B, group, self.credit.counts_B)
        if self.credit.added_B is None:
            return is_mixed_P
        return is_mixed_P | rearrange(_added_advantages(self.credit) != 0, "(P G) -> P G", G=group).any(1)


def assign_advantages(batch: RolloutBatch, scheme: CreditScheme | None, objective: Objective, limit: int) -> Advantages:
    """Apply the credit scheme (None: uniform credit), the overlong penalty and the baseline, in that order; then what
    the scheme adds."""
    credit = Credit.uniform(batch) if scheme is None else scheme(batch).validate(batch)
    gated_rewards_B = credit.gate_B * batch.rewards_B
    if credit.bonus_B is not None:
        gated_rewards_B = gated_rewards_B + credit.bonus_B
    shaped_rewards_B = penalize_overlong(gated_rewards_B, batch.lengths_B, limit, objective.overlong_from)
    advantages_B = advantages(shaped_rewards_B, batch.group, objective.scale, credit.counts_B)
    if credit.added_B is not None:
        advantages_B = advantages_B + _added_advantages(credit)
    advantages_BL = torch.where(batch.mask_BL, advantages_B[:, None] * credit.weights_BL, 0.0)
    return Advantages(credit, gated_rewards_B, shaped_rewards_B, advantages_BL)
