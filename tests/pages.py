"""The pages that users read, and how their Python and their commands are run: from top to bottom, in one directory.

They are run as users have them: without the checks of shapes at every call that other tests make.
"""

import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import peft
import pytest
from gguf_fixtures import random_model, write_gguf

from interp import cli
from interp.policy import Policy
from interp.policy.gguf import import_gguf

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
GUIDE = [
    "organism",
    "training",
    "credit",
    "monitors",
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
    "ReadoutConfig(problems=12, test_problems=4)": "ReadoutConfig(problems=6, test_problems=1)",
    "tokens=30_000": "tokens=6_000",
    "tokens=20_000": "tokens=6_000",
    "width=512": "width=128",
    "steps=250": "steps=40",
    "RolesConfig(problems=24": "RolesConfig(problems=12",
    "TrackConfig(problems=12)": "TrackConfig(problems=8)",
    "CompareConfig(problems=12)": "CompareConfig(problems=8)",
}
"""Numbers of the pages, each with the smaller one that is run here: what takes a minute proves no more."""
PAGES = [README, *(ROOT / "docs" / "guide" / f"{name}.md" for name in GUIDE)]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language; "" is for blocks without one."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == language]


def commands(pages: Sequence[Path]) -> list[str]:
    return [line for page in pages for block in blocks(page, "bash") for line in block.splitlines()]


def with_less(text: str) -> str:
    for number, smaller in LESS.items():
        text = text.replace(number, smaller)
    return text


def make_workshop(place: Path) -> Path:
    """Put what a user brings along into the directory in which pages are run: small stand-ins."""
    write_gguf(place / "smollm2.gguf", random_model("llama"), chat=True)
    import_gguf(place / "smollm2.gguf", place / "base")
    adapters = peft.get_peft_model(Policy.load(place / "base").model, peft.LoraConfig(r=2, target_modules="all-linear"))
    adapters.peft_config["default"].base_model_name_or_path = "org/smollm2"
    adapters.save_pretrained(place / "lora" / "checkpoint-4", save_embedding_layers=False)  # else it asks the hub
    problems = [{"id": f"{n}", "prompt": f"{n} + 1 =", "answer": f"{n + 1}", "split": "eval"} for n in range(4)]
    (place / "sums.jsonl").write_text("\n".join(map(json.dumps, problems)))
    return place


def run_python(page: Path) -> dict[str, object]:
    """Run the Python of a page from top to bottom, and return its names."""
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(with_less(block), str(page), "exec"), names)
    return names


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
