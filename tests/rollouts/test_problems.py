"""Problems in a fixed order: a stream that takes levels in turn, and so many problems of each level."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.rollouts.problems import ProblemStream, problems_by_level
from interp.tasks import Chain, JsonlTask
from interp.tasks.base import evenly_spaced


def write_task(path: Path, *lines: dict[str, Any]) -> JsonlTask:
    defaults = [{"id": i, "prompt": f"What is {i} + 1?", "answer": str(i + 1), "split": "eval"} for i in range(9)]
    path.write_text("\n".join(json.dumps(default | line) for default, line in zip(defaults, lines, strict=False)))
    return JsonlTask(path)


# --- a stream ------------------------------------------------------------------------------------------------------


def test_a_stream_takes_one_problem_of_each_level_in_turn():
    task = Chain()
    expected = [task.problem("train", level, index) for index in range(2) for level in (3, "deep")]
    assert ProblemStream(task, "train", (3, "deep")).slice(0, 4) == expected
    assert ProblemStream(task, "train", (3, "deep")).slice(1, 2) == expected[1:3]


def test_a_stream_of_a_file_ends_with_the_file_and_skips_a_level_that_runs_out(tmp_path):
    easy, hard = {"bucket": "easy"}, {"bucket": "hard"}
    task = write_task(tmp_path / "mine.jsonl", easy, hard, easy, easy)
    stream = ProblemStream(task, "eval", ("easy", "hard"))
    assert [problem.id for problem in stream.slice(0, 99)] == ["0", "1", "2", "3"]
    assert stream.slice(4, 5) == []


def test_a_level_that_does_not_exist_is_refused_at_once():
    with pytest.raises(BadInput, match="got 'impossible'"):
        ProblemStream(Chain(), "train", ("deep", "impossible"))


def test_levels_that_share_problems_are_refused():
    with pytest.raises(BadInput, match="expected levels that share no problem, got deep, 8"):
        ProblemStream(Chain(), "train", ("deep", 8)).slice(0, 4)


# --- so many of each level -----------------------------------------------------------------------------------------


def test_a_level_with_fewer_problems_gives_all_of_them_with_a_warning(tmp_path):
    task = write_task(tmp_path / "some.jsonl", {"bucket": "easy"}, {"bucket": "easy"})
    with pytest.warns(UserWarning, match="asked for 3 problems of the split eval, it holds fewer: easy 2, medium 0"):
        problems = problems_by_level(task, "eval", ("easy", "medium"), 3)
    assert {level: len(those) for level, those in problems.items()} == {"easy": 2, "medium": 0}


def test_problems_of_a_file_without_levels_are_taken_under_the_name_all(tmp_path):
    task = write_task(tmp_path / "all.jsonl", *[{}] * 9)
    assert [problem.id for problem in problems_by_level(task, "eval", (), 3)["all"]] == ["0", "1", "2"]
    with pytest.warns(UserWarning, match="it holds fewer: all 0"):
        assert problems_by_level(task, "train", (), 3) == {"all": []}


def test_levels_without_problems_are_refused_naming_the_existing_ones(tmp_path):
    some = write_task(tmp_path / "some.jsonl", {"bucket": "easy"}, {"bucket": "easy"})
    with pytest.raises(BadInput, match="expected problems of a level of easy, got hard, 3: name levels that it has"):
        problems_by_level(some, "eval", ("hard", 3), 3)
    with pytest.raises(BadInput, match=r"expected problems of a level of \(none\), got easy"):
        problems_by_level(write_task(tmp_path / "all.jsonl", {}, {}), "eval", ("easy",), 3)


def test_a_task_that_generates_problems_gives_as_many_as_are_asked_for():
    task = Chain()
    assert problems_by_level(task, "eval", (1, "deep"), 3) == {
        "1": task.problems("eval", 1, 3),
        "deep": task.problems("eval", "deep", 3),
    }
    assert tuple(problems_by_level(task, "eval", (), 3)) == ("shallow", "middle", "deep")


@given(st.integers(0, 30), st.integers(0, 40))
def test_evenly_spaced_items_are_in_order_and_their_gaps_differ_by_one_at_most(size, count):
    items = evenly_spaced(range(size), count)
    assert len(items) == min(size, count) and (not items or items[0] == 0)
    assert len({later - earlier for earlier, later in pairwise(items)}) <= 2
