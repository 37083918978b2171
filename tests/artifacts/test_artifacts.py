"""Whole or absent: what is written survives failures, full disks and kills, and what does not match is refused."""

import errno
import json
import math
import os
import signal
import string
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import interp
from interp.artifacts import (
    MANIFEST,
    SCHEMA,
    BadInput,
    Mismatch,
    fingerprint,
    fingerprint_config,
    fingerprint_tensors,
    from_json,
    read_manifest,
    recover,
    to_json,
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
    told = r"thing exists already: choose another place, or pass overwrite \(--overwrite\)"
    with pytest.raises(BadInput, match=told), writing_dir(old):
        pytest.fail("the block was entered")
    assert names(old.parent) == ["thing"]
    assert (old / "a").read_text() == "old"


def test_an_empty_directory_is_as_free_as_none(tmp_path):
    (tmp_path / "thing").mkdir()
    with writing_dir(tmp_path / "thing") as aside:
        (aside / "a").write_text("new")
    assert names(tmp_path) == ["thing"] and names(tmp_path / "thing") == ["a"]


def test_a_place_below_a_file_is_refused_before_the_work(tmp_path):
    (tmp_path / "notes").write_text("mine")
    told = "thing cannot be written: expected a directory above it, got the file .*notes$"
    with pytest.raises(BadInput, match=told), writing_dir(tmp_path / "notes" / "deep" / "thing"):
        pytest.fail("the block was entered")
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_place_where_nothing_may_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path)  # root may write anywhere
    told = f"thing cannot be written: expected a place where this user may write, got {tmp_path}$"
    with pytest.raises(BadInput, match=told), writing_dir(tmp_path / "deep" / "thing"):
        pytest.fail("the block was entered")
    assert names(tmp_path) == []


