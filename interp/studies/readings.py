"""Three ways to read the same seeds: as registered, with exact shares, and for seeds of any shape.

A rule says "the interval lies above zero". Which interval is a separate choice, and it can change the verdict:

registered   Student's t over seeds at 95%, each claim alone; a crossing by bootstrap over seeds. This is what the
             studies were registered with. It takes seeds to have one mode, and gives no width to seeds that agree.
exact        Student's t; a share of counted items (latents) gets the exact interval over clusters, so that none has
             zero width. Still one mode.
any shape    Gaffke's interval over the range that a measure cannot leave. Its coverage holds for bimodal seeds and
             for seeds at the edge of the range (`tests/stats/test_coverage.py`). A measure without a range has none.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from interp.stats.estimate import Estimate

LEVEL = 0.95
DRAWS = 4000
Counts = Mapping[int, tuple[float, float]]
"""Numbers of hits and of items, by seed."""


@dataclass(frozen=True)
class Sample:
    """One number per seed, the range it cannot leave, and the counts behind it."""

    values: Mapping[int, float]
    low: float = -math.inf
    high: float = math.inf
    counts: tuple[Counts, ...] = ()
    """One for a share, two for a difference of shares, none for everything else."""

    @property
    def numbers(self) -> list[float]:
        return [value for _, value in sorted(self.values.items()) if math.isfinite(value)]

    @property
    def is_bounded(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class Curve:
    """Where the mean change over doses crosses zero."""

    dose: Estimate
    crosses: bool
    """Whether the mean surely crosses zero."""
    never: bool
    """Whether it surely does not."""
    share: float = math.nan
    """Share of bootstrap draws that cross, where the bootstrap decides."""
    n: int = 0


@dataclass(frozen=True)
class Reading:
    """A choice of intervals."""

    name: str
    interval: Callable[[Sample, float], Estimate] = field(compare=False)
    bootstraps_crossings: bool = False
    has_ranges: bool = False

    def crossing(
        self, doses: Sequence[float], samples: Sequence[Sample], *, falling: bool, level: float, locate: bool = True
    ) -> Curve:
        """Whether and where the mean over seeds crosses zero between the first dose and the last. Without `locate`
        the interval of the dose is left out, which is most of the work."""
        values = [sample.values for sample in samples]
        if self.bootstraps_crossings:
            dose, share = bootstrap_crossing(doses, values, falling=falling)
            return Curve(dose, share >= level, share < 1 - level, share, dose.n)
        first, last = (self.interval(sample, level) for sample in (samples[0], samples[-1]))
        if not falling:
            first, last = last, first
        crosses, never = first.is_positive and last.is_negative, first.is_negative or last.is_positive
        return Curve(self._dose(doses, samples, falling) if locate else Estimate(math.nan), crosses, never, n=first.n)

    def _dose(self, doses: Sequence[float], samples: Sequence[Sample], falling: bool) -> Estimate:
        from interp.stats.curves import crossing

        bounds = (samples[0].low, samples[0].high) if self.has_ranges else None
        return crossing(doses, [sample.values for sample in samples], falling=falling, bounds=bounds).dose


def _student_as_registered(sample: Sample, level: float) -> Estimate:
    """Student's t interval; of zero width where all seeds are alike."""
    from interp.stats.seeds import student_interval

    estimate = student_interval(sample.numbers, level)
    if estimate.n > 1 and not estimate.has_interval:
        return Estimate(estimate.value, estimate.value, estimate.value, estimate.n)
    return estimate


def _exact_or_student(sample: Sample, level: float) -> Estimate:
    """A clustered share, a difference of two, or Student's t interval."""
    from interp.stats.seeds import student_interval
    from interp.stats.shares import clustered_share, paired_share_difference

    pairs = [_hits_and_items(counts) for counts in sample.counts]
    if len(pairs) == 1 and pairs[0][0]:
        return clustered_share(*pairs[0], level)
    if len(pairs) == 2 and pairs[0][0]:
        first, second = pairs
        return paired_share_difference(second, first, level)  # the second of its arguments less the first
    return student_interval(sample.numbers, level)


def _hits_and_items(counts: Counts) -> tuple[list[float], list[float]]:
    return [hits for _, (hits, _) in sorted(counts.items())], [items for _, (_, items) in sorted(counts.items())]


def _any_shape(sample: Sample, level: float) -> Estimate:
    """Gaffke's interval. A measure without a range has a mean and no interval."""
    from interp.stats.seeds import bounded_interval

    numbers = sample.numbers
    if not sample.is_bounded or not numbers:
        return Estimate(sum(numbers) / len(numbers) if numbers else math.nan, n=len(numbers))
    return bounded_interval(numbers, sample.low, sample.high, level)


REGISTERED = Reading("as registered", _student_as_registered, bootstraps_crossings=True)
EXACT = Reading("exact shares", _exact_or_student)
ANY_SHAPE = Reading("any shape", _any_shape, has_ranges=True)
READINGS = (REGISTERED, EXACT, ANY_SHAPE)


def bootstrap_crossing(
    doses: Sequence[float], values: Sequence[Mapping[int, float]], *, falling: bool, seed: int = 0
) -> tuple[Estimate, float]:
    """Dose at which the mean curve crosses zero in the given direction, linear between doses, and the share of
    bootstrap draws over seeds in which it does. The interval is over the draws that cross; there is none if fewer than
    95% do. Kept as registered: with five seeds it covers 0.86 where it says 0.95."""
    import numpy as np

    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in values)))
    table_DS = np.array([[by_seed[s] for s in seeds] for by_seed in values]) * (1 if falling else -1)
    rng = np.random.default_rng(seed)
    draws = [_zero_of(doses, table_DS[:, rng.integers(0, len(seeds), len(seeds))].mean(1)) for _ in range(DRAWS)]
    crossings = np.array([dose for dose in draws if dose is not None])
    dose, share = _zero_of(doses, table_DS.mean(1)), len(crossings) / DRAWS
    if dose is None or share < LEVEL:
        return Estimate(math.nan if dose is None else dose, n=len(seeds)), share
    tail = 100 * (1 - LEVEL) / 2
    low, high = float(np.percentile(crossings, tail)), float(np.percentile(crossings, 100 - tail))
    return Estimate(dose, low, high, len(seeds)), share


def _zero_of(doses: Sequence[float], curve: Sequence[float]) -> float | None:
    """Where a curve that begins above zero and ends below it first falls to zero."""
    if not curve[0] > 0 > curve[-1]:
        return None
    after = next(place for place, value in enumerate(curve) if value <= 0)
    x0, x1, y0, y1 = doses[after - 1], doses[after], float(curve[after - 1]), float(curve[after])
    return x0 + (x1 - x0) * y0 / (y0 - y1)
