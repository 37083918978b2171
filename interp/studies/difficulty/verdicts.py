"""Each claim held against its rule (`claims.py`)."""

from collections.abc import Callable, Sequence

from interp.studies.difficulty import arms
from interp.studies.difficulty.analysis import HARD, MEDIUM, MIDDLE, Records
from interp.studies.difficulty.arms import Arm
from interp.studies.difficulty.claims import CLAIMS
from interp.studies.difficulty.config import HANDLED
from interp.studies.estimates import LEVEL, Estimate, crossing, mean
from interp.studies.verdict import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Judged, Named, all_above


def judge(records: Records) -> list[Judged]:
    rules: dict[str, Callable[[Records], tuple[str, Named]]] = {
        "inverted-u": lambda r: inverted_u(r, contrast=False),
        "inverted-u-at-equal-contrast": lambda r: inverted_u(r, contrast=True),
        "hard-harms": lambda r: lowered(r, Arm("hard")),
        "harm-under-any-loss": any_loss,
        "luck-is-the-channel": channel,
        "shortening-leads": shortening,
        "dose-of-luck": lambda r: dose(r, "luck", arms.luck, arms.LUCK, falling=True),
        "dose-of-valid": lambda r: dose(r, "valid", arms.valid, arms.VALID, falling=False),
        "ceiling": ceiling,
        "rescue-costs-the-middle": middle,
    }
    return [Judged(claim, *rules[claim.name](records)) for claim in CLAIMS]


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


def any_loss(records: Records) -> tuple[str, Named]:
    verdict, found = lowered(records, Arm("hard", "dr-grpo"))
    alone = Arm("hard", arms.REDUCTIONS["token mean"])  # the reduction alone: Dr.GRPO drops the deviation as well
    return verdict, found | {f"{alone} (mean over tokens): change at depths 1-3": records.change(alone, HANDLED)}


def channel(records: Records) -> tuple[str, Named]:
    hard, medium, filtered = Arm("hard"), Arm("medium"), Arm("hard", credit="valid-only")
    on_hard, on_medium = records.lucky_given_success(hard), records.lucky_given_success(medium)
    both = {seed: (on_hard[seed], on_medium[seed]) for seed in on_hard.keys() & on_medium.keys()}
    apart = mean([one - other for one, other in both.values() if one is not None and other is not None])
    rescued, after = records.difference(filtered, hard, HANDLED), records.change(filtered, HANDLED)
    found = {
        "P(lucky | success) on hard": mean(list(on_hard.values())),
        "P(lucky | success) on medium": mean(list(on_medium.values())),
        "their difference": apart,
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
        "fall of the pass rate": records.fall(Arm("hard"), "pass_rate"),
        "fall of the valid rate": records.fall(Arm("hard"), "valid_rate"),
    }
    if not found["fall of the pass rate"].above:
        return INCONCLUSIVE, found  # nothing fell that could have been led
    return all_above([found["direct share before pass rate"]]), found


def dose(
    records: Records, name: str, of: Callable[[str], list[Arm]], doses: Sequence[float], *, falling: bool
) -> tuple[str, Named]:
    """Judged at the depths handled, by the mean over rollouts; where it was trained stands beside it."""
    found: Named = {}
    share = None
    trained = HARD if name == "luck" else MEDIUM
    for reduction, loss in arms.REDUCTIONS.items():
        for where, at_depths in (("depths 1-3", HANDLED), ("where it was trained", trained)):
            changes = [records.changes(arm, at_depths) for arm in of(loss)]
            if not set.intersection(*(set(by_seed) for by_seed in changes)):
                return INCONCLUSIVE, {}  # this part was not run
            at, crossed = crossing(doses, changes, falling=falling)
            share = crossed if share is None else share
            found[f"{name} at the crossing, {where}, {reduction}"] = at
            found[f"share of draws that cross, {where}, {reduction}"] = Estimate(crossed, None, None, at.n)
    assert share is not None, "the first is the one it is judged by"
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
