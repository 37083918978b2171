"""The controls of schemes that select tokens: random tokens, and random tokens at the same positions.

`RandomTokens` selects as many tokens as the entropy scheme does, on average. `PositionMatched` also keeps their
positions: at each position of the completion, it deals the entropy scheme's selections out among the rollouts at
random. An effect that remains under it is due to positions, not to tokens.
"""

from dataclasses import dataclass

import numpy as np
import torch

from interp.checks import expect_plausible
from interp.credit.base import Credit, RolloutBatch, normalize_weights
from interp.credit.entropy import TokenShare, top_entropy_tokens
from interp.tasks.base import hash_of


@dataclass(frozen=True)
class RandomTokens:
    """Credit for random tokens, and none for the others."""

    share: TokenShare = 0.2
    """Share of a batch's tokens that receive credit, on average."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    def __call__(self, batch: RolloutBatch) -> Credit:
        rng = _batch_rng(batch, "random")
        selected_BL = torch.from_numpy(rng.random(batch.mask_BL.shape) < self.share)
        return Credit(torch.ones(len(batch.rollouts)), normalize_weights(selected_BL.float(), batch.mask_BL))


@dataclass(frozen=True)
class PositionMatched:
    """Credit for random tokens at the positions that the entropy scheme selects."""

    share: TokenShare = 0.2
    """Share of a batch's tokens that the entropy scheme would select."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    def __call__(self, batch: RolloutBatch) -> Credit:
        rng = _batch_rng(batch, "position")
        top_BL = top_entropy_tokens(batch, self.share)
        selected_BL = torch.zeros_like(top_BL)
        for position in range(top_BL.shape[1]):
            rows = batch.mask_BL[:, position].nonzero()[:, 0].numpy()
            selected_BL[rng.permutation(rows)[: int(top_BL[:, position].sum())], position] = True
        return Credit(torch.ones(len(batch.rollouts)), normalize_weights(selected_BL.float(), batch.mask_BL))


def _batch_rng(batch: RolloutBatch, name: str) -> np.random.Generator:
    """A generator seeded by the run and by the batch's prompts, so that a resumed run draws the same numbers."""
    first = batch.rollouts[0]
    return np.random.default_rng(hash_of(name, batch.seed, first.step, first.problem, len(batch.rollouts)))
