"""Tasks from a user's JSONL file: what is accepted, what is refused, and which problems come back."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from interp.artifacts import BadInput
from interp.tasks.base import SPLITS, Task
from interp.tasks.jsonl import JsonlTask

GOOD = {"id": "a", "prompt": "What is 3 + 4?", "answer": "7"}


def task_of(path: Path, *lines: object, skip_bad: bool = False) -> JsonlTask:
    """A task from a file of these lines: text as it stands, anything else as JSON."""
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return JsonlTask(path, skip_bad=skip_bad)


def numbered(count: int, **more: Any) -> list[dict[str, Any]]:
    """Lines with ids and prompts of their own; functions in `more` are called with the number."""
    return [
        {"id": i, "prompt": f"What is {i} + 1?", "answer": i + 1, "split": "eval"}
        | {key: value(i) for key, value in more.items()}
        for i in range(count)
    ]


def test_a_jsonl_task_satisfies_the_contract(tmp_path):
    task = task_of(tmp_path / "mine.jsonl", GOOD)
    assert isinstance(task, Task) and task.name == "jsonl:mine"
    assert task.levels == () and task.depths is None and task.decoys("2 + 2") == {}


def test_a_missing_file_and_a_file_without_problems_are_refused(tmp_path):
    with pytest.raises(BadInput, match="nothing there"):
        JsonlTask("absent.jsonl").problem("train", None, 0)
    with pytest.raises(BadInput, match="at least one problem"):
        task_of(tmp_path / "x.jsonl", "", " ").problems("train", None, 0)


def test_lines_of_gsm8k_are_read_as_they_are(tmp_path):
    lines = (
        {"question": "Natalia sold 48 clips in April. How many?", "answer": "48/2 = <<48/2=24>>24\n#### 24"},
        {"question": "Weng earned $1,000?", "answer": "It is so.\n#### 1,000"},
        {"question": "And less?", "answer": "#### -5"},
    )
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task = JsonlTask(tmp_path / "x.jsonl", prompt_field="question")
    problems = [problem for split in SPLITS for problem in task.problems(split, None, task.size(split, None))]
    assert {problem.id: problem.answer for problem in problems} == {"line 1": "24", "line 2": "1,000", "line 3": "-5"}
    assert problems[0].prompt in {line["question"] for line in lines}
    with pytest.raises(BadInput, match=r"expected prompt and answer, got no prompt among .*--prompt-field"):
        JsonlTask(tmp_path / "x.jsonl").problems("train", None, 1)


# --- lines -------------------------------------------------------------------------------------------------------

BAD_LINES = {
    "cut short": ('{"id": "b", "prompt"', "does not parse"),
    "no object": ("[1, 2]", "expected a JSON object, got list"),
    "no answer": ({"id": "b", "prompt": "p"}, "no answer"),
    "empty prompt": ({**GOOD, "id": "b", "prompt": " "}, "expected prompt to be text"),
    "prompt is a number": ({**GOOD, "id": "b", "prompt": 3}, "expected prompt to be text, got int 3"),
    "id is null": ({**GOOD, "id": None}, "expected id"),
    "answer is null": ({**GOOD, "id": "b", "answer": None}, "got NoneType"),
    "answer is true": ({**GOOD, "id": "b", "answer": True}, "got bool"),
    "answer is code": ({**GOOD, "id": "b", "answer": "__import__('os').system('x')"}, "expected answer"),
    "answer is a Python power": ({**GOOD, "id": "b", "answer": "2**3"}, "expected answer"),
    "answer has a huge exponent": ({**GOOD, "id": "b", "answer": "9^{9^9}"}, "expected answer"),
    "answer is 1e999": ('{"id": "b", "prompt": "p", "answer": 1e999}', "expected answer"),
    "answer is nested": ({**GOOD, "id": "b", "answer": "(" * 10_000 + "7" + ")" * 10_000}, "expected answer"),
    "answer has other digits": ({**GOOD, "id": "b", "answer": "٧"}, "expected answer"),
    "answer is NaN": ('{"id": "b", "prompt": "p", "answer": NaN}', "expected a number, got NaN"),
    "answer is NaN as text": ({**GOOD, "id": "b", "answer": "NaN"}, "expected answer"),
    "answer has 5000 digits": ('{"id": "b", "prompt": "p", "answer": ' + "9" * 5000 + "}", "does not parse"),
    "answer is empty": ({**GOOD, "id": "b", "answer": ""}, "expected answer"),
    "JSON is nested": ("[" * 100_000, "does not parse"),
    "JSON is as deep as can be parsed": ('{"id": "b", "prompt": "p", "answer": ' + "[" * 960 + "]" * 960 + "}", ""),
    "two answers": (
        '{"id": "b", "prompt": "p", "answer": "7", "answer": "8"}',
        "each key once, got str 'answer' 2 times",
    ),
    "a key twice inside": ('{"id": "b", "prompt": "p", "answer": "7", "more": {"a": 1, "a": 2}}', "each key once"),
    "half a character in the prompt": ('{"id": "b", "prompt": "\\ud83d?", "answer": "7"}', "lone surrogate"),
    "half a character in the id": ('{"id": "\\udc00", "prompt": "p", "answer": "7"}', "expected id to be text"),
    "half a character in the level": (
        '{"id": "b", "prompt": "p", "answer": "7", "level": "\\udc00"}',
        "expected level",
    ),
    "half a character in the answer": ('{"id": "b", "prompt": "p", "answer": "\\udc00"}', "expected answer"),
    "half a character in a key": ('{"id": "b", "\\udc00": "p", "answer": "7"}', "no prompt"),
    "an infinite number": ('{"id": "b", "prompt": "p", "answer": -Infinity}', "expected a number, got -Infinity"),
    "id has 5000 digits": ('{"id": ' + "9" * 5000 + ', "prompt": "p", "answer": "7"}', "does not parse"),
    "depth is huge": ({**GOOD, "id": "b", "depth": 10**30}, "expected depth to be an integer from 0 to 1000000"),
    "depth is negative": ({**GOOD, "id": "b", "depth": -1}, "expected depth to be an integer from 0"),
    "depth is an exponent": ('{"id": "b", "prompt": "p", "answer": "7", "depth": 1e3}', "expected depth"),
    "answer has a million letters": ({**GOOD, "id": "b", "answer": "x" * 1_000_000}, "expected answer"),
    "answer is a long list": ({**GOOD, "id": "b", "answer": [1] * 100_000}, "expected answer"),
    "NUL": ("\x00", "does not parse"),
    "carriage returns for line ends": ('{"id": "b"}\r{"id": "c"}', "does not parse"),
    "a second BOM": ("\ufeff" + json.dumps({**GOOD, "id": "b"}), "does not parse"),
    "unknown split": ({**GOOD, "id": "b", "split": "test"}, "expected split to be one of train, eval, probe"),
    "depth is text": ({**GOOD, "id": "b", "depth": "3"}, "expected depth to be an integer"),
    "unknown bucket": ({**GOOD, "id": "b", "bucket": "insane"}, "expected bucket to be one of easy"),
    "level is a number": ({**GOOD, "id": "b", "level": 3}, "expected level to be a word (a number is a depth)"),
    "level and bucket": ({**GOOD, "id": "b", "level": "x", "bucket": "easy"}, "expected a level or a bucket, got both"),
    "duplicate id": ({**GOOD, "prompt": "other"}, "'a', which line 1 has"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_refused_with_its_number_or_skipped_on_request(tmp_path, name):
    line, complaint = BAD_LINES[name]
    lines = ({**GOOD, "split": "train"}, "", line, {**GOOD, "id": "z", "split": "train"})
    with pytest.raises(BadInput, match="line 3") as refusal:
        task_of(tmp_path / "x.jsonl", *lines).problems("train", None, 1)
    assert len(str(refusal.value)) < 600
    assert complaint in str(refusal.value) and "1 of 3 lines" in str(refusal.value)
    lenient = JsonlTask(tmp_path / "x.jsonl", skip_bad=True)
    assert [problem.id for problem in lenient.problems("train", None, 2)] == ["a", "z"]
    assert [(skipped.line, complaint in skipped.reason) for skipped in lenient.skipped] == [(3, True)]


def test_a_line_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b'\n{"id": "\xff"}\n')
    with pytest.raises(BadInput, match="line 2"):
        JsonlTask(path).problems("train", None, 1)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes((json.dumps(GOOD) + "\n").encode("utf-16"))
    with pytest.raises(BadInput, match="line 1: expected a JSON object"):
        JsonlTask(path).problems("train", None, 1)


def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    task = task_of(tmp_path / "x.jsonl", GOOD)

    def read_bytes(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(BadInput, match=r"x\.jsonl: expected a JSONL file, got .*Permission denied"):
        task.problems("train", None, 1)


def test_a_line_of_a_megabyte_is_read_and_its_problem_judged_at_once(tmp_path):
    task = task_of(tmp_path / "x.jsonl", {**GOOD, "prompt": "What is 3 + 4? " * 70_000, "split": "eval"})
    start = time.process_time()
    problem = task.problem("eval", None, 0)
    assert len(problem.prompt) > 1_000_000 and task.verify(problem, "The answer is 7.").correct
    assert time.process_time() - start < 1


def test_any_line_is_a_problem_or_a_refusal_that_names_it(tmp_path):
    rng = random.Random(0)
    path = tmp_path / "x.jsonl"
    good = json.dumps({**GOOD, "depth": 1, "level": "school", "split": "train"}).encode()
    for _ in range(400):
        line = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            position = rng.randrange(len(line))
            line[position : position + rng.randrange(3)] = rng.choice(DAMAGE)
        path.write_bytes(good + b"\n" + bytes(line).replace(b"\n", b"") + b"\n")
        try:
            assert JsonlTask(path).problem("train", None, 0).id == "a"
        except BadInput as refusal:
            assert "line 2: " in str(refusal), bytes(line)


DAMAGE = [
    b"\xff",
    b"\x00",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"NaN",
    b"[" * 2000,
    b'{"a":' * 2000,
    b"9" * 5000,
    b"1e999",
    b'"',
    b"null",
    b"}",
]


def test_the_same_prompt_in_two_splits_is_refused(tmp_path):
    task = task_of(tmp_path / "x.jsonl", {**GOOD, "split": "train"}, {**GOOD, "id": "b", "split": "eval"})
    with pytest.raises(BadInput, match=r"line 2.*one split only, got eval; it is in train on line 1"):
        task.problems("train", None, 1)


# --- problems ----------------------------------------------------------------------------------------------------


def test_splits_by_hash_are_disjoint_by_content_and_the_same_in_any_order_of_lines(tmp_path):
    lines = [{"id": i, "prompt": f"What is {i // 2} + 1?", "answer": i // 2 + 1} for i in range(400)]
    forward, backward = (task_of(tmp_path / f"{n}.jsonl", *lines[::step]) for n, step in enumerate((1, -1)))
    problems = {split: forward.problems(split, None, forward.size(split, None)) for split in SPLITS}
    for split in SPLITS:
        again = backward.problems(split, None, backward.size(split, None))
        assert {(p.id, p.prompt) for p in again} == {(p.id, p.prompt) for p in problems[split]}
    sizes = {split: len(in_split) for split, in_split in problems.items()}
    assert sum(sizes.values()) == 400 and sizes["train"] > 250 and min(sizes.values()) > 10
    prompts = [{problem.prompt for problem in in_split} for in_split in problems.values()]
    assert sum(map(len, prompts)) == len(set.union(*prompts))


def test_prompts_that_differ_in_case_and_space_alone_are_in_one_split(tmp_path):
    prompts = [f"What is {i} + 1, dear Straße?" for i in range(60)]
    for spell in (str.upper, str.casefold, lambda prompt: f" {prompt.replace(' ', '  ')}\n"):
        lines = [
            {**GOOD, "id": f"{i}{kind}", "prompt": text}
            for i, prompt in enumerate(prompts)
            for kind, text in (("a", prompt), ("b", spell(prompt)))
        ]
        task = task_of(tmp_path / "x.jsonl", *lines)
        for split in SPLITS:
            ids = {problem.id for problem in task.problems(split, None, task.size(split, None))}
            assert {id_[:-1] for id_ in ids if id_.endswith("a")} == {id_[:-1] for id_ in ids if id_.endswith("b")}
    task = task_of(
        tmp_path / "x.jsonl",
        {**GOOD, "split": "train"},
        {**GOOD, "id": "b", "prompt": "what IS  3 + 4?", "split": "eval"},
    )
    with pytest.raises(BadInput, match="one split only"):
        task.problems("train", None, 1)


def test_problems_are_selected_by_depth_and_by_level(tmp_path):
    lines = numbered(12, depth=lambda i: i % 3, bucket=lambda i: ["easy", "hard"][i % 2])
    task = task_of(tmp_path / "x.jsonl", *lines)
    assert [problem.id for problem in task.problems("eval", 2, 4)] == ["2", "5", "8", "11"]
    assert [problem.id for problem in task.problems("eval", "hard", 2, start=1)] == ["3", "5"]
    assert task.problem("eval", None, 7).id == "7"


def test_levels_are_those_of_the_file_with_measured_buckets_first(tmp_path):
    levels = ["olympiad", "hard", "school", "easy"]
    task = task_of(tmp_path / "x.jsonl", *numbered(4, level=lambda i: levels[i]), GOOD)
    assert task.levels == ("easy", "hard", "olympiad", "school")
    assert task.problem("eval", "school", 0).id == "2"


def test_size_is_the_number_of_problems_of_a_split_at_a_level(tmp_path):
    lines = numbered(11, depth=lambda i: i % 3, bucket=lambda i: ["easy", "hard"][i % 2])
    task = task_of(tmp_path / "x.jsonl", *lines)
    sizes = {level: task.size("eval", level) for level in (None, 0, 2, "easy", "hard", "medium")}
    assert sizes == {None: 11, 0: 4, 2: 3, "easy": 6, "hard": 5, "medium": 0} and task.size("train", None) == 0
    assert all(len(task.problems("eval", level, size)) == size for level, size in sizes.items())
    with pytest.raises(BadInput, match="split must be one of"):
        task.size("test", None)


def test_a_request_for_more_problems_than_there_are_names_the_counts(tmp_path):
    task = task_of(tmp_path / "x.jsonl", {**GOOD, "split": "eval"})
    with pytest.raises(BadInput, match=r"asked for 2 of eval, it holds 1 .*train 0, eval 1, probe 0"):
        task.problems("eval", None, 2)
    with pytest.raises(BadInput, match="at level 4, it holds 0"):
        task.problem("eval", 4, 0)
    with pytest.raises(BadInput, match="split must be one of"):
        task.problem("test", None, 0)


def test_the_fingerprint_depends_on_the_problems_and_not_on_the_path(tmp_path):
    here, there = (task_of(tmp_path / name, GOOD) for name in ("here.jsonl", "there.jsonl"))
    other = task_of(tmp_path / "other.jsonl", {**GOOD, "answer": "8"})
    assert here.fingerprint() == there.fingerprint() != other.fingerprint()


def test_the_modules_import_fast_and_without_heavy_libraries():
    import subprocess
    import sys

    heavy = ("torch", "sympy", "math_verify", "reasoning_gym", "polars")
    code = f"import sys, interp.tasks.jsonl, interp.tasks.gym; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
