"""Completions that announce no answer: called unannounced where the last number is right, and read by a chosen rule."""

import pytest

from interp.artifacts import BadInput
from interp.cli.args import TaskArgs
from interp.tasks import JsonlTask, Problem
from interp.tasks.text.fallback import last_number
from interp.tasks.text.verdicts import verify_text

PROBLEM = Problem("a", "Mia has 9 apples and gets 6 more. How many has she?", "15")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9 + 6 = 15", "15"), ("it is 1,500, I think", "1,500"), ("-3.5.", "-3.5"), ("about $7", "$7"),
        ("1/2 of it", "1/2"), ("12%", "12%"), ("v2", None), ("none", None), ("", None), ("3.", "3"),
    ],
)  # fmt: skip
def test_the_last_number_of_a_text(text, number):
    answer = last_number(text, len(text))
    assert (answer and answer.text) == number
    assert answer is None or text[answer.start : answer.end] == number


@pytest.mark.parametrize(
    ("text", "format", "equation", "number"),
    [
        ("9 + 6 = 15", "unannounced", True, True),
        ("9 + 6 = 15 apples, not 14", "malformed", True, False),
        ("She had 9 of them, later on 15.", "unannounced", False, True),
        ("9 + 5 = 14. Then 15", "unannounced", False, True),
        ("15 = 9 + 6", "malformed", True, False),
        ("9 + 6 = 16", "malformed", False, False),
        ("no idea", "malformed", False, False),
        ("The answer is not 15", "malformed", False, False),  # what is announced counts alone
        ("The answer is 14. 9 + 6 = 15", "steps", False, False),
    ],
)
def test_a_right_number_counts_by_the_chosen_rule_alone(text, format, equation, number):
    strict, by_equation, by_number = (
        verify_text(PROBLEM, text, rule) for rule in ("announced", "last-equation", "last-number")
    )
    assert strict.format == format and not strict.correct
    assert (by_equation.correct, by_number.correct) == (equation, number)
    assert by_number.rewarded == by_number.correct and (not number or by_number.answer == "15")


def test_a_step_whose_result_is_taken_keeps_its_place_and_the_result_becomes_the_answer():
    verdict = verify_text(PROBLEM, "9 + 6 = 15", "last-number")
    assert verdict.valid and [(span.start, span.role) for span in verdict.spans][-1] == (8, "answer")
    assert sorted(verdict.spans, key=lambda span: span.start) == list(verdict.spans)


def test_the_rule_is_part_of_the_task(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"prompt": "9 + 6?", "answer": "15", "split": "train"}\n')
    plain, lenient = JsonlTask(tmp_path / "x.jsonl"), JsonlTask(tmp_path / "x.jsonl", answer_rule="last-number")
    assert plain.fingerprint() == JsonlTask(tmp_path / "x.jsonl", answer_rule="announced").fingerprint()
    assert plain.fingerprint() != lenient.fingerprint()
    problem = plain.problem("train", None, 0)
    assert not plain.verify(problem, "9 + 6 = 15").correct and lenient.verify(problem, "9 + 6 = 15").correct


def test_flags_for_a_file_need_the_file(tmp_path):
    with pytest.raises(BadInput, match="--prompt-field, --answer-field and --answer-rule are for --jsonl"):
        TaskArgs(answer_rule="last-number").open(tmp_path)
