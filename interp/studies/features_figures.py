"""Tables and figures of the features study."""

import math

from interp.plots import Panels, dots
from interp.studies.base import Figure, Table
from interp.studies.features_measures import (
    ABOUT,
    ALL_ARMS,
    BASE,
    CAUSAL,
    FAMILIES,
    FIXED,
    KINDS,
    LEVELS,
    LUCK_ALONE,
    ON_POLICY,
    RESAMPLED,
    TRAINED_ON,
    VALID_ALONE,
    agrees,
    behavior,
    change_of,
    training_share,
)
from interp.studies.report import cell, point
from interp.studies.results import Results

CLAIMED = {
    "direct": ("easy-direct", "hard-direct"),
    "computation": ("easy-computation", "medium-computation"),
    "deliberative": ("easy-deliberative", "medium-deliberative", "hard-success", "hard-valid-alone"),
}
KIND_LABELS = {FIXED: "activation, fixed text", ON_POLICY: "activation, on-policy", CAUSAL: "effect of ablation"}
ARM_LABELS = {LUCK_ALONE: "luck only", VALID_ALONE: "valid only"}
"""Short, where six arms stand side by side."""
WITH_MATCHES = (*KINDS, f"{FIXED}, matches", f"{ON_POLICY}, matches")


# --- tables --------------------------------------------------------------------------------------------------------


def tables(results: Results) -> list[Table]:
    return [
        latents_table(results),
        *(strength_table(results, family) for family in FAMILIES),
        behavior_table(results),
        training_table(results),
    ]


def latents_table(results: Results) -> Table:
    dictionaries = [latents for record in results.records(ALL_ARMS).values() for latents in record["latents"]]
    rows = []
    for family in FAMILIES:
        counts = [len(latents.get(family, ())) for latents in dictionaries]
        numbers = [f"{sum(counts) / len(counts):.1f}", str(min(counts)), str(max(counts))]
        rows.append([family, *numbers, str(sum(count == 0 for count in counts))])
    head = ["family", "mean", "fewest", "most", "dictionaries with none"]
    return Table("Latents with a role, by family", head, rows)


def strength_table(results: Results, family: str) -> Table:
    rows = [
        [arm, *(cell(results.mean(arm, change_of(family, kind))) for kind in WITH_MATCHES)]
        for arm in (*TRAINED_ON, RESAMPLED)
    ]
    rows.append(
        ["seeds whose dictionaries agree in sign", *(_agreeing(results, family, kind) for kind in WITH_MATCHES)]
    )
    return Table(f"Strength: {family}", ["arm", *WITH_MATCHES], rows, "Intervals are Student's, over seeds.")


def _agreeing(results: Results, family: str, kind: str) -> str:
    estimates = [results.mean(arm, agrees(family, kind)).value for arm in TRAINED_ON]
    numbers = [value for value in estimates if not math.isnan(value)]
    return f"{sum(numbers) / len(numbers):.2f}" if numbers else ""


def behavior_table(results: Results) -> Table:
    columns = [(level, name) for level in LEVELS for name in ("valid", "correct", "direct")]
    rows = [
        [arm, *(cell(results.mean(arm, behavior(level, name))) for level, name in columns)]
        for arm in (BASE, *TRAINED_ON)
    ]
    return Table("Behavior: shares of answers", ["arm", *(f"{level}: {name}" for level, name in columns)], rows)


def training_table(results: Results) -> Table:
    names = {"valid_rate": "share of rollouts that were valid", "lucky_share": "lucky among successes"}
    rows = [[arm, *(cell(results.mean(arm, training_share(name)), 4) for name in names)] for arm in TRAINED_ON]
    return Table("What training was fed", ["arm", *names.values()], rows)


# --- figures -------------------------------------------------------------------------------------------------------


def figures(results: Results) -> list[Figure]:
    """One figure per family: their scales differ."""
    parts = []
    for family, about in ABOUT.items():
        panels: Panels = {
            "": {
                label: [point(arm, results.mean(arm, change_of(family, kind))) for arm in TRAINED_ON]
                for kind, label in KIND_LABELS.items()
            }
        }
        figure = dots(panels, y="change, as a share of the base's")
        text = "Change of strength after training on each level, mean over seeds, 95% intervals (Student's)."
        parts.append(Figure(f"{family.capitalize()}: {about}", text, figure, CLAIMED[family]))
    answers: Panels = {
        f"{name} answers": {
            f"{level} problems": [
                point(ARM_LABELS.get(arm, arm), results.mean(arm, behavior(level, name))) for arm in (BASE, *TRAINED_ON)
            ]
            for level in LEVELS
        }
        for name in ("valid", "correct", "direct")
    }
    text = "Shares of answers after each training, by the level of the problem. Luck only and valid only are deep arms."
    return [*parts, Figure("Behavior beside it", text, dots(answers, y="share of answers"))]
