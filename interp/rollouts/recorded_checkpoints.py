"""The checkpoints that the manifest of a run lists, each with the checksum of its own manifest.

A run lists each checkpoint as soon as it is written. So one that was deleted, or exchanged with that of another step or
run, is noticed. Directories of other trainers list nothing, and nothing is compared.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from interp.artifacts import CHECKSUM, MANIFEST, BadInput, reading
from interp.artifacts.manifests import own_manifest

CHECKPOINTS = "checkpoints"
"""Entry of a run's manifest: the checksum of each checkpoint's manifest, by its step."""


def recorded_checkpoints(run: Path) -> dict[int, str]:
    """Checksums of the manifests of a run's checkpoints, by step. Empty where none are listed."""
    manifest = own_manifest(run) or {}
    with reading(run / MANIFEST, "a list of checkpoints"):
        return {int(step): str(checksum) for step, checksum in manifest.get(CHECKPOINTS, {}).items()}


def missing_checkpoints(run: Path, recorded: Iterable[int], present: Iterable[int]) -> list[tuple[int, str]]:
    """The steps whose checkpoints are listed and not there, with what to do."""
    return [
        (
            step,
            f"{run}: expected the checkpoints that the run lists, got no checkpoint-{step}: put it back, or leave it "
            "out (skip_bad, --skip-bad-checkpoints)",
        )
        for step in sorted(set(recorded) - set(present))
    ]


def expect_recorded(path: Path, step: int, recorded: Mapping[int, str]) -> None:
    """Refuse a checkpoint that is not the one that its run lists under this step."""
    if step not in recorded:
        return
    manifest = own_manifest(path) or {}
    if (got := manifest.get("step")) != step:
        raise BadInput(f"{path}: expected the checkpoint of step {step}, got that of step {got}: put it back")
    if (checksum := checksum_of(manifest)) != recorded[step] and recorded[step]:
        raise BadInput(
            f"{path}: expected the checkpoint whose manifest has checksum {recorded[step]}, as its run lists it; got "
            f"{checksum}: put it back"
        )


def checksum_of(manifest: Mapping[str, Any]) -> str:
    """The checksum of a checkpoint's manifest; empty where an earlier version wrote none."""
    return str(manifest.get(CHECKSUM, ""))
