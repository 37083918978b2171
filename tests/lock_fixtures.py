"""Another process that holds the lock of a place, as a running command does."""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import interp
from interp.artifacts.locks import lock_file

HOLD = """
import sys, time
from interp.artifacts import locked
with locked(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""


@contextmanager
def lock_held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Within the block, the process that holds the lock of `path`."""
    root = Path(interp.__file__).parent.parent
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "locked\n"
        yield child
    finally:
        child.kill()
        child.wait()


def is_locked(path: Path) -> bool:
    """Whether anyone holds the lock of `path`, this process included."""
    file = lock_file(path)
    if not file.exists():
        return False
    with file.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
