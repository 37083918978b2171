"""Is the slow block the block of slow latents, or merely of frequent ones? Membership against firing rate.

A Matryoshka's first block picks by firing rate, whatever its contrastive term says; so a block that can be told by
firing rate alone (an AUROC near 1, or near 0) has not been shown to be slow. 0.5 is what says that rate does not
decide. Dead latents have a rate, 0; who would leave them out (`quality.py` tells both) gives only the
others.
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
    """Of firing rate and membership. None where all rates are alike or all latents are of one kind."""
    auroc: float | None
    """Of firing rate, telling slow latents from the others. None where all latents are of one kind."""
    slow_share_by_decile: tuple[float, ...]
    """Of latents in the order of their rate, the rarest tenth first. If rate decides nothing, all are the block's
    share of the dictionary."""


def block_membership(rate_F: Float[ndarray, " F"], slow_F: Bool[ndarray, " F"]) -> Membership:
    from scipy.stats import rankdata

    if not len(rate_F):
        raise BadInput("expected the firing rates of one latent at least, got none")
    told = auroc(rate_F.astype(float), slow_F)
    alike = told is None or np.ptp(rate_F) == 0
    # the ranks of a yes or no are the yes or no itself, but for their scale
    spearman = None if alike else float(np.corrcoef(rankdata(rate_F), slow_F.astype(float))[0, 1])
    return Membership(spearman, told, _by_decile(rate_F, slow_F))


def _by_decile(rate_F: ndarray, slow_F: ndarray) -> tuple[float, ...]:
    """Tenths of the latents, a latent on the border counted in part in each. Latents of one rate share alike in the
    places they take together: in the order of their columns, the slow ones would always come first."""
    _, which_F, count_R = np.unique(rate_F, return_inverse=True, return_counts=True)
    slow_R = np.bincount(which_F, slow_F.astype(float)) / count_R
    slow_so_far = np.concatenate([[0.0], np.cumsum(np.repeat(slow_R, count_R))])
    edges = np.linspace(0, len(rate_F), 11)
    return tuple(np.diff(np.interp(edges, np.arange(len(rate_F) + 1), slow_so_far)) / (len(rate_F) / 10))
