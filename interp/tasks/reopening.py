"""The task of a run, opened again from the run's manifest.

The manifest has the settings of the task, and of a file of problems the place too (`task_source`). A file that is gone,
or has other problems than the run was trained on, is refused: by the task's fingerprint.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput, Mismatch, from_json, same_fingerprint, to_json
from interp.tasks.base import Task
from interp.tasks.chain import Chain
from interp.tasks.gym import GymTask
from interp.tasks.jsonl import JsonlTask
from interp.tasks.words import Words

SOURCE = "task_source"
KINDS: dict[str, type] = {kind.__name__: kind for kind in (Chain, Words, GymTask, JsonlTask)}


def source_of(task: Task) -> dict[str, Any] | None:
    """Where the problems of a file are, with all settings of the task. None for a task without a file."""
    if not isinstance(task, JsonlTask):
        return None
    return {"kind": JsonlTask.__name__, "settings": to_json(task) | {"path": str(Path(task.path).absolute())}}


def reopen_task(manifest: Mapping[str, Any]) -> Task | None:
    """The task in the manifest of a run or of one of its checkpoints. None for a task of the user's own class, and for
    a file of problems in a run that does not say where it was."""
    entry = manifest.get(SOURCE) or manifest.get("task") or manifest.get("world")  # older manifests say `world`
    if not entry or entry.get("kind") not in KINDS or (entry["kind"] == JsonlTask.__name__ and SOURCE not in manifest):
        return None
    try:
        task: Any = from_json(KINDS[entry["kind"]], entry["settings"])
    except TypeError as error:
        raise BadInput(f"expected the settings of a {entry['kind']} in the manifest, got others ({error})") from error
    if isinstance(task, JsonlTask):
        _expect_same_problems(task, (manifest.get("made_from") or {}).get("task"))
    return task


def _expect_same_problems(task: JsonlTask, recorded: str | None) -> None:
    remedy = "put the file back, or pass the problems anew: JsonlTask(path), --jsonl"
    if not Path(task.path).is_file():
        raise BadInput(f"{task.path}: expected the problems that the run was trained on, got nothing there: {remedy}")
    if not same_fingerprint(recorded, got := task.fingerprint()):
        raise Mismatch(
            f"{task.path}: expected the problems that the run was trained on, {recorded}, got others, {got}: {remedy}"
        )
