"""Each claim held against its rule (`claims.py`). The unit of evidence is an organism."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interp.studies.estimates import Estimate, mean
from interp.studies.roles.claims import ABOUT, ALARMS, CLAIMS, FOUND, PRECISE
from interp.studies.verdict import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Judged, Named

Record = Mapping[str, Any]
ALL, FIRST = "all three", "the first gate"
LEVEL_TO = 0.05


def judge(records: Sequence[Record]) -> list[Judged]:
    return [Judged(claim, *_rule(claim.name)(records)) for claim in CLAIMS]


def told(records: Sequence[Record], thing: str, gate: str, measure: str) -> Estimate:
    return mean([record["things"][thing]["gates"][gate][measure] for record in records])


def alarms(records: Sequence[Record], thing: str, gate: str) -> Estimate:
    return mean([record["things"][thing]["gates"][gate]["false alarms"]["rate"] for record in records])


def base_rate(records: Sequence[Record], thing: str) -> Estimate:
    """The share of latents drawn at random that are carriers."""
    return mean([record["things"][thing]["at random"]["precision"] for record in records])


def _rule(name: str) -> Callable[[Sequence[Record]], tuple[str, Named]]:
    thing = next(thing for thing in ABOUT if name.startswith(thing))
    return {
        "precise": lambda r: _beyond({"precision": told(r, thing, ALL, "precision")}, PRECISE),
        "found": lambda r: _beyond(
            {"recall by effect": told(r, thing, ALL, "recall by effect"), "recall": told(r, thing, ALL, "recall")},
            FOUND,
        ),
        "gates-matter": lambda r: _gates_matter(r, thing),
        "chance": lambda r: _rarer({"passed": alarms(r, thing, ALL)}, ALARMS),
    }[name.removeprefix(f"{thing}-")]


def _beyond(found: Named, bound: float) -> tuple[str, Named]:
    """The first decides."""
    first = next(iter(found.values()))
    if first.low is None or first.high is None:
        return INCONCLUSIVE, found
    return (SUPPORTED if first.low > bound else NOT_SUPPORTED if first.high < bound else INCONCLUSIVE), found


def _rarer(found: Named, bound: float) -> tuple[str, Named]:
    verdict, _ = _beyond(found, bound)
    return {SUPPORTED: NOT_SUPPORTED, NOT_SUPPORTED: SUPPORTED}.get(verdict, verdict), found


def _gates_matter(records: Sequence[Record], thing: str) -> tuple[str, Named]:
    pairs = [[r["things"][thing]["gates"][gate]["precision"] for gate in (ALL, FIRST)] for r in records]
    apart = mean([a - b for a, b in pairs if a is not None and b is not None])
    found = {
        "after all three": told(records, thing, ALL, "precision"),
        "after the first": told(records, thing, FIRST, "precision"),
        "difference, by organism": apart,
    }
    level = apart.low is not None and apart.high is not None and max(abs(apart.low), abs(apart.high)) <= LEVEL_TO
    return (SUPPORTED if apart.above else NOT_SUPPORTED if apart.below or level else INCONCLUSIVE), found
