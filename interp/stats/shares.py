"""Intervals for shares: exact, over clusters, and of the difference of two shares.

Rollouts of one problem are alike, so intervals count problems (clusters), not rollouts. No interval here has zero
width: 51 of 51 is [0.930, 1.000], and 8 clusters in which all succeed are [0.631, 1.000].
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from interp.artifacts import BadInput
from interp.stats.estimate import LEVEL, Estimate
from interp.stats.simplex import first_beyond, simplex_cdf


def exact_interval(successes: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Clopper-Pearson interval: covers at least `level`, whatever the true share. With q = (1 - level) / 2,

        low = Beta^-1(q; k, n - k + 1)        high = Beta^-1(1 - q; k + 1, n - k)

    Successes and trials may be fractions, for effective trials."""
    from scipy.special import betaincinv

    if not 0 <= successes <= trials or not trials > 0:
        raise BadInput(f"expected 0 <= successes <= trials, with trials > 0; got {successes} of {trials}: swapped?")
    tail = (1 - level) / 2
    low = 0.0 if successes <= 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes >= trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def exact_share(successes: int, trials: int, level: float = LEVEL) -> Estimate:
    """Share of independent trials, with its Clopper-Pearson interval."""
    if not trials:
        return Estimate(math.nan)
    return Estimate(successes / trials, *exact_interval(successes, trials, level), trials)


def clustered_share(successes_C: Sequence[float], trials_C: Sequence[float], level: float = LEVEL) -> Estimate:
    """Share over clusters (problems, prompts, organisms), with an interval that allows for differences between them.

    Korn and Graubard (1998): the exact interval at the effective number of trials

        n* = p (1 - p) / v * (t[n - 1] / t[C - 1])^2        v = C / (C - 1) * sum_c (k_c - p n_c)^2 / n^2

    with n trials in C clusters, at most n and at least 1. If all or none succeed, v is zero, and every cluster counts
    as one trial. `n` of the estimate is the number of trials.

    It assumes that unseen clusters are like those seen. Two cases in which they are not: with one cluster in five at
    0.2 and the others at 0.95, 5 clusters are covered 7 times in 10; with nearly all successes in one cluster of 25, 40
    clusters are covered 86 times in 100. `bounded_share` covers both."""
    k_C, n_C = np.asarray(successes_C, float), np.asarray(trials_C, float)
    k_C, n_C = k_C[n_C > 0], n_C[n_C > 0]
    total = float(n_C.sum())
    if not total:
        return Estimate(math.nan)
    share = float(k_C.sum()) / total
    effective = _effective_trials(k_C, n_C, share, level)
    return Estimate(share, *exact_interval(share * effective, effective, level), int(total))


def _effective_trials(k_C: Float[np.ndarray, " C"], n_C: Float[np.ndarray, " C"], share: float, level: float) -> float:
    from scipy.special import stdtrit

    total, clusters = float(n_C.sum()), len(n_C)
    if clusters == 1 or share in (0, 1):
        return clusters
    variance = float(((k_C - share * n_C) ** 2).sum()) * clusters / (clusters - 1) / total**2
    effective = share * (1 - share) / variance if variance else total
    # the fewer the clusters, the less sure is the variance itself
    quantile = (1 + level) / 2
    effective *= (stdtrit(total - 1, quantile) / stdtrit(clusters - 1, quantile)) ** 2
    return float(min(total, max(effective, 1.0)))


