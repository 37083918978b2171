"""README is run: its Python from top to bottom, its commands one by one. The guide is run by `make test-notebooks`."""

import re
import subprocess
import sys

import pytest
from pages import LESS, PAGES, README, ROOT, blocks, commands, expect_to_run, make_workshop, run_python


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return make_workshop(tmp_path_factory.mktemp("workshop"))


def test_the_python_of_the_readme_runs_from_top_to_bottom(workshop, monkeypatch, without_type_checks):
    monkeypatch.chdir(workshop)
    assert "interp" in run_python(README)


@pytest.mark.parametrize("number", LESS)
def test_a_number_that_is_made_smaller_is_on_a_page(number):
    assert any(number in page.read_text() for page in PAGES)


@pytest.mark.parametrize("command", commands([README]))
def test_every_command_of_the_readme_runs(command, workshop, monkeypatch, capsys, without_type_checks):
    monkeypatch.chdir(workshop)
    expect_to_run(command, monkeypatch, capsys)


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", "".join(blocks(ROOT / "README.md", "")), re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_folder_of_the_file_tree_exists():
    tree = next(block for block in blocks(ROOT / "README.md", "") if block.startswith("interp/"))
    rooms = re.findall(r"^  (\w+)/", tree, re.MULTILINE)
    assert len(rooms) >= 12
    for room in rooms:
        assert (ROOT / "interp" / room).is_dir(), room
    packages = {path.parent.name for path in (ROOT / "interp").glob("*/__init__.py")}
    assert packages - set(re.findall(r"(\w+)/", tree)) <= {"artifacts"}


def test_the_numbers_of_readme_and_findings_are_those_of_the_results():
    made = subprocess.run([sys.executable, "docs/fill.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
