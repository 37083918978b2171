"""The p-value of "both shares come from the same policy", over the same clusters: A and B swapped cluster by cluster.

If nothing differs between A and B, each cluster (problem, prompt) could as well have come with its two sides swapped.
So the difference of the shares is compared with what it is after swapping the sides of each cluster or not, by the toss
of a coin (a randomisation test; Fisher, 1935). It holds for any distribution, and for clusters of any size.
"""

import math
from collections.abc import Sequence

import numpy as np

SWAPS = 9_999
"""Random sets of clusters that are swapped. The p-value is 1 / (SWAPS + 1) at the least."""


def swapped_p_value(
    first: tuple[Sequence[float], Sequence[float]],
    second: tuple[Sequence[float], Sequence[float]],
    *,
    seed: int = 0,
) -> float:
    """Two-sided p-value of "no difference" of two shares: (successes, trials) of each, cluster by cluster.

    p = (1 + number of swaps whose difference is as far from zero) / (1 + SWAPS). NaN where a side has no trial."""
    (k1_C, n1_C), (k2_C, n2_C) = (tuple(np.asarray(part, float) for part in share) for share in (first, second))
    if not (n1_C.sum() and n2_C.sum()):
        return math.nan
    observed = abs(k2_C.sum() / n2_C.sum() - k1_C.sum() / n1_C.sum())
    rng = np.random.default_rng([seed, len(k1_C)])
    is_swapped_BC = rng.integers(0, 2, (SWAPS, len(k1_C)), dtype=np.int8).astype(float)
    k1_B, n1_B = (a_C.sum() + is_swapped_BC @ (b_C - a_C) for a_C, b_C in ((k1_C, k2_C), (n1_C, n2_C)))
    k2_B, n2_B = k1_C.sum() + k2_C.sum() - k1_B, n1_C.sum() + n2_C.sum() - n1_B
    with np.errstate(divide="ignore", invalid="ignore"):
        difference_B = np.abs(k2_B / n2_B - k1_B / n1_B)
    # A swap that leaves a side without trials says nothing against "no difference".
    as_far_B = np.isnan(difference_B) | (difference_B >= observed - 1e-12)
    return float((1 + as_far_B.sum()) / (1 + SWAPS))
