"""Atomic writes: what is written is whole or absent, through failures, full disks and kills."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

import interp
from interp.artifacts import (
    BadInput,
    read_manifest,
    recover,
    recover_inside,
    reserve,
    write_json,
    write_manifest,
    writing_dir,
    writing_file,
)

ROOT = Path(interp.__file__).parent.parent
CHILD = """
import os, signal, sys
from pathlib import Path
from interp.artifacts import writing_dir, writing_file
place = Path(sys.argv[1])
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
"""


def names(place: Path) -> list[str]:
    return sorted(p.name for p in place.iterdir())


def run_child(body: str, place: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", CHILD + body, str(place)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A finished directory, holding one file that says `old`."""
    with writing_dir(tmp_path / "thing") as aside:
        (aside / "a").write_text("old")
    return tmp_path / "thing"


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_directory_appears_only_when_its_block_ends(tmp_path):
    with writing_dir(tmp_path / "deep" / "thing") as aside:
        (aside / "a").write_text("new")
        assert not (tmp_path / "deep" / "thing").exists()
    assert names(tmp_path / "deep") == ["thing"]
    assert (tmp_path / "deep" / "thing" / "a").read_text() == "new"


def test_an_exception_in_the_block_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), writing_dir(tmp_path / "thing") as aside:
        (aside / "a").write_text("half")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_an_exception_while_overwriting_leaves_the_old_directory_as_it_was(old):
    with pytest.raises(ZeroDivisionError), writing_dir(old, overwrite=True) as aside:
        (aside / "b").write_text("half")
        raise ZeroDivisionError
    assert names(old.parent) == ["thing"]
    assert names(old) == ["a"]


def test_an_existing_directory_is_refused_without_overwrite_and_left_untouched(old):
    message = r"thing exists already: choose another place, or pass overwrite \(--overwrite\)"
    with pytest.raises(BadInput, match=message), writing_dir(old):
        pytest.fail("the block was entered")
    assert names(old.parent) == ["thing"]
    assert (old / "a").read_text() == "old"


def test_an_empty_directory_may_be_written_without_overwrite(tmp_path):
    (tmp_path / "thing").mkdir()
    with writing_dir(tmp_path / "thing") as aside:
        (aside / "a").write_text("new")
    assert names(tmp_path) == ["thing"] and names(tmp_path / "thing") == ["a"]


def test_a_path_below_a_file_is_refused_before_the_block(tmp_path):
    (tmp_path / "notes").write_text("mine")
    message = "thing cannot be written: expected a directory above it, got the file .*notes$"
    with pytest.raises(BadInput, match=message), writing_dir(tmp_path / "notes" / "deep" / "thing"):
        pytest.fail("the block was entered")
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_path_in_a_read_only_directory_is_refused_before_the_block(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path)  # root may write anywhere
    message = f"thing cannot be written: expected a place where this user may write, got {tmp_path}$"
    with pytest.raises(BadInput, match=message), writing_dir(tmp_path / "deep" / "thing"):
        pytest.fail("the block was entered")
    assert names(tmp_path) == []


def write_result(path: Path, kind: str, file: str, *, overwrite: bool = False) -> None:
    with writing_dir(path, overwrite=overwrite) as aside:
        (aside / file).write_text(kind)
        write_manifest(aside, kind, config={}, made_from={})


def test_overwriting_replaces_the_whole_result(tmp_path):
    write_result(tmp_path / "thing", "toy", "a")
    write_result(tmp_path / "thing", "toy", "b", overwrite=True)
    assert names(tmp_path / "thing") == ["b", "manifest.json"]
    assert names(tmp_path) == ["thing"]


def test_overwriting_keeps_a_directory_with_other_files_in_it(tmp_path):
    write_result(tmp_path / "thing", "toy", "a")
    (tmp_path / "thing" / "thesis.tex").write_text("mine")
    message = r"expected nothing but a result to replace, got other files in it \(thesis.tex\)"
    with pytest.raises(BadInput, match=message):
        write_result(tmp_path / "thing", "toy", "a", overwrite=True)
    assert (tmp_path / "thing" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("kind", ["toy", None])
def test_overwriting_keeps_a_directory_that_is_no_result(tmp_path, kind):
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "notes").write_text("mine")
    place = tmp_path / "thing"
    refusal = pytest.raises(BadInput, match=r"got other files in it \(notes\)")
    with refusal, reserve(place, overwrite=True, kind=kind):
        write_result(place, "toy", "a", overwrite=True)
    assert names(tmp_path) == ["thing"] and names(tmp_path / "thing") == ["notes"]


def test_overwriting_keeps_a_result_of_another_kind(tmp_path):
    write_result(tmp_path / "thing", "run", "a")
    message = "expected a result of kind 'toy' to replace, got one of kind 'run'"
    with pytest.raises(BadInput, match=message), reserve(tmp_path / "thing", overwrite=True, kind="toy"):
        pytest.fail("the block was entered")
    with pytest.raises(BadInput, match=message):
        write_result(tmp_path / "thing", "toy", "a", overwrite=True)
    assert read_manifest(tmp_path / "thing", "run")["kind"] == "run"


