"""Slow block against firing rate: does the block hold slow latents, or only frequent ones?

The first block of a Matryoshka dictionary collects frequent latents, with or without a contrastive term. If the firing
rate alone predicts the block (AUROC near 1, or near 0), the block has not been shown to be slow. At 0.5 the rate does
not decide. Dead latents count with a rate of 0; `quality.py` reports the figure without them too.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from interp.artifacts import BadInput
from interp.tsae.metrics.ranks import auroc


@dataclass(frozen=True, slots=True)
class Membership:
    spearman: float | None
    """Correlation of firing rate and membership. None if all rates are equal, or all latents are in one block."""
    auroc: float | None
    """Of the firing rate, for latents of the slow block against the others. None if all latents are in one block."""
    slow_share_by_decile: tuple[float, ...]
    """Share of slow-block latents in each tenth of the latents, the rarest tenth first. If the rate does not decide,
    each is the slow block's share of the dictionary."""


def block_membership(rate_F: Float[ndarray, " F"], slow_F: Bool[ndarray, " F"]) -> Membership:
    """Relation of each latent's firing rate to its membership in the slow block."""
    from scipy.stats import rankdata

    if not len(rate_F):
        raise BadInput("expected the firing rates of at least one latent, got none")
    rate_auroc = auroc(rate_F.astype(float), slow_F)
    constant = rate_auroc is None or np.ptp(rate_F) == 0
    # a binary variable correlates as its ranks do
    spearman = None if constant else float(np.corrcoef(rankdata(rate_F), slow_F.astype(float))[0, 1])
    return Membership(spearman, rate_auroc, _slow_share_by_decile(rate_F, slow_F))


def _slow_share_by_decile(rate_F: ndarray, slow_F: ndarray) -> tuple[float, ...]:
    """A latent on the border of two tenths counts in part in each. Latents of equal rate all count with the slow share
    of their group: sorted by column, the slow ones would come first."""
    _, group_F, count_R = np.unique(rate_F, return_inverse=True, return_counts=True)
    slow_R = np.bincount(group_F, slow_F.astype(float)) / count_R
    slow_so_far = np.concatenate([[0.0], np.cumsum(np.repeat(slow_R, count_R))])
    edges = np.linspace(0, len(rate_F), 11)
    return tuple(np.diff(np.interp(edges, np.arange(len(rate_F) + 1), slow_so_far)) / (len(rate_F) / 10))
