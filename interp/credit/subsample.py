"""Pay only a share of the lucky successes, or of the valid ones, chosen at random: a dose of luck, or of validity.

Policy, problems and answers stay as they are; only the rewards change. With `lucky_paid` at 0, the reward is filtered
by validity.
"""

from dataclasses import dataclass

import torch

from interp.checks import Share, expect_plausible
from interp.credit.base import Credit, RolloutBatch
from interp.rollouts.record import Rollout
from interp.tasks.base import hash_of


@dataclass(frozen=True)
class RewardSubsample:
    """Rewards for a random share of the lucky successes, and of the valid ones."""

    lucky_paid: Share = 1.0
    """Share of the lucky successes that keep their reward."""
    valid_paid: Share = 1.0
    """Share of the valid successes that keep their reward."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    def __call__(self, batch: RolloutBatch) -> Credit:
        gate_B = torch.tensor([float(self._is_paid(rollout, batch.seed)) for rollout in batch.rollouts])
        return Credit(gate_B, batch.mask_BL.float())

    def _is_paid(self, rollout: Rollout, seed: int) -> bool:
        share = self.lucky_paid if rollout.lucky else self.valid_paid if rollout.valid else 1.0
        return share >= 1 or hash_of("dial", seed, rollout.step, rollout.problem, rollout.sample) < share * 2**64
