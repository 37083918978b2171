"""The attack on flags reads each flag with its kind, default and range from help, and judges how a case ended."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
from commands import COMMANDS, run

from attack.flags import Case, Flag, Sandbox, flags_in, hostile_values, judge
from attack.outcome import HANG, LOST, REFUSED, SILENT, TRACEBACK, WHOLE
from attack.processes import Ending


def value_flags(config: type) -> int:
    """Number of fields of a config, and of those inside it, that are flags with a value."""
    count = 0
    for hint in typing.get_type_hints(config).values():
        if dataclasses.is_dataclass(hint):
            count += value_flags(hint)  # pyright: ignore[reportArgumentType]
        else:
            count += hint is not bool and typing.get_origin(hint) is not typing.ClassVar
    return count


@pytest.mark.parametrize("words", [("grpo",), ("track",), ("organism", "build"), ("study", "dictionary")], ids=" ".join)
def test_every_flag_with_a_value_is_read_from_help(monkeypatch, capsys, words):
    monkeypatch.setenv("COLUMNS", "100")
    assert run(monkeypatch, *words, "--help") == 0
    flags = flags_in(capsys.readouterr().out)
    assert len(flags) == value_flags(COMMANDS[words]) and len({flag.name for flag in flags}) == len(flags)


def test_a_flag_has_its_kind_its_default_and_the_ends_of_its_range():
    text = """
╭─ options ────────────────────────╮
│ --json, --no-json    Print. (default: False)                       │
│ --rate FLOAT         Over several lines, with --json and [0   │
│                      to 1] (default: 0.5)   │
│ --seed INT           A seed. [0 to 2^63 - 1] (default: 0)    │
│ --share {None}|FLOAT                    │
│                      Half open. [above 0, below 1,000] (default: None)    │
╰──────────────────────────────────╯
│ --out PATH           A place. (required)                              │
"""
    assert (
        flags_in(text)
        == flags_in(text.replace("│", " "))
        == [
            Flag("--rate", "FLOAT", "0.5", ("0", "1")),
            Flag("--seed", "INT", "0", ("0", str(2**63 - 1))),
            Flag("--share", "{None}|FLOAT", "None", ("0", "1000")),
            Flag("--out", "PATH", "", ()),
        ]
    )


@pytest.fixture
def sandbox(tmp_path) -> Sandbox:
    (tmp_path / "source" / "run").mkdir(parents=True)
    (tmp_path / "source" / "run" / "weights").write_text("weights")
    return Sandbox(tmp_path / "source", tmp_path / "sandbox")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("INT", ("nan",)),
        ("{None}|FLOAT", ("1e308",)),
        ("INT INT", ("-1", "-1")),
        ("[INT [INT ...]]", ()),
        ("{a,b}", ("none of these",)),
        ("STR", ("\u202eevil",)),
        ("{None}|PATH", ("/dev/null",)),
    ],
)
def test_values_fit_what_a_flag_takes(sandbox, kind, value):
    assert value in hostile_values(Flag("--flag", kind), sandbox)


NUMBER = Case(("grpo", "--lr", "nan"), ("--lr", "nan"), is_number=True, is_above_default=False)


@pytest.mark.parametrize(
    ("ending", "changes", "expected"),
    [
        (Ending(2, output="interp: lr must"), {}, REFUSED),
        (Ending(0), {}, SILENT),
        (Ending(0), {"hostile": ("--lr", "0")}, WHOLE),
        (Ending(None), {}, HANG),
        (Ending(None), {"is_above_default": True}, WHOLE),
        (Ending(1, error="KeyError", message="x"), {}, TRACEBACK),
        (Ending(-11), {}, TRACEBACK),
        (Ending(2, output="Traceback (most recent call last):"), {}, TRACEBACK),
    ],
)
def test_an_ending_is_judged_by_its_code_and_by_what_was_asked(sandbox, ending, changes: dict[str, Any], expected):
    assert judge(dataclasses.replace(NUMBER, **changes), ending, sandbox)[0] == expected


def test_an_input_that_was_changed_is_lost_and_a_new_file_beside_it_is_not(sandbox, tmp_path):
    (tmp_path / "sandbox" / "inputs" / "run" / "new").write_text("beside")
    assert judge(NUMBER, Ending(2), sandbox)[0] == REFUSED
    weights = tmp_path / "sandbox" / "inputs" / "run" / "weights"
    weights.write_text("other weights")
    assert judge(NUMBER, Ending(2), sandbox) == (LOST, "changed: ['run/weights'], exit 2: ")
    sandbox.reset()
    assert weights.read_text() == "weights" and not Path(weights.parent, "new").exists()
