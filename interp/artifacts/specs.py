"""Specs: open an artifact that was made from the same inputs, create it if its path is free, refuse anything else.

The spec of an artifact is everything that decides its contents: its config, the fingerprints of its inputs, and
the other entries of its kind. It is stored in the manifest. A repeated call opens the artifact, or continues an
unfinished one. A call with another spec is refused, with every field that differs, so nothing is mixed or overwritten.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from interp.artifacts.configs import to_json
from interp.artifacts.errors import BadInput, Mismatch
from interp.artifacts.fingerprints import same_fingerprint
from interp.artifacts.manifests import MANIFEST, is_kind, read_manifest
from interp.artifacts.writing import expect_writable, recover

MAX_CONTENTS = 5
"""Names of unrelated files that an error lists."""


def open_or_create(
    path: str | Path, kind: str, spec: Mapping[str, Any], *, may_contain: Collection[str] = ()
) -> dict[str, Any] | None:
    """The manifest of the artifact at `path`, or None if the path is free and the artifact must be created.

    `spec` maps entries of the manifest to the values they must have, for instance `{"config": config, "made_from":
    {"policy": ...}, "layers": [1, 2]}`. Dataclasses are compared as their JSON; an entry that is None or empty equals
    one that is missing. The creator writes the same entries: `write_manifest(path, kind, **spec)`. Nothing is written
    here.

    Refused: another spec (Mismatch, with expected and got for every field that differs), another kind, and a path with
    other files in it. A directory without a manifest is free if it is empty, or holds only names in `may_contain`."""
    path = Path(path)
    recover(path)
    recover(path / MANIFEST)
    if not (path / MANIFEST).exists():
        _expect_empty(path, kind, may_contain)
        expect_writable(path)
        return None
    if not is_kind(path, kind):
        raise BadInput(f"{path} exists already and is not of kind {kind!r}: choose another place (out, --out)")
    manifest = read_manifest(path, kind)
    if changed := describe_changes({key: manifest.get(key) for key in spec}, to_json(spec)):
        raise Mismatch(
            f"{path} ({kind}) was made from other inputs: {changed}. "
            "Repeat the call with the stored inputs, choose another place (out, --out), or delete it."
        )
    return manifest


def describe_changes(stored: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Every field that differs between two nests of JSON values, as text: "a.b (expected 1, got 2), c (...)".

    A field that is None or empty equals one that is missing, as a new option is in what was made before."""
    before, now = dict(flatten(stored)), dict(flatten(expected))
    names = [
        name
        for name in dict.fromkeys([*now, *before])
        if not same_fingerprint(_without_empty(now.get(name)), _without_empty(before.get(name)))
    ]
    return ", ".join(f"{name} (expected {now.get(name)}, got {before.get(name)})" for name in names)


def _without_empty(value: Any) -> Any:
    return None if value in ("", []) else value


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf of nested mappings, with the keys that lead to it joined by dots."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flatten(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _expect_empty(path: Path, kind: str, may_contain: Collection[str]) -> None:
    if path.is_file():
        raise BadInput(f"{path}: expected a directory of kind {kind!r} or an empty place, got a file")
    names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    if contents := [name for name in names if name not in may_contain]:
        raise BadInput(
            f"{path}: expected a directory of kind {kind!r} or an empty place, got "
            f"{', '.join(contents[:MAX_CONTENTS])} and no {MANIFEST}: choose another place, or empty it"
        )
