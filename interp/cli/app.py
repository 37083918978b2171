"""What the commands share: the application they hang on, how their flags are made, how they speak."""

import json
import sys
from typing import Any

import tyro

from interp.artifacts import to_json
from interp.tasks import Task

Flat = tyro.conf.arg(name="", prefix_name=False)
FlatThroughout = tyro.conf.OmitArgPrefixes
app = tyro.extras.SubcommandApp()
organism_app = tyro.extras.SubcommandApp()
study_app = tyro.extras.SubcommandApp()
app.command(organism_app, name="organism", help="Raise a base organism, or measure one again.")
app.command(study_app, name="study", help="A claim of the literature as an experiment, with its controls.")


def say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


def say_json(value: Any) -> None:
    say(json.dumps(to_json(value), ensure_ascii=False, allow_nan=False))


def warn_of_skipped(task: Task) -> list[dict[str, Any]]:
    skipped = to_json(getattr(task, "skipped", ()))
    if skipped:
        listed = [f"  line {row['line']}: {row['reason']}" for row in skipped]
        sys.stderr.write("\n".join([f"interp: {len(skipped)} lines skipped", *listed]) + "\n")
    return skipped
