"""The manifest of an artifact: `manifest.json`, which describes the contents of a directory and their inputs.

It holds the schema version, the kind, the config, the fingerprint of every input (`made_from`), the size and checksum
of every file (`files`), and a checksum of all these entries (`checksum`). A reader names the kind and the fingerprints
it expects. A directory that does not match is refused.
"""

import contextlib
import datetime
import importlib.metadata
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interp.artifacts.checksums import Record, record_files
from interp.artifacts.configs import to_json
from interp.artifacts.errors import BadInput, Mismatch
from interp.artifacts.fingerprints import DIGITS, fingerprint_config, same_fingerprint
from interp.artifacts.json_files import parse_json
from interp.artifacts.writing import recover, write_json

SCHEMA = 1
MANIFEST = "manifest.json"
CHECKSUM = "checksum"
DESCRIBERS = ("transformers", "tokenizers")
"""Libraries that describe the config and the tokenizer of a policy, for its fingerprint."""
_warned: set[Path] = set()
"""Artifacts of earlier versions that this process has warned about."""


def write_manifest(
    directory: Path,
    kind: str,
    *,
    config: Any,
    made_from: Mapping[str, str],
    files: Mapping[str, Record] | None = None,
    **entries: Any,
) -> None:
    """Write the manifest of `directory`. `config` is a dataclass or a mapping; `entries` are further keys.

    `files` None records every file that is there now, so the manifest is written last."""
    manifest = {
        "schema": SCHEMA,
        "kind": kind,
        "config": to_json(config),
        "made_from": dict(made_from),
        **to_json(entries),
        "files": record_files(directory, manifest=MANIFEST) if files is None else dict(files),
        "versions": versions("interp", "torch", *DESCRIBERS),
        "date": datetime.date.today().isoformat(),
    }
    write_json(directory / MANIFEST, with_checksum(manifest))


