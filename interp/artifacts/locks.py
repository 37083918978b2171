"""Locks on places: one process at a time writes a result.

The lock of `runs/a` is the file `runs/.a.lock`, held by `flock` for as long as the block lasts. The system releases it
when the process ends, however it ends. The file is deleted on release, so nothing is left behind.
"""

import errno
import fcntl
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from interp.artifacts.errors import BadInput
from interp.artifacts.foreign_errors import refusing_failed_writes

SHARED_SYSTEMS = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "gluster", "afs", "9p", "fuse.sshfs")
"""Beginnings of the names of file systems that several machines share."""
TRIES, SECONDS_BETWEEN = 5, 0.02
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_MOUNTS = Path("/proc/self/mounts")


class InUse(BadInput):
    """A place that another process, or another thread, is writing."""


@dataclass
class _Lock:
    """A lock that this process holds."""

    owner: tuple[int, int]
    """Process and thread. A forked child has the dictionary of its parent, but not its locks."""
    handles: list[int] = field(default_factory=list)
    is_real: bool = True
    """False where the file system has no locks."""
    depth: int = 1
    """Blocks of the owner that are inside one another."""


_locks: dict[Path, _Lock] = {}
_warned: set[str] = set()


@contextmanager
def locked(path: str | Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of `path` within the block. Refused while another holds it; with `wait`, waits for it instead.

    The thread that holds a lock may take it again inside the block. Yields whether the lock is real: False where the
    file system has none."""
    file = lock_file(Path(path))
    owner = os.getpid(), threading.get_ident()
    lock = _locks.get(file)
    if lock is not None and lock.owner == owner:
        lock.depth += 1
    else:
        with refusing_failed_writes(path):
            lock = _take(Path(path), file, owner, wait=wait)
        _locks[file] = lock
    try:
        yield lock.is_real
    finally:
        lock.depth -= 1
        if not lock.depth:
            del _locks[file]
            with suppress(OSError):
                file.unlink(missing_ok=True)  # before the lock is released: whoever waits for it sees that it is gone
            _close(lock)


def lock_file(path: Path) -> Path:
    """The file whose lock stands for `path`, whatever links lead there."""
    try:
        path = path.resolve()
    except (OSError, RuntimeError) as error:  # links that lead in a circle
        raise BadInput(f"{path}: expected a file or directory, got links that lead nowhere ({error})") from error
    return path.with_name(f".{path.name}.lock")


def shared_file_system(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the file system of `path`, if several machines may share it. `mounts` lists what is mounted."""
    if not mounts.exists():
        return None
    place, best = str(path.absolute()), ("", "")
    for line in mounts.read_text(errors="replace").splitlines():
        _, mount, kind, *_ = [*line.split(" "), "", "", ""]
        mount = mount.replace("\\040", " ")
        if place == mount or place.startswith(mount.rstrip("/") + "/"):
            best = max(best, (mount, kind), key=lambda pair: len(pair[0]))
    return best[1] if best[1].startswith(SHARED_SYSTEMS) else None


def _take(path: Path, file: Path, owner: tuple[int, int], *, wait: bool) -> _Lock:
    """Lock the file beside the place. A directory is locked itself too: it may be mounted under another name, or lie in
    a place where its owner may not write."""
    lock = _Lock(owner)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            _lock_beside(path, file, lock, wait=wait)
        except PermissionError:
            if not path.is_dir():
                raise
        if path.is_dir():
            _lock_directory(path, lock, wait=wait)
    except BaseException:
        _close(lock)
        raise
    return lock


def _lock_beside(path: Path, file: Path, lock: _Lock, *, wait: bool) -> None:
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        lock.handles.append(handle)
        try:
            _flock(handle, wait=wait)
        except BlockingIOError as error:
            raise _in_use(path, os.pread(handle, 200, 0).decode(errors="replace").strip()) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            lock.is_real = False
            return _warn(file.parent, "has no locks")
        if _is_same_file(handle, file):
            break
        os.close(lock.handles.pop())  # its former holder deleted it in the meantime
    if kind := shared_file_system(file.parent):
        _warn(file.parent, f"is shared between machines ({kind}), where a lock may hold on one machine alone")
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()} on {socket.gethostname()}".encode(), 0)


def _lock_directory(path: Path, lock: _Lock, *, wait: bool) -> None:
    """Lock a directory itself, where the file system can."""
    with suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        lock.handles.append(handle)
        try:
            _flock(handle, wait=wait)
        except BlockingIOError as error:
            raise _in_use(path, "") from error
        except OSError as error:
            if error.errno not in (*_NO_LOCKS, errno.EBADF):  # network file systems lock what is open for writing
                raise


def _in_use(path: Path, holder: str) -> InUse:
    return InUse(
        f"{path} is in use by process {holder or 'unknown'}: wait for it, stop it, or choose another place (out, --out)"
    )


def _is_same_file(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _close(lock: _Lock) -> None:
    while lock.handles:
        os.close(lock.handles.pop())


def _flock(handle: int, *, wait: bool) -> None:
    """Lock the file. Without `wait`, who clears up after a killed writer has a moment to let go of it."""
    for _ in range(0 if wait else TRIES - 1):
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(SECONDS_BETWEEN)
    return fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _warn(place: Path, reason: str) -> None:
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(f"{place} {reason}: do not let two processes write one place there", stacklevel=4)
