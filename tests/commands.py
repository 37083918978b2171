"""Commands as a user gives them, in this process."""

import sys

import pytest

from interp import cli


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """What `interp` ends with."""
    monkeypatch.setattr(sys, "argv", ["interp", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(str(stop.code or 0))
    return 0
