"""The figures: what each bucket did, by depth and over steps, and the dose at which harm turns into healing."""

from collections.abc import Callable, Sequence
from pathlib import Path

from interp.plots import Panels, Point, curves, dots, page
from interp.studies.difficulty import arms
from interp.studies.difficulty.analysis import HARD, MEDIUM, WINDOW, Records, level
from interp.studies.difficulty.arms import BUCKETS, Arm
from interp.studies.difficulty.config import HANDLED
from interp.studies.estimates import Estimate, mean, smoothed
from interp.studies.verdict import Judged

KINDS: dict[str, Callable[[str, bool], Arm]] = {
    "GRPO": lambda bucket, contrast: Arm(bucket, contrast=contrast),
    "Dr.GRPO": lambda bucket, contrast: Arm(bucket, "dr-grpo", contrast=contrast),
    "GRPO, only valid answers paid": lambda bucket, contrast: Arm(bucket, credit="valid-only", contrast=contrast),
}
AT = {"depths 1-3 (the base handles them)": HANDLED, "depths 8-9 (hard)": HARD}
SCHEMES = {
    "plain": "uniform",
    "top-entropy 20%": "entropy",
    "random 20%": "random",
    "random, same places": "position-matched",
    "oracle: first error": "first-error",
    "oracle: weights": "step-validity-weights",
    "oracle: gate": "valid-only",
    "oracle: both": "step-validity",
}


def write_page(records: Records, judged: Sequence[Judged], path: Path) -> None:
    held = ", ".join(f"{j.claim.name}: {j.verdict}" for j in judged)
    change = "change in valid rate"
    axes = {
        "luck, on hard": "lucky successes paid",
        "valid, on medium": "valid successes paid",
        "depth": "depth trained on",
    }
    page(
        path,
        "What each difficulty did",
        [
            (
                "What training on each bucket changed",
                "Change in valid rate against the base on held-out problems: means over seeds, 95% intervals. "
                f"Verdicts: {held}.",
                dots(by_bucket(records), y=change),
            ),
            ("Valid rate by depth", "Where each arm ends.", curves(by_depth(records), x="depth", y="valid rate")),
            (
                "Over steps, training on hard problems",
                "Direct share in training (mean of five steps) beside held-out pass and valid rate at depths 1 to 3.",
                curves(over_steps(records), x="step", y="share"),
            ),
            (
                "Dose and response at depths 1 to 3",
                "A mean over rollouts gives every rollout the same weight, however short; a mean over tokens does not.",
                curves(by_dose(records, HANDLED), x=axes, y=change, zero=True),
            ),
            (
                "Dose and response where it was trained",
                "The same, at the depths the arm was trained on.",
                curves(by_dose(records, None), x=axes, y=change, zero=True),
            ),
            ("Credit schemes on the hard bucket", "The floor and the ceiling.", dots(by_scheme(records), y=change)),
        ],
    )


def by_bucket(records: Records) -> Panels:
    return {
        f"{name}, equal {'contrast' if contrast else 'prompts'}": {
            kind: [_point(bucket, records.change(of(bucket, contrast), at)) for bucket in BUCKETS]
            for kind, of in KINDS.items()
        }
        for contrast in (False, True)
        for name, at in (("depths 1-3", HANDLED), ("depths 8-9", HARD))
    }


def by_depth(records: Records) -> Panels:
    ends = {bucket: Arm(bucket) for bucket in BUCKETS} | {
        "hard, Dr.GRPO": Arm("hard", "dr-grpo"),
        "hard, oracle": Arm("hard", credit="step-validity"),
    }
    base = [Point(depth, records.base["final"][str(depth)]["valid_rate"]) for depth in records.depths]
    rows = {
        name: [
            _point(d, mean([level(row["final"], [d], "valid_rate") for row in records.of(arm).values()]))
            for d in records.depths
        ]
        for name, arm in ends.items()
    }
    return {"after training on": {"base": base, **rows}}


def over_steps(records: Records) -> Panels:
    panels: dict[str, dict[str, list[Point]]] = {}
    for name, arm in {"GRPO": Arm("hard"), "GRPO, only valid paid": Arm("hard", credit="valid-only")}.items():
        rows = list(records.of(arm).values())
        if not rows:
            continue
        steps = rows[0]["steps"]["step"]
        direct = zip(*(smoothed(row["steps"]["direct_share"], WINDOW) for row in rows), strict=True)
        watched = sorted(map(int, rows[0]["watched"]))
        panels[name] = {
            "direct share (hard, training)": [_point(s, mean(list(v))) for s, v in zip(steps, direct, strict=True)],
            **{
                f"{measure.replace('_', ' ')} (depths 1-3, held out)": [
                    _point(s, mean([level(row["watched"][str(s)], HANDLED, measure) for row in rows])) for s in watched
                ]
                for measure in ("pass_rate", "valid_rate")
            },
        }
    return panels


def by_dose(records: Records, at: Sequence[int] | None) -> Panels:
    """At given depths, or at those trained on."""
    dials = {
        "luck, on hard": (arms.luck, arms.LUCK, HARD),
        "valid, on medium": (arms.valid, arms.VALID, MEDIUM),
        "depth": (arms.depth, arms.DEPTHS, None),
    }
    return {
        name: {
            reduction: [
                _point(dose, records.change(arm, at or trained or [int(dose)]))
                for dose, arm in zip(doses, of(loss), strict=True)
            ]
            for reduction, loss in arms.REDUCTIONS.items()
        }
        for name, (of, doses, trained) in dials.items()
    }


def by_scheme(records: Records) -> Panels:
    return {
        name: {
            "hard bucket": [
                _point(label, records.change(Arm("hard", credit=credit), at)) for label, credit in SCHEMES.items()
            ]
        }
        for name, at in AT.items()
    }


def _point(x: float | str, found: Estimate) -> Point:
    return Point(x, found.value, found.low, found.high)
