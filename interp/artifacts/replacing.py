"""What may be replaced: a result by one of its kind. A directory that holds anything else is kept."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from interp.artifacts.errors import BadInput
from interp.artifacts.json_files import parse_json

MANIFEST = "manifest.json"
_OF_WRITERS = re.compile(r"\..+\.(?:lock|[0-9]+\.(?:retired|partial|dropped))", re.ASCII | re.DOTALL)
"""Locks and what killed writers left."""


def expect_replaceable(path: Path, *, kind: str | None = None, also: Collection[str] = ()) -> None:
    """Refuse to replace what is at `path` unless it is empty, or the directory of a result of this `kind` alone.

    Its own files are those that its manifest records, and those named in `also`: what would stand in their place."""
    if not path.exists():
        return
    if not path.is_dir():
        raise BadInput(f"{path}: expected a directory to replace, got a file: choose another place, or delete it")
    manifest = _manifest_of(path)
    if kind is not None and (other := manifest.get("kind", kind)) != kind:
        raise BadInput(
            f"{path}: expected a result of kind {kind!r} to replace, got one of kind {other!r}: choose another place, "
            "or delete it"
        )
    if not manifest and not also and (kind is None or (path / "config.json").exists()):
        return  # perhaps a model without manifest: what it consists of is known once the new one was written (`also`)
    own = {MANIFEST, *also, *(name.split("/")[0] for name in manifest.get("files") or {})}
    names = sorted(entry.name for entry in path.iterdir() if _OF_WRITERS.fullmatch(entry.name) is None)
    if manifest and not manifest.get("files"):
        return  # of an earlier version, which recorded no files
    if others := [name for name in names if name not in own]:
        listed = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        raise BadInput(
            f"{path}: expected nothing but a result to replace, got other files in it ({listed}): choose another "
            "place, or move them"
        )


def _manifest_of(path: Path) -> dict[str, Any]:
    """The entries of the manifest of a result; none if there is no manifest, or that of another program."""
    content = parse_json(path / MANIFEST) if (path / MANIFEST).exists() else {}
    return content if isinstance(content, dict) and "kind" in content else {}


def kind_of(path: Path) -> str | None:
    """The kind of the result in a directory. None without a manifest."""
    return _manifest_of(path).get("kind")
