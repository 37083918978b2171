"""AUROC: the share of (on, off) pairs in which the on one scores higher, a tie counting half. Exact, from mean ranks:

(sum of the on ones' ranks - n_on (n_on + 1) / 2) / (n_on n_off).
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from interp.artifacts import BadInput


def auroc(score_N: Float[ndarray, " N"], on_N: Bool[ndarray, " N"]) -> float | None:
    """None unless there are both on and off ones."""
    from scipy.stats import rankdata

    if np.isnan(score_N).any():
        raise BadInput(f"scores must be numbers to be ranked; got {int(np.isnan(score_N).sum())} NaN of {len(score_N)}")
    n_on = int(on_N.sum())
    n_off = len(on_N) - n_on
    if not n_on or not n_off:
        return None
    above = float(rankdata(score_N)[on_N].sum()) - n_on * (n_on + 1) / 2
    return above / (n_on * n_off)
