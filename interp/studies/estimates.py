"""What seeds say: a mean with its interval, and the dose at which a curve crosses zero. The unit of evidence is a
seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
DRAWS = 4000


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def above(self) -> bool:
        """The whole interval lies above zero."""
        return self.low is not None and self.low > 0

    @property
    def below(self) -> bool:
        return self.high is not None and self.high < 0

    def __str__(self) -> str:
        if self.value is None:
            return "none"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean(values: Sequence[float | None]) -> Estimate:
    """Over seeds, with Student's interval. Seeds in which there was nothing to measure are left out, and not
    counted."""
    from scipy.special import stdtrit

    held = np.array([value for value in values if value is not None and math.isfinite(value)], float)
    if not len(held):
        return Estimate(None, None, None, 0)
    if len(held) == 1:
        return Estimate(float(held[0]), None, None, 1)
    reach = float(stdtrit(len(held) - 1, (1 + LEVEL) / 2)) * float(held.std(ddof=1)) / math.sqrt(len(held))
    centre = float(held.mean())
    return Estimate(centre, centre - reach, centre + reach, len(held))


def crossing(doses: Sequence[float], values: Sequence[Sequence[float]], *, seed: int = 0) -> tuple[Estimate, float]:
    """Where the mean curve first crosses zero, linear between doses, and the share of bootstrap draws (over the seeds
    of each dose) in which it crosses at all. The interval is that of the draws that do; none where fewer than 95%
    do."""
    rng = np.random.default_rng(seed)
    table = [np.asarray(row, float) for row in values]
    drawn = [_first_crossing(doses, [float(rng.choice(row, len(row)).mean()) for row in table]) for _ in range(DRAWS)]
    found = np.array([at for at in drawn if at is not None])
    n = min(map(len, table))
    at = _first_crossing(doses, [float(row.mean()) for row in table])
    share = len(found) / DRAWS
    if at is None or share < LEVEL:
        return Estimate(at, None, None, n), share
    tail = 100 * (1 - LEVEL) / 2
    return Estimate(at, float(np.percentile(found, tail)), float(np.percentile(found, 100 - tail)), n), share


def _first_crossing(doses: Sequence[float], curve: Sequence[float]) -> float | None:
    points = list(zip(doses, curve, strict=True))
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if y0 == 0:
            return x0
        if y0 * y1 < 0:
            return x0 + (x1 - x0) * y0 / (y0 - y1)
    return None


def time_to_half(steps: Sequence[int], values: Sequence[float]) -> float | None:
    """The step at which a curve has gone half the way from its first to its last value for good, linear between
    steps. None where it went nowhere."""
    start, way = values[0], values[-1] - values[0]
    if way == 0:
        return None
    gone = [(value - start) / way for value in values]
    last_short = max(at for at, share in enumerate(gone) if share < 0.5)
    if last_short + 1 == len(gone):
        return None
    s0, s1 = steps[last_short], steps[last_short + 1]
    g0, g1 = gone[last_short], gone[last_short + 1]
    return s0 + (s1 - s0) * (0.5 - g0) / (g1 - g0)


def smoothed(values: Sequence[float], width: int) -> list[float]:
    """Means over windows that end at each place."""
    return [float(np.mean(values[max(0, at + 1 - width) : at + 1])) for at in range(len(values))]
