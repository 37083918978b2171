"""What seeds say: a mean with its interval, and the dose at which a curve crosses zero. The unit of evidence is a
seed."""

import math
from collections.abc import Mapping, Sequence
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


def crossing(
    doses: Sequence[float], values: Sequence[Mapping[int, float]], *, falling: bool, seed: int = 0
) -> tuple[Estimate, float]:
    """Where the mean curve crosses zero in the direction expected, linear between doses, and the share of bootstrap
    draws in which it does. `values` are by seed: seeds are drawn, each with its whole curve. A curve crosses if it
    begins on the one side and ends on the other. The interval is that of the draws that do; none below 95% of them."""
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in values)))
    table = np.array([[by_seed[s] for s in seeds] for by_seed in values]) * (1 if falling else -1)
    rng = np.random.default_rng(seed)
    drawn = [_falls_through_zero(doses, table[:, rng.integers(0, len(seeds), len(seeds))]) for _ in range(DRAWS)]
    found = np.array([at for at in drawn if at is not None])
    at, share = _falls_through_zero(doses, table), len(found) / DRAWS
    if at is None or share < LEVEL:
        return Estimate(at, None, None, len(seeds)), share
    tail = 100 * (1 - LEVEL) / 2
    low, high = float(np.percentile(found, tail)), float(np.percentile(found, 100 - tail))
    return Estimate(at, low, high, len(seeds)), share


def _falls_through_zero(doses: Sequence[float], table: np.ndarray) -> float | None:
    curve = table.mean(1)
    if not curve[0] > 0 > curve[-1]:
        return None
    after = int(np.argmax(curve <= 0))
    x0, x1, y0, y1 = doses[after - 1], doses[after], float(curve[after - 1]), float(curve[after])
    return x0 + (x1 - x0) * y0 / (y0 - y1)


def time_to_half(steps: Sequence[int], values: Sequence[float]) -> float | None:
    """The step at which a curve has gone half the way from its first to its last value for good, linear between
    steps. None where it went nowhere."""
    start, way = values[0], values[-1] - values[0]
    if way == 0:
        return None
    gone = [(value - start) / way for value in values]
    last_short = max(at for at, share in enumerate(gone) if share < 0.5)
    s0, s1 = steps[last_short], steps[last_short + 1]
    g0, g1 = gone[last_short], gone[last_short + 1]
    return s0 + (s1 - s0) * (0.5 - g0) / (g1 - g0)


def smoothed(values: Sequence[float], width: int) -> list[float]:
    """Means over windows with each place in their middle, narrower at the ends, so that nothing is moved in time."""
    reach = [min(width // 2, at, len(values) - 1 - at) for at in range(len(values))]
    return [float(np.mean(values[at - r : at + r + 1])) for at, r in enumerate(reach)]