def test_overwriting_keeps_a_file(tmp_path):
    (tmp_path / "thing").write_text("mine")
    with pytest.raises(BadInput, match="expected a directory to replace, got a file"):
        write_result(tmp_path / "thing", "toy", "a", overwrite=True)
    assert (tmp_path / "thing").read_text() == "mine"


def test_what_a_killed_writer_left_inside_does_not_keep_a_result_from_being_replaced(tmp_path):
    write_result(tmp_path / "thing", "toy", "a")
    (tmp_path / "thing" / ".a.12345.partial").write_text("half")
    (tmp_path / "thing" / ".b.lock").touch()
    write_result(tmp_path / "thing", "toy", "c", overwrite=True)
    assert names(tmp_path / "thing") == ["c", "manifest.json"]


def test_overwriting_a_link_leaves_nothing_behind(tmp_path):
    thing = tmp_path / "thing"
    (tmp_path / "elsewhere").mkdir()
    thing.symlink_to(tmp_path / "elsewhere")
    for text in ("first", "second"):
        with writing_dir(thing, overwrite=True) as aside:
            (aside / "a").write_text(text)
    assert (thing / "a").read_text() == "second"
    assert names(tmp_path) == ["elsewhere", "thing"]
    assert names(tmp_path / "elsewhere") == []


def test_a_file_is_replaced_only_when_its_block_ends(tmp_path):
    write_json(tmp_path / "f.json", {"old": 1})
    with pytest.raises(ZeroDivisionError), writing_file(tmp_path / "f.json") as aside:
        aside.write_text("{half")
        raise ZeroDivisionError
    assert json.loads((tmp_path / "f.json").read_text()) == {"old": 1}
    assert names(tmp_path) == ["f.json"]


# --- full disks --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_during_a_write_leaves_the_old_directory_and_no_partial_one(old):
    message = rf"{old} cannot be written \(No space left on device\): free some space, or choose another place"
    with pytest.raises(BadInput, match=message), writing_dir(old, overwrite=True) as aside:
        (aside / "b").symlink_to("/dev/full")
        (aside / "b").write_text("no room")
    assert names(old.parent) == ["thing"]
    assert (old / "a").read_text() == "old"


