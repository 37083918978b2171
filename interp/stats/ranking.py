"""How well a score ranks positives above others: the share of pairs of one of each in which the positive is higher."""

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from interp.stats.estimate import Estimate
from interp.stats.percentiles import percentile_estimate

DRAWS = 1000
MIN_CLUSTERS = 5
"""Clusters that each kind must be in for an interval."""


def auroc(
    score_N: Float[ndarray, " N"], is_positive_N: Bool[ndarray, " N"], weight_N: Float[ndarray, " N"] | None = None
) -> float:
    """The share of pairs in which the positive has the higher score, ties by half. NaN without both kinds.

    A thing of weight 2 counts as two."""
    weight_N = np.ones(len(score_N)) if weight_N is None else weight_N
    values, tie_N = np.unique(score_N, return_inverse=True)
    positive_T, negative_T = (
        np.bincount(tie_N, weight_N * is_kind_N, len(values)) for is_kind_N in (is_positive_N, ~is_positive_N)
    )
    pairs = positive_T.sum() * negative_T.sum()
    if not pairs:
        return float("nan")
    below_T = negative_T.cumsum() - negative_T
    return float((positive_T * (below_T + negative_T / 2)).sum() / pairs)


def clustered_auroc(
    score_N: Float[ndarray, " N"],
    is_positive_N: Bool[ndarray, " N"],
    cluster_N: Int[ndarray, " N"],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """The AUROC with a percentile interval over clusters, such as problems whose answers are alike. `n` is how many
    clusters there are. With either kind in fewer than five of them there is no interval: draws would say little of it.
    """
    _, cluster_N = np.unique(cluster_N, return_inverse=True)
    n_clusters = int(cluster_N.max(initial=-1)) + 1
    value = auroc(score_N, is_positive_N)
    if min(len(set(cluster_N[is_kind_N])) for is_kind_N in (is_positive_N, ~is_positive_N)) < MIN_CLUSTERS:
        return Estimate(value, n=n_clusters)
    rng = np.random.default_rng([seed, n_clusters])
    counts_BC = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), draws)
    draws_B = np.array([auroc(score_N, is_positive_N, counts_C[cluster_N]) for counts_C in counts_BC])
    return percentile_estimate(value, draws_B, n_clusters)
