"""Numbers as the demo writes them: a share in percent with its interval, "36 [31, 42]"; a difference in points."""

import math
from collections.abc import Mapping
from typing import Any

from interp.stats import Estimate

NONE = "-"


def percent(share: Estimate) -> str:
    if not share.n:
        return NONE
    return f"{Estimate(100 * share.value, 100 * share.low, 100 * share.high):.0f}"


def points(difference: Estimate) -> str:
    """A difference of shares with its interval, in percentage points."""
    if math.isnan(difference.value):
        return NONE
    interval = (difference.low, difference.high) if difference.has_interval else ()
    value, *ends = (round(100 * number) for number in (difference.value, *interval))
    return f"{value:+d} [{ends[0]}, {ends[1]}]" if ends else f"{value:+d}"


def estimate_of(row: Mapping[str, Any], value: str, low: str, high: str) -> Estimate:
    """An estimate from three columns of a table's row, where None is unknown."""
    center, start, end = (math.nan if row.get(name) is None else float(row[name]) for name in (value, low, high))
    return Estimate(center, start, end)
