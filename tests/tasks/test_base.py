"""The task contract, and how a verdict is translated to tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.tasks import Chain, Problem, Task
from interp.tasks.base import evenly_spaced, seeded_rng, token_at, token_roles

PROBLEM = Problem("p", "3 + 4 * 2 ?", "4")


def word_offsets(text: str) -> list[tuple[int, int]]:
    """Characters of each word: the tokens of a tokenizer with one token a word."""
    offsets, start = [], 0
    for word in text.split(" "):
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    return offsets


class OneProblem(Task):
    """A task that states nothing but what it must."""

    name = "one"

    def fingerprint(self) -> str:
        return "one"

    def problem(self, split, level, index):
        return PROBLEM

    def problems(self, split, level, n, *, start=0):
        return [PROBLEM] * n

    def verify(self, problem, completion):
        return Chain().verify(problem, completion)


def test_a_task_need_not_state_optional_facts():
    task = OneProblem()
    assert isinstance(task, Task)
    assert (task.levels, task.depths, task.skipped, task.decoys("2 + 2")) == ((), None, (), {})
    assert task.size("train", None) is None


def test_a_task_that_cannot_verify_is_refused():
    with pytest.raises(TypeError, match="verify"):
        type("Silent", (OneProblem,), {"verify": Task.verify, "__abstractmethods__": frozenset({"verify"})})()


def test_every_token_of_a_valid_chain_has_its_role():
    completion = "3 + 4 = 2 ; 2 * 2 = 4 ; # 4"
    roles = token_roles(Chain().verify(PROBLEM, completion), word_offsets(completion))
    step = ["carry", "operator", "operand", "equals", "result", "separator"]
    assert roles == [*step, *step, "marker", "answer"]


def test_a_token_of_several_words_has_the_role_that_it_overlaps_most():
    verdict = Chain().verify(PROBLEM, "# 4")
    assert token_roles(verdict, [(0, 3)]) == ["marker"]
    assert token_roles(verdict, [(1, 3)]) == ["answer"]


def test_the_first_error_is_translated_to_its_token():
    completion = "3 + 4 = 2 ; 2 * 2 = 1 ; # 1"
    assert token_at(Chain().verify(PROBLEM, completion).first_error, word_offsets(completion)) == 6
    assert token_at(None, word_offsets(completion)) is None


def test_a_missing_part_is_an_error_at_the_end_token():
    completion = "3 + 4 = 2 ; 2 * 2 = 4 ;"
    assert token_at(Chain().verify(PROBLEM, completion).first_error, word_offsets(completion)) == 12
    assert token_at(Chain().verify(PROBLEM, "").first_error, []) == 0


@given(st.integers(0, 30), st.integers(0, 40))
def test_evenly_spaced_items_are_in_order_and_at_most_as_many_as_requested(length, count):
    chosen = evenly_spaced(range(length), count)
    assert chosen == sorted(set(chosen)) and len(chosen) == min(count, length)
    gaps = {after - before for before, after in zip(chosen, chosen[1:], strict=False)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_every_key_has_its_own_random_stream_in_every_process():
    assert seeded_rng("a", 1).random() == seeded_rng("a", 1).random() != seeded_rng("a", 2).random()
    assert seeded_rng("chain", 5, "train", 3, 0).randrange(1000) == 322
