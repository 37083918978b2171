"""README and guide are run: their Python from top to bottom, their commands one by one, in the order they are read.

They are run as users have them: without the checks of shapes at every call that other tests make.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import peft
import pytest
from gguf_fixtures import random_model, write_gguf

from interp import cli
from interp.policy import Policy
from interp.policy.gguf import import_gguf

ROOT = Path(__file__).parent.parent
GUIDE = [
    "organism",
    "training",
    "credit",
    "activations",
    "dictionaries",
    "roles",
    "tracking",
    "dashboard",
    "own-data",
    "policies",
    "artifacts",
]
LESS = {
    'task.problems("train", None, 40)': 'task.problems("train", None, 20)',
    "steps=4, prompts=16, save_every=2": "steps=2, prompts=4, save_every=1",
    "tokens=30_000": "tokens=6_000",
    "tokens=20_000": "tokens=6_000",
    "width=512": "width=128",
    "steps=250": "steps=40",
    "RolesConfig(problems=24": "RolesConfig(problems=12",
    "TrackConfig(problems=12)": "TrackConfig(problems=8)",
    "CompareConfig(problems=12)": "CompareConfig(problems=8)",
}
"""Numbers of the pages, each with the smaller one that is run here: what takes a minute proves no more."""
PAGES = [ROOT / "README.md", *(ROOT / "docs" / "guide" / f"{name}.md" for name in GUIDE)]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language; "" is for blocks without one."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == language]


def commands() -> list[str]:
    return [line for page in PAGES for block in blocks(page, "bash") for line in block.splitlines()]


def with_less(text: str) -> str:
    for number, smaller in LESS.items():
        text = text.replace(number, smaller)
    return text


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """The directory in which all pages are run, one after the other, with what a user brings along: small stand-ins."""
    place = tmp_path_factory.mktemp("workshop")
    write_gguf(place / "smollm2.gguf", random_model("llama"), chat=True)
    import_gguf(place / "smollm2.gguf", place / "base")
    adapters = peft.get_peft_model(Policy.load(place / "base").model, peft.LoraConfig(r=2, target_modules="all-linear"))
    adapters.peft_config["default"].base_model_name_or_path = "org/smollm2"
    adapters.save_pretrained(place / "lora" / "checkpoint-4", save_embedding_layers=False)  # else it asks the hub
    problems = [{"id": f"{n}", "prompt": f"{n} + 1 =", "answer": f"{n + 1}", "split": "eval"} for n in range(4)]
    (place / "sums.jsonl").write_text("\n".join(map(json.dumps, problems)))
    return place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, workshop, monkeypatch, capsys, without_type_checks):
    monkeypatch.chdir(workshop)
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(with_less(block), str(page), "exec"), names)
    if page.stem == "own-data":
        out = capsys.readouterr().out
        assert "True True steps" in out and "[(True, True), (False, True)]" in out, "what its comments promise"
    assert "interp" in names


@pytest.mark.parametrize("number", LESS)
def test_a_number_that_is_made_smaller_is_on_a_page(number):
    assert any(number in page.read_text() for page in PAGES)


def expect_to_run(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command of a page as it stands: it ends well and says something."""
    words = shlex.split(command)
    assert words[0] == "interp"
    monkeypatch.setattr(sys, "argv", words)
    try:
        cli.main()
    except SystemExit as stop:
        assert not stop.code, capsys.readouterr().err
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_pages_runs(command, workshop, monkeypatch, capsys, without_type_checks):
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
