"""Tables and figures of the difficulty study: what each level did, by depth and over steps, and over doses."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from interp.plots import Panels, Point, curves, dots
from interp.stats.curves import smooth
from interp.studies.base import Figure, Table
from interp.studies.difficulty_measures import (
    BASE,
    CONTRAST,
    DEEP,
    LUCKY,
    MIDDLE,
    RANGES,
    RATES,
    SHALLOW,
    WINDOW,
    at_depths,
    change,
    contrast_chance,
    mean_over_depths,
    positive_mass,
)
from interp.studies.report import cell, point
from interp.studies.results import Measure, Results
from interp.studies.training_arms import (
    DEPTHS,
    HANDLED,
    LEVELS,
    LUCK,
    REDUCTIONS,
    VALID,
    Training,
    depth_arms,
    luck_arms,
    valid_arms,
)

if TYPE_CHECKING:
    from interp.studies.difficulty import DifficultyConfig

ARMS_NOTE = """\
An arm is named by what it was trained on (a level, or a depth by its number), the loss (`bnpo`: GRPO with a mean over
tokens) and the credit. A *group with contrast* has rollouts that earned more and some that earned less; only these
teach. *luck 0.5* pays half of the lucky successes, *valid 0.5* half of the valid ones. The first row is the base's
own rate. Intervals are Student's.

*entropy* keeps the 20% of tokens with the highest entropy, *position-matched* random ones at the same places. That is
asked on deep problems alone, where training harms, with weights renormalized per rollout and without an arm of the
other 80%: it does not bear on the claim of arXiv 2506.01939."""
KINDS: dict[str, Callable[[str, bool], Training]] = {
    "GRPO": lambda level, contrast: Training(level, contrast=contrast),
    "Dr.GRPO": lambda level, contrast: Training(level, "dr-grpo", contrast=contrast),
    "GRPO, only valid answers paid": lambda level, contrast: Training(level, credit="valid-only", contrast=contrast),
}
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
CHANGE = {rate: f"change in {rate.replace('_', ' ')}" for rate in RATES}


# --- tables --------------------------------------------------------------------------------------------------------


def tables(results: Results, config: "DifficultyConfig") -> list[Table]:
    arithmetic = arithmetic_table(results, config)
    return [arithmetic, *(arms_table(results, rate, ARMS_NOTE if rate == RATES[0] else "") for rate in RATES)]


def arithmetic_table(results: Results, config: "DifficultyConfig") -> Table:
    """What groups hand out at the base's pass rate, depth by depth, and what the runs were fed."""
    all_depths = tuple(map(int, results.baseline(BASE)["final"]))
    rows = []
    for level, depths in zip(LEVELS, (SHALLOW, MIDDLE, DEEP, all_depths), strict=True):
        rates = [results.baseline(BASE)["final"][str(depth)]["pass_rate"] for depth in depths]
        predicted = (
            rates,
            [contrast_chance(rate, config.group) for rate in rates],
            [positive_mass(rate, config.group, standardized=True) for rate in rates],
            [positive_mass(rate, config.group, standardized=False) for rate in rates],
        )
        arm = Training(level).name
        groups, lucky = results.mean(arm, CONTRAST).value, results.mean(arm, LUCKY)
        share = "" if groups != groups else f"{groups / (config.steps * config.prompts):.2f}"
        rows.append([level, *(f"{sum(one) / len(one):.2f}" for one in predicted), share, cell(lucky, 3)])
    head = [
        "problems", "pass rate of the base", "groups with contrast, predicted", "positive mass, GRPO",
        "positive mass, Dr.GRPO", "groups with contrast, in the run", "P(lucky, given success), first ten steps",
    ]  # fmt: skip
    note = (
        "*Predicted* takes every problem of a depth to have the depth's pass rate; problems differ, and fewer groups "
        "have contrast. *Positive mass* is the sum of a group's positive advantages."
    )
    return Table("What arithmetic alone predicts, and what was fed", head, rows, note)


def arms_table(results: Results, rate: str, note: str) -> Table:
    own = [f"{mean_over_depths(results.baseline(BASE)['final'], depths, rate):.3f}" for depths in RANGES.values()]
    rows = [
        [
            arm,
            str(len(results.seeds(arm))),
            *(cell(change(results, arm, depths, rate)) for depths in RANGES.values()),
            cell(results.mean(arm, CONTRAST), 0),
        ]
        for arm in results.arms
        if arm != BASE
    ]
    head = ["arm", "seeds", *RANGES, "groups with contrast"]
    return Table(f"{CHANGE[rate].capitalize()}, every arm", head, [["(the base)", "", *own, ""], *rows], note)


# --- figures -------------------------------------------------------------------------------------------------------


