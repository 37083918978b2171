"""Check artifacts: compare every file with its checksum."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from interp.artifacts import (
    CHECKSUM,
    MANIFEST,
    Artifact,
    BadInput,
    add_checksums,
    compare_sizes,
    locked,
    parse_manifest,
    record_file,
    recorded_files,
    with_checksum,
    write_json,
)
from interp.artifacts.checksums import Record
from interp.artifacts.manifests import own_manifest
from interp.cli.app import Args, Flat, app, say, say_json
from interp.display import text_columns
from interp.grpo.run import KIND as RUN
from interp.grpo.run import Run, expect_whole

GROWING = (RUN,)
"""Kinds whose files change after the manifest is written."""
WHOLE, DAMAGED, UNKNOWN = "whole", "damaged", "no checksums"


@dataclass(frozen=True)
class Check(Args):
    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Directories. Artifacts inside them are checked too."""
    add: bool = False
    """Add checksums to artifacts of earlier versions, which have none. Their files are taken to be whole."""
    json: bool = False
    """Print one JSON object and nothing else."""


@app.command(name="check")
def check_command(config: Annotated[Check, Flat]) -> None:
    """Compare every file of artifacts with its checksum. Exits with 1 if one is damaged."""
    if not config.paths:
        raise BadInput("expected directories to check, got none: interp check DIR")
    results = [(path, *check(path, add=config.add)) for path in _artifacts(config.paths)]
    if config.json:
        say_json({"artifacts": [{"path": path, "state": state, "reason": reason} for path, state, reason in results]})
    else:
        say(text_columns(["artifact", "state"], [[str(path), state] for path, state, _ in results]))
        say(*(reason for _, _, reason in results if reason))
    if any(state == DAMAGED for _, state, _ in results):
        raise SystemExit(1)


def check(path: Path, *, add: bool = False) -> tuple[str, str | None]:
    """Whether an artifact is whole, and the reason if it is not."""
    try:
        manifest = parse_manifest(path / MANIFEST)
        if CHECKSUM not in manifest:
            if not add:
                return UNKNOWN, None
            is_unfinished = manifest.get("kind") in GROWING or manifest.get("shards", ()) is None
            before = record_file(path / MANIFEST)
            manifest = add_checksums(path, files=not is_unfinished).manifest
            _tell_outer(path / MANIFEST, before)
        compare_sizes(path, recorded_files(manifest))
        Artifact(path, manifest).compare_all()
        if manifest.get("kind") == RUN:
            expect_whole(Run.open(path))
    except BadInput as error:
        return DAMAGED, str(error)
    return WHOLE, None


def _tell_outer(manifest: Path, before: Record) -> None:
    """Record the new bytes of a manifest in the artifacts around it that recorded the old ones."""
    for outer in list(manifest.parent.parents):
        name = str(manifest.relative_to(outer).as_posix())
        if not (outer / MANIFEST).exists():
            continue
        entries = parse_manifest(outer / MANIFEST)
        if recorded_files(entries).get(name) == before:
            with locked(outer):
                files = recorded_files(entries) | {name: record_file(manifest)}
                write_json(outer / MANIFEST, with_checksum(entries | {"files": files}))


def _artifacts(paths: tuple[Path, ...]) -> Iterator[Path]:
    """Those inside others come first: the outer ones record their manifests."""
    for path in paths:
        artifacts = sorted(file.parent for file in path.rglob(MANIFEST) if _is_ours(file)) if path.is_dir() else []
        if not artifacts:
            raise BadInput(f"{path}: expected a directory with a {MANIFEST} in it, got none: is the path right?")
        yield from sorted(artifacts, key=lambda artifact: len(artifact.parts), reverse=True)


def _is_ours(file: Path) -> bool:
    """Whether this is a manifest of this package, or a damaged file that may have been one."""
    try:
        return own_manifest(file.parent) is not None
    except BadInput:
        return True
