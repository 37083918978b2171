"""Each claim held against its rule (`claims.py`). The unit of evidence is a seed: a GRPO run of each arm."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interp.studies.estimates import Estimate, mean
from interp.studies.features.claims import AGREEING, CLAIMS
from interp.studies.features.strengths import FAMILIES, FIXED, KINDS
from interp.studies.features.work import ARMS, BASE, LUCK_ALONE, VALID_ALONE
from interp.studies.verdict import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Judged, Named

Record = Mapping[str, Any]


class Records:
    """Of dictionaries, by seed."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.by_seed: dict[int, list[Record]] = {}
        for record in records:
            if record["dictionary"] is not None:
                self.by_seed.setdefault(record["seed"], []).append(record)

    def change(self, arm: str, family: str, kind: str) -> dict[int, float]:
        """By seed, the mean over the dictionaries in which the family has a latent, as a share of the base's."""
        found: dict[int, float] = {}
        for seed, records in self.by_seed.items():
            held = [value for one in records if (value := _change(one, arm, family, kind)) is not None]
            if held:
                found[seed] = sum(held) / len(held)
        return found

    def of(self, arm: str, family: str, kind: str) -> Estimate:
        return mean(list(self.change(arm, family, kind).values()))

    def minus(self, one: tuple[str, str, str], other: tuple[str, str, str]) -> Estimate:
        mine, theirs = self.change(*one), self.change(*other)
        return mean([mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys())])

    def agreement(self) -> Estimate:
        """Of arms and families, the share in which all kinds of strength change in the same direction."""
        found = []
        for seed in self.by_seed:
            cells = [
                [self.change(arm, family, kind).get(seed) for kind in KINDS] for arm in ARMS for family in FAMILIES
            ]
            whole = [[value for value in cell if value is not None] for cell in cells]
            whole = [cell for cell in whole if len(cell) == len(KINDS)]
            found.append(sum(len({value > 0 for value in cell}) == 1 for cell in whole) / len(whole) if whole else None)
        return mean(found)

    def steady(self, arm: str, family: str, kind: str) -> Estimate:
        """The share of seeds whose dictionaries all say the same sign."""
        found = []
        for records in self.by_seed.values():
            held = [value for one in records if (value := _change(one, arm, family, kind)) is not None]
            found.append(float(len({value > 0 for value in held}) == 1) if len(held) > 1 else None)
        return mean(found)


def _change(record: Record, arm: str, family: str, kind: str) -> float | None:
    before, after = (record["strengths"][which].get(family, {}).get(kind) for which in (BASE, arm))
    return None if before is None or after is None or not before else (after - before) / abs(before)


def judge(records: Records) -> list[Judged]:
    rules: dict[str, Callable[[], tuple[str, Named]]] = {
        "easy-direct": lambda: directional(records, "easy", "direct", up=True),
        "easy-computation": lambda: directional(records, "easy", "computation", up=True),
        "easy-deliberative": lambda: directional(records, "easy", "deliberative", up=False),
        "medium-computation": lambda: directional(records, "medium", "computation", up=True),
        "medium-deliberative": lambda: directional(records, "medium", "deliberative", up=True),
        "hard-direct": lambda: directional(records, "hard", "direct", up=True),
        "hard-success": lambda: through_success(records),
        "hard-valid-alone": lambda: directional(records, VALID_ALONE, "deliberative", up=True),
        "strengths-agree": lambda: agreeing(records),
    }
    return [Judged(claim, *rules[claim.name]()) for claim in CLAIMS]


def directional(records: Records, arm: str, family: str, *, up: bool) -> tuple[str, Named]:
    found = {kind: records.of(arm, family, kind) for kind in KINDS}
    apart = records.minus((arm, family, FIXED), (arm, family, f"{FIXED}, matches"))
    for_it, against = ("above", "below") if up else ("below", "above")
    so, not_so = ([getattr(estimate, side) for estimate in found.values()] for side in (for_it, against))
    verdict = SUPPORTED if all(so) and getattr(apart, for_it) else INCONCLUSIVE
    if not any(so) or any(not_so):
        verdict = NOT_SUPPORTED
    named = {f"{kind} strength": estimate for kind, estimate in found.items()}
    return verdict, named | {"fixed, less its matches'": apart}


def through_success(records: Records) -> tuple[str, Named]:
    found = {
        f"{kind} strength, less that with luck alone paid": records.minus(
            ("hard", "deliberative", kind), (LUCK_ALONE, "deliberative", kind)
        )
        for kind in KINDS
    }
    so = [estimate.above for estimate in found.values()]
    return (SUPPORTED if all(so) else INCONCLUSIVE if any(so) else NOT_SUPPORTED), found


def agreeing(records: Records) -> tuple[str, Named]:
    share = records.agreement()
    found = {"share of arms and families": share}
    if share.low is None or share.high is None:
        return INCONCLUSIVE, found
    return (SUPPORTED if share.low > AGREEING else NOT_SUPPORTED if share.high < AGREEING else INCONCLUSIVE), found
