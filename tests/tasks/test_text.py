"""Free mathematical text: which answers are equal, and the verdict on a completion."""

import logging
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.tasks.base import Problem, Verdict, token_roles
from interp.tasks.text.equality import answer_kind, is_formula, same_answer
from interp.tasks.text.numerals import read_number
from interp.tasks.text.verdicts import verify_text


def verify(completion: str, answer: str = "7", prompt: str = "What is 3 + 4?") -> Verdict:
    return verify_text(Problem("p", prompt, answer), completion)


# --- answers -----------------------------------------------------------------------------------------------------


def test_answers_are_numbers_formulae_or_words():
    assert {answer_kind(answer) for answer in ("7", "1/3", r"\frac{1}{3}", "2.1 million")} == {"number"}
    assert {answer_kind(answer) for answer in ("x+1", r"\sqrt{2}", "(1, 2)", "10^6 + x")} == {"formula"}
    assert {answer_kind(answer) for answer in ("Tuesday", "B", "New York")} == {"words"}


@given(st.fractions(max_denominator=50), st.fractions(max_denominator=50))
@settings(max_examples=60, deadline=None)
def test_numbers_are_equal_exactly_if_math_verify_finds_them_equal(left, right):
    logging.disable(logging.WARNING)
    from math_verify import LatexExtractionConfig, parse, verify

    latex = [rf"\frac{{{n.numerator}}}{{{n.denominator}}}" for n in (left, right)]
    peer = [parse(rf"\boxed{{{text}}}", [LatexExtractionConfig()], parsing_timeout=0) for text in latex]
    assert same_answer(latex[0], latex[1]) == (left == right) == verify(*peer, float_rounding=12, timeout_seconds=0)
    logging.disable(logging.NOTSET)


def test_formulae_are_compared_on_any_thread():
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(same_answer("2x+1", "1+2x")))
    thread.start()
    thread.join()
    assert results == [True] and same_answer(r"\sqrt{12}", r"2\sqrt{3}") and not same_answer("2x+1", "2x+2")


@pytest.mark.parametrize(
    "hostile",
    [
        *["x**2", "x!", r"\sum_{i=1}^{99} i", "x^{999}", "((x^{99})^{99})^{99}", r"\input{a}", "lambda x"],
        *["x" * 300, "[" * 20, "x__y", "NaN", "1e999", "(x+y+z+1)^{50}"],
    ],
)
def test_hostile_formulae_never_reach_sympy(hostile):
    assert not is_formula(hostile)


def test_a_comparison_that_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr("interp.tasks.text.equality.TIMEOUT_S", 1)
    monkeypatch.setattr("interp.tasks.text.equality.MAX_OF_BRACKET", 99)
    start = time.perf_counter()
    assert not same_answer("(x+y+z+1)^{50}", "(x+y+z+2)^{50}")
    assert time.perf_counter() - start < 10


# --- verdicts ----------------------------------------------------------------------------------------------------


def test_a_false_step_is_the_first_error_and_makes_a_correct_answer_lucky():
    verdict = verify("3 + 4 = 8\n8 - 1 = 7\nA: 7")
    assert verdict.correct and verdict.valid is False and verdict.lucky and verdict.first_error == 0


def test_a_missing_answer_is_an_error_at_the_end_and_a_wrong_answer_at_its_position():
    assert verify("3 + 4 = 7").first_error == len("3 + 4 = 7")
    assert verify("3 + 4 = 7\nA: 8").first_error == len("3 + 4 = 7\nA: ")


def test_an_answer_counted_up_in_ones_is_not_derived_from_the_problem():
    prompt = "Tom had 10 apples and gave 4 away. How many are left?"
    assert verify("10 - 4 = 6\nA: 6", "6", prompt).valid is True
    assert verify("1 + 1 + 1 + 1 + 1 + 1 = 6\nA: 6", "6", prompt).valid is None
    assert verify("1 + 1 + 1 = 3\n3 + 3 = 6\nA: 6", "6", prompt).valid is None


def test_roles_of_characters_are_translated_to_tokens():
    text = "3 + 4 = 7\n#### 7"
    roles = token_roles(verify(text), [(i, i + 1) for i in range(len(text))])
    assert roles[0] == "operand" and roles[8] == "result" and roles[10] == "marker" and roles[-1] == "answer"


@given(st.text(max_size=300) | st.text("0123456789+-*/^=.,()[]{}\\boxedA:# answeri\n$%", max_size=120))
@settings(max_examples=300, deadline=2000)
def test_every_text_gets_a_verdict(text):
    for completion in (text, f"A: {text}", rf"\boxed{{{text}}}"):
        verdict = verify(completion)
        assert not verdict.correct or read_number(verdict.answer or "") is not None


HOSTILE = ["9", "(", "9**", r"\boxed{", "A: 7\n", "7 ", "x^{9}", "\u202e", "the answer is 7 ", "####", "<answer>"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hundred_thousand_characters_are_verified_in_seconds(piece):
    for answer in ("7", "x+1"):
        start = time.process_time()
        verify(piece * (100_000 // len(piece)), answer)
        assert time.process_time() - start < 5
