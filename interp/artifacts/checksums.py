"""Checksums of the files of an artifact: recorded in its manifest, compared before a file is first opened.

A record is `{name: {"bytes": size, "sha256": digest}}`, one entry per file. Names are relative and stay inside the
directory. Reading 1.6 GB takes about a second, once per process and file. For huge artifacts `integrity("sizes")`
compares sizes alone: a file cut short is still refused, a flipped bit is not noticed.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from interp.artifacts.errors import BadInput

Integrity = Literal["full", "sizes"]
Record = dict[str, Any]
"""`bytes` and `sha256` of a file."""

VARIABLE = "INTERP_INTEGRITY"
"""Environment variable with the level outside any `integrity` block."""
_integrity: ContextVar[Integrity | None] = ContextVar("integrity", default=None)
_compared: dict[Path, tuple[int, int, int, str]] = {}
"""Files that this process has compared, with the size, time, inode and checksum they had."""


@contextmanager
def integrity(level: Integrity) -> Iterator[None]:
    """Within the block, compare checksums of files before they are opened ("full", the default), or sizes alone."""
    token = _integrity.set(expect_integrity(level))
    try:
        yield
    finally:
        _integrity.reset(token)


def set_integrity(level: str) -> None:
    """As `integrity`, for the rest of this process and for processes that it starts."""
    os.environ[VARIABLE] = expect_integrity(level)


def current_integrity() -> Integrity:
    return _integrity.get() or expect_integrity(os.environ.get(VARIABLE, "full"))


def expect_integrity(level: str) -> Integrity:
    if level != "full" and level != "sizes":
        raise BadInput(f"integrity must be full or sizes; got {level!r}")
    return level


def record_file(file: Path) -> Record:
    """Size and checksum of a file."""
    with file.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def record_files(directory: Path, *, manifest: str) -> dict[str, Record]:
    """The record of every file in a directory, except its own manifest and hidden files.

    A directory inside that has a manifest records its own files: only that manifest is recorded here."""
    records: dict[str, Record] = {}
    for entry in sorted(directory.iterdir()) if directory.is_dir() else []:
        if entry.name.startswith(".") or entry.name == manifest:
            continue
        if not entry.is_dir():
            records[entry.name] = record_file(entry)
        elif (entry / manifest).exists():
            records[f"{entry.name}/{manifest}"] = record_file(entry / manifest)
        else:
            inside = record_files(entry, manifest=manifest)
            records |= {f"{entry.name}/{name}": record for name, record in inside.items()}
    return records


def compare_sizes(directory: Path, records: Mapping[str, Record]) -> None:
    """Refuse a directory in which a recorded file is missing or has another size."""
    for name, record in records.items():
        _compare_size(inside(directory, name), record)


def compare_file(directory: Path, name: str, records: Mapping[str, Record]) -> Path:
    """The path of a file, after its size and checksum were compared with its record. Without a record (an artifact of
    an earlier version) only its presence is."""
    file = inside(directory, name)
    if (record := records.get(name)) is None:
        if not file.is_file():
            raise BadInput(f"{file}: expected a file, got none: copy {directory} again, or make it again")
        return file
    status = _compare_size(file, record)
    identity = (status.st_size, status.st_mtime_ns, status.st_ino, record["sha256"])
    if current_integrity() == "full" and _compared.get(file.absolute()) != identity:
        if (got := record_file(file)["sha256"]) != record["sha256"]:
            raise BadInput(
                f"{file}: expected checksum {record['sha256'][:16]}, got {got[:16]}: its contents changed after it was "
                f"written. Copy it again, or make {directory} again"
            )
        _compared[file.absolute()] = identity
    return file


def inside(directory: Path, name: str) -> Path:
    """The path of `name` in `directory`. A name that leads out of it is refused."""
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or "\0" in name:
        raise BadInput(f"{directory}: expected names of files inside it, got {name!r}: make it again")
    return directory.joinpath(*parts)


def _compare_size(file: Path, record: Record) -> os.stat_result:
    if not file.is_file():
        raise BadInput(f"{file}: expected {record['bytes']:,} bytes, got no such file: copy it again, or make it again")
    status = file.stat()
    if status.st_size != record["bytes"]:
        raise BadInput(
            f"{file}: expected {record['bytes']:,} bytes, got {status.st_size:,}: copy it again, or make it again"
        )
    return status
