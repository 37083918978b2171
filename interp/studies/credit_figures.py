"""Tables and figures of the studies of credit."""

from collections.abc import Sequence

from interp.plots import Point, curves, dots
from interp.studies.base import Figure, Table
from interp.studies.credit_measures import HARD, RECOVERIES, VALID, mean_or_none, rate, recovery
from interp.studies.credit_runs import (
    ALL,
    BASE,
    DEEP,
    FEATURES,
    LIKELIHOOD,
    ORACLE,
    PLAIN,
    RESIDUAL,
    WITH_DICTIONARY,
    WITHOUT_DICTIONARY,
    arm_name,
)
from interp.studies.report import cell, point
from interp.studies.results import Results

SCHEMES = (*WITHOUT_DICTIONARY, *WITH_DICTIONARY)


def present(results: Results, problems: str) -> list[tuple[str, str]]:
    """Scheme and arm of everything that was run on these problems."""
    return [(one, arm_name(one, problems)) for one in SCHEMES if results.seeds(arm_name(one, problems))]


def tables(results: Results) -> list[Table]:
    note = "Means over the bases, with Student's intervals over them."
    return [scheme_table(results, present(results, problems), problems, note) for problems in (DEEP, ALL)]


def scheme_table(results: Results, schemes: Sequence[tuple[str, str]], problems: str, note: str) -> Table:
    """A row for each scheme and its arm: recoveries, rates, and what was paid."""
    rows = [["(the base)", "", "", *(cell(results.mean(BASE, measure), 3) for measure in RATES), "", "", ""]]
    rows += [
        [
            scheme,
            *(cell(results.mean(arm, measure), 2) for measure in RECOVERIES),
            *(cell(results.mean(arm, measure), 3) for measure in RATES),
            cell(results.mean(arm, recovery("paid")), 3),
            cell(results.mean(arm, recovery("audited")), 0),
            cell(results.mean(arm, recovery("diverged")), 1),
        ]
        for scheme, arm in schemes
    ]
    head = [
        "scheme", "recovery, all depths", "recovery, deep", "valid, all depths", "valid, deep",
        "valid, depths 1 to 3", "right, all depths", "malformed", "valid share of the pay", "labels audited",
        "runs that diverged",
    ]  # fmt: skip
    return Table(f"Trained on {problems} problems", head, rows, note)


def rate_figure(results: Results, arms: Sequence[str], claims: tuple[str, ...]) -> Figure:
    """The valid rate of each arm by group of depths."""
    groups = {
        title: {"": [point(arm, results.mean(arm, rate("valid_rate", group))) for arm in arms if results.seeds(arm)]}
        for title, group in {"all depths": "all", "deep": "deep", "depths 1 to 3": "handled"}.items()
    }
    text = "Means over seeds, 95% intervals (Student's)."
    return Figure("Valid answers after training on deep problems", text, dots(groups, y="valid rate"), claims)


RATES = (
    rate("valid_rate", "all"), rate("valid_rate", "deep"), rate("valid_rate", "handled"), rate("pass_rate", "all"),
    rate("malformed_share", "all"),
)  # fmt: skip


def figures(results: Results) -> list[Figure]:
    recoveries = {
        measure.name: {
            f"trained on {problems} problems": [
                point(scheme, results.mean(arm, measure))
                for scheme, arm in present(results, problems)
                if scheme not in (PLAIN, ORACLE)
            ]
            for problems in (DEEP, ALL)
        }
        for measure in (VALID, HARD)
    }
    text = "0 is plain GRPO, 1 the oracle that pays valid answers alone. Means over bases, 95% intervals (Student's)."
    claims = ("features-beat-likelihood", "features-beat-controls", "dictionary-loses-nothing", "recovery-bar")
    parts = [Figure("How much of the way to the oracle", text, dots(recoveries, y="recovery"), claims)]
    schemes = [one for one in (PLAIN, LIKELIHOOD, RESIDUAL, FEATURES, ORACLE) if results.seeds(one)]
    for name, title, y in (
        ("paid_by_step", "Which share of the pay goes to valid answers", "valid share of what is paid"),
        ("valid_by_step", "Valid answers on the problems that are trained on", "valid rate"),
    ):
        lines = {}
        for scheme in schemes:
            records = results.records(scheme)
            columns = zip(*(records[seed][name] for seed in results.seeds(scheme)), strict=False)
            means = enumerate(map(mean_or_none, columns))
            lines[scheme] = [Point(step, mean) for step, mean in means if mean is not None]
        figure = curves({f"trained on {DEEP} problems": lines}, x="step", y=y)
        parts.append(Figure(title, "Means over runs and bases, step by step.", figure))
    return parts
