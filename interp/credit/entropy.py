"""Only the tokens that were drawn in the most doubt are taught (arXiv 2506.01939).

The threshold is the batch's, over all its tokens. A rollout without a token above it is taught evenly, where the
paper's would not be taught at all; and weights have mean 1 per rollout, where the paper divides by all tokens of the
batch. So the advantage each rollout hands out is that of every other scheme, and only its place differs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp.artifacts import BadInput
from interp.credit.base import Credit, RolloutBatch, of_mean_one


@dataclass(frozen=True)
class TopEntropy:
    share: float = 0.2
    """Of the tokens of a batch."""

    def __post_init__(self) -> None:
        expect_share(self.share)

    def __call__(self, batch: RolloutBatch) -> Credit:
        return Credit(torch.ones(len(batch.rows)), of_mean_one(chosen(batch, self.share).float(), batch.mask_BL))


def chosen(batch: RolloutBatch, share: float) -> Tensor:
    """The tokens of highest entropy, exactly as many as the share makes of the batch; the earlier first among
    equals."""
    entropies = torch.where(batch.mask_BL, batch.entropies_BL, -1.0).flatten()
    count = round(share * int(batch.mask_BL.sum()))
    best = entropies.sort(descending=True, stable=True).indices[:count]
    return torch.zeros_like(entropies, dtype=torch.bool).index_fill(0, best, True).view_as(batch.mask_BL)


def expect_share(share: float) -> None:
    if not 0 < share <= 1:
        raise BadInput(f"share must lie in (0, 1]; got {share}")
