"""Properties of the verdict on chain completions. Single cases are in data/adversarial/chain.jsonl."""

import time
from itertools import combinations

from hostile_texts import hostile_texts
from hypothesis import given
from hypothesis import strategies as st

from interp.tasks import TOKEN_ROLES, Chain, Problem
from interp.tasks.chain.verify import match_operations

PROBLEM = Problem("p", "3 + 4 * 2 ?", "4")
VOCABULARY = Chain().vocabulary()


@given(st.text(max_size=80) | st.lists(st.sampled_from(VOCABULARY), max_size=40).map(" ".join))
def test_every_text_gets_a_consistent_verdict(completion):
    verdict = Chain().verify(PROBLEM, completion)
    assert not (verdict.valid and not verdict.correct)
    assert verdict.lucky == (verdict.correct and not verdict.valid)
    assert (verdict.first_error is None) == verdict.valid
    assert all(span.role in TOKEN_ROLES and span.start < span.end for span in verdict.spans)
    assert all(a.end <= b.start for a, b in zip(verdict.spans, verdict.spans[1:], strict=False))


@given(st.lists(st.sampled_from(VOCABULARY), min_size=2, max_size=12))
def test_an_answer_is_a_number_after_a_single_marker_at_the_end(words):
    verdict = Chain().verify(PROBLEM, " ".join(words))
    is_marked = words[-2] == "#" and words[-1] in "01234" and words.count("#") == 1
    assert (verdict.answer is not None) == is_marked


@given(st.lists(st.integers(0, 3), max_size=7), st.lists(st.integers(0, 3), max_size=7))
def test_the_largest_possible_number_of_steps_is_matched_in_order(stated, due):
    matches = match_operations(stated, due)
    matched = [match for match in matches if match is not None]
    assert matched == sorted(set(matched))
    assert [due[match] for match in matched] == [s for s, m in zip(stated, matches, strict=True) if m is not None]
    common = (n for n in range(len(due) + 1) for chosen in combinations(due, n) if _is_subsequence(chosen, stated))
    assert len(matched) == max(common)


def _is_subsequence(chosen: tuple[int, ...], stated: list[int]) -> bool:
    remaining = iter(stated)
    return all(number in remaining for number in chosen)


def test_hostile_completions_are_judged_within_a_second():
    deep = Problem("p", "3" + " + 1" * 1000 + " ?", "4")
    texts = ["3 + 1 = 4 ; " * 1660, "4 + 1 = 0 ; " * 1660 + "# 4", "> 1 " * 5000, "# 1 " * 5000, "# " * 10_000]
    texts += hostile_texts(seed=0, count=30, length=20_000, seeds=("3 + 1 = 4 ; ", "> 4 "))
    for problem in (PROBLEM, deep):
        for text in texts:
            start = time.process_time()
            Chain().verify(problem, text)
            assert time.process_time() - start < 1, text[:100]
