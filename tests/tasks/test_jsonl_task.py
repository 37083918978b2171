"""Tasks from a user's JSONL: what is read, what is refused, and how completions are verified."""

import json
import logging
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.tasks.base import SPLITS, Problem, Task, token_roles
from interp.tasks.jsonl import JsonlTask
from interp.tasks.text.equality import answer_kind, is_formula, same_answer
from interp.tasks.text.numerals import read_number
from interp.tasks.text.verdicts import verify_text

GOOD = {"id": "a", "prompt": "What is 3 + 4?", "answer": "7"}


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def verify(completion: str, answer: str = "7", prompt: str = "What is 3 + 4?"):
    return verify_text(Problem("p", prompt, answer), completion)


def test_a_jsonl_task_satisfies_the_contract(tmp_path):
    task = JsonlTask(write(tmp_path / "mine.jsonl", GOOD))
    assert isinstance(task, Task) and task.name == "jsonl:mine"


def test_a_missing_file_is_refused():
    with pytest.raises(BadInput, match="nothing there"):
        JsonlTask("absent.jsonl").problem("train", None, 0)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="at least one problem"):
        JsonlTask(write(tmp_path / "x.jsonl", "", " ")).problems("train", None, 0)


BAD_LINES = {
    "cut short": ('{"id": "b", "prompt"', "does not parse"),
    "no object": ("[1, 2]", "expected a JSON object, got list"),
    "no answer": ({"id": "b", "prompt": "p"}, "no answer"),
    "empty prompt": ({**GOOD, "id": "b", "prompt": " "}, "expected prompt to be text"),
    "prompt no text": ({**GOOD, "id": "b", "prompt": 3}, "expected prompt to be text, got int 3"),
    "id no text": ({**GOOD, "id": None}, "expected id"),
    "answer null": ({**GOOD, "id": "b", "answer": None}, "got NoneType"),
    "answer true": ({**GOOD, "id": "b", "answer": True}, "got bool"),
    "answer code": ({**GOOD, "id": "b", "answer": "__import__('os').system('x')"}, "expected answer"),
    "answer power": ({**GOOD, "id": "b", "answer": "2**3"}, "expected answer"),
    "answer huge exponent": ({**GOOD, "id": "b", "answer": "9^{9^9}"}, "expected answer"),
    "answer 1e999": ('{"id": "b", "prompt": "p", "answer": 1e999}', "expected answer"),
    "answer nested": ({**GOOD, "id": "b", "answer": "(" * 10_000 + "7" + ")" * 10_000}, "expected answer"),
    "answer unicode digits": ({**GOOD, "id": "b", "answer": "٧"}, "expected answer"),
    "answer NaN": ('{"id": "b", "prompt": "p", "answer": NaN}', "expected a number, got NaN"),
    "answer NaN as text": ({**GOOD, "id": "b", "answer": "NaN"}, "expected answer"),
    "answer of 5000 digits": ('{"id": "b", "prompt": "p", "answer": ' + "9" * 5000 + "}", "does not parse"),
    "answer empty": ({**GOOD, "id": "b", "answer": ""}, "expected answer"),
    "JSON nested": ("[" * 100_000, "does not parse"),
    "strange split": ({**GOOD, "id": "b", "split": "test"}, "expected split to be one of train, eval, probe"),
    "strange depth": ({**GOOD, "id": "b", "depth": "3"}, "expected depth to be an integer"),
    "strange bucket": ({**GOOD, "id": "b", "bucket": "insane"}, "expected bucket to be one of easy"),
    "strange level": ({**GOOD, "id": "b", "level": 3}, "expected level to be a word (a number is a depth)"),
    "level and bucket": ({**GOOD, "id": "b", "level": "x", "bucket": "easy"}, "expected a level or a bucket, got both"),
    "duplicate id": ({**GOOD, "prompt": "other"}, "'a', which line 1 has"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_refused_with_its_number_and_skipped_and_listed_on_request(tmp_path, name):
    line, complaint = BAD_LINES[name]
    path = write(tmp_path / "x.jsonl", {**GOOD, "split": "train"}, "", line, {**GOOD, "id": "z", "split": "train"})
    with pytest.raises(BadInput, match="line 3") as refusal:
        JsonlTask(path).problems("train", None, 1)
    assert complaint in str(refusal.value) and "1 of 3 lines" in str(refusal.value)
    lenient = JsonlTask(path, skip_bad=True)
    assert [p.id for p in lenient.problems("train", None, 2)] == ["a", "z"]
    assert [(bad.line, complaint in bad.reason) for bad in lenient.skipped] == [(3, True)]


def test_bytes_that_are_no_utf8_are_a_bad_line(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b'\n{"id": "\xff"}\n')
    with pytest.raises(BadInput, match="line 2"):
        JsonlTask(path).problems("train", None, 1)


def test_the_same_prompt_in_two_splits_is_refused(tmp_path):
    path = write(tmp_path / "x.jsonl", {**GOOD, "split": "train"}, {**GOOD, "id": "b", "split": "eval"})
    with pytest.raises(BadInput, match=r"line 2.*one split only, got eval; it is in train on line 1"):
        JsonlTask(path).problems("train", None, 1)


def test_splits_are_disjoint_by_content_and_stable_when_lines_move(tmp_path):
    rows = [{"id": i, "prompt": f"What is {i // 2} + 1?", "answer": i // 2 + 1} for i in range(400)]
    tasks = [JsonlTask(write(tmp_path / f"{n}.jsonl", *rows[::step])) for n, step in enumerate((1, -1))]
    sizes = {"train": 0, "eval": 0, "probe": 0}
    prompts: list[set[str]] = []
    for split in SPLITS:
        one, other = (task.problems(split, None, task.size(split, None)) for task in tasks)
        assert {(p.id, p.prompt) for p in one} == {(p.id, p.prompt) for p in other}
        sizes[split] = len(one)
        prompts.append({problem.prompt for problem in one})
    assert sum(sizes.values()) == 400 and sizes["train"] > 250 and min(sizes.values()) > 10
    assert sum(map(len, prompts)) == len(set.union(*prompts))


def test_problems_are_selected_by_depth_and_by_level(tmp_path):
    rows = [{**GOOD, "id": i, "split": "eval", "depth": i % 3, "bucket": ["easy", "hard"][i % 2]} for i in range(12)]
    task = JsonlTask(write(tmp_path / "x.jsonl", *rows))
    assert [p.id for p in task.problems("eval", 2, 4)] == ["2", "5", "8", "11"]
    assert [p.id for p in task.problems("eval", "hard", 2, start=1)] == ["3", "5"]
    assert task.problem("eval", None, 7).id == "7"
    assert task.levels == ("easy", "hard") and task.depths is None and task.decoys("2 + 2") == {}


def test_levels_are_the_words_of_the_file_measured_buckets_first(tmp_path):
    rows = [{**GOOD, "id": at, "level": word} for at, word in enumerate(["olympiad", "hard", "school", "easy"])]
    task = JsonlTask(write(tmp_path / "x.jsonl", *rows, {**GOOD, "id": 9}))
    assert task.levels == ("easy", "hard", "olympiad", "school")


def test_size_is_how_many_problems_there_are_and_all_of_them_can_be_had(tmp_path):
    rows = [{**GOOD, "id": i, "split": "eval", "depth": i % 3, "bucket": ["easy", "hard"][i % 2]} for i in range(11)]
    task = JsonlTask(write(tmp_path / "x.jsonl", *rows))
    sizes = {level: task.size("eval", level) for level in (None, 0, 2, "easy", "hard", "medium")}
    assert sizes == {None: 11, 0: 4, 2: 3, "easy": 6, "hard": 5, "medium": 0} and task.size("train", None) == 0
    assert all(len(task.problems("eval", level, size)) == size for level, size in sizes.items())
    with pytest.raises(BadInput, match="split must be one of"):
        task.size("test", None)


def test_an_answer_counted_up_in_ones_is_not_derived_from_the_problem():
    prompt = "Tom had 10 apples and gave 4 away. How many are left?"
    assert verify("10 - 4 = 6\nA: 6", "6", prompt).valid is True
    assert verify("1 + 1 + 1 + 1 + 1 + 1 = 6\nA: 6", "6", prompt).valid is None
    assert verify("1 + 1 + 1 = 3\n3 + 3 = 6\nA: 6", "6", prompt).valid is None


def test_asking_for_more_than_there_is_names_the_counts(tmp_path):
    task = JsonlTask(write(tmp_path / "x.jsonl", {**GOOD, "split": "eval"}))
    with pytest.raises(BadInput, match=r"asked for 2 of eval, it holds 1 .*train 0, eval 1, probe 0"):
        task.problems("eval", None, 2)
    with pytest.raises(BadInput, match="at level 4, it holds 0"):
        task.problem("eval", 4, 0)
    with pytest.raises(BadInput, match="split must be one of"):
        task.problem("test", None, 0)


def test_a_wrong_step_is_the_first_error_and_the_chain_is_lucky():
    verdict = verify("3 + 4 = 8\n8 - 1 = 7\nA: 7")
    assert verdict.correct and verdict.valid is False and verdict.lucky and verdict.first_error == 0


def test_a_missing_answer_is_an_error_at_the_end_and_a_wrong_one_where_it_stands():
    assert verify("3 + 4 = 7").first_error == len("3 + 4 = 7")
    assert verify("3 + 4 = 7\nA: 8").first_error == len("3 + 4 = 7\nA: ")


def test_spans_carry_over_to_tokens():
    text = "3 + 4 = 7\n#### 7"
    offsets = [(i, i + 1) for i in range(len(text))]
    roles = token_roles(verify(text), offsets)
    assert roles[0] == "operand" and roles[8] == "result" and roles[10] == "marker" and roles[-1] == "answer"


@given(st.fractions(max_denominator=50), st.fractions(max_denominator=50))
@settings(max_examples=60, deadline=None)
def test_numbers_are_equal_exactly_when_math_verify_says_so(left, right):
    logging.disable(logging.WARNING)
    from math_verify import LatexExtractionConfig, parse, verify

    latex = [rf"\frac{{{n.numerator}}}{{{n.denominator}}}" for n in (left, right)]
    peer = [parse(rf"\boxed{{{text}}}", [LatexExtractionConfig()], parsing_timeout=0) for text in latex]
    assert same_answer(latex[0], latex[1]) == (left == right) == verify(*peer, float_rounding=12, timeout_seconds=0)
    logging.disable(logging.NOTSET)


def test_formulae_are_compared_by_math_verify_off_the_main_thread_too():
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(same_answer("2x+1", "1+2x")))
    thread.start()
    thread.join()
    assert found == [True] and same_answer(r"\sqrt{12}", r"2\sqrt{3}") and not same_answer("2x+1", "2x+2")


@pytest.mark.parametrize(
    "hostile",
    [
        *["x**2", "x!", r"\sum_{i=1}^{99} i", "x^{999}", "((x^{99})^{99})^{99}", r"\input{a}", "lambda x"],
        *["x" * 300, "[" * 20, "x__y", "NaN", "1e999", "(x+y+z+1)^{50}"],
    ],
)
def test_hostile_formulae_never_reach_sympy(hostile):
    assert not is_formula(hostile)


def test_a_comparison_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr("interp.tasks.text.equality.TIMEOUT_S", 1)
    monkeypatch.setattr("interp.tasks.text.equality.MAX_OF_BRACKET", 99)
    began = time.perf_counter()
    assert not same_answer("(x+y+z+1)^{50}", "(x+y+z+2)^{50}")
    assert time.perf_counter() - began < 10


def test_answers_fall_into_three_kinds():
    assert {answer_kind(answer) for answer in ("7", "1/3", r"\frac{1}{3}", "2.1 million")} == {"number"}
    assert {answer_kind(answer) for answer in ("x+1", r"\sqrt{2}", "(1, 2)", "10^6 + x")} == {"formula"}
    assert {answer_kind(answer) for answer in ("Tuesday", "B", "New York")} == {"words"}


@given(st.text(max_size=300) | st.text("0123456789+-*/^=.,()[]{}\\boxedA:# answeri\n$%", max_size=120))
@settings(max_examples=300, deadline=2000)
def test_verify_takes_any_text_without_raising_or_hanging(text):
    for completion in (text, f"A: {text}", rf"\boxed{{{text}}}"):
        verdict = verify(completion)
        assert not verdict.correct or read_number(verdict.answer or "") is not None


HOSTILE = ["9", "(", "9**", r"\boxed{", "A: 7\n", "7 ", "x^{9}", "\u202e", "the answer is 7 ", "####", "<answer>"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hundred_thousand_characters_are_verified_in_seconds(piece):
    for answer in ("7", "x+1"):
        began = time.perf_counter()
        verify(piece * (100_000 // len(piece)), answer)
        assert time.perf_counter() - began < 5


def test_the_modules_import_fast_and_without_heavy_libraries():
    import subprocess
    import sys

    heavy = ("torch", "sympy", "math_verify", "reasoning_gym", "polars")
    code = f"import sys, interp.tasks.jsonl, interp.tasks.gym; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
