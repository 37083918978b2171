"""Edits of a chain: one thing changed, its consequences worked out, and the verdict that each deserves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.tasks import Chain
from interp.tasks.base import Problem, seeded_rng
from interp.tasks.chain.edits import EDITS, edits, write_chain
from interp.tasks.chain.program import Program

CHAIN = Chain()
PROGRAM = Program(5, 3, (("+", 4), ("*", 2)))
"""3 + 4 = 2, 2 * 2 = 4."""


def problem_of(program: Program) -> Problem:
    return Problem("p", program.prompt(), str(program.answer), "train", program.depth)


def test_the_chain_itself_is_valid():
    completion = write_chain(PROGRAM, PROGRAM.operations)
    assert completion == "3 + 4 = 2 ; 2 * 2 = 4 ; # 4"
    assert CHAIN.verify(problem_of(PROGRAM), completion).valid


def test_edits_of_a_chain_of_two_steps_by_hand():
    by_kind = {(edit.kind, edit.step): edit.completion for edit in edits(PROGRAM, seeded_rng("test"))}
    assert by_kind["deleted", 0] == "3 * 2 = 1 ; # 1"
    assert by_kind["deleted", 1] == "3 + 4 = 2 ; # 2"
    assert by_kind["repeated", 1] == "3 + 4 = 2 ; 2 * 2 = 4 ; 4 * 2 = 3 ; # 3"
    assert by_kind["swapped", 0] == "3 * 2 = 1 ; 1 + 4 = 0 ; # 0"
    assert ("swapped", 1) not in by_kind
    assert {kind for kind, _ in by_kind} == set(EDITS)


def test_a_corrupted_result_is_the_only_step_that_does_not_hold():
    for edit in edits(PROGRAM, seeded_rng("test")):
        verdict = CHAIN.verify(problem_of(PROGRAM), edit.completion)
        wrong = [step for step, each in enumerate(verdict.steps) if each.holds is False]
        assert wrong == ([edit.step] if edit.kind == "result" else []), edit


def test_a_single_step_is_not_deleted_since_a_direct_answer_would_be_left():
    one = Program(5, 3, (("+", 4),))
    assert "deleted" not in {edit.kind for edit in edits(one, seeded_rng("test"))}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_an_edit_is_never_valid_and_never_malformed(depth, index):
    problem = CHAIN.problem("train", depth, index)
    for edit in CHAIN.edits(problem):
        verdict = CHAIN.verify(problem, edit.completion)
        assert verdict.format == "steps"
        if verdict.valid:  # repeating `+ 0` twice in a row is caught by the count of steps; so nothing is left
            pytest.fail(f"{edit} of {problem.prompt} is valid")


def test_edits_are_written_as_the_completion_is():
    problem, values = problem_of(PROGRAM), Chain(formats=("values",))
    by_kind = {(edit.kind, edit.step): edit.completion for edit in values.edits(problem, "  > 2 > 4 # 4")}
    assert by_kind["deleted", 0] == "  > 1 # 1" and by_kind["repeated", 1] == "  > 2 > 4 > 3 # 3"
    assert {values.verify(problem, text).format for text in by_kind.values()} == {"values"}
    plain = [edit.completion for edit in CHAIN.edits(problem)]
    for completion in ("3 + 4 = 2 ; 2 * 2 = 4 ; # 4", "3 + of no kind", "# 4"):
        assert [edit.completion for edit in CHAIN.edits(problem, completion)] == plain


def test_an_edit_of_an_inverse_problem_gives_the_number_that_is_asked_for():
    inverse = PROGRAM.inverse(1)
    assert inverse.prompt() == "3 + _ * 2 = 4 ?" and inverse.answer == 4
    problem = problem_of(inverse)
    assert CHAIN.verify(problem, write_chain(inverse, inverse.operations)).valid
    verdicts = [CHAIN.verify(problem, edit.completion) for edit in CHAIN.edits(problem)]
    assert len(verdicts) == 11 and all(verdict.lucky for verdict in verdicts)
