"""Which rollouts and checkpoints a report shows: whole groups, from each level in turn, drawn by a seed."""

import pytest
from grpo_fixtures import FirstWord, make_rollout

from interp.dashboard.rollouts import groups_of, level_problems, select_groups, select_steps
from interp.tasks import Chain


def rollouts(levels: str, group: int = 2):
    """A group of each of these levels, a letter each."""
    return [
        make_rollout(problem=f"{number}", sample=sample, level=level)
        for number, level in enumerate(levels) for sample in range(group)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "count", "chosen"),
    [
        ([0, 10, 20, 30, 40], 5, [0, 10, 20, 30, 40]),
        (range(0, 101), 3, [0, 50, 100]),
        ([0, 10], 5, [0, 10]),
        ([7], 2, [7]),
    ],
)
def test_steps_are_spread_and_hold_both_ends(steps, count, chosen):
    assert select_steps(list(steps), count) == chosen


def test_a_problem_that_comes_twice_is_two_groups():
    rows = [make_rollout(problem="p", sample=sample) for sample in (0, 1, 0, 1, 2)]
    assert [len(group) for group in groups_of(rows)] == [2, 3]
    assert groups_of([]) == []


def test_groups_are_whole_from_each_level_and_the_same_for_the_same_seed():
    rows = rollouts("aaaaaabbc")
    chosen = select_groups(rows, 4, lambda row: row.level, 0)
    assert len(chosen) == 8 and [len(group) for group in groups_of(chosen)] == [2] * 4
    assert sorted({row.level for row in chosen}) == ["a", "b", "c"]
    assert chosen == select_groups(rows, 4, lambda row: row.level, 0)
    other_seeds = {
        tuple(row.problem for row in select_groups(rows, 4, lambda row: row.level, seed)) for seed in range(9)
    }
    assert len(other_seeds) > 1
    assert select_groups(rows, 0, lambda row: row.level) == []
    assert select_groups(rows, 99, lambda row: row.level) == rows


def test_questions_are_some_problems_of_each_level_of_a_task():
    problems = level_problems(Chain(), "eval", 2)
    assert [problem.level for problem in problems] == ["shallow", "shallow", "middle", "middle", "deep", "deep"]
    assert len(level_problems(FirstWord(), "eval", 3)) == 3
    assert level_problems(Chain(), "eval", 0) == level_problems(None, "eval", 2) == []
