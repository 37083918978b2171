"""Measures of the hard-samples study: a run read off its checkpoints at equal tokens or steps, and means over runs.

Between two checkpoints a rate is taken to be linear in the tokens (or steps). A run that ended before the place at
which it is read is read at its end: its user has nothing later.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from statistics import fmean
from typing import Any

from interp.studies.credit_measures import GROUPS as GROUPS_OF_CREDIT
from interp.studies.credit_measures import mean_or_none
from interp.studies.credit_runs import RATES
from interp.studies.results import Measure, mean_of_depths, share

TOKENS, STEPS = "tokens", "step"
"""What runs are compared at equal numbers of."""
DEEP, HANDLED, ALL, DEEPER = "deep", "handled", "all", "deeper"
GROUPS: Mapping[str, Sequence[int] | None] = {**GROUPS_OF_CREDIT, DEEPER: (10,)}
"""Depths: all of them, those that are trained on, those that the base handled, and one beyond."""
DEPTHS = {DEEP: "depths 8 and 9", HANDLED: "depths 1 to 3", ALL: "all depths", DEEPER: "depth 10"}
"""The groups by their depths, for a reader."""
LUCKY = "lucky_share"
GRID = 16
"""Places of a curve over tokens, from none to the budget."""
Point = Mapping[str, Any]


def rate(name: str, group: str, by: str = TOKENS) -> Measure:
    """A rate over a group of depths, at an equal number of tokens or steps."""
    title = f"{name.replace('_', ' ')}, {DEPTHS[group]}, equal {by.removesuffix('s')}s"
    return share(title, lambda record: record.get("rates", {}).get(by, {}).get(group, {}).get(name))


def number(name: str, by: str = TOKENS) -> Measure:
    """Another number of a run, where it is read."""
    return Measure(name, lambda record: record.get("numbers", {}).get(by, {}).get(name))


def count(name: str) -> Measure:
    return Measure(name, lambda record: record.get(name))


VALID = rate("valid_rate", DEEP)
KEPT = rate("valid_rate", HANDLED)


# --- one run ---------------------------------------------------------------------------------------------------------


def neighbours(points: Sequence[Point], by: str, value: float) -> list[Point]:
    """The two points between which a value lies, in order; one where a point has it, or where it lies outside."""
    for before, after in zip([None, *points], points, strict=False):
        if after[by] >= value:
            return [after] if before is None or after[by] == value else [before, after]
    return [points[-1]]


def interpolate(points: Sequence[Point], by: str, value: float, number_of: Callable[[Point], float]) -> float:
    """A number of the points at a value, linear between its neighbours."""
    first, *rest = neighbours(points, by, value)
    if not rest:
        return number_of(first)
    way = (value - first[by]) / (rest[0][by] - first[by])
    return number_of(first) + way * (number_of(rest[0]) - number_of(first))


def rate_at(record: Any, by: str, value: float, group: str, name: str, measured: str = "measured") -> float:
    """A rate of a run over a group of depths, where it has a number of tokens or steps."""

    def rate_of(point: Point) -> float:
        return mean_of_depths(record[measured][str(point["step"])], name, GROUPS[group])

    return interpolate(record["points"], by, value, rate_of)


def rates_at(record: Any, by: str, value: float) -> dict[str, dict[str, float | None]]:
    """Every rate of a run by group of depths, where it has a number of tokens or steps."""
    rates = {}
    for group in GROUPS:
        means = {name: rate_at(record, by, value, group, name) for name in RATES}
        passed = means["pass_rate"]
        rates[group] = {**means, LUCKY: (passed - means["valid_rate"]) / passed if passed else None}
    return rates


def numbers_at(points: Sequence[Point], by: str, value: float) -> dict[str, float]:
    """Steps, tokens and labels of a run there."""
    return {name: interpolate(points, by, value, itemgetter(name)) for name in (STEPS, TOKENS, "labels")}


# --- the runs of a base ----------------------------------------------------------------------------------------------


def average_base(record: Any) -> dict[str, Any]:
    """The rates of a base, which are the same wherever a run is read."""
    whole = {"points": [{"step": 0, TOKENS: 0}], "measured": {"0": record["final"]}}
    rates = rates_at(whole, TOKENS, 0)
    return {"rates": {by: rates for by in (TOKENS, STEPS)}, "runs": 1}


def average_runs(records: Sequence[Any]) -> dict[str, Any]:
    """Means over the runs of an arm on one base, where all have the same number of tokens, or of steps."""
    places = records[0]["read_at"]
    rates = {by: _mean_of([rates_at(one, by, value) for one in records]) for by, value in places.items()}
    numbers = {
        by: _mean_of([{"all": numbers_at(one["points"], by, value)} for one in records])["all"]
        for by, value in places.items()
    }
    return {
        "rates": rates,
        "numbers": numbers,
        "runs": len(records),
        "diverged": sum("diverged" in one for one in records),
        "ended early": sum(one["points"][-1][TOKENS] < places[TOKENS] for one in records),
        "tokens before": fmean(one["points"][0][TOKENS] for one in records),
        "labels before": fmean(one["points"][0]["labels"] for one in records),
        "curves": {group: mean_curve(records, group) for group in (DEEP, HANDLED)},
    }


def mean_curve(records: Sequence[Any], group: str) -> list[tuple[float, float]]:
    """(Tokens, valid rate) on the problems that are watched, mean over runs at equal tokens. It goes as far as the
    budget."""
    budget = records[0]["read_at"][TOKENS]
    curve = []
    for tokens in (budget * place / GRID for place in range(GRID + 1)):
        curve.append((tokens, fmean(rate_at(one, TOKENS, tokens, group, "valid_rate", "watched") for one in records)))
    return curve


def _mean_of(tables: Sequence[Mapping[str, Mapping[str, float | None]]]) -> dict[str, dict[str, float | None]]:
    """The mean of each cell of tables of the same shape."""
    return {
        row: {name: mean_or_none([table[row][name] for table in tables]) for name in cells}
        for row, cells in tables[0].items()
    }
