"""An estimate: a value, its interval, and the number of independent observations behind it.

An unknown number is NaN, never None: an estimate without an interval has NaN for both ends, an estimate without data
has NaN for all three. In JSON a NaN is null (`interp.artifacts.to_json`), and null is read back as NaN.
"""

import math
from dataclasses import dataclass, fields

from interp.artifacts import BadInput

LEVEL = 0.95
"""Confidence of an interval, unless another is given."""
NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval: 95%, unless the function that gives it was asked for another `level`."""

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    """Independent observations: seeds, problems or prompts, or trials."""

    def __post_init__(self) -> None:
        for field in fields(self)[:3]:
            number = getattr(self, field.name)
            # always the same NaN object, so that two estimates without data are equal; records write it as None
            number = math.nan if number is None or math.isnan(number) else float(number)
            object.__setattr__(self, field.name, number)
        if math.isnan(self.low) != math.isnan(self.high) or self.low > self.high:
            raise BadInput(f"expected an interval with low <= high, or NaN for both; got {self.low} and {self.high}")

    @property
    def has_interval(self) -> bool:
        return not math.isnan(self.low)

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def is_positive(self) -> bool:
        """The whole interval lies above zero."""
        return self.is_above(0)

    @property
    def is_negative(self) -> bool:
        """The whole interval lies below zero."""
        return self.is_below(0)

    def is_above(self, bound: float) -> bool:
        """The whole interval lies above `bound`; false without an interval."""
        return self.low > bound

    def is_below(self, bound: float) -> bool:
        """The whole interval lies below `bound`; false without an interval."""
        return self.high < bound

    def is_within(self, low: float, high: float) -> bool:
        """The whole interval lies between two bounds, or on them; false without an interval."""
        return low <= self.low and self.high <= high

    def excludes(self, x: float) -> bool:
        """`x` lies outside the interval; false without an interval."""
        return self.is_above(x) or self.is_below(x)

    def __str__(self) -> str:
        return format(self, f".{self._digits()}f")

    def __format__(self, spec: str) -> str:
        """Each number by `spec`: f"{estimate:+.2f}" is "+0.42 [+0.41, +0.44]"."""
        if not spec:
            return str(self)
        if math.isnan(self.value):
            return NO_DATA
        if not self.has_interval:
            return format(self.value, spec)
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def _digits(self) -> int:
        """Two decimals; three where all is below 0.1; more where the interval is narrow; none for large numbers."""
        largest = max((abs(x) for x in (self.value, self.low, self.high) if not math.isnan(x)), default=0.0)
        least = 0 if largest >= 100 else 2 if largest >= 0.1 else 3
        finest = self.width if self.has_interval else largest / 10
        if not 0 < finest < math.inf:
            return least
        return max(least, min(6, math.ceil(-math.log10(finest))))
