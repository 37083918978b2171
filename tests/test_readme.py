"""The README is run: its Python in one go, top to bottom, and its commands one by one."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from interp import cli

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """Where the Python and the commands of the README are run, one after the other."""
    return tmp_path_factory.mktemp("workshop")


def test_the_python_of_the_readme_runs_from_top_to_bottom(workshop, monkeypatch, capsys):
    monkeypatch.chdir(workshop)
    names: dict[str, object] = {}
    assert len(blocks("python")) >= 5
    for block in blocks("python"):
        exec(compile(block, str(README), "exec"), names)
    out = capsys.readouterr().out
    assert "[(True, True), (False, True)]" in out and "True True steps" in out, "what its comments promise"
    assert names["hard"] is not None


@pytest.mark.parametrize("command", [line for block in blocks("bash") for line in block.splitlines()])
def test_every_command_of_the_readme_runs(command, workshop, monkeypatch, capsys):
    monkeypatch.chdir(workshop)
    words = shlex.split(command)
    assert words[0] == "interp"
    monkeypatch.setattr(sys, "argv", words)
    try:
        cli.main()
    except SystemExit as stop:
        assert not stop.code
    assert capsys.readouterr().out


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "".join(blocks("")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_room_of_the_map_is_there():
    for room in re.findall(r"^\| `(interp/[\w./]+|benchmarks/|LOG.md)`", README.read_text(), re.MULTILINE):
        assert (README.parent / room).exists(), room
