"""`interp check`: every file of artifacts is compared with its checksum."""

import json
import shutil
from pathlib import Path

import pytest
from commands import refused, run, run_json, run_text

from interp.artifacts import MANIFEST, write_json
from interp.organism import shipped_path


@pytest.fixture
def organism(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_path(), tmp_path / "runs" / "organism"))


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_whole_artifacts_are_listed_wherever_they_lie_below_a_directory(monkeypatch, capsys, organism):
    assert run_text(monkeypatch, capsys, "check", organism.parent).split()[-2:] == [str(organism), "whole"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", MANIFEST])
def test_a_damaged_artifact_is_named_with_the_reason_and_exit_code_1(monkeypatch, capsys, organism, name):
    flip_a_byte(organism / name)
    assert run(monkeypatch, "check", organism) == 1
    out = capsys.readouterr().out
    assert "damaged" in out and str(organism / name) in out


def test_checksums_are_added_to_an_artifact_of_an_earlier_version_on_demand(monkeypatch, capsys, organism):
    manifest = json.loads((organism / MANIFEST).read_text())
    write_json(organism / MANIFEST, {key: manifest[key] for key in manifest if key not in ("files", "checksum")})
    assert run_json(monkeypatch, capsys, "check", organism)["artifacts"][0]["state"] == "no checksums"
    assert run_json(monkeypatch, capsys, "check", organism, "--add")["artifacts"][0]["state"] == "whole"
    flip_a_byte(organism / "config.json")
    assert run(monkeypatch, "check", organism) == 1


def test_a_path_without_artifacts_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / MANIFEST).write_text('{"name": "of another program"}')
    assert "expected a directory with a manifest.json in it" in refused(monkeypatch, capsys, "check", tmp_path)


def test_sizes_alone_are_compared_after_the_flag_integrity(monkeypatch, capsys, organism):
    monkeypatch.setenv("INTERP_INTEGRITY", "full")
    flip_a_byte(organism / "tokenizer.json")
    assert run(monkeypatch, "--integrity", "sizes", "check", organism) == 0
    assert "integrity must be full or sizes; got 'fast'" in refused(monkeypatch, capsys, "--integrity", "fast", "check")