def bounded_share(successes_C: Sequence[float], trials_C: Sequence[float], level: float = LEVEL) -> Estimate:
    """Share over clusters with an interval that holds however different the clusters are: Gaffke's, inverted.

    If the share is p, then y_c = k_c - p n_c has mean zero over clusters and cannot leave [-p N, (1 - p) N], with N the
    trials of the largest cluster. The interval holds every p at which `bounded_p_value` of "the mean of y is zero" is
    at least 1 - level. It is wider than `clustered_share`."""
    k_C, n_C = np.asarray(successes_C, float), np.asarray(trials_C, float)
    k_C, n_C = k_C[n_C > 0], n_C[n_C > 0]
    if not n_C.sum():
        return Estimate(math.nan)

    def at_most(k_C: np.ndarray, share_G: np.ndarray) -> np.ndarray:
        points_GM = np.append(k_C, 0) - share_G[:, None] * np.append(n_C, n_C.max())
        return simplex_cdf(points_GM, np.zeros(len(share_G)))

    share, tail = float(k_C.sum() / n_C.sum()), (1 - level) / 2
    low = first_beyond(lambda share_G: at_most(k_C, share_G), tail, 0, 1)
    high = 1 - first_beyond(lambda share_G: at_most(n_C - k_C, share_G), tail, 0, 1)
    return Estimate(share, low, high, int(n_C.sum()))


def share_difference(first: Estimate, second: Estimate, correlation: float = 0.0) -> Estimate:
    """The second share less the first, with Newcombe's interval.

    Newcombe (1998), method 10 of his papers on independent and on paired shares, with whatever intervals the shares
    have (Zou and Donner, 2008). With d = p2 - p1 and the shares' own intervals [l, h],

        low  = d - sqrt((p2 - l2)^2 + (h1 - p1)^2 - 2 r (p2 - l2) (h1 - p1))
        high = d + sqrt((h2 - p2)^2 + (p1 - l1)^2 - 2 r (h2 - p2) (p1 - l1))

    `correlation` r is that of the two shares: zero if they are independent. `n` is the smaller of the two."""
    value, n = second.value - first.value, min(first.n, second.n)
    if not (first.has_interval and second.has_interval):
        return Estimate(value, n=n)
    below = _distance(second.value - second.low, first.high - first.value, correlation)
    above = _distance(second.high - second.value, first.value - first.low, correlation)
    return Estimate(value, value - below, value + above, n)


def paired_share_difference(
    first: tuple[Sequence[float], Sequence[float]],
    second: tuple[Sequence[float], Sequence[float]],
    level: float = LEVEL,
) -> Estimate:
    """The second share less the first, over the same clusters: (successes, trials) of each, cluster by cluster.

    `share_difference` of the two clustered shares, with the correlation over clusters of k_c - p n_c. `n` is the number
    of clusters in which both have trials."""
    (k1_C, n1_C), (k2_C, n2_C) = (tuple(np.asarray(part, float) for part in share) for share in (first, second))
    if not len(k1_C) == len(n1_C) == len(k2_C) == len(n2_C):
        lengths = [len(part) for part in (k1_C, n1_C, k2_C, n2_C)]
        raise BadInput(f"expected successes and trials of the same clusters, got {lengths} numbers: pair them first")
    shares = clustered_share(k1_C.tolist(), n1_C.tolist(), level), clustered_share(k2_C.tolist(), n2_C.tolist(), level)
    difference = share_difference(*shares, correlation=_correlation(k1_C, n1_C, k2_C, n2_C))
    return Estimate(difference.value, difference.low, difference.high, int(((n1_C > 0) & (n2_C > 0)).sum()))


def _distance(a: float, b: float, correlation: float) -> float:
    """sqrt(a^2 - 2 r a b + b^2): the distance from the difference to one end of its interval."""
    return max(0.0, a**2 - 2 * correlation * a * b + b**2) ** 0.5


def _correlation(k1_C: np.ndarray, n1_C: np.ndarray, k2_C: np.ndarray, n2_C: np.ndarray) -> float:
    """Correlation over clusters of k_c - p n_c of the two shares; zero if either never varies."""
    above = [k_C - k_C.sum() / max(n_C.sum(), 1e-9) * n_C for k_C, n_C in ((k1_C, n1_C), (k2_C, n2_C))]
    spread = (above[0] ** 2).sum() * (above[1] ** 2).sum()
    return float((above[0] * above[1]).sum() / spread**0.5) if spread > 0 else 0.0
