"""The base organism: where the shipped one lies, and how another is raised."""

from pathlib import Path
from typing import TYPE_CHECKING

from interp.artifacts import from_json, packaged, read_manifest
from interp.organism.config import Habits, OrganismConfig, Shape
from interp.tasks import Chain

if TYPE_CHECKING:
    from interp.policy import Policy

__all__ = ["Habits", "OrganismConfig", "Shape", "build", "shipped", "task_of"]


def shipped() -> Path:
    """The directory of the organism that comes with the package."""
    return packaged("organism")


def task_of(path: str | Path) -> Chain:
    """The world an organism was raised in, with every knob as it was."""
    return from_json(OrganismConfig, read_manifest(path, "organism")["config"]).task


def build(config: OrganismConfig, out: str | Path, *, overwrite: bool = False) -> "Policy":
    """Raise an organism and save it, with its card, as a Hugging Face directory."""
    from interp.organism.raising import raise_organism

    return raise_organism(config, out, overwrite=overwrite)
