"""Shares by group, counted by hand, with intervals over problems."""

from dataclasses import replace

import pytest

from interp.artifacts import BadInput
from interp.policy import SampleConfig
from interp.rollouts import Rollouts, roll_out, summarize
from interp.rollouts.summary import HEADLINE_MEASURES, MEASURES
from interp.tasks import Chain

TASK = Chain()


@pytest.fixture(scope="module")
def rollouts(organism) -> Rollouts:
    return roll_out(organism, TASK, TASK.problems("eval", None, 30), SampleConfig(group=6))


def test_shares_are_counts_of_the_rollouts_of_a_group(rollouts):
    for depth, measures in summarize(rollouts).estimates.items():
        group = [r for r in rollouts if r.depth == depth]
        direct = [r for r in group if r.format == "direct"]
        assert measures["pass_rate"].value == sum(r.correct for r in group) / len(group)
        assert measures["direct_pass_rate"].n == len(direct)
        assert measures["lucky_rate"].value == sum(r.correct and not r.valid for r in group) / len(group)


def test_a_problem_that_occurs_twice_is_still_one_problem(rollouts):
    repeated = [*rollouts, *(replace(r, problem=r.problem + "/again") for r in rollouts)]
    once, doubled = (summarize(rows).estimates[4]["pass_rate"] for rows in (rollouts, repeated))
    assert doubled.value == once.value and doubled.high - doubled.low > 0.9 * (once.high - once.low)


def test_shortcuts_are_counted_by_kind(verdict_row):
    rows = [replace(verdict_row("a", True), shortcut=kind) for kind in ("direct", "direct", "cue", None)]
    measures = summarize(rows).estimates[1]
    assert [measures[f"{kind}_shortcut_share"].value for kind in ("direct", "copy", "cue")] == [0.5, 0.0, 0.25]


def test_groups_are_in_order_and_rollouts_without_a_group_come_last(verdict_row):
    rows = [verdict_row("a", True, depth=depth) for depth in (3, None, 1)]
    assert list(summarize(rows).estimates) == [1, 3, None]


@pytest.mark.parametrize(
    "levels", [[("easy", 9), ("medium", 5), ("hard", 1)], [("shallow", 1), ("middle", 4), ("deep", 8)]]
)
def test_levels_are_in_order_from_easy_to_hard_also_in_the_figure(verdict_row, levels):
    """Buckets by name, whatever their depth; a task's levels by depth. Neither order is that of the alphabet."""
    rows = [verdict_row(level, True, depth=depth, level=level) for level, depth in reversed(levels)]
    summary, names = summarize([*rows, verdict_row("x", True)], by="level"), [level for level, _ in levels]
    assert list(summary.estimates) == [*names, None]
    assert list(summary.figure().layout.xaxis.categoryarray) == [*names, "None"]


def test_the_table_is_long_and_the_summary_has_a_row_per_group(rollouts):
    summary = summarize(rollouts)
    assert summary.table().columns == ["depth", "measure", "value", "low", "high", "n"]
    assert summary.table().height == len(summary.estimates) * len(MEASURES)
    assert summary.summary().columns == ["depth", "rollouts", *HEADLINE_MEASURES]
    assert summary.summary()["rollouts"].sum() == 180
    assert len(summary.figure().data) == len(HEADLINE_MEASURES)


def test_an_unknown_column_is_refused(rollouts):
    with pytest.raises(BadInput, match="by must be a column of the record, one of run, step, .*; got 'colour'"):
        summarize(rollouts, by="colour")
