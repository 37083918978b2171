"""Each damage changes a directory, is the same for the same seed, and takes no checksum along unseen."""

import json
import shutil
from pathlib import Path
from random import Random

import pytest

from attack.damage import DAMAGES, Target, edit, lacks_checksums, strip_checksums

MANIFEST = {"kind": "store", "schema": 1, "files": {"x.json": {"bytes": 2}}, "checksum": "c", "shards": None}


def write_folder(folder: Path, number: int) -> Path:
    """A directory with a manifest, tensors of nothing, a table, a ledger, and one directory inside."""
    inner = folder / "store" / "inner"
    inner.mkdir(parents=True)
    (folder / "store" / "manifest.json").write_text(json.dumps(MANIFEST | {"seed": number, "config": {"a": [1, 2, 3]}}))
    (inner / "manifest.json").write_text(json.dumps(MANIFEST | {"seed": number + 10}))
    (folder / "store" / "table.parquet").write_bytes(bytes([number]) * 3000)
    (folder / "store" / "other.parquet").write_bytes(bytes([number + 5]) * 100)
    (folder / "store" / "runs.jsonl").write_text("".join(json.dumps({"row": n + number}) + "\n" for n in range(5)))
    (inner / "weights.safetensors").write_bytes(bytes([number + 1]) * 500)
    return folder


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path, Path]:
    bombs = tmp_path / "bombs"
    bombs.mkdir()
    for name in ("zeros.parquet", "header.safetensors", "long-header.safetensors", "huge.json", "huge.jsonl"):
        (bombs / name).write_bytes(b"bomb")
    return write_folder(tmp_path / "one", 0), write_folder(tmp_path / "two", 1), bombs


def contents(folder: Path) -> dict[str, object]:
    files = {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}
    return {str(path.relative_to(folder)): content for path, content in files.items()}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_changes_the_directory_and_is_the_same_for_the_same_seed(folders, tmp_path, name):
    damage, seen, changed = DAMAGES[name][0], [], 0
    for seed in range(12):
        results = []
        for _ in range(2):
            copy = tmp_path / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folders[0], copy)
            what = damage(Random(seed), Target(copy, folders[1], folders[2]))
            results.append((what, contents(copy)))
        assert results[0] == results[1]
        seen.append(results[0][0])
        changed += results[0][0] is not None and results[0][1] != contents(folders[0])
    assert changed >= 5, seen
    assert contents(folders[1]) == contents(write_folder(tmp_path / "three", 1)), "the other directory is as it was"


def test_an_edit_changes_one_place_and_names_it():
    for seed in range(50):
        value = {"a": 1, "b": {"c": [1, "x"]}}
        what = edit(Random(seed), value)
        assert (what is None) == (repr(value) == repr({"a": 1, "b": {"c": [1, "x"]}})), (what, value)
        assert what is None or what.split()[0] in ("a", "b", "b.c", "b.c.0", "b.c.1")


def test_checksums_can_be_removed_and_their_lack_is_seen(folders):
    one, two, _ = folders
    assert not lacks_checksums(two, one)
    assert strip_checksums(one) and not strip_checksums(one), "there are none the second time"
    assert lacks_checksums(one, two)
    assert json.loads((one / "store" / "manifest.json").read_text())["shards"] is None, "the rest is as it was"


def test_a_manifest_that_does_not_parse_is_damaged_rather_than_older(folders):
    one, two, _ = folders
    (one / "store" / "manifest.json").write_text("[")
    assert not lacks_checksums(one, two)
    (one / "store" / "manifest.json").unlink()
    assert lacks_checksums(one, two)


def test_a_directory_that_is_gone_has_not_lost_its_checksums(folders):
    one, two, _ = folders
    shutil.rmtree(one / "store" / "inner")
    assert not lacks_checksums(one, two)
