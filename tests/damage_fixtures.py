"""Damage to directories, as disks, copies and editors do it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interp.artifacts import MANIFEST, with_checksum, write_json

Damage = Callable[[Path, Path], None]
"""Damages a file, given the same file of another directory of its kind."""


def flip(file: Path, other: Path) -> None:
    """One bit, in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def delete(file: Path, other: Path) -> None:
    file.unlink()


def exchange(file: Path, other: Path) -> None:
    assert file.read_bytes() != other.read_bytes(), "the exchange would change nothing"
    shutil.copyfile(other, file)


DAMAGES: dict[str, Damage] = {"flip": flip, "cut": cut, "delete": delete, "exchange": exchange}


def strip_checksums(directory: Path) -> None:
    """Make every manifest in it one of an earlier version."""
    for file in directory.rglob(MANIFEST):
        manifest = json.loads(file.read_text())
        write_json(file, {name: entry for name, entry in manifest.items() if name not in ("files", "checksum")})


def edit_json(file: Path, change: Callable[[Any], None]) -> None:
    """Change the value in a JSON file in place."""
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def edit_manifest(directory: Path, change: Callable[[Any], None]) -> None:
    """Change a manifest as somebody would who knows of its checksum."""
    manifest = json.loads((directory / MANIFEST).read_text())
    change(manifest)
    write_json(directory / MANIFEST, with_checksum(manifest) if "checksum" in manifest else manifest)
