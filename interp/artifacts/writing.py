"""Atomic writes: a file or directory exists complete, or not at all.

It is written beside its final path, synced, then renamed into place; a failed block leaves nothing behind. The remnants
of a killed writer (`.name.<pid>.partial`, `.name.<pid>.retired`) are removed by `recover` when the path is next used.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interp.artifacts.errors import BadInput

_being_written: set[Path] = set()
"""Paths this process is writing now. The process id is no proof: in a container a dead writer may have had the same."""


@contextlib.contextmanager
def writing_dir(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty directory beside `path`. It becomes `path` when the block ends, and is removed if the block
    fails."""
    path = Path(path)
    expect_free(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _partial_path(path) as partial:
        partial.mkdir()
        yield partial
        for part in (*partial.rglob("*"), partial):
            _fsync(part)
        if path.exists():  # two renames, since no portable call swaps directories: `recover` mends a death in between
            path.rename(_retired_path(path))
        partial.rename(path)
        _fsync(path.parent)
        _remove(_retired_path(path))


@contextlib.contextmanager
def writing_file(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path`. The file written there replaces `path` when the block ends."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _partial_path(path) as partial:
        yield partial
        _fsync(partial)
        partial.replace(path)
        _fsync(path.parent)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN is refused."""
    with writing_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def expect_free(path: str | Path | None, *, overwrite: bool) -> None:
    """Refuse a path that holds something (unless `overwrite`) or cannot be written. Call it before long work."""
    if path is not None:
        recover(path)
        if not overwrite and _is_occupied(Path(path)):
            raise BadInput(f"{path} exists already: choose another place, or pass overwrite (--overwrite)")
        expect_writable(path)


def expect_writable(path: str | Path) -> None:
    """Refuse a path whose nearest existing parent is a file, or a directory this user may not write."""
    parent = next(place for place in Path(path).absolute().parents if os.path.lexists(place))
    if not parent.is_dir():
        raise BadInput(f"{path} cannot be written: expected a directory above it, got the file {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BadInput(f"{path} cannot be written: expected a place where this user may write, got {parent}")


def recover(path: str | Path) -> None:
    """Clean up after a killed writer: restore a directory caught between its two renames, remove partial writes."""
    path = Path(path)
    for remnant in _remnants(path):
        if _in_progress(remnant.with_suffix(".partial")):
            continue
        if remnant.suffix == ".retired" and not path.exists():
            remnant.rename(path)
        else:
            _remove(remnant)


def _is_occupied(path: Path) -> bool:
    """Whether there is a file, or a directory that is not empty."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _remnants(path: Path) -> list[Path]:
    """Retired directories come first, so that the newest whole one is restored before anything is removed."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.\d+\.(retired|partial)")
    paths = [p for p in path.parent.iterdir() if pattern.fullmatch(p.name)] if path.parent.is_dir() else []
    return sorted(paths, key=lambda p: p.suffix, reverse=True)


@contextlib.contextmanager
def _partial_path(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial").absolute()
    if partial in _being_written:
        raise BadInput(f"{path} is being written already by this process: write it once, or choose another place")
    _being_written.add(partial)
    try:
        yield partial
    finally:
        _remove(partial)
        _being_written.discard(partial)


def _retired_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.retired")


def _in_progress(partial: Path) -> bool:
    pid = partial.name.split(".")[-2]
    if pid == str(os.getpid()):
        return partial.absolute() in _being_written
    return pid.isdigit() and _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
