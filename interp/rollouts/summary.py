"""Shares of rollouts by group (depth, level, or any column of the record), with intervals over problems.

Rollouts of one problem are alike, so intervals count problems, not rollouts (`interp.stats.clustered_share`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput
from interp.display import HtmlSummary, as_html
from interp.rollouts.record import Rollout
from interp.tasks.base import BUCKETS

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.stats import Estimate

Measure = tuple[Callable[[Rollout], bool | None], Callable[[Rollout], bool]]
"""Whether a rollout is a success, and whether it is counted at all."""


def _is_fully_judged(rollout: Rollout) -> bool:
    return rollout.coherent is not None and rollout.valid is not None


def _is_written(rollout: Rollout) -> bool:
    return rollout.format not in ("direct", "unannounced", "malformed")


MEASURES: dict[str, Measure] = {
    "pass_rate": (lambda r: r.correct, lambda r: True),
    "valid_rate": (lambda r: r.valid, lambda r: r.valid is not None),
    "direct_share": (lambda r: r.format == "direct", lambda r: True),
    "written_share": (_is_written, lambda r: True),
    "unannounced_share": (lambda r: r.format == "unannounced", lambda r: True),
    "malformed_share": (lambda r: r.format == "malformed", lambda r: True),
    "truncated_share": (lambda r: r.truncated, lambda r: True),
    "direct_pass_rate": (lambda r: r.correct, lambda r: r.format == "direct"),
    "written_pass_rate": (lambda r: r.correct, _is_written),
    "valid_given_written": (lambda r: r.valid, lambda r: _is_written(r) and r.valid is not None),
    "valid_given_success": (lambda r: r.valid, lambda r: r.correct and r.valid is not None),
    "judged_share": (lambda r: r.valid is not None, lambda r: True),
    "lucky_rate": (lambda r: r.lucky, lambda r: r.lucky is not None),
    "direct_shortcut_share": (lambda r: r.shortcut == "direct", lambda r: True),
    "copy_shortcut_share": (lambda r: r.shortcut == "copy", lambda r: True),
    "cue_shortcut_share": (lambda r: r.shortcut == "cue", lambda r: True),
    "coherent_valid": (lambda r: r.coherent and r.valid, _is_fully_judged),
    "coherent_invalid": (lambda r: r.coherent and not r.valid, _is_fully_judged),
    "incoherent_valid": (lambda r: not r.coherent and r.valid, _is_fully_judged),
    "incoherent_invalid": (lambda r: not r.coherent and not r.valid, _is_fully_judged),
}
"""Every measure. A rollout of unknown validity (None) is left out, not counted as invalid; `judged_share` is the share
of rollouts with known validity."""
HEADLINE_MEASURES = ("pass_rate", "valid_rate", "direct_share")


@dataclass(frozen=True, slots=True)
class Summary(HtmlSummary):
    """Every measure for each group of rollouts."""

    by: str
    """The column the rollouts are grouped by."""
    estimates: "dict[Any, dict[str, Estimate]]"
    """For each value of the column, each measure with its interval."""

    def __repr__(self) -> str:
        return f"Summary({len(self.estimates)} groups by {self.by})"

    def table(self) -> "pl.DataFrame":
        """Long: a row per group and measure."""
        import polars as pl

        return pl.DataFrame(
            [
                {self.by: group, "measure": name, "value": e.value, "low": e.low, "high": e.high, "n": e.n}
                for group, measures in self.estimates.items()
                for name, e in measures.items()
            ]
        )

    def summary(self) -> "pl.DataFrame":
        """A row per group: rollouts, pass rate, valid rate and share of direct answers, if they were measured."""
        import polars as pl

        return pl.DataFrame(
            [
                {self.by: group, "rollouts": max(e.n for e in measures.values())}
                | {name: measures[name].value for name in HEADLINE_MEASURES if name in measures}
                for group, measures in self.estimates.items()
            ]
        )

    def figure(self, measures: Sequence[str] = HEADLINE_MEASURES) -> "go.Figure":
        """Each measure by group, with intervals."""
        from interp.plots import Point, curves

        series = {
            name: [
                Point(group if isinstance(group, int | float) else str(group), e.value, e.low, e.high, e.n)
                for group, e in ((group, estimates[name]) for group, estimates in self.estimates.items())
                if e.n
            ]
            for name in measures
            if all(name in estimates for estimates in self.estimates.values())
        }
        figure = curves({"": series}, x=self.by, y="share of rollouts")
        if not all(isinstance(group, int | float) for group in self.estimates):
            figure.update_xaxes(categoryorder="array", categoryarray=[as_html(str(group)) for group in self.estimates])
        return figure


def _places_of_levels(groups: dict[Any, dict[str, list[Rollout]]]) -> dict[Any, float]:
    """Buckets in their order; levels by their mean depth, where problems have one."""
    if set(groups) <= {*BUCKETS, None}:
        return {bucket: float(place) for place, bucket in enumerate(BUCKETS)}
    depths = {group: [row.depth for rows in prompts.values() for row in rows] for group, prompts in groups.items()}
    own_depths = {group: [depth for depth in each if depth is not None] for group, each in depths.items()}
    return {group: sum(each) / len(each) for group, each in own_depths.items() if each}


def summarize(rollouts: Iterable[Rollout], by: str = "depth", measures: Sequence[str] | None = None) -> Summary:
    """Measures of the rollouts for each value of the column `by`. Default: every measure. Groups are sorted,
    None last: levels from the easiest to the hardest, others by name or number."""
    if by not in (columns := [f.name for f in fields(Rollout)]):
        raise BadInput(f"by must be a column of the record, one of {', '.join(columns)}; got {by!r}")
    groups: dict[Any, dict[str, list[Rollout]]] = defaultdict(lambda: defaultdict(list))
    for rollout in rollouts:
        groups[getattr(rollout, by)][rollout.prompt].append(rollout)  # a prompt that occurs twice is one problem
    names = MEASURES if measures is None else measures
    place = _places_of_levels(groups) if by == "level" else {}
    ordered = sorted(groups, key=lambda group: (group is None, place.get(group, 0), group))
    return Summary(
        by, {g: {name: _share(list(groups[g].values()), *MEASURES[name]) for name in names} for g in ordered}
    )


def _share(
    problems: list[list[Rollout]], is_success: Callable[[Rollout], bool | None], is_trial: Callable[[Rollout], bool]
) -> "Estimate":
    from interp.stats import clustered_share

    trials = [[bool(is_success(rollout)) for rollout in rows if is_trial(rollout)] for rows in problems]
    return clustered_share([sum(rows) for rows in trials], [len(rows) for rows in trials])