def with_checksum(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the checksum of its entries."""
    entries = {key: value for key, value in manifest.items() if key != CHECKSUM}
    return {**entries, CHECKSUM: fingerprint_config(entries)}


def read_manifest(path: str | Path, kind: str, *, made_from: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The manifest of `path`; refused if its kind, its schema or a fingerprint in `made_from` differs, or if it was
    changed after it was written."""
    path = Path(path)
    recover(path)
    file = path / MANIFEST
    if not file.exists():
        got = "no such directory" if not path.exists() else f"a directory without {MANIFEST}"
        raise BadInput(f"{path}: expected a directory of kind {kind!r}, got {got}: is the path right?")
    manifest = parse_manifest(file)
    if manifest.get("kind") != kind:
        raise Mismatch(f"{path}: expected kind {kind!r}, got {manifest.get('kind')!r}: is this the right directory?")
    if manifest.get("schema") != SCHEMA:
        raise Mismatch(
            f"{path}: expected schema {SCHEMA}, got {manifest.get('schema')!r}: make it again with this version"
        )
    _expect_entries(path, manifest)
    _warn_without_checksums(path, manifest)
    _expect_made_from(path, manifest, made_from or {})
    return manifest


def parse_manifest(file: Path) -> dict[str, Any]:
    """The entries of a manifest, after its checksum was compared."""
    manifest = parse_json(file, "a JSON manifest")
    if not isinstance(manifest, dict):
        raise BadInput(f"{file}: expected a JSON manifest, got a {type(manifest).__name__}: copy it again")
    if CHECKSUM in manifest and manifest[CHECKSUM] != with_checksum(manifest)[CHECKSUM]:
        raise BadInput(
            f"{file}: expected entries with checksum {manifest[CHECKSUM]}, got "
            f"{with_checksum(manifest)[CHECKSUM]}: it was changed after it was written. Copy it again, or make it again"
        )
    return manifest


def own_manifest(directory: str | Path) -> dict[str, Any] | None:
    """The manifest of a directory, after its checksum was compared. None without one, or with that of another program.

    A file that is no JSON, or no object or list, is refused: it may have been one of ours."""
    file = Path(directory) / MANIFEST
    if not file.exists():
        return None
    content = parse_json(file, "a JSON manifest", constants=True)
    if not isinstance(content, dict | list) or not content:
        raise BadInput(f"{file}: expected a manifest with entries, got {content!r:.60}: copy it again, or delete it")
    return parse_manifest(file) if is_ours(content) else None


def is_ours(manifest: Any) -> bool:
    """Whether the value in a manifest.json is a manifest that this package wrote, and not one of another program.

    Ours has a number as `schema`, text as `kind`, fingerprints by name as `made_from` and, unless an earlier version
    wrote it, a `checksum`. One of the four may be damaged: the checksum is compared later."""
    if not isinstance(manifest, dict):
        return False
    checksum = manifest.get(CHECKSUM)
    signs = (
        type(manifest.get("schema")) is int,
        isinstance(manifest.get("kind"), str),
        isinstance(manifest.get("made_from"), dict),
        isinstance(checksum, str) and len(checksum) == DIGITS,
    )
    return sum(signs) >= len(signs) - 1


def is_kind(path: str | Path, kind: str) -> bool:
    """Whether `path` has a manifest of this kind."""
    return (own_manifest(path) or {}).get("kind") == kind


def recorded_files(manifest: Mapping[str, Any]) -> dict[str, Record]:
    """Size and checksum of each file of an artifact. Empty for one of an earlier version."""
    records = manifest.get("files") or {}
    if not isinstance(records, dict) or any(not _is_record(record) for record in records.values()):
        raise BadInput(f"{MANIFEST}: expected bytes and sha256 of each file, got {str(records)[:100]}: copy it again")
    return records


def versions(*packages: str) -> dict[str, str]:
    """The version of each package; one that is not installed is left out."""
    installed = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def _expect_entries(path: Path, manifest: Mapping[str, Any]) -> None:
    for name in ("config", "made_from"):
        if not isinstance(manifest.get(name), dict):
            raise BadInput(f"{path / MANIFEST}: expected an entry {name!r} with fields, got {manifest.get(name)!r}")


def _is_record(record: Any) -> bool:
    """Whether this is {"bytes": a number, "sha256": text}."""
    types = {"bytes": int, "sha256": str}
    return isinstance(record, dict) and {name: type(value) for name, value in record.items()} == types


def _warn_without_checksums(path: Path, manifest: Mapping[str, Any]) -> None:
    if CHECKSUM not in manifest and path.absolute() not in _warned:
        _warned.add(path.absolute())
        warnings.warn(
            f"{path} was written by an earlier version, without checksums: damage to its files may go unnoticed. "
            f"`interp check {path} --add` adds them",
            stacklevel=3,
        )


def _expect_made_from(path: Path, manifest: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    for name, fingerprint in expected.items():
        actual = manifest["made_from"].get(name)
        if not same_fingerprint(fingerprint, actual):
            raise Mismatch(
                f"{path} was made from another {name}: expected {fingerprint}, got {actual}"
                f"{_reason(fingerprint, actual, manifest)}. Use the {name} it was made from, or make it again."
            )


def _reason(expected: str, actual: Any, manifest: Mapping[str, Any]) -> str:
    """What differs between two policies of equal weights, for a message. Empty for other fingerprints.

    Other versions of these libraries may describe the same config or tokenizer otherwise."""
    parts = [text.split("+") for text in (expected, actual) if isinstance(text, str)]
    if [len(part) for part in parts] != [2, 2] or parts[0][0] != parts[1][0]:
        return ""
    recorded = manifest.get("versions")
    before = recorded if isinstance(recorded, dict) else {}
    changes = [
        f"{name}: {before[name]}, here {version}"
        for name, version in versions(*DESCRIBERS).items()
        if before.get(name, version) != version
    ]
    cause = f" (or written with another version of {' and '.join(changes)})" if changes else ""
    return f": same weights, another config or tokenizer{cause}"
