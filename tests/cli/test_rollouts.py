"""The commands `roll-out`, `bucket`, `evaluate` and `verify`."""

import json
import re
from dataclasses import replace

import pytest
from commands import refused, run, run_json, run_text

from interp.organism import shipped_path
from interp.rollouts import Buckets, Evaluation, Rollouts

EVALUATION = ("--problems", "2", "--levels", "2", "deep", "--group", "2", "--k", "1", "2")


def test_rollouts_are_saved_and_summarised_by_depth(monkeypatch, capsys, tmp_path):
    words = ("roll-out", "--level", "deep", "--problems", "3", "--group", "2", "--out", tmp_path / "r")
    result = run_json(monkeypatch, capsys, *words)
    assert result["rollouts"] == 6 == sum(row["rollouts"] for row in result["summary"])
    assert {row["depth"] for row in result["table"] if row["measure"] == "pass_rate"} == {8, 9}
    assert len(Rollouts.load(tmp_path / "r")) == 6


def test_options_of_the_chain_task_are_flags(monkeypatch, capsys):
    words = ("roll-out", "--problems", "4", "--group", "2", "--task.copy-rate", "1.0", "--level", "2")
    assert run_json(monkeypatch, capsys, *words)["rollouts"] == 8


def test_examples_are_coloured_only_if_colour_is_shown(monkeypatch, capsys):
    words = ("roll-out", "--problems", "6", "--group", "2")
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = run_text(monkeypatch, capsys, *words)
    assert "valid rate" in plain and "Examples:" in plain and "\x1b" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m" in run_text(monkeypatch, capsys, *words)


def test_existing_files_are_replaced_only_with_overwrite(monkeypatch, capsys, tmp_path):
    words = ("roll-out", "--problems", "2", "--group", "2", "--out", tmp_path / "r")
    assert run(monkeypatch, *words) == 0
    assert "exists already" in refused(monkeypatch, capsys, *words)
    assert run(monkeypatch, *words, "--overwrite") == 0


def test_a_directory_of_other_files_is_kept_before_any_work_even_with_overwrite(monkeypatch, capsys, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "precious").touch()
    monkeypatch.setattr("interp.rollouts.roll_out", None)
    words = ("roll-out", "--problems", "2", "--group", "2", "--out", tmp_path / "r", "--overwrite")
    assert "got other files in it (precious)" in refused(monkeypatch, capsys, *words)
    assert (tmp_path / "r" / "precious").exists()


def test_problems_are_bucketed_and_saved(monkeypatch, capsys, tmp_path):
    words = ("bucket", "--problems", "4", "--n", "8", "--out", tmp_path / "b")
    text = run_text(monkeypatch, capsys, *words)
    assert "unambiguous" in text and "hard@8" in text and f"Saved in {tmp_path / 'b'}" in text
    result = run_json(monkeypatch, capsys, *words, "--overwrite")
    assert len(result["table"]) == 4 == sum(row["problems"] for row in result["summary"])
    assert len(Buckets.load(tmp_path / "b")) == 4


def test_the_completions_that_measured_the_buckets_are_saved_on_request(monkeypatch, capsys, tmp_path):
    words = ("bucket", "--problems", "2", "--n", "8", "--out", tmp_path / "b", "--rollouts", tmp_path / "r")
    run_json(monkeypatch, capsys, *words)
    rows, buckets = Rollouts.load(tmp_path / "r").rows, Buckets.load(tmp_path / "b")
    assert [sum(row.correct for row in rows[i : i + 8]) for i in (0, 8)] == [row.successes for row in buckets]
    assert buckets.rollouts is None
    assert "r exists already" in refused(monkeypatch, capsys, *words[:-3], tmp_path / "b2", *words[-2:])


def test_right_numbers_that_are_not_announced_are_counted_with_advice(monkeypatch, capsys, tmp_path):
    import interp.rollouts

    real = interp.rollouts.roll_out

    def with_one_unannounced(*args, **kwargs):
        rollouts = real(*args, **kwargs)
        rollouts.rows[0] = replace(rollouts.rows[0], format="unannounced")
        return rollouts

    monkeypatch.setattr(interp.rollouts, "roll_out", with_one_unannounced)
    text = run_text(monkeypatch, capsys, "roll-out", "--problems", "2", "--group", "2")
    assert "1 of 4 rollouts end in the right number and announce no answer" in " ".join(text.split())
    assert "right number, not announced:" in text


def test_an_evaluation_is_shown_by_level_and_step_and_saved(monkeypatch, capsys, tmp_path):
    for step in (10, 20):
        (tmp_path / "run" / f"checkpoint-{step}").parent.mkdir(exist_ok=True)
        (tmp_path / "run" / f"checkpoint-{step}").symlink_to(shipped_path())
    words = ("evaluate", "--series", tmp_path / "run", "--base", shipped_path(), *EVALUATION, "--out", tmp_path / "e")
    text = run_text(monkeypatch, capsys, *words)
    assert re.findall(r"^(\w+) +(\d+) ", text, re.MULTILINE) == [
        (group, step) for group in ("shallow", "deep", "all") for step in ("0", "10", "20")
    ]
    assert "valid at 2" in text and "Step 20: " in text and "every step true" in text
    assert Evaluation.load(tmp_path / "e").steps == (0, 10, 20)


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ((), ["0"]),
        (("--policy", shipped_path()), ["0"]),
        (("--checkpoints", shipped_path(), shipped_path()), ["0", "1"]),
    ],
)
def test_an_evaluation_takes_one_policy_or_a_list(monkeypatch, capsys, words, steps):
    result = run_json(monkeypatch, capsys, "evaluate", *words, *EVALUATION)
    assert list(result["policies"]) == steps == [str(row["step"]) for row in result["summary"]]
    rows = [row for row in result["table"] if (row["by"], row["measure"]) == ("all", "pass_rate")]
    assert [row["n"] for row in rows] == [8] * len(steps)


def test_verify_exits_with_1_and_names_the_case_that_failed(monkeypatch, capsys, tmp_path):
    case = {"case": "wrong", "prompt": "1 + 1 ?", "answer": "2", "completion": "# 2", "expect": {"correct": False}}
    (tmp_path / "chain.jsonl").write_text(json.dumps(case))
    assert run(monkeypatch, "verify", tmp_path / "chain.jsonl") == 1
    assert "wrong: expected {'correct': False}, got {'correct': True}" in capsys.readouterr().out
