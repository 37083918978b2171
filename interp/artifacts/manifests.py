"""The manifest of an artifact: `manifest.json`, which describes the contents of a directory and their inputs.

It holds the schema version, the kind, the config, and the fingerprint of every input (`made_from`). A reader names the
kind and the fingerprints it expects. A directory that does not match is refused.
"""

import contextlib
import datetime
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interp.artifacts.configs import to_json
from interp.artifacts.errors import BadInput, Mismatch
from interp.artifacts.writing import recover, write_json

SCHEMA = 1
MANIFEST = "manifest.json"


def write_manifest(directory: Path, kind: str, *, config: Any, made_from: Mapping[str, str], **entries: Any) -> None:
    """Write the manifest of `directory`. `config` is a dataclass or a mapping; `entries` are further keys."""
    manifest = {
        "schema": SCHEMA,
        "kind": kind,
        "config": to_json(config),
        "made_from": dict(made_from),
        **entries,
        "versions": versions("interp", "torch", "transformers"),
        "date": datetime.date.today().isoformat(),
    }
    write_json(directory / MANIFEST, manifest)


def read_manifest(path: str | Path, kind: str, *, made_from: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The manifest of `path`; refused if its kind, its schema or a fingerprint in `made_from` differs."""
    path = Path(path)
    recover(path)
    file = path / MANIFEST
    if not file.exists():
        got = "no such directory" if not path.exists() else f"a directory without {MANIFEST}"
        raise BadInput(f"{path}: expected a directory of kind {kind!r}, got {got}: is the path right?")
    manifest = _parse(file)
    if manifest.get("kind") != kind:
        raise Mismatch(f"{path}: expected kind {kind!r}, got {manifest.get('kind')!r}: is this the right directory?")
    if manifest.get("schema") != SCHEMA:
        raise Mismatch(
            f"{path}: expected schema {SCHEMA}, got {manifest.get('schema')!r}: make it again with this version"
        )
    _expect_made_from(path, manifest["made_from"], made_from or {})
    return manifest


def is_kind(path: str | Path, kind: str) -> bool:
    """Whether `path` has a manifest of this kind."""
    file = Path(path) / MANIFEST
    return file.exists() and _parse(file).get("kind") == kind


def versions(*packages: str) -> dict[str, str]:
    """The version of each package; one that is not installed is left out."""
    installed = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def _parse(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{file}: expected a JSON manifest, got text that does not parse ({error}): copy it again"
        ) from error


def _expect_made_from(path: Path, actual: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for name, fingerprint in expected.items():
        if actual.get(name) != fingerprint:
            raise Mismatch(
                f"{path} was made from another {name}: expected {fingerprint}, got {actual.get(name)}. "
                f"Use the {name} it was made from, or make it again."
            )
