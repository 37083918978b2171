"""A study's records as numbers: means over seeds and differences paired by seed, with intervals.

The unit of evidence is a seed. `Results` has one reading (a choice of intervals) and one level. So a rule is written
once and judged in every reading.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from interp.artifacts import fingerprint_config
from interp.stats.estimate import Estimate
from interp.studies.readings import LEVEL, REGISTERED, Counts, Curve, Reading, Sample

Record = Mapping[str, Any]
ByDepth = Mapping[str, Mapping[str, float]]
"""Rates at each depth."""


def rounded(values: Iterable[Any], digits: int = 5) -> list[Any]:
    """Numbers as records hold them: with a few decimals. Others as they are."""
    return [round(value, digits) if isinstance(value, float) else value for value in values]


def mean_of_depths(rates: ByDepth, name: str, depths: Sequence[int] | None) -> float:
    """The mean of a rate over some depths; over all, if None."""
    return fmean(one[name] for depth, one in rates.items() if depths is None or int(depth) in depths)


@dataclass(frozen=True)
class Arm:
    """One condition of a study."""

    name: str
    spec: Any = None
    """Everything that decides a record of this arm besides its seed, as a dataclass or plain values. It is part of the
    ledger's key."""

    @property
    def directory_name(self) -> str:
        """A name for the directory of its runs: the words of the arm, and a hash of what decides them."""
        words = re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return f"{words}-{fingerprint_config(self.spec)[:8]}"


@dataclass(frozen=True)
class Observation:
    """The record of one seed of one arm."""

    arm: str
    seed: int | None
    """None for a baseline that all seeds share."""
    record: Record


@dataclass(frozen=True)
class Measure:
    """A number read off a record, and the range that it cannot leave."""

    name: str
    value_of: Callable[[Record], float | None]
    low: float = -math.inf
    high: float = math.inf
    counts_of: Callable[[Record], tuple[float, float]] | None = None
    """For a share of counted items: the number of hits and the number of items."""


def share(name: str, value_of: Callable[[Record], float | None], **options: Any) -> Measure:
    """A measure that lies between 0 and 1."""
    return Measure(name, value_of, 0.0, 1.0, **options)


class Results:
    """All observations of a study, in one reading."""

    def __init__(self, observations: Iterable[Observation], reading: Reading = REGISTERED, level: float = LEVEL):
        self.by_arm: dict[str, dict[int | None, Record]] = {}
        for one in observations:
            self.by_arm.setdefault(one.arm, {})[one.seed] = one.record
        self.reading, self.level = reading, level

    def with_reading(self, reading: Reading, level: float = LEVEL) -> "Results":
        """The same observations with other intervals."""
        other = Results((), reading, level)
        other.by_arm = self.by_arm
        return other

    @property
    def is_registered(self) -> bool:
        """Whether the reading is the registered one, in which a lack of difference counts as equality."""
        return self.reading == REGISTERED

    @property
    def arms(self) -> list[str]:
        return list(self.by_arm)

    def records(self, arm: str) -> dict[int | None, Record]:
        """Records of an arm by seed; none where it was not run."""
        return self.by_arm.get(arm, {})

    def seeds(self, arm: str) -> list[int]:
        return sorted(seed for seed in self.records(arm) if seed is not None)

    def baseline(self, arm: str) -> Record:
        """The record of an arm that all seeds share."""
        return self.records(arm)[None]

    # --- estimates -------------------------------------------------------------------------------------------------

    def mean(self, arm: str, measure: Measure) -> Estimate:
        """Mean over seeds."""
        return self.reading.interval(self._sample(arm, measure), self.level)

    def difference(self, first: str, second: str, measure: Measure) -> Estimate:
        """Mean over seeds of the first arm less the second, paired by seed. The second may be a baseline."""
        return self.reading.interval(self.difference_sample(first, second, measure), self.level)

    def crossing(
        self, doses: Sequence[float], arms: Sequence[str], baseline: str, measure: Measure, *, falling: bool
    ) -> Curve | None:
        """Dose at which the mean change against a baseline crosses zero. None unless all arms have a common seed."""
        samples = [self.difference_sample(arm, baseline, measure) for arm in arms]
        if not set.intersection(*(set(sample.values) for sample in samples)):
            return None
        return self.reading.crossing(doses, samples, falling=falling, level=self.level, locate=self.level == LEVEL)

    def values(self, arm: str, measure: Measure) -> dict[int, float]:
        """The measure of an arm by seed; NaN where a record has no such number."""
        return {seed: _number(measure.value_of(record)) for seed, record in self._seeded(arm).items()}

    def difference_sample(self, first: str, second: str, measure: Measure) -> Sample:
        """The differences by seed, with their range and the counts behind them."""
        if None in self.records(second):
            base, own = _number(measure.value_of(self.baseline(second))), self._sample(first, measure)
            values = {seed: value - base for seed, value in own.values.items()}
            return Sample(values, own.low - base, own.high - base)
        one, other = self._sample(first, measure), self._sample(second, measure)
        seeds = sorted(one.values.keys() & other.values.keys())
        width = measure.high - measure.low
        counts = ()
        if one.counts and other.counts:
            counts = tuple({seed: side.counts[0].get(seed, (0.0, 0.0)) for seed in seeds} for side in (one, other))
        return Sample({seed: one.values[seed] - other.values[seed] for seed in seeds}, -width, width, counts)

    def _sample(self, arm: str, measure: Measure) -> Sample:
        sample = Sample(self.values(arm, measure), measure.low, measure.high)
        if measure.counts_of is None:
            return sample
        counts: Counts = {seed: measure.counts_of(record) for seed, record in self._seeded(arm).items()}
        return replace(sample, counts=(counts,))

    def _seeded(self, arm: str) -> dict[int, Record]:
        records = self.records(arm)
        return {seed: records[seed] for seed in self.seeds(arm)}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
