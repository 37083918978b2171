"""Base organisms: models trained on a task whose steps can be checked, before any reward. Two are shipped with the
package: one of the chain task, one of the words task.

config        the recipe: task, habits, size
tokenizers    the tokenizers of new organisms
training      `build`: train an organism by a recipe and save it; a words organism may start from a pretrained model
card          `measure`: its behaviour
requirements  what a base must be
"""

from pathlib import Path
from typing import TYPE_CHECKING

from interp.artifacts import MANIFEST, BadInput, is_kind, own_manifest, package_data, reading
from interp.lazy import lazy_exports
from interp.organism.config import (
    KIND,
    HabitMix,
    ModelShape,
    OrganismConfig,
    OrganismKind,
    read_config,
    words_recipe,
)
from interp.tasks import Chain, JsonlTask, Task, Words
from interp.tasks.reopening import reopen_task

if TYPE_CHECKING:
    from interp.organism.card import OrganismCard, measure
    from interp.organism.training import build, update_card

__all__ = [
    "HabitMix",
    "ModelShape",
    "OrganismCard",
    "OrganismConfig",
    "build",
    "load_task",
    "load_task_or_default",
    "measure",
    "shipped_path",
    "update_card",
    "words_recipe",
]


def shipped_path(kind: OrganismKind = "chain") -> Path:
    """Directory of the organism of this kind that is shipped with the package."""
    return package_data({"chain": "organism", "words": "organism-words"}[kind])


def load_task(path: str | Path) -> Chain | Words:
    """The task that an organism was trained on, with all its options."""
    return read_config(path).chosen_task


def load_task_or_default(path: str | Path) -> Task:
    """The task of an organism, or of a checkpoint of a run. The default chain task for any other policy."""
    if is_kind(path, KIND):
        return load_task(path)
    file = Path(path) / MANIFEST
    manifest = own_manifest(path) or {}
    with reading(file, "a manifest with the task of its run"):
        task = reopen_task(manifest)
        if task is None and (manifest.get("task") or {}).get("kind") == JsonlTask.__name__:
            raise BadInput(
                f"{path}: its run was trained on a file of problems and does not say where: pass it (--jsonl)"
            )
        return task or Chain()


__getattr__ = lazy_exports(
    __name__,
    {
        "OrganismCard": "interp.organism.card",
        "measure": "interp.organism.card",
        "build": "interp.organism.training",
        "update_card": "interp.organism.training",
    },
)
