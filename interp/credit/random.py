"""What chance does in the place of a scheme that picks tokens: the control that any such scheme has to beat.

`RandomTokens` picks as many tokens of each rollout as the entropy scheme does in the batch's mean. `PositionMatched`
also keeps where they lie: it deals out the entropy scheme's picks anew among the tokens at the same place of a
completion, so that what is left of an effect is not the tokens, but their places.
"""

from dataclasses import dataclass

import numpy as np
import torch

from interp.credit.base import Credit, RolloutBatch, of_mean_one
from interp.credit.entropy import chosen, expect_share
from interp.tasks.base import hash_of


@dataclass(frozen=True)
class RandomTokens:
    share: float = 0.2
    """Of the tokens of a batch."""

    def __post_init__(self) -> None:
        expect_share(self.share)

    def __call__(self, batch: RolloutBatch) -> Credit:
        rng = _numbers(batch, "random")
        picked_BL = torch.from_numpy(rng.random(batch.mask_BL.shape) < self.share)
        return Credit(torch.ones(len(batch.rows)), of_mean_one(picked_BL.float(), batch.mask_BL))


@dataclass(frozen=True)
class PositionMatched:
    share: float = 0.2
    """Of the tokens of a batch that the scheme it stands in for would pick."""

    def __post_init__(self) -> None:
        expect_share(self.share)

    def __call__(self, batch: RolloutBatch) -> Credit:
        rng = _numbers(batch, "position")
        picked_BL = chosen(batch, self.share)
        dealt_BL = torch.zeros_like(picked_BL)
        for at in range(picked_BL.shape[1]):
            real = batch.mask_BL[:, at].nonzero()[:, 0].numpy()
            dealt_BL[rng.permutation(real)[: int(picked_BL[:, at].sum())], at] = True
        return Credit(torch.ones(len(batch.rows)), of_mean_one(dealt_BL.float(), batch.mask_BL))


def _numbers(batch: RolloutBatch, name: str) -> np.random.Generator:
    """Of the batch's own: from the run's seed and from what was asked, so that a resumed run draws them again."""
    first = batch.rows[0]
    return np.random.default_rng(hash_of(name, batch.seed, first.step, first.problem, len(batch.rows)))