def figures(results: Results) -> list[Figure]:
    axes = {
        "deep problems": "share of lucky successes paid",
        "middle problems": "share of valid successes paid",
        "one depth": "depth trained on",
    }
    what = "against the base on held-out problems: means over seeds, 95% intervals (Student's)."
    by_level = [
        Figure(
            f"What training on each level changed: {rate.replace('_', ' ')}",
            f"{CHANGE[rate].capitalize()} {what} The right half: at equal numbers of groups with contrast.",
            dots(by_level_panels(results, rate), y=CHANGE[rate]),
            ("inverted-u", "inverted-u-at-equal-contrast", "hard-harms") if rate == RATES[0] else (),
        )
        for rate in RATES
    ]
    return [
        *by_level,
        Figure(
            "Rates by depth",
            "Where each arm ends.",
            curves(by_depth_panels(results), x="depth", y="share of answers"),
        ),
        Figure(
            "Over steps, training on deep problems",
            "Direct share in training (mean of five steps) beside held-out pass and valid rate at depths 1 to 3.",
            curves(over_steps_panels(results), x="step", y="share of answers"),
            ("shortening-leads",),
        ),
        Figure(
            "Dose and response at depths 1 to 3",
            "A mean over rollouts gives every rollout the same weight, however short; a mean over tokens does not.",
            curves(by_dose_panels(results, HANDLED), x=axes, y=CHANGE["valid_rate"], zero_line=True),
            ("dose-of-luck", "dose-of-valid"),
        ),
        Figure(
            "Dose and response where it was trained",
            "The same, at the depths the arm was trained on.",
            curves(by_dose_panels(results, None), x=axes, y=CHANGE["valid_rate"], zero_line=True),
        ),
        Figure(
            "Credit schemes on deep problems",
            "Oracles know which steps are right. Random tokens are the control of entropy.",
            dots(by_scheme_panels(results), y=CHANGE["valid_rate"]),
            ("ceiling", "rescue-costs-the-middle"),
        ),
    ]


def by_level_panels(results: Results, rate: str) -> Panels:
    return {
        f"{name}, equal {'contrast' if contrast else 'prompts'}": {
            kind: [point(level, change(results, arm_of(level, contrast).name, depths, rate)) for level in LEVELS]
            for kind, arm_of in KINDS.items()
        }
        for contrast in (False, True)
        for name, depths in (("depths 1-3", HANDLED), ("depths 8-9", DEEP))
    }


def by_depth_panels(results: Results) -> Panels:
    arms = {level: Training(level) for level in LEVELS}
    arms |= {"deep, Dr.GRPO": Training("deep", "dr-grpo"), "deep, oracle": Training("deep", credit="step-validity")}
    base = results.baseline(BASE)["final"]
    return {
        rate.replace("_", " "): {
            "base": [Point(int(depth), rates[rate]) for depth, rates in base.items()],
            **{
                name: [point(int(d), results.mean(arm.name, at_depths([int(d)], rate))) for d in base]
                for name, arm in arms.items()
            },
        }
        for rate in RATES
    }


def over_steps_panels(results: Results) -> Panels:
    panels: dict[str, dict[str, list[Point]]] = {}
    arms = {"GRPO": Training("deep"), "GRPO, only valid answers paid": Training("deep", credit="valid-only")}
    for name, arm in arms.items():
        if not (records := list(results.records(arm.name).values())):
            continue
        direct = [
            Measure(
                "direct share", lambda record, place=place: smooth(record["steps"]["direct_share"], WINDOW)[place], 0, 1
            )
            for place in range(len(records[0]["steps"]["step"]))
        ]
        panels[name] = {
            "direct share (deep problems, training)": [
                point(step, results.mean(arm.name, measure))
                for step, measure in zip(records[0]["steps"]["step"], direct, strict=True)
            ],
            **{
                f"{rate.replace('_', ' ')} (depths 1-3, held out)": [
                    point(step, results.mean(arm.name, watched_at(step, rate)))
                    for step in sorted(map(int, records[0]["watched"]))
                ]
                for rate in ("pass_rate", "valid_rate")
            },
        }
    return panels


def watched_at(step: int, rate: str) -> Measure:
    return Measure(rate, lambda record: mean_over_depths(record["watched"][str(step)], HANDLED, rate), 0, 1)


def by_dose_panels(results: Results, depths: Sequence[int] | None) -> Panels:
    """At given depths, or at those trained on."""
    parts: Mapping[str, tuple[Callable[[str], list[Training]], Sequence[float], Sequence[int] | None]] = {
        "deep problems": (luck_arms, LUCK, DEEP),
        "middle problems": (valid_arms, VALID, MIDDLE),
        "one depth": (depth_arms, DEPTHS, None),
    }
    return {
        name: {
            reduction: [
                point(dose, change(results, arm.name, depths or trained or [int(dose)]))
                for dose, arm in zip(doses, arms_of(loss), strict=True)
            ]
            for reduction, loss in REDUCTIONS.items()
        }
        for name, (arms_of, doses, trained) in parts.items()
    }


def by_scheme_panels(results: Results) -> Panels:
    places = {"depths 1-3 (the base handles them)": HANDLED, "depths 8-9 (trained on)": DEEP}
    return {
        place: {
            "trained on deep problems": [
                point(label, change(results, Training("deep", credit=credit).name, depths))
                for label, credit in SCHEMES.items()
            ]
        }
        for place, depths in places.items()
    }
