"""Groups of flags: which problems are taken from a task, and which preset a dictionary's flags start from."""

import json
import sys

import pytest
from commands import refused, run_json

from interp.cli.args import preset_on_command_line


@pytest.fixture
def roll_out(new_policy, tmp_path):
    """Words of a command for a tiny policy on problems of a file, with a function that writes the file."""
    new_policy().save(tmp_path / "policy")
    problems = tmp_path / "problems.jsonl"
    words = ("roll-out", "--jsonl", problems, "--policy", tmp_path / "policy", "--group", "2", "--max-new-tokens", "4")
    return words, lambda *lines: problems.write_text("\n".join(lines))


def test_bad_lines_are_refused_or_skipped_and_listed(monkeypatch, capsys, roll_out):
    words, write = roll_out
    write('{"id": "a", "prompt": "1 + 1 =", "answer": "2"}', "{not json", '{"id": "b"}')
    assert "line 2" in refused(monkeypatch, capsys, *words)
    result = run_json(monkeypatch, capsys, *words, "--skip-bad")
    assert [row["line"] for row in result["skipped"]] == [2, 3] and result["rollouts"] == 2


def test_all_problems_of_a_file_are_used_unless_fewer_are_asked_for(monkeypatch, capsys, roll_out):
    words, write = roll_out
    write(*(json.dumps({"id": str(i), "prompt": f"{i} + 1 =", "answer": str(i + 1)}) for i in range(7)))
    assert run_json(monkeypatch, capsys, *words)["rollouts"] == 14
    assert run_json(monkeypatch, capsys, *words, "--problems", "3")["rollouts"] == 6
    assert "expected 8 such problems or more, got 7" in refused(monkeypatch, capsys, *words, "--problems", "8")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), "interp"),
        (("--preset", "paper"), "paper"),
        (("--preset=released",), "released"),
        (("--preset", "x"), "interp"),
    ],
)
def test_the_preset_is_read_from_the_command_line(monkeypatch, words, name):
    monkeypatch.setattr(sys, "argv", ["interp", "tsae", *words])
    assert preset_on_command_line() == name
