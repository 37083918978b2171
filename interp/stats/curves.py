"""Curves over doses or steps: where a mean curve crosses zero, when a curve has gone half its way, smoothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from interp.artifacts import BadInput
from interp.stats.estimate import LEVEL, Estimate
from interp.stats.seeds import bounded_interval, bounded_p_value, student_interval, student_p_value

GRID = 50
"""Doses between two neighbouring doses at which the interval of the mean is computed."""
Range = tuple[float, float]


@dataclass(frozen=True)
class Crossing:
    """Dose at which a mean curve crosses zero, with the means at both ends and a p-value."""

    dose: Estimate
    """Dose of the crossing. NaN where the mean curve does not cross; no interval where it does not cross surely."""
    first: Estimate
    """Mean at the first dose."""
    last: Estimate
    """Mean at the last dose."""
    p_value: float
    """p-value of "the mean does not change sides": the larger of the two-sided p-values at the first and the last dose;
    1 where one of these means lies on the wrong side."""
    falling: bool
    """The curve is expected to fall: from above zero to below."""

    @property
    def is_sure(self) -> bool:
        """The mean lies surely on the expected side of zero at the first dose, and at the last."""
        high, low = (self.first, self.last) if self.falling else (self.last, self.first)
        return high.is_positive and low.is_negative

    @property
    def is_refuted(self) -> bool:
        """The mean lies surely on the wrong side of zero at one of the ends."""
        high, low = (self.first, self.last) if self.falling else (self.last, self.first)
        return high.is_negative or low.is_positive


def crossing(
    doses: Sequence[float],
    values: Sequence[Mapping[int, float]],
    *,
    falling: bool,
    bounds: Range | None = None,
) -> Crossing:
    """Dose at which the mean curve over seeds crosses zero, linear between doses; `values` are by dose, then by seed.

    The interval is Fieller's (1954): from the smallest to the largest dose at which the interval of the mean over the
    seeds' curves contains zero. It covers as often as that interval of the mean does: Student's, or `bounded_interval`
    if the values cannot leave `bounds`. If the mean does not surely change sides between the first dose and the last,
    doses beyond them are not excluded, and there is no interval. Only seeds with a value at every dose are used."""
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in values))) if values else []
    if len(doses) != len(values) or len(doses) < 2 or not seeds or list(doses) != sorted(set(doses)):
        raise BadInput(
            f"expected two doses or more, in rising order, and values of one seed or more at every dose; got doses "
            f"{list(doses)}, values at {len(values)} of them, and {len(seeds)} seeds in common"
        )
    table_DS = np.array([[by_seed[seed] for seed in seeds] for by_seed in values], float)
    first, last = (_mean_interval(table_DS[end], bounds) for end in (0, -1))
    zero = _first_zero(doses, table_DS.mean(1) * (1 if falling else -1))
    p_value = 1.0 if math.isnan(zero) else max(_mean_p_value(table_DS[end], bounds) for end in (0, -1))
    result = Crossing(Estimate(zero, n=len(seeds)), first, last, p_value, falling)
    if math.isnan(zero) or not result.is_sure:
        return result
    return replace(result, dose=_with_interval(doses, table_DS, zero, bounds))


def _mean_interval(values_S: Float[np.ndarray, " S"], bounds: Range | None) -> Estimate:
    return student_interval(values_S) if bounds is None else bounded_interval(values_S, *bounds)


def _mean_p_value(values_S: Float[np.ndarray, " S"], bounds: Range | None) -> float:
    return student_p_value(values_S) if bounds is None else bounded_p_value(values_S, *bounds)


def _first_zero(doses: Sequence[float], curve_D: Float[np.ndarray, " D"]) -> float:
    """Where a curve first falls to zero; NaN unless it begins above and ends below."""
    if not curve_D[0] > 0 > curve_D[-1]:
        return math.nan
    after = int(np.argmax(curve_D <= 0))
    x0, x1, y0, y1 = doses[after - 1], doses[after], float(curve_D[after - 1]), float(curve_D[after])
    return x0 + (x1 - x0) * y0 / (y0 - y1)


def _with_interval(
    doses: Sequence[float], table_DS: Float[np.ndarray, "D S"], zero: float, bounds: Range | None
) -> Estimate:
    """The crossing, with the smallest and the largest dose at which the interval of the mean contains zero."""

    def contains_zero(dose: float) -> bool:
        values_S = np.array([np.interp(dose, doses, curve_D) for curve_D in table_DS.T])
        p_value = _mean_p_value(values_S, bounds)
        return p_value > 1 - LEVEL if not math.isnan(p_value) else abs(float(values_S.mean())) < 1e-12

    def edge(inside: float, outside: float) -> float:
        for _ in range(40):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if contains_zero(middle) else (inside, middle)
        return inside

    grid = [float(x) for a, b in zip(doses[:-1], doses[1:], strict=True) for x in np.linspace(a, b, GRID)]
    grid = sorted({*grid, zero})
    places = [place for place, dose in enumerate(grid) if dose == zero or contains_zero(dose)]
    low, high = edge(grid[places[0]], grid[places[0] - 1]), edge(grid[places[-1]], grid[places[-1] + 1])
    return Estimate(zero, low, high, table_DS.shape[1])


def time_to_half(steps: Sequence[int], values: Sequence[float]) -> float:
    """Step from which a curve stays beyond half its total change, linear between steps. NaN without a total change."""
    start, change = values[0], values[-1] - values[0]
    if change == 0:
        return math.nan
    shares = [(value - start) / change for value in values]
    last_below = max(place for place, share in enumerate(shares) if share < 0.5)
    s0, s1 = steps[last_below], steps[last_below + 1]
    g0, g1 = shares[last_below], shares[last_below + 1]
    return s0 + (s1 - s0) * (0.5 - g0) / (g1 - g0)


def smooth(values: Sequence[float], width: int) -> list[float]:
    """Centred running mean over `width` values. Windows narrow towards the ends, so that they stay centred."""
    reach = [min(width // 2, place, len(values) - 1 - place) for place in range(len(values))]
    return [float(np.mean(values[place - r : place + r + 1])) for place, r in enumerate(reach)]
