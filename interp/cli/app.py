"""What all commands share: the application, how flags are made from fields, and how results are printed."""

import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from interp.artifacts import MANIFEST, BadInput, to_json
from interp.checks import expect_plausible
from interp.tasks import Task

Flat = tyro.conf.arg(name="", prefix_name=False)
"""The flags of this field have no prefix."""
FlatThroughout = tyro.conf.OmitArgPrefixes
"""Nor have those of the fields inside it."""
WIDTH = 100
"""Columns of explanations."""
app = tyro.extras.SubcommandApp()
organism_app = tyro.extras.SubcommandApp()
study_app = tyro.extras.SubcommandApp()
app.command(organism_app, name="organism", help="Train a base organism, or measure one again.")
app.command(study_app, name="study", help="Test claims of the literature as experiments with controls.")


@dataclass(frozen=True)
class Args:
    """Flags. Each is refused by its name if it has the wrong type or lies out of its range."""

    def __post_init__(self) -> None:
        expect_plausible(self)


def expect_no_artifact(out: Path) -> None:
    """Refuse a directory that holds an artifact, as the place of results that lie in one without a manifest."""
    if (out / MANIFEST).exists():
        raise BadInput(f"{out}: expected a directory of its own, got an artifact: name another --out")


def say(*parts: str) -> None:
    sys.stdout.write("\n".join(parts) + "\n")


def explain(text: str, *table: str) -> None:
    """Say wrapped sentences below a blank line, and below them the table they explain."""
    say("", textwrap.fill(text, WIDTH), *(part for one in table for part in ("", one)))


def say_json(value: Any) -> None:
    say(json.dumps(to_json(value), ensure_ascii=False, allow_nan=False))


def say_saved(path: Path | None) -> None:
    """Say where a result was saved, if it was."""
    if path is not None:
        say("", f"Saved in {path}")


def report_skipped(task: Task) -> list[dict[str, Any]]:
    """Lines of a task's file that were left out, named on stderr and returned as plain values."""
    skipped = to_json(task.skipped)
    if skipped:
        lines = [f"  line {row['line']}: {row['reason']}" for row in skipped]
        sys.stderr.write("\n".join([f"interp: {len(skipped)} lines skipped", *lines]) + "\n")
    return skipped
