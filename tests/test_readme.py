"""The README is run: its Python in one go, top to bottom, and its commands one by one."""

import json
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


def test_every_figure_that_is_quoted_is_in_a_result():
    """Of the README and the LOG: what a study found, as `value [low, high]`, and how a benchmark came out."""
    top = README.parent
    interval = re.compile(r"-?\d\.\d+\s+\[-?\d\.\d+, -?\d\.\d+\]")
    quotes = {
        "difficulty": ("## What the first study found", "difficulty"),
        "dictionary": ("### What the second study found", "dictionaries"),
        "roles": ("### What the third study found", "roles and the truth, asked again"),
        "features": ("### What the fourth study found", "what difficulty feeds, asked again"),
    }
    for study, (heading, entry) in quotes.items():
        result = (top / f"data/results/{study}/README.md").read_text()
        found = re.search(rf"^{heading}\n(.*?)^## ", README.read_text(), re.DOTALL | re.MULTILINE)
        logged = re.search(rf"^## [\d-]+: {entry}\n(.*?)^## ", (top / "LOG.md").read_text(), re.DOTALL | re.MULTILINE)
        assert found and logged
        for text in (found[1], logged[1]):
            quoted = [" ".join(match.split()) for match in interval.findall(text)]
            assert len(quoted) >= 8
            assert [figure for figure in quoted if figure not in result] == []


def test_every_ratio_that_is_quoted_is_a_benchmarks():
    top = README.parent
    ratio = json.loads((top / "benchmarks/results/grpo-step.json").read_text())["ratio"]
    assert f"makes {ratio:.2f}" in " ".join(README.read_text().split())
    assert f"{ratio:.2f} times" in (top / "LOG.md").read_text()
    raced = json.loads((top / "benchmarks/results/tsae.json").read_text())["settings"].values()
    for text in (README.read_text(), (top / "LOG.md").read_text()):
        for told in raced:
            assert str(told["ratio_on"]) in text and str(told["ratio_off"]) in text


def test_what_the_defaults_come_to_is_quoted_as_it_was_measured():
    defaults = json.loads((README.parent / "benchmarks/results/tsae-scale.json").read_text())["defaults"]
    assert {"d 64", "d 2048"} <= set(defaults)
    behind = max(told["batchtopk"]["fve"] - told["interp"]["fve"] for told in defaults.values())
    largest = {name: defaults["d 2048"][name]["fve"] for name in ("interp", "batchtopk")}
    readme, log = (" ".join((README.parent / name).read_text().split()) for name in ("README.md", "LOG.md"))
    assert f"explains at most {behind:.3f} less than a BatchTopK dictionary" in readme
    assert f"where at 2,048 {largest['interp']:.3f} is explained (BatchTopK {largest['batchtopk']:.3f})" in readme
    for told in defaults.values():
        steps = f"{told['steps']:,} of {told['default steps']:,}"
        assert f"| {steps} | {told['interp']['fve']:.4f} | {told['batchtopk']['fve']:.4f} |" in log
