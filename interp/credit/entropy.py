"""Credit for the tokens of highest entropy only (arXiv 2506.01939).

The threshold is the batch's, over all its tokens. Two deviations from the paper: a rollout without a token above the
threshold is weighted evenly, where the paper leaves it out; and weights have mean 1 per rollout, where the paper
divides by all tokens of the batch. So each rollout hands out the same advantage as under any other scheme.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool
from torch import Tensor

from interp.checks import Range, expect_plausible
from interp.credit.base import Credit, RolloutBatch, normalize_weights

TokenShare = Annotated[float, Range(0, 1, without_low=True)]


@dataclass(frozen=True)
class TopEntropy:
    """Credit for the tokens of highest entropy, and none for the others."""

    share: TokenShare = 0.2
    """Share of a batch's tokens that receive credit."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    def __call__(self, batch: RolloutBatch) -> Credit:
        selected_BL = top_entropy_tokens(batch, self.share)
        return Credit(torch.ones(len(batch.rollouts)), normalize_weights(selected_BL.float(), batch.mask_BL))


def top_entropy_tokens(batch: RolloutBatch, share: float) -> Bool[Tensor, "B L"]:
    """The tokens of highest entropy: exactly `share` of the batch, rounded; of equal tokens, the earlier."""
    entropies = torch.where(batch.mask_BL, batch.entropies_BL, -1.0).flatten()
    count = round(share * int(batch.mask_BL.sum()))
    top = entropies.sort(descending=True, stable=True).indices[:count]
    return torch.zeros_like(entropies, dtype=torch.bool).index_fill(0, top, True).view_as(batch.mask_BL)