def test_overwriting_replaces_the_whole_directory(old):
    with writing_dir(old, overwrite=True) as aside:
        (aside / "b").write_text("new")
    assert names(old) == ["b"]
    assert names(old.parent) == ["thing"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_overwriting_what_is_not_a_plain_directory_leaves_no_remains(tmp_path, kind):
    thing = tmp_path / "thing"
    (tmp_path / "elsewhere").mkdir()
    thing.write_text("a file") if kind == "file" else thing.symlink_to(tmp_path / "elsewhere")
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
def test_a_disk_that_fills_up_during_a_write_leaves_the_old_directory_and_no_half(old):
    with pytest.raises(OSError) as caught, writing_dir(old, overwrite=True) as aside:
        (aside / "b").symlink_to("/dev/full")
        (aside / "b").write_text("no room")
    assert caught.value.errno == errno.ENOSPC
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
    with pytest.raises(OSError, match="No space left"):
        put("new", **({"overwrite": True} if write is writing_dir else {}))
    assert names(tmp_path) == ["thing"]
    assert (thing / "a" if write is writing_dir else thing).read_text() == "old"


def test_a_real_limit_on_file_size_leaves_the_old_directory_and_no_half(old):
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


def test_a_kill_in_mid_write_leaves_the_old_directory_and_the_half_goes_at_the_next_recover(old):
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
    assert len(names(old.parent)) == 2
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


def test_the_half_of_a_dead_writer_with_our_own_process_id_does_not_stop_us(tmp_path):
    (tmp_path / f".thing.{os.getpid()}.partial").mkdir()  # in a container every run may bear the same id
    with writing_dir(tmp_path / "thing") as aside:
        (aside / "a").write_text("new")
    assert names(tmp_path) == ["thing"]


def test_the_half_of_a_living_writer_is_left_alone(tmp_path):
    other = tmp_path / f".thing.{os.getppid()}.partial"
    other.mkdir()
    with writing_dir(tmp_path / "thing") as aside:
        recover(tmp_path / "thing")
        assert aside.exists()
    assert other.exists()


def test_a_path_being_written_is_not_written_twice_at_once(tmp_path):
    with writing_dir(tmp_path / "thing") as aside:
        (aside / "a").write_text("outer")
        with pytest.raises(BadInput, match="is being written already"), writing_dir(tmp_path / "thing"):
            pytest.fail("the block was entered")
    assert (tmp_path / "thing" / "a").read_text() == "outer"


def test_halves_are_found_beside_a_name_with_brackets(tmp_path):
    (tmp_path / ".run[1].999999999.partial").mkdir()
    recover(tmp_path / "run[1]")
    assert names(tmp_path) == []


# --- manifests ---------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Path:
    with writing_dir(tmp_path / "store") as aside:
        write_manifest(aside, "store", config={"layer": 2}, made_from={"policy": "abc"}, rows=7)
    return tmp_path / "store"


def test_a_manifest_tells_its_kind_config_origin_and_facts(made):
    manifest = read_manifest(made, "store", made_from={"policy": "abc"})
    assert manifest["schema"] == SCHEMA
    assert manifest["config"] == {"layer": 2}
    assert manifest["made_from"] == {"policy": "abc"}
    assert manifest["rows"] == 7


def test_another_kind_is_refused_naming_both(made):
    with pytest.raises(Mismatch, match=r"expected kind 'tsae', got 'store': is this the right directory\?"):
        read_manifest(made, "tsae")


def test_another_schema_is_refused_naming_both_and_what_to_do(made):
    manifest = json.loads((made / MANIFEST).read_text())
    write_json(made / MANIFEST, manifest | {"schema": 99})
    with pytest.raises(Mismatch, match=f"expected schema {SCHEMA}, got 99: make it again with this version"):
        read_manifest(made, "store")


def test_another_origin_is_refused_naming_both_fingerprints_and_what_to_do(made):
    with pytest.raises(Mismatch, match=r"another policy: expected xyz, got abc\. Use the policy .* or make it again"):
        read_manifest(made, "store", made_from={"policy": "xyz"})
    with pytest.raises(Mismatch, match="another teacher: expected xyz, got None"):
        read_manifest(made, "store", made_from={"teacher": "xyz"})


def test_a_missing_directory_and_one_without_a_manifest_are_told_apart(tmp_path):
    with pytest.raises(BadInput, match="expected a directory of kind 'store', got no such directory"):
        read_manifest(tmp_path / "nowhere", "store")
    with pytest.raises(BadInput, match=f"expected a directory of kind 'store', got a directory without {MANIFEST}"):
        read_manifest(tmp_path, "store")


def test_a_manifest_that_does_not_parse_is_refused(made):
    (made / MANIFEST).write_text('{"kind": ')
    with pytest.raises(BadInput, match="expected a JSON manifest, got text that does not parse"):
        read_manifest(made, "store")


# --- configs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    words: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Outer:
    depth: int
    inner: Inner = Inner()
    spare: Inner | None = None
    many: tuple[Inner, ...] = ()
    grid: tuple[tuple[int, ...], ...] = ()
    place: Path = Path("runs")
    on: bool = False


text = st.text(string.printable, max_size=8)
inners = st.builds(
    Inner,
    share=st.floats(allow_nan=False, allow_infinity=False),
    words=st.lists(text, max_size=3).map(tuple),
    note=st.none() | text,
)
outers = st.builds(
    Outer,
    depth=st.integers(),
    inner=inners,
    spare=st.none() | inners,
    many=st.lists(inners, max_size=2).map(tuple),
    grid=st.lists(st.lists(st.integers(), max_size=2).map(tuple), max_size=2).map(tuple),
    place=text.map(Path),
    on=st.booleans(),
)


@given(outers)
def test_a_config_survives_its_journey_through_json(config):
    assert from_json(Outer, json.loads(json.dumps(to_json(config)))) == config


def test_unknown_keys_are_refused_by_name_at_any_depth():
    with pytest.raises(BadInput, match=r"Outer has no deph, widht; it has depth, grid, inner, many, on, place, spare"):
        from_json(Outer, {"depth": 1, "widht": 2, "deph": 3})
    with pytest.raises(BadInput, match=r"Inner has no shaer; it has note, share, words"):
        from_json(Outer, {"depth": 1, "inner": {"shaer": 0.1}})


@dataclass(frozen=True)
class Measured:
    value: float
    spare: float | None = None
    many: tuple[float, ...] = ()


def test_what_is_no_number_comes_back_as_none_where_that_may_be_and_else_as_not_a_number():
    """JSON has no word for it: a float that must be there was not a number, one that need not be was not there."""
    nan, inf = float("nan"), float("inf")
    text = json.dumps(to_json(Measured(nan, nan, (1.0, nan, inf))), allow_nan=False)
    found = from_json(Measured, json.loads(text))
    assert math.isnan(found.value) and found.spare is None
    assert found.many[0] == 1.0 and math.isnan(found.many[1]) and math.isnan(found.many[2])
    assert from_json(Measured, to_json(Measured(0.5, 0.0))) == Measured(0.5, 0.0)


def test_keys_left_out_take_their_defaults():
    assert from_json(Outer, {"depth": 3}) == Outer(3)


@dataclass(frozen=True)
class Renamed:
    RENAMED_FIELDS: ClassVar[Mapping[str, str]] = {"at8": "label_at_8", "old_inner": "inner"}
    label_at_8: str = "hard@8"
    inner: Inner = Inner()


def test_a_file_written_before_a_field_was_renamed_is_still_read():
    stored = {"at8": "easy@8", "old_inner": {"share": 0.25}}
    assert from_json(Renamed, stored) == Renamed("easy@8", Inner(0.25))
    assert from_json(Renamed, to_json(Renamed("easy@8"))) == Renamed("easy@8")
    assert set(to_json(Renamed())) == {"label_at_8", "inner"}, "it is written under the new name"


def test_a_field_under_its_old_and_its_new_name_at_once_is_refused():
    with pytest.raises(BadInput, match="Renamed: expected each field under one name, got at8 and label_at_8"):
        from_json(Renamed, {"at8": "easy@8", "label_at_8": "hard@8"})


# --- fingerprints ------------------------------------------------------------------------------------------------


def of_tensors(**tensors: torch.Tensor) -> str:
    return fingerprint_tensors(tensors, tensors.__getitem__)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.binary(min_size=4, max_size=32).filter(lambda data: len(data) % 4 == 0), st.data())
