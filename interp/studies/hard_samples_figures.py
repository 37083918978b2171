"""Tables and figures of the hard-samples study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from interp.plots import Point, curves, dot_rows
from interp.studies.base import Figure, Table
from interp.studies.credit_measures import mean_or_none
from interp.studies.credit_runs import BASE, LIKELIHOOD, ORACLE, PLAIN
from interp.studies.hard_samples_claims import CLAIMS
from interp.studies.hard_samples_measures import (
    ALL,
    DEEP,
    DEEPER,
    DEPTHS,
    HANDLED,
    LUCKY,
    STEPS,
    TOKENS,
    count,
    number,
    rate,
)
from interp.studies.hard_samples_runs import BEST, STRATEGIES, arm_name
from interp.studies.report import cell, point
from interp.studies.results import Results

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from interp.studies.hard_samples import HardSamplesConfig

ROLES = {PLAIN: "without credit", LIKELIHOOD: LIKELIHOOD, BEST: BEST}
"""Credits of the arms, as the figures call them."""
NO_STRATEGY = "no strategy"


def present(results: Results) -> list[str]:
    """All arms that were run: those without credit, then those with each credit, and the oracle."""
    listed = [arm_name(strategy, role) for role in ROLES for strategy in (None, *STRATEGIES)]
    return [arm for arm in (*listed, ORACLE) if results.seeds(arm)]


# --- tables ----------------------------------------------------------------------------------------------------------


def tables(results: Results, config: "HardSamplesConfig") -> list[Table]:
    titles = {
        TOKENS: f"At equal tokens ({config.token_budget:,} sampled, with those before the first step)",
        STEPS: f"At equal steps ({config.steps})",
    }
    return [*(rates_table(results, title, by) for by, title in titles.items()), costs_table(results)]


def rates_table(results: Results, title: str, by: str) -> Table:
    measures = [
        *(rate("valid_rate", group, by) for group in (DEEP, DEEPER, HANDLED, ALL)),
        rate("pass_rate", DEEP, by), rate(LUCKY, DEEP, by), rate("malformed_share", ALL, by),
    ]  # fmt: skip
    head = [
        "arm", *(f"valid, {DEPTHS[group]}" for group in (DEEP, DEEPER, HANDLED, ALL)), f"right, {DEPTHS[DEEP]}",
        "lucky share of these", f"malformed, {DEPTHS[ALL]}",
    ]  # fmt: skip
    rows = [
        ["(the base)" if arm == BASE else arm, *(cell(results.mean(arm, one), 3) for one in measures)]
        for arm in (BASE, *present(results))
    ]
    return Table(title, head, rows, "Means over the bases, with Student's intervals over them.")


def costs_table(results: Results) -> Table:
    """What each arm cost, and which of its runs did not go as planned."""
    head = [
        "arm", "runs", "runs that diverged", "runs that ended below the budget", "tokens before the first step",
        "labels before the first step", "labels at equal tokens", "steps at equal tokens", "tokens at equal steps",
        "labels at equal steps",
    ]  # fmt: skip
    numbers = [
        count("tokens before"), count("labels before"), number("labels", TOKENS), number(STEPS, TOKENS),
        number(TOKENS, STEPS), number("labels", STEPS),
    ]  # fmt: skip
    rows = [
        [
            arm,
            *(str(sum(one[name] for one in results.records(arm).values())) for name in COUNTED),
            *(_whole(mean_or_none(list(results.values(arm, one).values()))) for one in numbers),
        ]
        for arm in present(results)
    ]
    note = (
        "Labels are answers whose validity was looked at. The oracle looks at every success, and the search for hints "
        "at every rewarded answer of the base. A run that diverged is read at its last whole checkpoint, and one that "
        "ended below the budget at its end."
    )
    return Table("What it cost, mean over runs and bases", head, rows, note)


COUNTED = ("runs", "diverged", "ended early")


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


# --- figures ---------------------------------------------------------------------------------------------------------


def figures(results: Results) -> list[Figure]:
    text = "Means over bases, 95% intervals (Student's)."
    return [
        Figure(
            "Gain on hard problems, and what becomes of earlier skill, at equal tokens",
            f"Valid rate on held-out problems: depths 8 and 9, which are trained on, and depths 1 to 3. {text}",
            gains_figure(results, TOKENS),
            tuple(one.name for one in CLAIMS if one.name != "credit-does-more"),
        ),
        Figure("The same at equal steps", text, gains_figure(results, STEPS)),
        Figure(
            "Valid answers to hard problems, token by token",
            "Held-out problems of depths 8 and 9, on fewer problems than at the end. A line begins with what the base "
            "wrote before the first step. Means over runs and bases.",
            curves_figure(results, DEEP),
            ("credit-does-more",),
        ),
        Figure(
            "Earlier skill, token by token",
            "Held-out problems of depths 1 to 3. Means over runs and bases.",
            curves_figure(results, HANDLED),
        ),
    ]


def gains_figure(results: Results, by: str) -> "go.Figure":
    panels = {}
    for group in (DEEP, HANDLED):
        measure = rate("valid_rate", group, by)
        series = {
            label: [
                point(strategy or NO_STRATEGY, results.mean(arm, measure))
                for strategy in (None, *STRATEGIES)
                if results.seeds(arm := arm_name(strategy, role))
            ]
            for role, label in ROLES.items()
        }
        others = {label: [point(NO_STRATEGY, results.mean(arm, measure))] for label, arm in OTHERS.items()}
        panels[f"valid rate, {DEPTHS[group]}"] = {"": {**series, **others}}
    return dot_rows(panels, zero_line=False)


OTHERS = {ORACLE: ORACLE, "the base": BASE}


def curves_figure(results: Results, group: str) -> "go.Figure":
    panels = {
        label: {
            **{
                strategy or NO_STRATEGY: curve_points(results, arm_name(strategy, role), group)
                for strategy in (None, *STRATEGIES)
                if results.seeds(arm_name(strategy, role))
            },
            **({ORACLE: curve_points(results, ORACLE, group)} if results.seeds(ORACLE) else {}),
        }
        for role, label in ROLES.items()
        if role != LIKELIHOOD
    }
    return curves(panels, x="sampled tokens", y="valid rate")


def curve_points(results: Results, arm: str, group: str) -> list[Point]:
    """The mean over bases of an arm's curve over tokens."""
    by_base: Sequence[Sequence[tuple[float, float]]] = [
        results.records(arm)[seed]["curves"][group] for seed in results.seeds(arm)
    ]
    return [Point(places[0][0], mean_or_none([value for _, value in places])) for places in zip(*by_base, strict=True)]
