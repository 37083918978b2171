"""Let the slow block hold the slow latents: measured while training, and moved there.

Which block a latent ends up in is settled early, by how much it explains, that is by how often it fires; a contrast
comes too late to call a rare slow latent over from the other blocks, where it is at home and does its work. But a
latent can be moved: exchanging two changes nothing in the full reconstruction. What decides is persistence, which does
not hang on the firing rate r: of the tokens at which a latent is on, with what share p it was on at their partner (the
one before, unless pairs are asked for otherwise), beyond chance: (p - r) / (1 - r).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.tsae.step import Batch, StepOutput

MIN_FIRINGS = 32.0
"""Firings, recent ones counting more, before a latent's persistence is believed."""
MARGIN = 0.05
"""By how much a latent must be more persistent than the one whose place it takes."""


class Persistence(nn.Module):
    """Counts that forget: of tokens with a partner, of those at which each latent fired, and of those where it fired
    at the partner too."""

    tokens: Float[Tensor, ""]
    on_F: Float[Tensor, " F"]
    both_F: Float[Tensor, " F"]

    def __init__(self, width: int, *, memory: int) -> None:
        """`memory` is in steps."""
        super().__init__()
        self.keep = 1 - 1 / memory
        self.register_buffer("tokens", torch.zeros(()))
        self.register_buffer("on_F", torch.zeros(width))
        self.register_buffer("both_F", torch.zeros(width))

    @torch.no_grad()
    def update(self, step: StepOutput, batch: Batch) -> None:
        if batch.pairs_P2 is None or not len(batch.pairs_P2):
            return
        on_F, both_F = count_co_firing(step, batch.pairs_P2)
        self.tokens.mul_(self.keep).add_(len(batch.pairs_P2))
        self.on_F.mul_(self.keep).add_(on_F)
        self.both_F.mul_(self.keep).add_(both_F)

    def compute(self) -> Float[Tensor, " F"]:
        """Between below 0 (avoids itself) and 1 (never ends); 0 for a latent that has hardly fired."""
        rate_F = self.on_F / self.tokens.clamp(min=1)
        share_F = self.both_F / self.on_F.clamp(min=1e-9)
        found_F = (share_F - rate_F) / (1 - rate_F).clamp(min=1e-9)
        return torch.where(self.on_F >= MIN_FIRINGS, found_F, 0.0)

    def swap(self, left_N: Int[Tensor, " N"], right_N: Int[Tensor, " N"]) -> None:
        for counts_F in (self.on_F, self.both_F):
            swap_rows(counts_F, left_N, right_N)


def count_co_firing(step: StepOutput, pairs_P2: Int[Tensor, "P 2"]) -> tuple[Float[Tensor, " F"], Float[Tensor, " F"]]:
    """At how many anchors each latent fires, and at how many of these at the partner too."""
    pattern, width = step.all_pattern, step.all_pattern.n_columns
    anchors, entries_N = pattern.select_rows(pairs_P2[:, 0])
    latents_N = pattern.columns_N[entries_N]
    there_N = pattern.rows_N * width + pattern.columns_N
    sought_N = pairs_P2[:, 1][anchors.rows_N] * width + latents_N
    at_N = torch.searchsorted(there_N, sought_N).clamp(max=len(there_N) - 1)
    hits_N = there_N[at_N] == sought_N
    counted = (torch.bincount(chosen_N, minlength=width) for chosen_N in (latents_N, latents_N[hits_N]))
    on_F, both_F = (count.float() for count in counted)
    return on_F, both_F


def choose_swaps(persistence_F: Float[Tensor, " F"], n_slow: int) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
    """Which latents of the slow block give place to which others: the least persistent to the most, while it pays."""
    leaving, coming = persistence_F[:n_slow].sort(), persistence_F[n_slow:].sort(descending=True)
    count = min(len(leaving.values), len(coming.values))
    pays = coming.values[:count] > leaving.values[:count] + MARGIN
    return leaving.indices[:count][pays], coming.indices[:count][pays] + n_slow


@torch.no_grad()
def swap_rows(rows: Tensor, left_N: Int[Tensor, " N"], right_N: Int[Tensor, " N"]) -> None:
    """In place, along the first dimension."""
    both_N = torch.cat([left_N, right_N])
    rows[both_N] = rows[torch.cat([right_N, left_N])]