def test_a_fingerprint_changes_with_any_bit(data, draw):
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    one, other = (torch.frombuffer(bytearray(part), dtype=torch.float32) for part in (data, flipped))
    assert of_tensors(a=one) != of_tensors(a=other)
    assert of_tensors(a=one) == of_tensors(a=one.clone())


def test_a_fingerprint_changes_with_dtype_shape_and_name():
    zeros = torch.zeros(4, dtype=torch.float32)
    prints = [
        of_tensors(a=zeros),
        of_tensors(a=zeros.int()),
        of_tensors(a=zeros.reshape(2, 2)),
        of_tensors(a=zeros.reshape(4, 1)),
        of_tensors(b=zeros),
        of_tensors(a=zeros, b=zeros[:0]),
        of_tensors(a=zeros[:2], b=zeros[2:]),
    ]
    assert len(set(prints)) == len(prints)


def test_half_precision_has_the_fingerprint_of_the_float32_it_is_equal_to():
    exact = torch.tensor([0.5, -1.25, 3.0])
    assert of_tensors(a=exact.bfloat16()) == of_tensors(a=exact.half()) == of_tensors(a=exact)
    assert of_tensors(a=torch.tensor([0.1]).bfloat16()) != of_tensors(a=torch.tensor([0.1]))


def test_a_fingerprint_depends_neither_on_order_nor_on_memory_layout():
    a, b = torch.arange(6.0).reshape(2, 3), torch.ones(2, dtype=torch.bfloat16)
    assert of_tensors(a=a, b=b) == of_tensors(b=b, a=a)
    assert of_tensors(a=a) == of_tensors(a=a.T.contiguous().T)


def test_a_tensor_of_no_dimensions_has_a_fingerprint():
    assert of_tensors(a=torch.tensor(1.0)) != of_tensors(a=torch.tensor(1.0).reshape(1))


@given(st.lists(text, max_size=4), st.lists(text, max_size=4))
def test_parts_never_run_together(one, other):
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


def test_the_fingerprint_of_a_config_does_not_depend_on_the_order_of_its_keys():
    assert fingerprint_config({"a": 1, "b": 2}) == fingerprint_config({"b": 2, "a": 1})
    assert fingerprint_config(Outer(1)) != fingerprint_config(Outer(2))
    assert fingerprint_config(Outer(1)) == fingerprint_config(to_json(Outer(1)))
