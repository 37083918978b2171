"""The reader of artifacts: any change of a file is noticed, and whatever a library raises is a refusal."""

import json
import os
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from interp.artifacts import (
    MANIFEST,
    BadInput,
    Mismatch,
    add_checksums,
    inside,
    integrity,
    open_artifact,
    read_parquet,
    reading,
    set_integrity,
    with_checksum,
    write_json,
    write_manifest,
    writing_dir,
)

NAMES = ("rows.parquet", "sub/notes.txt", "tensors.safetensors", "values.json")


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    with writing_dir(tmp_path / "toy") as partial:
        save_file({"x": torch.arange(8.0)}, partial / "tensors.safetensors")
        pl.DataFrame({"a": [1, 2, 3]}).write_parquet(partial / "rows.parquet")
        write_json(partial / "values.json", {"a": 1})
        (partial / "sub").mkdir()
        (partial / "sub" / "notes.txt").write_text("text")
        write_manifest(partial, "toy", config={"layer": 2}, made_from={})
    return tmp_path / "toy"


def read_all(path: Path) -> tuple:
    artifact = open_artifact(path, "toy")
    return (
        artifact.tensors("tensors.safetensors")["x"].tolist(),
        artifact.parquet("rows.parquet", rows=3)["a"].to_list(),
        artifact.json("values.json"),
        artifact.file("sub/notes.txt").read_text(),
    )


def edit_manifest(path: Path, **entries) -> None:
    write_json(path / MANIFEST, with_checksum(json.loads((path / MANIFEST).read_text()) | entries))


def strip_checksums(path: Path) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    write_json(path / MANIFEST, {name: entry for name, entry in manifest.items() if name not in ("files", "checksum")})


def test_an_artifact_records_size_and_checksum_of_every_file(toy):
    records = open_artifact(toy, "toy").records
    assert tuple(sorted(records)) == NAMES
    text = records["sub/notes.txt"]
    assert text == {"bytes": 4, "sha256": "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"}
    assert read_all(toy) == ([0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3], {"a": 1}, "text")


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_is_refused_naming_the_file(toy, name):
    content = bytearray((toy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (toy / name).write_bytes(content)
    with pytest.raises(
        BadInput, match=rf"{toy / name}: expected checksum .*: its contents changed after it was written"
    ):
        read_all(toy)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["short", "long", "missing"])
def test_a_file_that_is_missing_or_of_another_size_is_refused_when_the_artifact_is_opened(toy, name, damage):
    content = (toy / name).read_bytes()
    (toy / name).unlink()
    if damage != "missing":
        (toy / name).write_bytes(content[:-1] if damage == "short" else content + b"x")
    with pytest.raises(BadInput, match=rf"{toy / name}: expected [\d,]+ bytes, got (no such file|[\d,]+)"):
        open_artifact(toy, "toy")


def test_a_file_is_compared_once_and_again_after_it_changed(toy, monkeypatch):
    read_all(toy)
    monkeypatch.setattr("interp.artifacts.checksums.record_file", lambda file: pytest.fail("read again"))
    read_all(toy)
    monkeypatch.undo()
    (toy / "sub" / "notes.txt").write_text("TEXT")
    os.utime(toy / "sub" / "notes.txt", ns=(1, 1))
    with pytest.raises(BadInput, match="expected checksum"):
        read_all(toy)


def test_sizes_alone_are_compared_where_that_is_asked_for(toy):
    (toy / "sub" / "notes.txt").write_text("TEXT")
    with integrity("sizes"):
        assert read_all(toy)[3] == "TEXT"
    with pytest.raises(BadInput, match="expected checksum"):
        read_all(toy)
    with pytest.raises(BadInput, match="integrity must be full or sizes; got 'none'"), integrity("none"):
        pytest.fail("the block was entered")


def test_the_environment_sets_the_integrity_of_a_process_and_of_those_it_starts(toy, monkeypatch):
    monkeypatch.setenv("INTERP_INTEGRITY", "full")  # restored after the test
    (toy / "sub" / "notes.txt").write_text("TEXT")
    set_integrity("sizes")
    assert os.environ["INTERP_INTEGRITY"] == "sizes"
    assert read_all(toy)[3] == "TEXT"
    with integrity("full"), pytest.raises(BadInput, match="expected checksum"):
        read_all(toy)


def test_an_artifact_without_checksums_is_read_with_a_warning_and_can_be_given_them(toy):
    strip_checksums(toy)
    with pytest.warns(UserWarning, match="without checksums"):
        assert read_all(toy)[3] == "text"
    add_checksums(toy)
    (toy / "sub" / "notes.txt").write_text("TEXT")
    with pytest.raises(BadInput, match="expected checksum"):
        read_all(toy)


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("name", ["rows.parquet", "tensors.safetensors", "values.json"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"PAR1" + b"\x00" * 100 + b"PAR1", b"[" * 99_999, b"\xff" * 8])
def test_without_checksums_a_file_that_no_library_reads_is_a_refusal(toy, name, content):
    strip_checksums(toy)
    (toy / name).write_bytes(content)
    with pytest.raises(BadInput, match=str(toy / name)):
        read_all(toy)


@pytest.mark.parametrize("name", ["../outside", "/etc/hosts", "a/../../b", "", "a\\..\\b", "a\0b", "."])
def test_a_name_that_leads_out_of_the_directory_is_refused(toy, name):
    with pytest.raises(BadInput, match="expected names of files inside it"):
        inside(toy, name)
    edit_manifest(toy, files={name: {"bytes": 1, "sha256": "0"}})
    with pytest.raises(BadInput, match="expected names of files inside it"):
        open_artifact(toy, "toy")


@pytest.mark.parametrize("files", [[1], {"a": 1}, {"a": {"bytes": 1}}, {"a": {"bytes": "1", "sha256": "0"}}, "x"])
def test_records_of_another_form_are_refused(toy, files):
    edit_manifest(toy, files=files)
    with pytest.raises(BadInput, match="expected bytes and sha256 of each file"):
        open_artifact(toy, "toy")


def test_a_table_that_unfolds_to_many_times_its_file_is_refused_before_it_is_read(tmp_path, monkeypatch):
    pl.DataFrame({"a": pl.repeat(0, 20_000_000, eager=True)}).write_parquet(tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000
    monkeypatch.setattr(pl, "read_parquet", lambda file: pytest.fail("the table was read"))
    with pytest.raises(BadInput, match="expected a table about as large as its file, got one of [0-9,]+ bytes"):
        read_parquet(tmp_path / "bomb.parquet")
    with pytest.raises(BadInput, match="expected 3 rows, got 20000000"):
        read_parquet(tmp_path / "bomb.parquet", rows=3)


@pytest.mark.parametrize(
    "error", [KeyError("a"), TypeError("no"), UnicodeError("bad"), RecursionError(), OSError(5, "I/O")]
)
def test_whatever_reading_raises_is_a_refusal_with_path_reason_and_remedy(error):
    message = r"^place: expected roles, got one that cannot be read \(.+\): copy it again, or"
    with pytest.raises(BadInput, match=message), reading("place", "roles"):
        raise error


def test_reading_passes_on_refusals_and_interrupts():
    with pytest.raises(Mismatch, match="^place: as it is$"), reading("place", "roles"):
        raise Mismatch("place: as it is")
    with pytest.raises(Mismatch, match="^place: without a path$"), reading("place", "roles"):
        raise Mismatch("without a path")
    with pytest.raises(KeyboardInterrupt), reading("place", "roles"):
        raise KeyboardInterrupt
