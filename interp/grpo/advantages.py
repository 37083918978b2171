"""Rewards to advantages: how far a rollout's reward is above its group's mean.

    R_b  = gate_b * reward_b - overlong penalty_b           `assign_advantages`
    A_b  = (R_b - mean of R in the group) / scale           `advantages`; 0 where all R of a group are equal
    A_bt = A_b * weights_bt                                 gate and weights come from the credit scheme

The gate is applied before the baseline. After it, only penalties would be left, and the longer answers would pay them.
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


def advantages(rewards_B: Float[Tensor, " B"], group: int, scale: Scale) -> Float[Tensor, " B"]:
    """Reward above the group's mean, in units of `scale`. A group of equal rewards gets exactly zero."""
    rewards_PG = rearrange(rewards_B, "(P G) -> P G", G=group)
    above_PG = (rewards_PG - reduce(rewards_PG, "P G -> P 1", "mean")) * mixed_groups(rewards_B, group)[:, None]
    if scale == "group":
        above_PG = above_PG / (rewards_PG.std(1, keepdim=True) + EPSILON)
    elif scale == "batch":
        above_PG = above_PG / (rewards_B.std() + EPSILON)
    return rearrange(above_PG, "P G -> (P G)")


def mixed_groups(rewards_B: Float[Tensor, " B"], group: int) -> Bool[Tensor, " P"]:
    """Which groups have different rewards. Only they have a gradient."""
    rewards_PG = rearrange(rewards_B, "(P G) -> P G", G=group)
    return rewards_PG.amax(1) > rewards_PG.amin(1)


def penalize_overlong(
    rewards_B: Float[Tensor, " B"], lengths_B: Int[Tensor, " B"], limit: int, overlong_from: float
) -> Float[Tensor, " B"]:
    """Rewards minus a penalty for length: 0 up to the share `overlong_from` of the limit, 1 at the limit, linear
    between."""
    free_length = overlong_from * limit
    if free_length >= limit:
        return rewards_B
    return rewards_B - ((lengths_B - free_length) / (limit - free_length)).clamp(0, 1)


@dataclass(frozen=True)
class Advantages:
    """The credit of a batch, the rewards it leaves, and each token's advantage."""

    credit: Credit
    gated_rewards_B: Float[Tensor, " B"]
    """Rewards times gate."""
    shaped_rewards_B: Float[Tensor, " B"]
    """Gated rewards minus the overlong penalty: what the group's baseline is taken from."""
    advantages_BL: Float[Tensor, "B L"]


def assign_advantages(batch: RolloutBatch, scheme: CreditScheme | None, objective: Objective, limit: int) -> Advantages:
    """Apply the credit scheme (None: uniform credit), the overlong penalty and the baseline, in that order."""
    credit = Credit.uniform(batch) if scheme is None else scheme(batch).validate(batch)
    gated_rewards_B = credit.gate_B * batch.rewards_B
    shaped_rewards_B = penalize_overlong(gated_rewards_B, batch.lengths_B, limit, objective.overlong_from)
    advantages_B = advantages(shaped_rewards_B, batch.group, objective.scale)
    advantages_BL = torch.where(batch.mask_BL, advantages_B[:, None] * credit.weights_BL, 0.0)
    return Advantages(credit, gated_rewards_B, shaped_rewards_B, advantages_BL)
