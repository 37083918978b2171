"""How well each latent separates two kinds of tokens, within strata, for all latents at once.

    auroc = P(positive > negative) + P(equal) / 2
    d     = (mean of positives - mean of negatives) / pooled standard deviation

Positives are compared with negatives of the same stratum (one token role or one depth, say). Strata are weighted by
their positives. A latent that is inactive at both tokens of a pair is a tie, so AUROC needs only the ranks of active
values and the numbers of inactive tokens.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from interp.artifacts import BadInput
from interp.tsae.codes import Codes


@dataclass(frozen=True)
class ContrastMeans:
    """Mean activation of one latent at a contrast's two kinds of tokens, averaged over strata."""

    positive: float
    negative: float
    std: float
    """Pooled standard deviation within both kinds."""

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite([self.positive, self.negative, self.std]).all())


@dataclass(frozen=True)
class Separation:
    """AUROC, effect size and means of every latent. NaN throughout where no stratum has both kinds of tokens."""

    auroc_F: Float[ndarray, " F"]
    d_F: Float[ndarray, " F"]
    """Cohen's d; 0 for a latent that does not vary."""
    means_3F: Float[ndarray, "3 F"]
    """Mean at positives, mean at negatives and standard deviation of each latent."""
    positives: int
    negatives: int
    comparable_share: float
    """Share of the positives whose stratum has negatives too: only these are compared."""

    def means(self, latent: int) -> ContrastMeans:
        return ContrastMeans(*self.means_3F[:, latent].tolist())


def measure_separation(
    codes: Codes, positive_N: Bool[ndarray, " N"], negative_N: Bool[ndarray, " N"], stratum_N: Int[ndarray, " N"]
) -> Separation:
    """Separation of positive from negative tokens by every latent. Tokens that are neither are left out."""
    if bool((positive_N & negative_N).any()):
        raise BadInput(
            f"expected tokens that are positive or negative, got {int((positive_N & negative_N).sum())} that are both: "
            "make the two masks disjoint"
        )
    used_N = positive_N | negative_N
    codes, positive_N = codes.select_tokens(torch.from_numpy(used_N)), positive_N[used_N]
    _, stratum_N = np.unique(stratum_N[used_N], return_inverse=True)
    n1_S, n0_S = (
        np.bincount(stratum_N[kind_N], minlength=stratum_N.max(initial=-1) + 1) for kind_N in (positive_N, ~positive_N)
    )
    comparable_S = (n1_S > 0) & (n0_S > 0)
    positives, negatives = int(n1_S.sum()), int(n0_S.sum())
    comparable_share = float(n1_S[comparable_S].sum() / max(1, positives))
    if not comparable_S.any():
        nan_F = np.full(codes.width, np.nan)
        return Separation(nan_F, nan_F, np.stack([nan_F] * 3), positives, negatives, comparable_share)
    weight_S = np.where(comparable_S, n1_S, 0) / n1_S[comparable_S].sum()
    auroc_F, d_F, means_3F = np.zeros(codes.width), np.zeros(codes.width), np.zeros((3, codes.width))
    token_K, latent_K, value_K = (column.numpy() for column in (codes.token_K, codes.latent_K, codes.value_K))
    for stratum in np.flatnonzero(comparable_S):
        in_stratum_K, counts = stratum_N[token_K] == stratum, (int(n1_S[stratum]), int(n0_S[stratum]))
        positive_k = positive_N[token_K[in_stratum_K]]
        auroc, d, means = _separation_in_stratum(
            latent_K[in_stratum_K], value_K[in_stratum_K], positive_k, *counts, codes.width
        )
        auroc_F += weight_S[stratum] * auroc
        d_F += weight_S[stratum] * d
        means_3F += weight_S[stratum] * means
    return Separation(auroc_F, d_F, means_3F, positives, negatives, comparable_share)


def _separation_in_stratum(
    latent_K: ndarray, value_K: ndarray, positive_K: ndarray, n1: int, n0: int, width: int
) -> tuple[ndarray, ndarray, ndarray]:
    """AUROC, d and means of each latent, from its active values at `n1` positive and `n0` negative tokens."""
    active1_F, active0_F = (np.bincount(latent_K[kind_K], minlength=width) for kind_K in (positive_K, ~positive_K))
    rank_K = _ranks_within_latents(latent_K, value_K)
    rank_sum_F = np.bincount(latent_K[positive_K], rank_K[positive_K], minlength=width)
    inactive1_F, inactive0_F = n1 - active1_F, n0 - active0_F
    won_active_F = rank_sum_F - active1_F * (active1_F + 1) / 2  # active pairs that the positive wins, ties by half
    won_F = won_active_F + active1_F * inactive0_F + inactive1_F * inactive0_F / 2
    moments = [
        (np.bincount(latent_K[kind_K], value_K[kind_K] ** power, minlength=width))
        for kind_K in (positive_K, ~positive_K)
        for power in (1, 2)
    ]
    mean1_F, square1_F, mean0_F, square0_F = (m / n for m, n in zip(moments, (n1, n1, n0, n0), strict=True))
    pooled_F = ((square1_F - mean1_F**2) * n1 + (square0_F - mean0_F**2) * n0) / (n1 + n0)
    std_F = np.sqrt(pooled_F.clip(min=0))
    difference_F = mean1_F - mean0_F
    d_F = np.divide(difference_F, std_F, out=np.zeros(width), where=std_F > 1e-9 * (1 + np.abs(difference_F)))
    return won_F / max(1, n1 * n0), d_F, np.stack([mean1_F, mean0_F, std_F])


def _ranks_within_latents(latent_K: ndarray, value_K: ndarray) -> ndarray:
    """Rank of each value among the values of its latent, from 1. Equal values share their mean rank."""
    order = np.lexsort((value_K, latent_K))
    latent, value = latent_K[order], value_K[order]
    first_of_latent = np.r_[True, latent[1:] != latent[:-1]] if len(latent) else np.zeros(0, bool)
    first_of_tie = (
        np.r_[True, (latent[1:] != latent[:-1]) | (value[1:] != value[:-1])] if len(latent) else np.zeros(0, bool)
    )
    index = np.arange(len(latent))
    start = np.maximum.accumulate(np.where(first_of_latent, index, 0))
    tie = first_of_tie.cumsum() - 1
    first, size = index[first_of_tie], np.bincount(tie)
    ranks = np.empty(len(latent))
    ranks[order] = first[tie] + (size[tie] - 1) / 2 - start + 1
    return ranks
