"""What latents with roles say of a batch: of each rollout, how near it is to their positives; of each token, what it
receives for them. The formulae are in `features.py`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from interp.credit.bearers import Party

STILL = 1e-3
"""A rollout in which m varies less than this, in deviations of a latent, is weighed evenly."""


@dataclass(frozen=True)
class Reading:
    """Of one party. Its sums are zero beyond the end."""

    party: Party
    pushing_BL: Float[Tensor, "B L"]
    telling_BL: Float[Tensor, "B L"]
    told_BL: Bool[Tensor, "B L"]
    """The tokens at which it is told."""

    def above(self) -> Float[Tensor, " B"]:
        """How much more than at its negatives it tells, in the mean over those tokens; 0 where there are none."""
        counts_B = self.told_BL.sum(1)
        mean_B = (self.telling_BL * self.told_BL).sum(1) / counts_B.clamp(min=1)
        return torch.where(counts_B > 0, mean_B - self.party.low, 0.0)

    def received(self) -> Float[Tensor, "B L"]:
        """By the tokens that it speaks for, or against: those it helps to write, where it is told before them."""
        if self.party.ground.everywhere:
            return self.pushing_BL - before(self.pushing_BL)
        there_BL = (self.pushing_BL - self.party.foot) * self.told_BL
        return before(there_BL) if self.party.ground.next_roles else there_BL


def before(x_BL: Float[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """Of the token before each; nothing before the first."""
    return pad(x_BL, (1, 0))[:, :-1]


def ramp(near_B: Float[Tensor, " B"], shut: float) -> Float[Tensor, " B"]:
    """0 up to `shut`, 1 from 1 on."""
    return ((near_B - shut) / (1 - shut)).clamp(0, 1)


def standard(x_BL: Float[Tensor, "B L"], mask_BL: Bool[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """In each rollout's own deviations from its own mean; zero where nothing varies."""
    counts_B1 = mask_BL.sum(1, keepdim=True).clamp(min=1)
    above_BL = (x_BL - (x_BL * mask_BL).sum(1, keepdim=True) / counts_B1) * mask_BL
    deviation_B1 = (above_BL**2).sum(1, keepdim=True).div(counts_B1).sqrt()
    return torch.where(deviation_B1 > STILL, above_BL / deviation_B1.clamp(min=STILL), 0.0)
