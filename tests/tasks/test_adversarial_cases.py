"""The verdict on a chain: hand-made cases, the adversarial tables, and how it reaches the tokens."""

import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.tasks import Chain, Problem
from interp.tasks.adversarial import run_case, run_case_table, shipped_case_tables
from interp.tasks.base import TOKEN_ROLES, token_at, token_roles
from interp.tasks.chain.verify import match_operations

PROBLEM = Problem("p", "3 + 4 * 2 ?", "4")


@pytest.mark.parametrize("table", shipped_case_tables(), ids=lambda path: path.stem)
def test_every_adversarial_case_gets_the_verdict_it_must(table):
    results = run_case_table(table)
    assert len({r.case for r in results}) == len(results) >= 40
    assert [r for r in results if not r.passed] == []


def test_a_table_that_expects_the_wrong_verdict_is_told_so():
    case = {"case": "x", "prompt": PROBLEM.prompt, "answer": "4", "completion": "# 4", "expect": {"correct": False}}
    result = run_case("chain", case)
    assert not result.passed and result.verdict == {"correct": True}


def test_the_table_of_an_extra_is_left_out_where_the_extra_is_not_installed(monkeypatch):
    assert [table.stem for table in shipped_case_tables()] == ["chain", "gym", "math", "traces"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [table.stem for table in shipped_case_tables()] == ["chain", "math", "traces"]


def test_a_table_for_no_verifier_is_refused(tmp_path):
    (tmp_path / "poems.jsonl").write_text(json.dumps({}))
    with pytest.raises(BadInput, match="named for its verifier.*got 'poems'"):
        run_case_table(tmp_path / "poems.jsonl")


def words_of(text: str) -> list[tuple[int, int]]:
    offsets, at = [], 0
    for word in text.split(" "):
        offsets.append((at, at + len(word)))
        at += len(word) + 1
    return offsets


def test_every_token_of_a_valid_chain_has_its_role():
    completion = "3 + 4 = 2 ; 2 * 2 = 4 ; # 4"
    roles = token_roles(Chain().verify(PROBLEM, completion), words_of(completion))
    step = ["carry", "operator", "operand", "equals", "result", "separator"]
    assert roles == [*step, *step, "marker", "answer"]


def test_a_first_error_is_carried_over_to_its_token():
    completion = "3 + 4 = 2 ; 2 * 2 = 1 ; # 1"
    assert token_at(Chain().verify(PROBLEM, completion).first_error, words_of(completion)) == 6
    assert token_at(None, words_of(completion)) is None


def test_what_is_missing_falls_to_the_token_that_ended_too_soon():
    completion = "3 + 4 = 2 ; 2 * 2 = 4 ;"
    assert token_at(Chain().verify(PROBLEM, completion).first_error, words_of(completion)) == 12
    assert token_at(Chain().verify(PROBLEM, "").first_error, []) == 0


def test_a_token_of_several_words_takes_the_role_it_overlaps_most():
    verdict = Chain().verify(PROBLEM, "# 4")
    assert token_roles(verdict, [(0, 3)]) == ["marker"]
    assert token_roles(verdict, [(1, 3)]) == ["answer"]


@given(st.text(max_size=80) | st.lists(st.sampled_from(Chain().vocabulary()), max_size=40).map(" ".join))
def test_a_verdict_is_given_on_anything_and_is_consistent(completion):
    verdict = Chain().verify(PROBLEM, completion)
    assert not (verdict.valid and not verdict.correct)
    assert verdict.lucky == (verdict.correct and not verdict.valid)
    assert (verdict.first_error is None) == verdict.valid
    assert all(span.role in TOKEN_ROLES and span.start < span.end for span in verdict.spans)
    assert all(a.end <= b.start for a, b in zip(verdict.spans, verdict.spans[1:], strict=False))


@given(st.lists(st.sampled_from([*Chain().vocabulary()]), min_size=2, max_size=12))
def test_only_a_marked_number_at_the_very_end_is_an_answer(words):
    verdict = Chain().verify(PROBLEM, " ".join(words))
    marked = words[-2] == "#" and words[-1] in "01234" and words.count("#") == 1
    assert (verdict.answer is not None) == marked


@given(st.lists(st.integers(0, 3), max_size=7), st.lists(st.integers(0, 3), max_size=7))
def test_steps_take_places_in_order_and_as_many_as_can_be(stated, due):
    places = [place for place in match_operations(stated, due) if place is not None]
    assert places == sorted(set(places))
    assert [due[place] for place in places] == [
        s for s, p in zip(stated, match_operations(stated, due), strict=True) if p is not None
    ]
    longest = max(n for n in range(len(due) + 1) for chosen in combinations(due, n) if _is_within(chosen, stated))
    assert len(places) == longest


def _is_within(chosen: tuple[int, ...], stated: list[int]) -> bool:
    left = iter(stated)
    return all(number in left for number in chosen)
