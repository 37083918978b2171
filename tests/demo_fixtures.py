"""A tiny demo from end to end: run, stopped at a call, and what it has saved."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import run

STOPS = {"interp.grpo.train": 2, "interp.features.earn_roles": 1}
"""The functions in which the demo is stopped, in order, each with the number of the call that is stopped."""


@dataclass(frozen=True)
class Output:
    code: int
    text: str


@dataclass(frozen=True)
class TinyDemo:
    out: Path
    stops: tuple[tuple[Output, dict[Path, int]], ...]
    """Output and saved files after each stop."""
    last: Output
    """Output of the call that finished."""


def run_tiny(out: Path, *words: str) -> Output:
    """The demo with the preset `tiny`."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
        code = run(patch, "demo", "--preset", "tiny", "--out", str(out), *words)
    return Output(code, output.getvalue())


def saved_files(out: Path) -> dict[Path, int]:
    """Time of change of every file that takes long to make."""
    kinds = ("safetensors", "parquet", "json")
    return {path: path.stat().st_mtime_ns for kind in kinds for path in out.rglob(f"*.{kind}")}


def stopped_at(call: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, stopped by the user when it is called for the `call`-th time."""
    calls = []

    def wrapper(*args: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*args, **options)

    return wrapper
