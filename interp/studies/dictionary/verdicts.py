"""Each claim held against its rule (`claims.py`)."""

from collections.abc import Callable

from interp.studies.dictionary.analysis import FAST_FACTS, SLOW_AND_RARE, SLOW_FACTS, Measure, Records, quality, recall
from interp.studies.dictionary.claims import CLAIMS, GATE, RECALLED, RECOVERED, TOLERANCE
from interp.studies.dictionary.config import RANDOM
from interp.studies.estimates import Estimate
from interp.studies.verdict import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Judged, Named, all_above

WEIGHTED = "matryoshka-weighted"
LEVEL_TO = 0.1
"""Shares this near to one another count as level."""


def judge(records: Records) -> list[Judged]:
    rules: dict[str, Callable[[Records], tuple[str, Named]]] = {
        "as-good": as_good,
        "loss-recovered": loss_recovered,
        "planted-found": lambda r: beyond({"all planted latents": r.of("planted", "interp", recall())}, RECALLED),
        "slow-and-rare": lambda r: above_matryoshka(r, "interp"),
        "paper": lambda r: above_matryoshka(r, "paper"),
        "released": lambda r: above_matryoshka(r, "released"),
        "weights-alone": lambda r: above_matryoshka(r, WEIGHTED),
        "contrast-alone": lambda r: above_matryoshka(r, "contrast-only", WEIGHTED),
        "promotion-alone": lambda r: above_matryoshka(r, "promotion-only", WEIGHTED),
        "time-matters": time_matters,
        "slow-facts": lambda r: sign(r, SLOW_FACTS, "matryoshka", up=True),
        "contrast-on-organism": lambda r: sign(r, SLOW_FACTS, WEIGHTED, up=True, arm="contrast-only"),
        "promotion-on-organism": lambda r: sign(r, SLOW_FACTS, WEIGHTED, up=True, arm="promotion-only"),
        "fast-facts-leave": lambda r: sign(r, FAST_FACTS, "matryoshka", up=False),
        "learned-not-given": lambda r: sign(r, SLOW_FACTS, RANDOM, up=True),
        "smoothness-is-moved": smoothness,
    }
    return [Judged(claim, *rules[claim.name](records)) for claim in CLAIMS]


def gate(judged: list[Judged]) -> bool:
    """Whether dictionaries may be used for anything else."""
    return all(j.verdict == SUPPORTED for j in judged if j.claim.name in GATE)


def as_good(records: Records) -> tuple[str, Named]:
    found = {
        f"{world}: FVE, ours minus BatchTopK": records.minus(world, "interp", "batchtopk", quality("fve"))
        for world in ("planted", "organism")
    }
    return beyond(found, -TOLERANCE)


def loss_recovered(records: Records) -> tuple[str, Named]:
    names = {"CE recovered": "ce_recovered", "KL recovered": "kl_recovered"}
    return beyond({name: records.of("organism", "interp", quality(key)) for name, key in names.items()}, RECOVERED)


def beyond(found: Named, bound: float) -> tuple[str, Named]:
    """Every interval above the bound."""
    return all_above([_less(estimate, bound) for estimate in found.values()]), found


def _less(estimate: Estimate, bound: float) -> Estimate:
    value, low, high = (None if x is None else x - bound for x in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.n)


def above_matryoshka(records: Records, arm: str, other: str = "matryoshka") -> tuple[str, Named]:
    mine, theirs = (records.of("planted", name, SLOW_AND_RARE) for name in (arm, other))
    apart = records.minus("planted", arm, other, SLOW_AND_RARE)
    found = {arm: mine, other: theirs, "difference, by seed": apart}
    if disjoint(mine, theirs):
        return SUPPORTED, found
    level = apart.low is not None and apart.high is not None and max(abs(apart.low), abs(apart.high)) <= LEVEL_TO
    return (NOT_SUPPORTED if disjoint(theirs, mine) or level else INCONCLUSIVE), found


def disjoint(upper: Estimate, lower: Estimate) -> bool:
    """The one interval lies wholly above the other."""
    return upper.low is not None and lower.high is not None and upper.low > lower.high


def time_matters(records: Records) -> tuple[str, Named]:
    found = {arm: records.of("planted", arm, SLOW_AND_RARE) for arm in ("interp", "shuffled", WEIGHTED)}
    if not disjoint(found["interp"], found["shuffled"]):
        return NOT_SUPPORTED, found
    return (INCONCLUSIVE if disjoint(found["shuffled"], found[WEIGHTED]) else SUPPORTED), found


def sign(records: Records, measure: Measure, other: str, *, up: bool, arm: str = "interp") -> tuple[str, Named]:
    apart = records.minus("organism", arm, other, measure)
    found = {
        arm: records.of("organism", arm, measure),
        other: records.of("organism", other, measure),
        "difference, by seed": apart,
    }
    for_it, against = (apart.above, apart.below) if up else (apart.below, apart.above)
    return (SUPPORTED if for_it else NOT_SUPPORTED if against else INCONCLUSIVE), found


def smoothness(records: Records) -> tuple[str, Named]:
    slow, whole = (
        records.minus("organism", "interp", "matryoshka", quality(name))
        for name in ("autocorrelation_slow", "autocorrelation")
    )
    found = {"slow block, ours minus Matryoshka's": slow, "whole dictionary": whole}
    if slow.value is None or whole.value is None:
        return INCONCLUSIVE, found
    if not slow.above or whole.above:
        return NOT_SUPPORTED, found
    return (INCONCLUSIVE if whole.below else SUPPORTED), found