@pytest.mark.parametrize("write", [writing_dir, writing_file])
def test_a_disk_found_full_at_fsync_leaves_the_old_content(tmp_path, monkeypatch, write):
    thing = tmp_path / "thing"

    def put(text: str, **kwargs: bool) -> None:
        with write(thing, **kwargs) as aside:
            (aside / "a" if write is writing_dir else aside).write_text(text)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    put("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match=rf"{thing} cannot be written \(No space left"):
        put("new", **({"overwrite": True} if write is writing_dir else {}))
    assert names(tmp_path) == ["thing"]
    assert (thing / "a" if write is writing_dir else thing).read_text() == "old"


def test_a_real_limit_on_file_size_leaves_the_old_directory_and_no_partial_one(old):
    child = run_child(
        """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with writing_dir(place, overwrite=True) as aside:
    (aside / "a").write_bytes(b"x" * 100_000)
""",
        old,
    )
    assert "File too large" in child.stderr
    assert names(old.parent) == ["thing"]
    assert (old / "a").read_text() == "old"


# --- kills -------------------------------------------------------------------------------------------------------


def test_a_kill_during_a_write_leaves_the_old_directory_and_recover_removes_the_partial_one(old):
    child = run_child(
        """
with writing_dir(place, overwrite=True) as aside:
    (aside / "a").write_text("half")
    die()
""",
        old,
    )
    assert child.returncode == -signal.SIGKILL
    assert (old / "a").read_text() == "old"
    assert any(name.endswith(".partial") for name in names(old.parent))
    recover(old)
    assert names(old.parent) == ["thing"]
    assert (old / "a").read_text() == "old"


@pytest.mark.parametrize("killed_at", ["second rename", "after both"])
def test_a_kill_around_the_two_renames_leaves_a_whole_directory_after_recover(old, killed_at):
    child = run_child(
        f"""
import shutil
renames = []
rename = Path.rename
def counted(self, target):
    renames.append(target)
    if {killed_at == "second rename"} and len(renames) == 2: die()
    return rename(self, target)
Path.rename = counted
if {killed_at == "after both"}: shutil.rmtree = die
with writing_dir(place, overwrite=True) as aside:
    (aside / "a").write_text("new")
""",
        old,
    )
    assert child.returncode == -signal.SIGKILL
    assert old.exists() == (killed_at == "after both")
    recover(old)
    assert names(old.parent) == ["thing"]
    assert (old / "a").read_text() == ("new" if killed_at == "after both" else "old")


def test_a_reader_of_the_manifest_recovers_a_directory_caught_between_its_renames(tmp_path):
    with writing_dir(tmp_path / "thing") as aside:
        write_manifest(aside, "toy", config={}, made_from={})
    (tmp_path / "thing").rename(tmp_path / ".thing.4194305.retired")  # no process can have this id
    assert read_manifest(tmp_path / "thing", "toy")["kind"] == "toy"


def test_a_kill_while_a_file_is_written_leaves_the_old_file(tmp_path):
    (tmp_path / "f").write_text("old")
    child = run_child('with writing_file(place) as aside: aside.write_text("half"); die()', tmp_path / "f")
    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / "f").read_text() == "old"
    recover(tmp_path / "f")
    assert names(tmp_path) == ["f"]


def test_the_next_write_of_a_file_clears_what_a_killed_one_left(tmp_path):
    run_child('with writing_file(place) as aside: aside.write_text("half"); die()', tmp_path / "f")
    assert len(names(tmp_path)) == 1 and names(tmp_path) != ["f"]
    with writing_file(tmp_path / "f") as aside:
        aside.write_text("new")
    assert names(tmp_path) == ["f"]


def test_a_dead_writer_with_our_own_process_id_does_not_stop_us(tmp_path):
    (tmp_path / f".thing.{os.getpid()}.partial").mkdir()  # in a container every run may have the same id
    with writing_dir(tmp_path / "thing") as aside:
        (aside / "a").write_text("new")
    assert names(tmp_path) == ["thing"]


def test_the_partial_directory_of_a_living_writer_is_not_removed(tmp_path):
    with writing_dir(tmp_path / "thing") as aside:
        recover(tmp_path / "thing")
        assert aside.exists()
        run_child("from interp.artifacts import recover; recover(place)", tmp_path / "thing")
        assert aside.exists()


def test_a_process_with_the_id_of_a_dead_writer_does_not_hide_the_copy_that_it_retired(tmp_path):
    with writing_dir(tmp_path / "thing") as aside:
        write_manifest(aside, "toy", config={}, made_from={})
    (tmp_path / "thing").rename(tmp_path / f".thing.{os.getppid()}.retired")  # a living process has this id now
    assert read_manifest(tmp_path / "thing", "toy")["kind"] == "toy"
    assert names(tmp_path) == ["thing"]


def test_a_kill_while_a_directory_is_deleted_leaves_a_remnant_that_recover_removes(tmp_path):
    with writing_dir(tmp_path / "thing") as aside:
        (aside / "a").write_text("old")
    child = "from interp.artifacts import remove_dir; import shutil; shutil.rmtree = die; remove_dir(place)"
    assert run_child(child, tmp_path / "thing").returncode == -signal.SIGKILL
    assert not (tmp_path / "thing").exists() and len(names(tmp_path)) == 1
    recover_inside(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("library", ["safetensors", "polars"])
def test_a_library_that_meets_a_full_disk_is_a_refusal_that_names_the_place(tmp_path, library):
    table, tensors = pl.DataFrame({"x": range(100_000)}), {"x": torch.zeros(100_000)}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with (
            pytest.raises(BadInput, match=rf"{tmp_path}/thing cannot be written"),
            writing_dir(tmp_path / "thing") as d,
        ):
            table.write_parquet(d / "f") if library == "polars" else save_file(tensors, d / "f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == []


def test_a_path_being_written_is_not_written_twice_at_once(tmp_path):
    with writing_dir(tmp_path / "thing") as aside:
        (aside / "a").write_text("outer")
        with pytest.raises(BadInput, match="is being written already"), writing_dir(tmp_path / "thing"):
            pytest.fail("the block was entered")
    assert (tmp_path / "thing" / "a").read_text() == "outer"


def test_partial_directories_are_found_beside_a_name_with_brackets(tmp_path):
    (tmp_path / ".run[1].999999999.partial").mkdir()
    recover(tmp_path / "run[1]")
    assert names(tmp_path) == []


def test_the_lock_of_a_killed_writer_is_cleared_when_its_result_is_read(tmp_path):
    with writing_dir(tmp_path / "thing") as aside:
        write_manifest(aside, "toy", config={}, made_from={})
    (tmp_path / ".thing.lock").write_text("4194305 on here")
    read_manifest(tmp_path / "thing", "toy")
    assert names(tmp_path) == ["thing"]


def test_the_working_directory_is_refused_before_the_block(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="expected a directory of its own, got the working directory"), writing_dir("."):
        pytest.fail("the block was entered")


def test_a_place_below_a_directory_that_may_not_be_listed_is_read(tmp_path, monkeypatch):
    with writing_dir(tmp_path / "thing") as aside:
        write_manifest(aside, "toy", config={}, made_from={})
    listed = Path.iterdir

    def iterdir(self):
        if self == tmp_path:
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert read_manifest(tmp_path / "thing", "toy")["kind"] == "toy"
