"""Means over few seeds: bounded intervals, which hold for distributions of any shape; Student's t; the sign test.

A few seeds can miss a mode of the distribution. If one seed in five takes off, five seeds miss it one time in three,
and then no interval made from their spread alone covers the mean. An interval that does must use the range of the
measure: [0, 1] for a share, [-b, 1 - b] for a change of a share from b, [-1, 1] for a difference of shares. The price
is width. Seeds that all agree leave room for a mode that a share 1 - 0.025^(1/n) of seeds have: 0.71 at n = 3, 0.52 at
n = 5, 0.37 at n = 8. Measured coverage of all methods: `tests/stats/test_coverage.py`.

Missing values (None or NaN) are left out and not counted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from interp.artifacts import BadInput
from interp.stats.estimate import LEVEL, Estimate
from interp.stats.simplex import first_beyond, simplex_cdf

Alternative = Literal["two-sided", "above", "below"]
Values = Sequence[float | None] | Float[np.ndarray, " N"]


# --- any shape, known range ----------------------------------------------------------------------------------------


def bounded_interval(values: Values, low: float, high: float, level: float = LEVEL) -> Estimate:
    """Mean of values that cannot leave [low, high], with Gaffke's interval, for distributions of any shape.

    The lower end is the (1 - level) / 2 quantile of D = w_0 low + sum_i w_i x_i, with w uniform on the simplex
    (Dirichlet(1, ..., 1)); the upper end is its mirror image with `high`. Gaffke (2005); Learned-Miller and Thomas
    (arXiv 1905.06208). If all values lie at the ends of the range it equals the Clopper-Pearson interval, whose
    coverage is proven. Its coverage for any shape is a conjecture without a known counterexample; the bounds of Phan,
    Thomas and Learned-Miller (arXiv 2106.03163) are proven, and wider."""
    value_N = values_in_range(values, low, high)
    if not len(value_N):
        return Estimate(math.nan)
    mean, tail = float(value_N.mean()), (1 - level) / 2
    lower = first_beyond(lambda x_G: simplex_cdf(_points_of(value_N, low, x_G), x_G), tail, low, mean)
    upper = -first_beyond(lambda x_G: simplex_cdf(_points_of(-value_N, -high, x_G), x_G), tail, -high, -mean)
    return Estimate(mean, lower, upper, len(value_N))


def bounded_p_value(
    values: Values, low: float, high: float, null: float = 0.0, alternative: Alternative = "two-sided"
) -> float:
    """p-value of "the mean is `null`" for values that cannot leave [low, high]: `bounded_interval`, inverted.

    above      P(D <= null): small if the mean lies above `null`
    below      its mirror image
    two-sided  twice the smaller of the two"""
    value_N = values_in_range(values, low, high)
    if not len(value_N):
        return math.nan
    above = float(simplex_cdf(np.append(value_N, low)[None], np.array([null]))[0])
    below = float(simplex_cdf(np.append(-value_N, -high)[None], np.array([-null]))[0])
    return _choose_side(above, below, alternative)


def _points_of(value_N: Float[np.ndarray, " N"], end: float, x_G: Float[np.ndarray, " G"]) -> Float[np.ndarray, "G M"]:
    """The points of D (the values and the end of the range), repeated as a row for each x."""
    return np.tile(np.append(value_N, end), (len(x_G), 1))


def values_in_range(values: Values, low: float, high: float) -> Float[np.ndarray, " N"]:
    """The known values, clipped to the range; refused if one lies outside by more than rounding."""
    value_N = known_values(values)
    slack = 1e-9 * max(1.0, high - low)
    if not low < high or (value_N < low - slack).any() or (value_N > high + slack).any():
        raise BadInput(
            f"expected values within [{low:g}, {high:g}], got {value_N.tolist()}: name the range that the measure "
            "cannot leave"
        )
    return value_N.clip(low, high)


# --- one mode, and signs -------------------------------------------------------------------------------------------


def student_interval(values: Values, level: float = LEVEL) -> Estimate:
    """Mean with Student's t interval, mean +- t[n - 1] s / sqrt(n). It assumes that the seeds have missed no mode.

    Values that do not vary at all have no interval: their spread is unknown. For shares use `clustered_share`."""
    value_N = known_values(values)
    if not len(value_N):
        return Estimate(math.nan)
    mean, error = float(value_N.mean()), standard_error(value_N)
    if not error > 0:
        return Estimate(mean, n=len(value_N))
    from scipy.special import stdtrit

    reach = float(stdtrit(len(value_N) - 1, (1 + level) / 2)) * error
    return Estimate(mean, mean - reach, mean + reach, len(value_N))


def student_p_value(values: Values, null: float = 0.0, alternative: Alternative = "two-sided") -> float:
    """p-value of Student's t test of "the mean is `null`": `student_interval`, inverted. NaN without a spread."""
    from scipy.special import stdtr

    value_N = known_values(values)
    if not (error := standard_error(value_N)) > 0:
        return math.nan
    t = (float(value_N.mean()) - null) / error
    return _choose_side(float(stdtr(len(value_N) - 1, -t)), float(stdtr(len(value_N) - 1, t)), alternative)


