"""The generated task of a run or an organism, from the entry of its manifest."""

from collections.abc import Mapping
from typing import Any

from interp.artifacts import from_json
from interp.tasks.chain.task import Chain
from interp.tasks.chain.task import task_from_manifest as chain_from_manifest
from interp.tasks.words.task import Words


def task_from_manifest(entry: Mapping[str, Any] | None) -> Chain | Words | None:
    """The chain or words task of a run. None for any other task: those depend on files or packages, so the user must
    pass them again."""
    if entry and entry.get("kind") == Words.__name__:
        return from_json(Words, entry["settings"])
    return chain_from_manifest(entry)
