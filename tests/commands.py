"""Run a command of `interp` in this process, as a user types it."""

import json
import sys
import warnings
from typing import Any

import pytest

from interp import cli

COMMANDS = {
    ("demo",): cli.Demo,
    ("check",): cli.Check,
    ("organism", "build"): cli.Build,
    ("organism", "card"): cli.Card,
    ("import-gguf",): cli.ImportGguf,
    ("roll-out",): cli.RollOut,
    ("bucket",): cli.Bucket,
    ("evaluate",): cli.Evaluate,
    ("verify",): cli.Verify,
    ("grpo",): cli.Grpo,
    ("collect",): cli.Collect,
    ("tsae",): cli.FitTsae,
    ("tsae-eval",): cli.EvalTsae,
    ("roles",): cli.EarnRoles,
    ("readout",): cli.FitReadout,
    ("track",): cli.Track,
    ("compare",): cli.Compare,
    ("dashboard",): cli.Dashboard,
    **{("study", name): args for name, args in cli.STUDY_ARGS.items()},
}
"""Each command, with the dataclass whose fields are its flags."""


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit code of `interp WORDS`."""
    monkeypatch.setattr(sys, "argv", ["interp", *map(str, words)])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main sets it; this restores it afterwards
    monkeypatch.setenv("TQDM_MININTERVAL", "10")
    try:
        cli.main()
    except SystemExit as stop:
        return int(str(stop.code or 0))
    return 0


def run_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What `interp WORDS --json` prints, which must be one JSON object and nothing else."""
    capsys.readouterr()
    assert run(monkeypatch, *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def run_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What `interp WORDS` prints for people."""
    capsys.readouterr()
    assert run(monkeypatch, *words) == 0
    return capsys.readouterr().out


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The error of `interp WORDS`, which must be one line and exit code 2."""
    capsys.readouterr()
    assert run(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("interp: ") and error.count("\n") == 1
    return error