def sign_p_value(values: Values, null: float = 0.0, alternative: Alternative = "two-sided") -> float:
    """p-value of the sign test of "a seed lies above `null` as often as below": exact, for any shape.

    Binomial(m, 1/2) over the m values that differ from `null`. It tests the median of the seeds, not their mean.
    Two-sided, it cannot fall below 2 * 0.5^n: 0.06 at n = 5, 0.008 at n = 8."""
    value_N = known_values(values)
    if not len(value_N):
        return math.nan
    up, down = int((value_N > null).sum()), int((value_N < null).sum())
    total = 2.0 ** (up + down)
    above, below = (sum(math.comb(up + down, k) for k in range(side, up + down + 1)) / total for side in (up, down))
    return _choose_side(above, below, alternative)


def rarest_detectable_mode(n: int, level: float = LEVEL) -> float:
    """Smallest share of seeds in a mode that n seeds show with probability `level`: 1 - (1 - level)^(1/n).

    0.45 at n = 5, 0.31 at n = 8, 0.19 at n = 14."""
    if n < 1:
        raise BadInput(f"expected one seed or more, got {n}")
    return 1 - (1 - level) ** (1 / n)


# --- values --------------------------------------------------------------------------------------------------------


def known_values(values: Values) -> Float[np.ndarray, " N"]:
    """The values that are neither None nor NaN."""
    value_N = np.array([math.nan if value is None else value for value in values], float)
    return value_N[np.isfinite(value_N)]


def paired_differences(first: Mapping[int, float | None], second: Mapping[int, float | None]) -> list[float]:
    """Differences first less second, one for each seed that both have a value for, in the order of seeds.

    The effect of a seed on both arms cancels. Differences of shares lie in [-1, 1]."""
    seeds = sorted(first.keys() & second.keys())
    pairs = [(first[seed], second[seed]) for seed in seeds]
    return [a - b for a, b in pairs if a is not None and b is not None and math.isfinite(a - b)]


def standard_error(value_N: Float[np.ndarray, " N"]) -> float:
    """Standard error of the mean, s / sqrt(n). NaN for fewer than two values; exactly zero if all are equal."""
    if len(value_N) < 2:
        return math.nan
    if value_N.min() == value_N.max():
        return 0.0  # the rounding of their mean would give a little more
    return float(value_N.std(ddof=1)) / math.sqrt(len(value_N))


def _choose_side(above: float, below: float, alternative: Alternative) -> float:
    """The p-value of an alternative, from the one-sided p-values. `above` is small if the mean lies above."""
    sides = {"above": above, "below": below, "two-sided": min(1.0, 2 * min(above, below))}
    if alternative not in sides:
        raise BadInput(f"alternative must be one of {', '.join(sides)}; got {alternative!r}")
    return sides[alternative]
