"""Each claim held against its rule (`claims.py`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from interp.studies.difficulty import arms
from interp.studies.difficulty.analysis import HARD, MIDDLE, Records
from interp.studies.difficulty.arms import Arm
from interp.studies.difficulty.claims import CLAIMS, Claim
from interp.studies.difficulty.config import HANDLED
from interp.studies.estimates import LEVEL, Estimate, crossing

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"
Named = dict[str, Estimate]


@dataclass(frozen=True)
class Judged:
    claim: Claim
    verdict: str
    measures: Named


def judge(records: Records) -> list[Judged]:
    rules: dict[str, Callable[[Records], tuple[str, Named]]] = {
        "inverted-u": lambda r: inverted_u(r, contrast=False),
        "inverted-u-at-equal-contrast": lambda r: inverted_u(r, contrast=True),
        "hard-harms": lambda r: lowered(r, Arm("hard")),
        "harm-needs-the-rollout-mean": lambda r: lowered(r, Arm("hard", "dr-grpo")),
        "luck-is-the-channel": channel,
        "shortening-leads": shortening,
        "dose-of-luck": lambda r: dose(r, "luck", arms.luck, arms.LUCK),
        "dose-of-valid": lambda r: dose(r, "valid", arms.valid, arms.VALID),
        "ceiling": ceiling,
        "rescue-costs-the-middle": middle,
    }
    return [Judged(claim, *rules[claim.name](records)) for claim in CLAIMS]


def all_above(estimates: Sequence[Estimate]) -> str:
    """Supported where every interval lies above zero, not supported where one lies below."""
    if any(estimate.below for estimate in estimates):
        return NOT_SUPPORTED
    return SUPPORTED if all(estimate.above for estimate in estimates) else INCONCLUSIVE


def is_below(estimate: Estimate) -> str:
    return SUPPORTED if estimate.below else NOT_SUPPORTED if estimate.above else INCONCLUSIVE


def inverted_u(records: Records, *, contrast: bool) -> tuple[str, Named]:
    easy, medium, hard = (Arm(bucket, contrast=contrast) for bucket in ("easy", "medium", "hard"))
    found = {
        "medium minus easy": records.difference(medium, easy, records.depths),
        "medium minus hard": records.difference(medium, hard, records.depths),
    }
    return all_above(list(found.values())), found


def lowered(records: Records, arm: Arm) -> tuple[str, Named]:
    found = records.change(arm, HANDLED)
    return is_below(found), {f"{arm}: change at depths 1-3": found}


def channel(records: Records) -> tuple[str, Named]:
    hard, medium, filtered = Arm("hard"), Arm("medium"), Arm("hard", credit="valid-only")
    on_hard, on_medium = records.lucky_given_success(hard), records.lucky_given_success(medium)
    apart = Estimate(
        (on_hard.value or 0) - (on_medium.value or 0),
        None if on_hard.low is None or on_medium.high is None else on_hard.low - on_medium.high,
        None if on_hard.high is None or on_medium.low is None else on_hard.high - on_medium.low,
        min(on_hard.n, on_medium.n),
    )
    rescued, after = records.difference(filtered, hard, HANDLED), records.change(filtered, HANDLED)
    found = {
        "P(lucky | success) on hard": on_hard,
        "P(lucky | success) on medium": on_medium,
        "their difference (intervals held apart)": apart,
        "valid-only minus plain at depths 1-3": rescued,
        "valid-only: change at depths 1-3": after,
    }
    verdict = all_above([apart, rescued])
    return (NOT_SUPPORTED if after.below else verdict), found


def shortening(records: Records) -> tuple[str, Named]:
    found = {
        "direct share before pass rate": records.lead(Arm("hard"), "direct_share", "pass_rate"),
        "direct share before valid rate": records.lead(Arm("hard"), "direct_share", "valid_rate"),
        "length before pass rate": records.lead(Arm("hard"), "length", "pass_rate"),
        "length before valid rate": records.lead(Arm("hard"), "length", "valid_rate"),
    }
    return all_above([found["direct share before pass rate"]]), found


def dose(records: Records, name: str, of: Callable[[str], list[Arm]], doses: Sequence[float]) -> tuple[str, Named]:
    found: Named = {}
    shares: dict[str, float] = {}
    for reduction, loss in arms.REDUCTIONS.items():
        changes = [list(records.changes(arm, HANDLED).values()) for arm in of(loss)]
        if not all(changes):
            return INCONCLUSIVE, {}  # this part was not run
        at, shares[reduction] = crossing(doses, changes)
        found[f"{name} at the crossing, {reduction}"] = at
        found[f"share of draws that cross, {reduction}"] = Estimate(shares[reduction], None, None, at.n)
    share = shares["rollout mean"]
    return (SUPPORTED if share >= LEVEL else NOT_SUPPORTED if share < 1 - LEVEL else INCONCLUSIVE), found


def ceiling(records: Records) -> tuple[str, Named]:
    plain, oracle = Arm("hard"), Arm("hard", credit="step-validity")
    found = {
        "oracle: change on hard": records.change(oracle, HARD),
        "oracle: change at depths 1-3": records.change(oracle, HANDLED),
        "oracle minus plain on hard": records.difference(oracle, plain, HARD),
        "oracle minus plain at depths 1-3": records.difference(oracle, plain, HANDLED),
    }
    plainly = {"plain: change on hard": records.change(plain, HARD)}
    return all_above(list(found.values())), found | plainly


def middle(records: Records) -> tuple[str, Named]:
    oracle = Arm("hard", credit="step-validity")
    found = records.change(oracle, MIDDLE)
    against = records.difference(oracle, Arm("medium"), MIDDLE)
    return is_below(found), {
        "oracle on hard: change at depths 4-7": found,
        "oracle on hard minus plain on medium, depths 4-7": against,
    }
