"""The verifier and the annotator on real traces. Skipped where the data is absent; it is not part of the repository."""

import json
import os
import re
from pathlib import Path

import pytest

from interp.tasks.base import Problem
from interp.tasks.jsonl import JsonlTask
from interp.tasks.traces import annotate

DATA = Path(os.environ.get("INTERP_GSM8K", Path(__file__).parent.parent.parent / "shared" / "data" / "gsm8k"))
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no GSM8K at {DATA}")


def rows(name: str, every: int) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()[::every]]


def final(answer: str) -> str:
    return re.split(r"####|\nA:", answer)[-1].strip()


def test_the_verifier_agrees_with_every_flag_on_real_model_solutions():
    task = JsonlTask("unread.jsonl")
    for row in rows("model-solutions-600.jsonl", 1):
        problem = Problem("p", row["question"], final(row["ground_truth"]))
        for model in MODELS:
            verdict = task.verify(problem, row[model]["solution"])
            assert verdict.correct is row[model]["is_correct"], (row["question"], model, verdict.answer)


def test_no_wrong_solution_is_valid_and_most_right_ones_are():
    task = JsonlTask("unread.jsonl")
    valid = {True: [], False: []}
    for row in rows("model-solutions-600.jsonl", 3):
        problem = Problem("p", row["question"], final(row["ground_truth"]))
        for model in MODELS:
            flagged = row[model]
            valid[flagged["is_correct"]].append(task.verify(problem, flagged["solution"]).valid)
    assert set(valid[False]) == {False}
    assert valid[True].count(True) / len(valid[True]) > 0.85


@pytest.mark.parametrize("stripped", [False, True])
def test_nine_written_steps_in_ten_of_the_references_are_found_and_judged_and_hardly_any_is_false(stripped):
    lines = judged = false = 0
    for row in rows("train-2500.jsonl", 5):
        text = re.sub(r"<<.*?>>", "", row["answer"]) if stripped else row["answer"]
        steps = annotate(text, row["question"]).steps
        false += sum(step.holds is False for step in steps)
        for line in re.finditer(r"[^\n]+", text):
            if "=" in re.sub(r"<<.*?>>", "", line.group()):
                lines += 1
                judged += any(s.holds is not None and line.start() <= s.start < line.end() for s in steps)
    assert judged / lines > 0.93
    assert false / lines < 0.005


def test_every_reference_has_its_own_answer_right():
    task = JsonlTask("unread.jsonl")
    for row in rows("train-2500.jsonl", 5):
        assert task.verify(Problem("p", row["question"], final(row["answer"])), row["answer"]).correct
