"""The guide page on your own checkpoints runs as it stands, on a tiny model; `make test-real` runs it on a real one."""

from pathlib import Path

import pytest
from pages import ROOT, blocks, expect_to_run
from real_fixtures import link_model, write_problems

PAGE = ROOT / "docs" / "guide" / "own-checkpoints.md"
COMMANDS = [line for block in blocks(PAGE, "bash") for line in block.splitlines()]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("own")
    link_model(place / "my-model")
    write_problems(place / "gsm8k.jsonl")
    return place


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[1])
def test_each_command_of_the_page_runs_after_the_others(command, workshop, monkeypatch, capsys):
    monkeypatch.chdir(workshop)
    expect_to_run(command, monkeypatch, capsys)


def test_the_python_of_the_page_runs(workshop, monkeypatch):
    monkeypatch.chdir(workshop)
    names: dict[str, object] = {}
    for block in blocks(PAGE, "python"):
        exec(compile(block, str(PAGE), "exec"), names)
    rollouts = names["rollouts"]
    assert len(rollouts) == 4 and all("\n\n" not in row.completion for row in rollouts)  # type: ignore[arg-type, attr-defined]
