"""Promotion: during training, the most persistent latents are moved into the slow block.

The block of a latent is decided early in training, by how much it explains, and so by how often it fires. The contrast
comes too late to draw a rare slow latent over from the other blocks. But two latents can be swapped: the full
reconstruction stays the same. They are ranked by

    persistence = (p - r) / (1 - r)

where r is the firing rate of a latent, and p the share of the tokens with it active on whose partner it is active too.
(The partner is the token before, unless `pairing` says otherwise.) Chance alone gives 0, whatever the firing rate.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.tsae.batches import Batch
from interp.tsae.step import StepOutput

MIN_FIRINGS = 32.0
"""Persistence of a latent with fewer firings, old ones discounted, counts as 0."""
MARGIN = 0.05
"""A latent must be more persistent by this than the one whose place it takes."""


class Persistence(nn.Module):
    """Discounted counts of tokens with a partner, of those on which each latent fires, and of those on which it fires
    on the partner too."""

    tokens: Float[Tensor, ""]
    on_F: Float[Tensor, " F"]
    both_F: Float[Tensor, " F"]

    def __init__(self, width: int, *, memory: int) -> None:
        """Counts decay by 1 / `memory` a step."""
        super().__init__()
        self.decay = 1 - 1 / memory
        self.register_buffer("tokens", torch.zeros(()))
        self.register_buffer("on_F", torch.zeros(width))
        self.register_buffer("both_F", torch.zeros(width))

    @torch.no_grad()
    def update(self, step: StepOutput, batch: Batch) -> None:
        if batch.pairs_P2 is None or not len(batch.pairs_P2):
            return
        on_F, both_F = count_co_firing(step, batch.pairs_P2)
        self.tokens.mul_(self.decay).add_(len(batch.pairs_P2))
        self.on_F.mul_(self.decay).add_(on_F)
        self.both_F.mul_(self.decay).add_(both_F)

    def compute(self) -> Float[Tensor, " F"]:
        """Persistence of each latent: 1 if it never stops firing, 0 at chance or with few firings, negative if it
        avoids itself."""
        rate_F = self.on_F / self.tokens.clamp(min=1)
        share_F = self.both_F / self.on_F.clamp(min=1e-9)
        persistence_F = (share_F - rate_F) / (1 - rate_F).clamp(min=1e-9)
        return torch.where(self.on_F >= MIN_FIRINGS, persistence_F, 0.0)

    def swap(self, left_N: Int[Tensor, " N"], right_N: Int[Tensor, " N"]) -> None:
        """Swap the counts of latents left_n and right_n."""
        for counts_F in (self.on_F, self.both_F):
            swap_rows(counts_F, left_N, right_N)


def count_co_firing(step: StepOutput, pairs_P2: Int[Tensor, "P 2"]) -> tuple[Float[Tensor, " F"], Float[Tensor, " F"]]:
    """Number of anchors on which each latent fires, and of those on whose partner it fires too."""
    pattern, width = step.all_pattern, step.all_pattern.n_columns
    anchors, entries_N = pattern.select_rows(pairs_P2[:, 0])
    latents_N = pattern.columns_N[entries_N]
    active_K = pattern.rows_N * width + pattern.columns_N
    wanted_N = pairs_P2[:, 1][anchors.rows_N] * width + latents_N
    index_N = torch.searchsorted(active_K, wanted_N).clamp(max=len(active_K) - 1)
    hits_N = active_K[index_N] == wanted_N
    on_F, both_F = (torch.bincount(fired_N, minlength=width).float() for fired_N in (latents_N, latents_N[hits_N]))
    return on_F, both_F


def choose_swaps(persistence_F: Float[Tensor, " F"], n_slow: int) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
    """Latents of the slow block, least persistent first, and those of the rest that replace them, most persistent
    first, as long as the second is ahead by `MARGIN`."""
    leaving, entering = persistence_F[:n_slow].sort(), persistence_F[n_slow:].sort(descending=True)
    count = min(len(leaving.values), len(entering.values))
    pays = entering.values[:count] > leaving.values[:count] + MARGIN
    return leaving.indices[:count][pays], entering.indices[:count][pays] + n_slow


@torch.no_grad()
def swap_rows(rows: Tensor, left_N: Int[Tensor, " N"], right_N: Int[Tensor, " N"]) -> None:
    """Swap rows left_n and right_n in place."""
    both_N = torch.cat([left_N, right_N])
    rows[both_N] = rows[torch.cat([right_N, left_N])]
