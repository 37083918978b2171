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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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
    handle: IO[str]
    depth: int = 1
    """Blocks of the owner that are inside one another."""


_locks: dict[Path, _Lock] = {}
_warned: set[str] = set()


@contextmanager
def locked(path: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of `path` within the block. Refused while another holds it; with `wait`, waits for it instead.

    The thread that holds a lock may take it again inside the block."""
    file = lock_file(Path(path))
    owner = os.getpid(), threading.get_ident()
    lock = _locks.get(file)
    if lock is not None and lock.owner == owner:
        lock.depth += 1
    else:
        with refusing_failed_writes(path):
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = _Lock(owner, _acquire(Path(path), file, wait=wait))
        _locks[file] = lock
    try:
        yield
    finally:
        lock.depth -= 1
        if not lock.depth:
            del _locks[file]
            file.unlink(missing_ok=True)  # before the lock is released: whoever waits for it sees that it is gone
            lock.handle.close()


def lock_file(path: Path) -> Path:
    """The file whose lock stands for `path`."""
    path = path.absolute()
    return path.with_name(f".{path.name}.lock")


def is_locked(path: str | Path) -> bool:
    """Whether anyone holds the lock of `path`, this process included."""
    file = lock_file(Path(path))
    if not file.exists():
        return False
    try:
        with file.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


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


def _acquire(path: Path, file: Path, *, wait: bool) -> IO[str]:
    """The open, locked file."""
    while True:
        handle = file.open("a+")
        try:
            _flock(handle, wait=wait)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                _warn(file.parent, "has no locks")
                return handle
            handle.seek(0)
            holder = handle.read().strip() or "another"
            handle.close()
            if not isinstance(error, BlockingIOError):
                raise
            raise InUse(
                f"{path} is in use by process {holder}: wait for it, stop it, or choose another place (out, --out)"
            ) from error
        if file.exists() and os.path.samestat(os.fstat(handle.fileno()), file.stat()):
            break
        handle.close()  # its former holder deleted it in the meantime
    if kind := shared_file_system(file.parent):
        _warn(file.parent, f"is shared between machines ({kind}), where a lock may hold on one machine alone")
    handle.truncate(0)
    handle.write(f"{os.getpid()} on {socket.gethostname()}")
    handle.flush()
    return handle


def _flock(handle: IO[str], *, wait: bool) -> None:
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
