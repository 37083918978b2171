"""The base organism: where the shipped one lies, and how another is raised."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from interp.artifacts import MANIFEST, from_json, is_kind, package_data, read_manifest
from interp.organism.config import KIND, Habits, OrganismConfig, Shape
from interp.tasks import Chain
from interp.tasks.chain.task import revived

if TYPE_CHECKING:
    from interp.policy import Policy

__all__ = ["Habits", "OrganismConfig", "Shape", "build", "renew_card", "shipped", "task_for", "task_of"]


def shipped() -> Path:
    """The directory of the organism that comes with the package."""
    return package_data("organism")


def task_of(path: str | Path) -> Chain:
    """The world an organism was raised in, with every knob as it was."""
    return from_json(OrganismConfig, read_manifest(path, KIND)["config"]).task


def task_for(path: str | Path) -> Chain:
    """The world of an organism or of a checkpoint trained from one; the default one for any other policy."""
    if is_kind(path, KIND):
        return task_of(path)
    told = json.loads(file.read_text()).get("world") if (file := Path(path) / MANIFEST).exists() else None
    return revived(told) or Chain()


def build(config: OrganismConfig, out: str | Path, *, overwrite: bool = False) -> "Policy":
    """Raise an organism and save it, with its card, as a Hugging Face directory."""
    from interp.organism.training import raise_organism

    return raise_organism(config, out, overwrite=overwrite)


def renew_card(path: str | Path) -> None:
    """Measure an organism again and write its card anew."""
    from interp.organism.training import renew_card

    renew_card(Path(path))
