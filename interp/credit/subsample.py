"""Dials of the dose: of the lucky and of the valid successes, only a share is rewarded, whichever chance picks.

Policy, problems and answers stay as they are; what changes is what is paid. With `luck` at 0 this is a reward
filtered by validity.
"""

from dataclasses import dataclass

import torch

from interp.artifacts import BadInput
from interp.credit.base import Credit, RolloutBatch
from interp.rollouts.record import Rollout
from interp.tasks.base import hash_of


@dataclass(frozen=True)
class RewardSubsample:
    lucky_paid: float = 1.0
    """The share of lucky successes that is rewarded."""
    valid: float = 1.0
    """The share of valid successes that is rewarded."""

    def __post_init__(self) -> None:
        for name in ("luck", "valid"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} must lie in [0, 1]; got {getattr(self, name)}")

    def __call__(self, batch: RolloutBatch) -> Credit:
        paid_B = torch.tensor([float(self._paid(row, batch.seed)) for row in batch.rows])
        return Credit(paid_B, batch.mask_BL.float())

    def _paid(self, row: Rollout, seed: int) -> bool:
        share = self.lucky_paid if row.lucky else self.valid if row.valid else 1.0
        return share >= 1 or hash_of("dial", seed, row.step, row.problem, row.sample) < share * 2**64
