"""AUROC: the share of (positive, negative) pairs in which the positive scores higher; ties count half.

    AUROC = (sum of the positives' ranks - n_pos (n_pos + 1) / 2) / (n_pos n_neg)

with mean ranks for ties, which is exact.
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from interp.artifacts import BadInput


def auroc(score_N: Float[ndarray, " N"], on_N: Bool[ndarray, " N"]) -> float | None:
    """AUROC of scores for the rows that are on. None if all are on, or none."""
    from scipy.stats import rankdata

    if np.isnan(score_N).any():
        raise BadInput(f"scores must not be NaN; got {int(np.isnan(score_N).sum())} NaN of {len(score_N)}")
    n_on = int(on_N.sum())
    n_off = len(on_N) - n_on
    if not n_on or not n_off:
        return None
    above = float(rankdata(score_N)[on_N].sum()) - n_on * (n_on + 1) / 2
    return above / (n_on * n_off)
