"""Free mathematical text: which answers are equal, and the verdict on a completion."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.tasks.base import Problem, Verdict, token_roles
from interp.tasks.text.equality import answer_kind, is_formula, same_answer
from interp.tasks.text.verdicts import verify_text

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize(
    ("truth", "answer"),
    [
        *[
            ("x^2+2x+1", "(x+1)^2"),
            (r"\sqrt{12}", r"2\sqrt3"),
            (r"\frac{x}{2}", "0.5x"),
            ("y=2x+1", "2x+1"),
            ("x>3", "3<x"),
        ],
        *[("1,2", r"\{2,1\}"), (r"\pm 3", "3,-3"), ("(1,2)", r"\left(1,\frac42\right)"), ("y=2x+1", "2y=4x+2")],
        *[
            (r"(-\infty,3]\cup[5,6)", r"[5,6)\cup(-\infty,3]"),
            (r"e^x", r"\exp(x)"),
            ("2x+1", "1+3x"),
            ("[1,2]", "(1,2)"),
        ],
        *[("x>3", "x<3"), ("x=7", "y=7"), ("x^2+y^2=1", "x^2+y^2=2"), ("5i", "4i"), (r"\{1,2\}", r"\{1,3\}")],
    ],
)
def test_formulae_are_equal_where_math_verify_finds_them_equal(truth, answer):
    logging.disable(logging.WARNING)
    from math_verify import LatexExtractionConfig, parse
    from math_verify import verify as peer_verify

    peer = [parse(rf"\boxed{{{text}}}", [LatexExtractionConfig()], parsing_timeout=0) for text in (truth, answer)]
    assert same_answer(truth, answer) == peer_verify(*peer, float_rounding=12, timeout_seconds=0)
    logging.disable(logging.NOTSET)


# Where we differ from math-verify on purpose: truth, answer, and what we say.
DISAGREEMENTS = [
    *[("(1,2)", r"\{1,2\}", False), ("(1,2)", "1,2", False), ("1,1,2", "1,2,2", False)],  # no order, other multiplicity
    *[("1/2x", r"\frac{1}{2}x", True), ("1/2x", r"\frac{1}{2x}", False)],  # from left to right
    *[(r"\sqrt{2}", "1.4142135623730951", False)],  # a rounded root is not the root
    *[(r"\sqrt[3]{-8}", "-2", True), (r"\ln(xy)", r"\ln x + \ln y", False), (r"\ln x + \ln y", r"\ln(xy)", True)],
    *[("2x", "2", False), ("5i", "5", False), ("May 5", "Yam 5", False)],
]


@pytest.mark.parametrize(("truth", "answer", "equal"), DISAGREEMENTS)
def test_a_formula_is_equal_wherever_the_truth_is_real_and_only_in_its_own_shape(truth, answer, equal):
    assert same_answer(truth, answer) is equal


@pytest.mark.parametrize(
    "hostile",
    [
        *["x**2", "x!", r"\sum_{i=1}^{99} i", "x^{999}", "((x^{99})^{99})^{99}", r"\input{a}", "lambda x"],
        *[
            "x" * 300,
            "[" * 20,
            "x__y",
            "NaN",
            "1e999",
            "9^{9^9}",
            "(" * 90 + "x" + ")" * 90,
            r"\exp(\exp(\exp(9)))",
            "f(x)",
        ],
    ],
)
def test_formulae_that_cannot_be_worked_out_within_bounds_are_no_formulae(hostile):
    assert not is_formula(hostile)


def test_values_that_differ_far_behind_the_point_or_far_below_a_large_one_are_not_equal():
    assert not same_answer("x+10^{-50}", "x") and not same_answer("10^{50}x+1", "10^{50}x+2")
    assert same_answer("(10^{20}x+1)^2", "10^{40}x^2+2(10^{20})x+1")


LARGE_FORMULAE = [
    *["((x+1)^9+1)^9", "(x+y+z+1)^{50}", "+".join([r"\ln x"] * 33), r"\sqrt{" * 15 + "x" + "}" * 15, "x" + "+x" * 99],
    *[",".join("xyzabcdnkm" * 3), r"\{" + ",".join(["2", "x", "y"] * 10) + r"\}", "(" * 14 + "x" + ")^{9}" * 14],
    *[r"\tan" * 14 + "x", "{" + r"\{" * 14 + "1,2" + r"\}" * 14 + "}", "-" * 199 + "x", "1+" * 99 + "1", "x^x" * 60],
]


@pytest.mark.parametrize("formula", LARGE_FORMULAE)
def test_large_formulae_are_compared_in_a_fraction_of_a_second(formula):
    start = time.process_time()
    for other in ("x^2+1", formula, formula.replace("x", "y", 1)):
        same_answer(formula, other)
        same_answer(other, formula)
    assert time.process_time() - start < 2


def test_no_process_thread_or_alarm_is_used_and_no_code_of_the_working_directory_runs(tmp_path):
    (tmp_path / "logging.py").write_text("open('ran', 'w')")
    code = (
        "import sys, threading, signal; sys.path.remove('')\n"
        "from interp.tasks.text.equality import same_answer\n"
        "def forbid(event, arguments):\n"
        "    assert event not in ('subprocess.Popen', 'os.fork', 'os.posix_spawn', '_thread.start_new_thread'), event\n"
        "sys.addaudithook(forbid)\n"
        "assert same_answer('2x+1', '1+2x') and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert not (tmp_path / "ran").exists()


# --- units and words ---------------------------------------------------------------------------------------------


def test_words_behind_a_number_are_harmless_only_if_they_are_units_or_words_of_the_problem():
    eggs = "Janet's ducks lay 16 eggs. How many does she sell?"
    assert same_answer("9", "9 eggs", eggs) and same_answer("9", "9 ducks", eggs) and same_answer("9", "9 km", eggs)
    assert not same_answer("9", "9 eggs") and not same_answer("9", "9 pears", eggs)


def test_words_that_blur_deny_compare_or_scale_are_never_harmless_even_if_the_problem_has_them():
    prompt = "About half of 18 pears, not less than a dozen, are squared away, possibly wrong. Count the pears."
    for word in ("about", "half", "not", "less", "than", "dozen", "squared", "possibly", "wrong"):
        assert not same_answer("18", f"18 {word}", prompt) and not same_answer("18", f"{word} 18", prompt)
    assert same_answer("18", "18 pears", prompt) and same_answer("18", "18 more", "Ann has 2. How many more has Tom?")


def test_a_letter_behind_a_number_is_a_unit_only_if_the_problem_names_it():
    assert not same_answer("5", "5 m", "Solve 5m = 25 n for m.") and same_answer(
        "5", "5 m", "How many meters are 500 cm?"
    )
    assert not same_answer("5", "5m", "What is 3 + 2?") and same_answer("5", "5 h", "How many hours are 300 minutes?")


def test_units_of_one_family_are_converted_to_the_unit_of_the_label_or_of_the_question():
    hours = "It lasts from noon to 6 PM. How many hours is that?"
    assert same_answer("6", "360 minutes", hours) and not same_answer("6", "6 minutes", hours)
    assert same_answer("5 cm", "50 mm") and not same_answer("5 cm", "5 cm^2") and not same_answer("5 cm", "5 kg")


def test_a_percent_sign_is_a_unit_where_the_label_has_it_or_the_problem_speaks_of_shares():
    assert same_answer("25", "25%", "What percentage is it?") and not same_answer("25", "25%", "How many eggs?")
    assert same_answer("35%", "35") and same_answer("0.35", "35%") and not same_answer("1", "100%", "How many eggs?")


# --- verdicts ----------------------------------------------------------------------------------------------------


def test_a_false_step_is_the_first_error_and_makes_a_correct_answer_lucky():
    verdict = verify("3 + 4 = 8\n8 - 1 = 7\nA: 7")
    assert verdict.correct and verdict.valid is False and verdict.lucky and verdict.first_error == 0


@pytest.mark.parametrize("announced", ["The answer is 7.", r"\boxed{7}.", "#### 7\n", "A: 7\n", "<answer>7</answer>"])
def test_an_ordinary_next_sentence_takes_nothing_back_and_a_whole_retraction_does(announced):
    ordinary = [
        "No other value works.",
        "It is not hard to check.",
        "But note that 3 is odd.",
        "That can't be simplified.",
    ]
    ordinary += ["Not bad!", "Actually this matches the check.", "Or in words, seven.", "Or 7 dollars."]
    retractions = [
        "No.",
        "Just kidding.",
        "Actually, that is wrong.",
        "Or is it 8?",
        "But maybe eight.",
        "It is not 7.",
    ]
    retractions += ["Actually, she has 5, so it is 9.", "Or 7 squared.", "That can't be right.", "Actually, x + 1."]
    assert [text for text in ordinary if not verify(f"{announced} {text}").correct] == []
    assert [text for text in retractions if verify(f"{announced} {text}").correct] == []


def test_a_clause_behind_an_answer_is_read_past_only_if_it_casts_no_doubt():
    for clause in (", as expected.", ", which is what we wanted", ", which is the sum"):
        assert verify(f"The answer is 7{clause}").correct
    for clause in (", as expected, or 8", ", which is wrong", ", which is 8", ", which is too low", ", which isn't it"):
        assert not verify(f"The answer is 7{clause}").correct


def test_an_exclamation_mark_is_no_factorial_only_if_it_ends_the_text_and_is_its_only_one():
    assert verify("The answer is 7!").correct
    for text in ("The answer is 7! No.", "The answer is 7!!", "7! / 6! = 7. The answer is 7!", "A: 7!", r"\boxed{7}!"):
        assert not verify(text).correct


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
        assert not verdict.correct or "7" in text or "seven" in text.lower()


HOSTILE = [
    *[
        "9",
        "(",
        "9**",
        r"\boxed{",
        "A: 7\n",
        "7 ",
        "x^{9}",
        "\u202e",
        "the answer is 7 ",
        "####",
        "<answer>",
        "\n",
        " ",
    ],
    *[
        "answer ",
        "answer\n",
        "A:",
        r"\boxed{7} ",
        "#### 7\n",
        "**",
        "not ",
        "because ",
        ". ",
        "= ",
        "x=",
        r"\boxed{(x+1)^9}",
        "The answer is 7. But maybe it is ",
        "The answer is 7, which is ",
    ],
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hundred_thousand_characters_are_verified_within_a_second(piece):
    for answer in ("7", "x+1"):
        start = time.process_time()
        verify(piece * (100_000 // len(piece)), answer)
        assert time.process_time() - start < 1
