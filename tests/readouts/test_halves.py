"""Halves of problems: as many of each depth in both, whatever the order of the list."""

from grpo_fixtures import make_rollout

from interp.readouts.halves import first_half, halves_of_answers, halves_of_problems
from interp.tasks import Chain
from interp.tasks.base import Problem


def test_depths_that_take_turns_are_in_both_halves():
    problems = Chain().problems("train", "deep", 40)
    assert {problem.depth for problem in problems[::2]} == {8}, "every other problem has one depth"
    for half in halves_of_problems(problems):
        assert [sum(one.depth == depth for one in half) for depth in (8, 9)] == [10, 10]
        assert half == [one for one in problems if one in half], "in the order of the list"


def test_answers_go_with_their_problems():
    rows = [
        make_rollout(problem=problem, depth=depth)
        for problem, depth in (("a", 1), ("b", 1), ("a", 1), ("c", 2), ("b", 1))
    ]
    first, second = halves_of_answers(rows)
    assert sorted(len(half) for half in (first, second)) in ([2, 3], [1, 4])
    assert not {row.problem for row in first} & {row.problem for row in second}


def test_a_depth_with_one_problem_does_not_empty_a_half():
    problems = [Problem(f"p{depth}", "", "", "train", depth, None) for depth in range(1, 7)]
    assert sum(first_half((one.id, one) for one in problems).values()) == 3
