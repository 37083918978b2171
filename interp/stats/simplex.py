"""Distribution of a mean whose weights are uniform on the simplex; bounded intervals are its quantiles."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

GRID = 65
"""Points of each grid in the search for a quantile."""


def simplex_cdf(points_XM: Float[np.ndarray, "X M"], bound_X: Float[np.ndarray, " X"]) -> Float[np.ndarray, " X"]:
    """P(sum_i w_i x_i <= bound) for each row of points x, with w uniform on the simplex: the share of a simplex on one
    side of a hyperplane.

    Exact, by the recursion of Varsi (1973) and Ali (1973): with u = x - bound, for each u_h <= 0 and, in turn, each
    u_k > 0, A_k <- (u_k A_k - u_h A_(k-1)) / (u_k - u_h), from A_0 = 1 and zero elsewhere; the last A is the share.
    All steps are convex combinations, so nothing cancels, and points may be tied."""
    u_XM = np.sort(points_XM, axis=1) - bound_X[:, None]
    is_low_XM = u_XM <= 0
    share_XM = is_low_XM.astype(float)  # the low ones stand for A_0
    places = range(u_XM.shape[1])
    for h in places:
        for k in places[h + 1 :]:
            step_X = is_low_XM[:, h] & ~is_low_XM[:, k]
            if step_X.any():
                u_h, u_k = u_XM[step_X, h], u_XM[step_X, k]
                share_XM[step_X, k] = (u_k * share_XM[step_X, k] - u_h * share_XM[step_X, k - 1]) / (u_k - u_h)
    return share_XM[:, -1]


def first_beyond(
    cdf: Callable[[Float[np.ndarray, " G"]], Float[np.ndarray, " G"]], tail: float, low: float, high: float
) -> float:
    """The first point at which a rising function passes `tail`, or `high` if it never does: search on ever finer
    grids."""
    grid_G = np.linspace(low, high, GRID)
    for _ in range(8):
        is_beyond_G = cdf(grid_G) > tail
        if not is_beyond_G[-1]:
            return high
        beyond = int(np.argmax(is_beyond_G))
        grid_G = np.linspace(grid_G[max(0, beyond - 1)], grid_G[beyond], GRID)
    return float(grid_G[0])
