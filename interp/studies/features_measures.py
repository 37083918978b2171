"""Arms and families of the features study, and its measures of one seed of an arm."""

from collections.abc import Mapping, Sequence
from typing import Any

from interp.studies.results import Measure, Record, share

BASE, RESAMPLED = "base", "base, sampled again"
LUCK_ALONE, VALID_ALONE = "deep, only luck paid", "deep, only valid answers paid"
TRAINED_ON = {"shallow": "shallow", "middle": "middle", "deep": "deep", LUCK_ALONE: "deep", VALID_ALONE: "deep"}
"""Arms, and the level each is trained on."""
FITTED_ON = ("shallow", "middle", "deep")
"""Arms whose last checkpoints dictionaries are fitted on, beside the base."""
LEVELS = ("shallow", "middle", "deep")
OLD_NAMES = {
    "easy": "shallow",
    "medium": "middle",
    "hard": "deep",
    "hard, luck alone paid": LUCK_ALONE,
    "hard, valid alone paid": VALID_ALONE,
    "base, asked again": RESAMPLED,
}
"""Arms and levels in the committed records."""
FAMILIES = {"direct": "direct", "computation": "result", "deliberative": "valid"}
"""Families, and the kind of contrast that their latents earned their role in."""
ABOUT = {
    "direct": "a direct answer",
    "computation": "a result about to be written",
    "deliberative": "all steps are done",
}
FIXED, ON_POLICY, CAUSAL = KINDS = ("fixed", "on-policy", "causal")
ALL_ARMS = "all arms"


def change_of(family: str, kind: str) -> Measure:
    """Change of a family's strength against the base, as a share of the base's."""
    return Measure(f"{family}, {kind}", lambda record: record.get("changes", {}).get(family, {}).get(kind))


def change_beyond_matches(family: str) -> Measure:
    """The family's change on fixed text less its matches'."""

    def value(record: Record) -> float | None:
        own, matches = (change_of(family, kind).value_of(record) for kind in (FIXED, f"{FIXED}, matches"))
        return None if own is None or matches is None else own - matches

    return Measure(f"{family}, fixed, less its matches", value)


def agrees(family: str, kind: str) -> Measure:
    """Whether the change has the same sign in all dictionaries of a seed."""
    return share(f"{family}, {kind}, same sign", lambda record: record.get("agree", {}).get(family, {}).get(kind))


def behavior(level: str, name: str) -> Measure:
    return share(f"{level}: {name}", lambda record: record.get("behavior", {}).get(level, {}).get(name))


def training_share(name: str) -> Measure:
    return share(name, lambda record: record.get("training", {}).get(name))


AGREEMENT = share("arms and families with one sign", lambda record: record.get("agreement"))
CHANGES = {f"{family}, {kind}": change_of(family, kind) for family in FAMILIES for kind in KINDS}


def relative_change(record: Record, arm: str, family: str, kind: str) -> float | None:
    before, after = (record["strengths"][which].get(family, {}).get(kind) for which in (BASE, arm))
    return None if before is None or after is None or not before else (after - before) / abs(before)


def observe_arm(records: Sequence[Record], arm: str) -> dict[str, Any]:
    """Changes of one seed and arm: means over the dictionaries in which the family has a latent."""
    changes: dict[str, dict[str, float]] = {}
    agree: dict[str, dict[str, float]] = {}
    for family in FAMILIES:
        for kind in (*KINDS, f"{FIXED}, matches", f"{ON_POLICY}, matches"):
            dictionary_changes = [relative_change(record, arm, family, kind) for record in records]
            values = [value for value in dictionary_changes if value is not None]
            if values:
                changes.setdefault(family, {})[kind] = sum(values) / len(values)
            if len(values) > 1:
                agree.setdefault(family, {})[kind] = float(len({value > 0 for value in values}) == 1)
    return {"changes": changes, "agree": agree}


def sign_agreement(by_arm: Mapping[str, Record]) -> float | None:
    """Share of arms and families whose three changes have one sign."""
    cells = [by_arm[arm]["changes"].get(family, {}) for arm in TRAINED_ON for family in FAMILIES]
    whole = [[one[kind] for kind in KINDS] for one in cells if all(kind in one for kind in KINDS)]
    return sum(len({value > 0 for value in one}) == 1 for one in whole) / len(whole) if whole else None
