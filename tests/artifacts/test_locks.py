"""Locks: one process at a time writes a place, and the others are told at once."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lock_fixtures import is_locked, lock_held_by_another

import interp
from interp.artifacts import BadInput, InUse, locked, recover, reserve, writing_dir
from interp.artifacts.locks import lock_file, shared_file_system

ROOT = Path(interp.__file__).parent.parent


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock of `run`."""
    with lock_held_by_another(tmp_path / "run") as child:
        yield child


def test_a_place_that_another_process_holds_is_refused_at_once_naming_the_process(tmp_path, holder):
    start = time.perf_counter()
    message = rf"run is in use by process {holder.pid} on .*: wait for it, stop it, or choose"
    with pytest.raises(InUse, match=message), locked(tmp_path / "run"):
        pytest.fail("the block was entered")
    with pytest.raises(InUse), reserve(tmp_path / "run"):
        pytest.fail("the block was entered")
    with pytest.raises(InUse), writing_dir(tmp_path / "run"):
        pytest.fail("the block was entered")
    assert time.perf_counter() - start < 1
    assert is_locked(tmp_path / "run")


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert not is_locked(tmp_path / "run")
    with locked(tmp_path / "run"):
        assert is_locked(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_another_place_is_free(tmp_path, holder):
    with locked(tmp_path / "other"):
        assert is_locked(tmp_path / "other")


def test_a_waiting_process_goes_on_when_the_lock_is_released(tmp_path):
    order = []

    def wait() -> None:
        with locked(tmp_path / "run", wait=True):
            order.append("second")

    with locked(tmp_path / "run"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_the_thread_that_holds_a_lock_may_take_it_again_and_another_thread_may_not(tmp_path):
    refused = []

    def take() -> None:
        try:
            with locked(tmp_path / "run"):
                refused.append(False)
        except InUse:
            refused.append(True)

    with locked(tmp_path / "run"):
        with locked(tmp_path / "run"):
            pass
        assert is_locked(tmp_path / "run")
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert refused == [True]


def test_a_forked_child_does_not_have_the_lock_of_its_parent(tmp_path):
    with locked(tmp_path / "run"):
        pid = os.fork()
        if not pid:
            try:
                with locked(tmp_path / "run"):
                    os._exit(1)
            except InUse:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0


def test_a_reserved_place_can_be_written_by_who_reserved_it(tmp_path):
    with reserve(tmp_path / "run"), writing_dir(tmp_path / "run") as aside:
        (aside / "a").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    with pytest.raises(BadInput, match="exists already"), reserve(tmp_path / "run"):
        pytest.fail("the block was entered")
    with reserve(None):
        pass


def test_a_place_that_was_written_while_its_lock_was_awaited_is_refused(tmp_path, monkeypatch):
    def flock(handle, operation):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "a").write_text("of another process")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(BadInput, match="run exists already"), reserve(tmp_path / "run"):
        pytest.fail("the block was entered")


def test_a_file_system_without_locks_is_named_in_a_warning(tmp_path, monkeypatch):
    def flock(handle, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr("interp.artifacts.locks._warned", set())
    message = f"{tmp_path} has no locks: do not let two processes write one place"
    with pytest.warns(UserWarning, match=message), locked(tmp_path / "run"):
        assert lock_file(tmp_path / "run").exists()


MOUNTS = """/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb /home/local xfs rw 0 0
scratch /my\\040disk lustre rw 0 0
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/tmp/a", None),
        ("/home/me/runs", "nfs4"),
        ("/home/local/runs", None),
        ("/homes", None),
        ("/my disk/a", "lustre"),
    ],
)
def test_the_innermost_mount_tells_whether_a_place_is_shared_between_machines(tmp_path, place, kind):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert shared_file_system(Path(place), tmp_path / "mounts") == kind


def test_a_shared_place_is_named_in_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("interp.artifacts.locks._warned", set())
    monkeypatch.setattr("interp.artifacts.locks.shared_file_system", lambda place: "nfs4")
    with pytest.warns(UserWarning, match=r"is shared between machines \(nfs4\)"), locked(tmp_path / "run"):
        pass


COUNT = """
import sys, time
from pathlib import Path
from interp.artifacts import locked
place, end = Path(sys.argv[1]), time.monotonic() + 2
while time.monotonic() < end:
    with locked(place, wait=True):
        n = int(place.with_name("count").read_text())
        place.with_name("count").write_text(str(n + 1))
        place.with_name(f"of-{sys.argv[2]}").write_text(str(n + 1))
"""


def test_processes_that_wait_for_each_other_never_fail_and_never_meet(tmp_path):
    (tmp_path / "count").write_text("0")
    words = [sys.executable, "-c", COUNT, str(tmp_path / "run")]
    children = [subprocess.Popen([*words, str(i)], cwd=ROOT, stderr=subprocess.PIPE, text=True) for i in range(4)]
    errors = [child.communicate(timeout=60)[1] for child in children]
    assert errors == [""] * 4
    assert int((tmp_path / "count").read_text()) >= 4


def test_a_directory_is_locked_under_every_name_that_it_has(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    refused = []

    def take() -> None:
        try:
            with locked(tmp_path / "link"):
                refused.append(False)
        except InUse:
            refused.append(True)

    with locked(tmp_path / "run"):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert refused == [True]


def test_a_directory_in_a_place_where_nothing_can_be_written_is_locked_itself(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    opened = os.open

    def refuse_lock_files(path, *flags):
        if str(path).endswith(".lock"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *flags)

    monkeypatch.setattr(os, "open", refuse_lock_files)
    with locked(tmp_path / "run"):
        monkeypatch.undo()
        handle = os.open(tmp_path / "run", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)


def test_without_locks_a_reader_leaves_what_a_living_writer_writes(tmp_path, monkeypatch):
    def flock(handle, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    living, dead = tmp_path / f".run.{os.getppid()}.partial", tmp_path / ".run.4194305.partial"
    living.mkdir()
    dead.mkdir()
    recover(tmp_path / "run")
    assert living.exists() and not dead.exists()


def test_links_that_lead_in_a_circle_are_refused_by_name(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(BadInput, match="a: expected a file or directory, got links that lead nowhere"):
        recover(tmp_path / "a")
