"""The tables of adversarial completions, and the program that runs them."""

import json

import pytest

from interp.artifacts import BadInput
from interp.tasks.adversarial import run_case, run_case_table, shipped_case_tables

COMMITTED = {"chain", "gym", "math", "math_right", "math_wrong", "traces", "words"}
CASE = {"case": "x", "prompt": "3 + 4 ?", "answer": "7", "completion": "A: 7", "expect": {"correct": True}}


@pytest.mark.parametrize("table", shipped_case_tables(), ids=lambda path: path.stem)
def test_every_adversarial_case_gets_the_expected_verdict(table):
    results = run_case_table(table)
    assert len({result.case for result in results}) == len(results) >= (40 if table.stem in COMMITTED else 1)
    assert [result for result in results if not result.passed] == []


def test_the_text_verifier_is_tried_on_three_hundred_wrong_answers_and_half_as_many_right_ones():
    for table, correct, fewest in (("math_wrong", False, 300), ("math_right", True, 150)):
        path = next(path for path in shipped_case_tables() if path.stem == table)
        cases = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        assert len({(case["answer"], case["completion"]) for case in cases}) >= fewest
        assert all(case["expect"] == {"correct": correct} for case in cases)


def test_a_case_with_another_verdict_than_expected_fails():
    case = {"case": "x", "prompt": "3 + 4 * 2 ?", "answer": "4", "completion": "# 4", "expect": {"correct": False}}
    result = run_case("chain", case)
    assert not result.passed and result.verdict == {"correct": True}


def test_the_table_of_reasoning_gym_is_left_out_if_it_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    everything = {table.stem for table in shipped_case_tables()}
    assert everything >= COMMITTED
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert {table.stem for table in shipped_case_tables()} == everything - {"gym"}


def test_a_table_that_is_absent_or_names_no_verifier_is_refused(tmp_path):
    with pytest.raises(BadInput, match="expected a table of cases, got no such file"):
        run_case_table(tmp_path / "chain.jsonl")
    (tmp_path / "math_mine.jsonl").write_text(json.dumps(CASE))
    assert [(result.table, result.passed) for result in run_case_table(tmp_path / "math_mine.jsonl")] == [
        ("math_mine", True)
    ]
    (tmp_path / "poems.jsonl").write_text(json.dumps({}))
    with pytest.raises(BadInput, match="named for its verifier.*got 'poems'"):
        run_case_table(tmp_path / "poems.jsonl")
