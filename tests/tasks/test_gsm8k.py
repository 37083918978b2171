"""The text verifier on real solutions of GSM8K. Skipped without the data, which is not part of the repository."""

import os
import sys
from pathlib import Path

import pytest

from interp.tasks.base import Problem
from interp.tasks.text.verdicts import verify_text

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from gsm8k_traces import MODELS, final, measure, read

DATA = Path(os.environ.get("INTERP_GSM8K", Path(__file__).parents[3] / "shared" / "data" / "gsm8k"))
REFERENCES, SOLUTIONS = DATA / "train-2500.jsonl", DATA / "model-solutions-600.jsonl"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no GSM8K at {DATA}")


def test_the_verifier_agrees_with_every_correctness_flag_of_real_model_solutions():
    for row in read(SOLUTIONS):
        problem = Problem("p", row["question"], final(row["ground_truth"]))
        for model in MODELS:
            verdict = verify_text(problem, row[model]["solution"])
            assert verdict.correct is row[model]["is_correct"], (row["question"], model, verdict.answer)


def test_no_wrong_solution_is_valid_and_most_correct_ones_are():
    valid = {True: [], False: []}
    for row in read(SOLUTIONS)[::3]:
        problem = Problem("p", row["question"], final(row["ground_truth"]))
        for model in MODELS:
            solution = row[model]
            valid[solution["is_correct"]].append(verify_text(problem, solution["solution"]).valid)
    assert set(valid[False]) == {False}
    assert valid[True].count(True) / len(valid[True]) > 0.85


@pytest.mark.parametrize("stripped", [False, True])
def test_nine_in_ten_reference_steps_are_found_and_hardly_any_is_judged_false(stripped):
    counts = measure([(row["question"], row["answer"]) for row in read(REFERENCES)[::5]], stripped=stripped)
    assert counts["lines_judged"] / counts["lines"] > 0.93
    assert counts["holds False"] / counts["lines"] < 0.005


def test_every_reference_solution_is_correct():
    for row in read(REFERENCES)[::5]:
        assert verify_text(Problem("p", row["question"], final(row["answer"])), row["answer"]).correct
