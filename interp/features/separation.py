"""How well each latent tells two kinds of tokens apart: AUROC and effect size, within strata, all latents at once.

Within a stratum (tokens of one role, say, or of one depth) positives are held against negatives, and strata are weighed
by their positives. A latent that is off at both is a tie, so AUROC needs only what is on: the ranks of active values,
and counts of the silent.

    auroc = P(positive > negative) + P(equal) / 2        d = (mean of positives - mean of negatives) / pooled deviation
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from interp.artifacts import BadInput
from interp.tsae.codes import Codes


@dataclass(frozen=True)
class Heights:
    """Where one latent stands, in the mean over strata."""

    high: float
    """At positives."""
    low: float
    """At negatives."""
    spread: float
    """Within both: their pooled deviation."""

    @property
    def known(self) -> bool:
        return bool(np.isfinite([self.high, self.low, self.spread]).all())


@dataclass(frozen=True)
class Separation:
    auroc_F: Float[ndarray, " F"]
    d_F: Float[ndarray, " F"]
    """0 for a latent that does not vary."""
    heights_3F: Float[ndarray, "3 F"]
    """High, low and spread of each."""
    positives: int
    negatives: int
    common: float
    """The share of positives in strata that have negatives too: only of them anything is told."""

    def heights(self, latent: int) -> Heights:
        return Heights(*self.heights_3F[:, latent].tolist())


def separation(
    codes: Codes, positive_N: Bool[ndarray, " N"], negative_N: Bool[ndarray, " N"], stratum_N: Int[ndarray, " N"]
) -> Separation:
    """Tokens that are neither are left out. NaN throughout where no stratum has both kinds."""
    if bool((positive_N & negative_N).any()):
        raise BadInput("a token is positive or negative; got some that are both")
    kept_N = positive_N | negative_N
    codes, positive_N = codes.at(torch.from_numpy(kept_N)), positive_N[kept_N]
    _, stratum_N = np.unique(stratum_N[kept_N], return_inverse=True)
    n1_S, n0_S = (
        np.bincount(stratum_N[which], minlength=stratum_N.max(initial=-1) + 1) for which in (positive_N, ~positive_N)
    )
    held_S = (n1_S > 0) & (n0_S > 0)
    positives, negatives = int(n1_S.sum()), int(n0_S.sum())
    common = float(n1_S[held_S].sum() / max(1, positives))
    if not held_S.any():
        none_F = np.full(codes.width, np.nan)
        return Separation(none_F, none_F, np.stack([none_F] * 3), positives, negatives, common)
    share_S = np.where(held_S, n1_S, 0) / n1_S[held_S].sum()
    auroc_F, d_F, heights_3F = np.zeros(codes.width), np.zeros(codes.width), np.zeros((3, codes.width))
    token_K, latent_K, value_K = (held.numpy() for held in (codes.token_K, codes.latent_K, codes.value_K))
    for at in np.flatnonzero(held_S):
        mine_K, counts = stratum_N[token_K] == at, (int(n1_S[at]), int(n0_S[at]))
        on_K = positive_N[token_K[mine_K]]
        auroc, d, heights = _told_apart(latent_K[mine_K], value_K[mine_K], on_K, *counts, codes.width)
        auroc_F += share_S[at] * auroc
        d_F += share_S[at] * d
        heights_3F += share_S[at] * heights
    return Separation(auroc_F, d_F, heights_3F, positives, negatives, common)


def _told_apart(
    latent_K: ndarray, value_K: ndarray, on_K: ndarray, n1: int, n0: int, width: int
) -> tuple[ndarray, ndarray, ndarray]:
    """Of each latent, from its active values at positives (`on_K`) and negatives."""
    count1_F, count0_F = (np.bincount(latent_K[which], minlength=width) for which in (on_K, ~on_K))
    rank_K = _ranks(latent_K, value_K)
    rank_sum_F = np.bincount(latent_K[on_K], rank_K[on_K], minlength=width)
    silent1_F, silent0_F = n1 - count1_F, n0 - count0_F
    below_F = rank_sum_F - count1_F * (count1_F + 1) / 2  # pairs of active ones that the positive wins, ties by half
    won_F = below_F + count1_F * silent0_F + silent1_F * silent0_F / 2
    moments = [
        (np.bincount(latent_K[which], value_K[which] ** power, minlength=width))
        for which in (on_K, ~on_K)
        for power in (1, 2)
    ]
    mean1_F, square1_F, mean0_F, square0_F = (m / n for m, n in zip(moments, (n1, n1, n0, n0), strict=True))
    pooled_F = ((square1_F - mean1_F**2) * n1 + (square0_F - mean0_F**2) * n0) / (n1 + n0)
    deviation_F = np.sqrt(pooled_F.clip(min=0))
    apart_F = mean1_F - mean0_F
    d_F = np.divide(apart_F, deviation_F, out=np.zeros(width), where=deviation_F > 1e-9 * (1 + np.abs(apart_F)))
    return won_F / max(1, n1 * n0), d_F, np.stack([mean1_F, mean0_F, deviation_F])


def _ranks(latent_K: ndarray, value_K: ndarray) -> ndarray:
    """Of each value among those of its latent, from 1 on, equal ones sharing the mean of their places."""
    order = np.lexsort((value_K, latent_K))
    latent, value = latent_K[order], value_K[order]
    begins = np.r_[True, latent[1:] != latent[:-1]] if len(latent) else np.zeros(0, bool)
    tied = np.r_[True, (latent[1:] != latent[:-1]) | (value[1:] != value[:-1])] if len(latent) else np.zeros(0, bool)
    place = np.arange(len(latent))
    start = np.maximum.accumulate(np.where(begins, place, 0))
    group = tied.cumsum() - 1
    first, size = place[tied], np.bincount(group)
    shared = first[group] + (size[group] - 1) / 2 - start + 1
    ranks = np.empty(len(latent))
    ranks[order] = shared
    return ranks
