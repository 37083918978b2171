"""Atomic writes: a file or directory exists complete, or not at all.

It is written beside its final path, synced, then renamed into place; a failed block leaves nothing behind. The remnants
of a killed writer (`.name.<pid>.partial`, `.retired`, `.dropped`) are cleared by `recover` when the path is next used.
Whoever writes a directory holds its lock, so a remnant whose lock is free belongs to a writer that is gone.
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
from interp.artifacts.foreign_errors import refusing_failed_writes
from interp.artifacts.locks import lock_file, locked
from interp.artifacts.replacing import expect_replaceable, kind_of

_REMNANT = r"\.(?P<name>{name})\.(?P<pid>\d+)\.(?P<kind>retired|partial|dropped)"
_being_written: set[Path] = set()
"""Paths this process is writing now. The process id is no proof: in a container a dead writer may have had the same."""


@contextlib.contextmanager
def reserve(path: str | Path | None, *, overwrite: bool = False, kind: str | None = None) -> Iterator[None]:
    """Hold the place of a result from before the work until it is written. None reserves nothing.

    Refused if the place holds something (unless `overwrite`), cannot be written, or is in use by another process. Even
    with `overwrite`, a directory with other files than a result's is kept, and one of another `kind`."""
    if path is None:
        yield
        return
    expect_place(path, overwrite=overwrite, kind=kind)
    with locked(path):
        expect_place(path, overwrite=overwrite, kind=kind)  # another may have written it since
        yield


@contextlib.contextmanager
def writing_dir(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty directory beside `path`. It becomes `path` when the block ends, and is removed if the block
    fails."""
    path = Path(path).absolute()
    with reserve(path, overwrite=overwrite), _partial_path(path) as partial, refusing_failed_writes(path):
        partial.mkdir()
        yield partial
        expect_replaceable(path, kind=kind_of(partial), also=[part.name for part in partial.iterdir()])
        for part in (*partial.rglob("*"), partial):
            _fsync(part)
        if path.exists():  # two renames, since no portable call swaps directories: `recover` mends a death in between
            path.rename(_beside(path, "retired"))
        partial.rename(path)
        _fsync(path.parent)
        _remove(_beside(path, "retired"))


@contextlib.contextmanager
def writing_file(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path`. The file written there replaces `path` when the block ends."""
    path = Path(path).absolute()
    _clear_files(path)
    with _partial_path(path) as partial, refusing_failed_writes(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _fsync(partial)
        partial.replace(path)
        _fsync(path.parent)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN is refused."""
    with writing_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def remove_dir(path: Path) -> None:
    """Delete a directory. It is renamed first, so that no reader meets half of it."""
    with refusing_failed_writes(path):
        dropped = _beside(path, "dropped")
        path.rename(dropped)
        _remove(dropped)


def expect_free(path: str | Path | None, *, overwrite: bool) -> None:
    """Refuse a path that holds something (unless `overwrite`) or cannot be written. Call it before long work."""
    if path is not None:
        recover(path)
        if not overwrite and _is_occupied(Path(path)):
            raise BadInput(f"{path} exists already: choose another place, or pass overwrite (--overwrite)")
        if Path(path).is_dir() and (Path(path).samefile(Path.cwd()) or os.path.ismount(path)):
            raise BadInput(
                f"{path} cannot be replaced: expected a directory of its own, got the working directory or a mount "
                "point: name a directory inside it"
            )
        expect_writable(path)


def expect_place(path: str | Path, *, overwrite: bool, kind: str | None = None) -> None:
    """Refuse a place for the directory of a result that is not free, or holds what the result may not replace."""
    expect_free(path, overwrite=overwrite)
    expect_replaceable(Path(path), kind=kind)


def expect_writable(path: str | Path) -> None:
    """Refuse a path whose nearest existing parent is a file, or a directory this user may not write."""
    parent = next(place for place in Path(path).absolute().parents if os.path.lexists(place))
    if not parent.is_dir():
        raise BadInput(f"{path} cannot be written: expected a directory above it, got the file {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BadInput(f"{path} cannot be written: expected a place where this user may write, got {parent}")


# --- after a killed writer ---------------------------------------------------------------------------------------


def recover(path: str | Path) -> None:
    """Clear the remnants of a killed writer of `path`: restore a directory caught between its two renames, remove the
    rest, its lock too. What a living writer is writing is left alone."""
    path = Path(path).absolute()
    remnants = _clear_files(path)
    directories = [remnant for remnant in remnants if remnant.is_dir() and remnant.absolute() not in _being_written]
    if not directories and not lock_file(path).exists():
        return
    with contextlib.suppress(BadInput, OSError), locked(path) as is_real:  # its writer lives, or the place is read only
        for directory in directories:
            if not is_real and _in_progress(directory):
                continue
            if directory.suffix == ".retired" and not path.exists():
                directory.rename(path)
            else:
                _remove(directory)


def _clear_files(path: Path) -> list[Path]:
    """All remnants of `path`. Those that are files are removed, unless their writer lives."""
    remnants = _remnants(path, re.escape(path.name))
    with contextlib.suppress(OSError):  # the place is read only
        for file in [remnant for remnant in remnants if not remnant.is_dir() and not _in_progress(remnant)]:
            _remove(file)
    return remnants


def recover_inside(directory: Path) -> None:
    """Clear the remnants of killed writers of every file and directory in `directory`."""
    for name in {_name_of(remnant) for remnant in _remnants(directory / "any", r".+")}:
        recover(directory / name)


def _remnants(path: Path, name: str) -> list[Path]:
    """Retired directories come first, so that the newest whole one is restored before anything is removed."""
    pattern = re.compile(_REMNANT.format(name=name), re.ASCII | re.DOTALL)
    try:
        paths = [p for p in path.parent.iterdir() if pattern.fullmatch(p.name)] if path.parent.is_dir() else []
    except PermissionError:
        return []
    return sorted(paths, key=lambda p: p.suffix, reverse=True)


def _name_of(remnant: Path) -> str:
    return remnant.name[1:].rsplit(".", 2)[0]


def _is_occupied(path: Path) -> bool:
    """Whether there is a file, or a directory that is not empty."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


@contextlib.contextmanager
def _partial_path(path: Path) -> Iterator[Path]:
    partial = _beside(path, "partial").absolute()
    if partial in _being_written:
        raise BadInput(f"{path} is being written already by this process: write it once, or choose another place")
    _being_written.add(partial)
    try:
        yield partial
    finally:
        _remove(partial)
        _being_written.discard(partial)


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}")


def _in_progress(remnant: Path) -> bool:
    """Whether a process with the id of its writer lives, for what no lock tells: files are written without one."""
    pid = remnant.name.split(".")[-2]
    if pid == str(os.getpid()):
        return remnant.absolute() in _being_written
    return pid.isdigit() and _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
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
