"""Manifests: what a directory holds and was made from, and refusals that say what to do."""

import json
import warnings
from pathlib import Path

import pytest
from damage_fixtures import edit_manifest

from interp.artifacts import (
    MANIFEST,
    SCHEMA,
    BadInput,
    Mismatch,
    read_manifest,
    with_checksum,
    write_json,
    write_manifest,
    writing_dir,
)
from interp.artifacts.manifests import is_ours, own_manifest


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with writing_dir(tmp_path / "store") as aside:
        write_manifest(aside, "store", config={"layer": 2}, made_from={"policy": "abc"}, rows=7)
    return tmp_path / "store"


def test_a_manifest_gives_schema_config_fingerprints_and_further_entries(store):
    manifest = read_manifest(store, "store", made_from={"policy": "abc"})
    assert manifest["schema"] == SCHEMA
    assert manifest["config"] == {"layer": 2}
    assert manifest["made_from"] == {"policy": "abc"}
    assert manifest["rows"] == 7


def test_another_kind_is_refused_naming_both(store):
    with pytest.raises(Mismatch, match=r"expected kind 'tsae', got 'store': is this the right directory\?"):
        read_manifest(store, "tsae")


def test_another_schema_is_refused_naming_both_and_what_to_do(store):
    manifest = json.loads((store / MANIFEST).read_text())
    write_json(store / MANIFEST, with_checksum(manifest | {"schema": 99}))
    with pytest.raises(Mismatch, match=f"expected schema {SCHEMA}, got 99: make it again with this version"):
        read_manifest(store, "store")


def test_another_fingerprint_is_refused_naming_both_and_what_to_do(store):
    with pytest.raises(Mismatch, match=r"another policy: expected xyz, got abc\. Use the policy .* or make it again"):
        read_manifest(store, "store", made_from={"policy": "xyz"})
    with pytest.raises(Mismatch, match="another teacher: expected xyz, got None"):
        read_manifest(store, "store", made_from={"teacher": "xyz"})


@pytest.mark.parametrize(
    ("versions", "reason"),
    [
        ({"transformers": "4.0.0"}, r" \(or written with another version of transformers: 4\.0\.0, here \d\S+\)"),
        ({"transformers": "4.0.0", "tokenizers": "0.1"}, r" \(.* transformers: 4\.0\.0, .* and tokenizers: 0\.1, .*\)"),
        ({}, ""),
        (None, ""),
    ],
)
def test_a_policy_of_equal_weights_and_another_rest_is_refused_with_what_differs(tmp_path, versions, reason):
    write_manifest(tmp_path, "store", config={}, made_from={"policy": "abc+123"})
    edit_manifest(tmp_path, lambda it: it.update(versions=versions and it["versions"] | versions))
    message = r"another policy: expected abc\+456, got abc\+123: same weights, another config or tokenizer"
    with pytest.raises(Mismatch, match=f"{message}{reason}\\. Use the policy it was made from, or make it again"):
        read_manifest(tmp_path, "store", made_from={"policy": "abc+456"})
    with pytest.raises(Mismatch, match=r"expected xyz\+123, got abc\+123\. Use the policy"):
        read_manifest(tmp_path, "store", made_from={"policy": "xyz+123"})


@pytest.mark.parametrize("missing", [None, "schema", "kind", "made_from", "checksum"])
def test_a_manifest_is_ours_if_at_most_one_of_its_signs_is_missing(store, missing):
    manifest = json.loads((store / MANIFEST).read_text())
    manifest.pop(missing, None)
    assert is_ours(manifest)
    for other in {"schema", "kind", "made_from", "checksum"} - {missing}:
        assert is_ours({**manifest, other: None}) is (missing is None)


@pytest.mark.parametrize("value", [[1], {"name": "app"}, {"schema": True, "kind": "a", "made_from": {}}])
def test_the_manifest_of_another_program_is_not_ours(value, tmp_path):
    assert not is_ours(value)
    write_json(tmp_path / MANIFEST, value)
    assert own_manifest(tmp_path) is None


def test_a_missing_directory_and_a_directory_without_a_manifest_are_refused(tmp_path):
    with pytest.raises(BadInput, match="expected a directory of kind 'store', got no such directory"):
        read_manifest(tmp_path / "nowhere", "store")
    with pytest.raises(BadInput, match=f"expected a directory of kind 'store', got a directory without {MANIFEST}"):
        read_manifest(tmp_path, "store")


def test_a_manifest_that_does_not_parse_is_refused(store):
    (store / MANIFEST).write_text('{"kind": ')
    with pytest.raises(BadInput, match="expected a JSON manifest, got text that does not parse"):
        read_manifest(store, "store")


@pytest.mark.parametrize("content", [b"[]", b"7", b"\xff\xfe{}", b"[" * 100_000, b'{"kind": NaN}', b""])
def test_a_manifest_with_other_contents_is_refused_naming_the_file(store, content):
    (store / MANIFEST).write_bytes(content)
    with pytest.raises(BadInput, match=f"{store / MANIFEST}: expected a JSON manifest"):
        read_manifest(store, "store")


def test_a_manifest_that_was_edited_is_refused(store):
    manifest = json.loads((store / MANIFEST).read_text())
    write_json(store / MANIFEST, manifest | {"rows": 8})
    with pytest.raises(BadInput, match="it was changed after it was written"):
        read_manifest(store, "store")


def test_a_manifest_without_checksums_is_read_with_a_warning_given_once(store):
    manifest = json.loads((store / MANIFEST).read_text())
    del manifest["checksum"], manifest["files"]
    write_json(store / MANIFEST, manifest)
    with pytest.warns(UserWarning, match=f"{store} was written by an earlier version, without checksums"):
        assert read_manifest(store, "store")["rows"] == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_manifest(store, "store")


@pytest.mark.parametrize("content", ["3", "[]", "{}", "null", '"text"', "false"])
def test_what_cannot_be_a_manifest_of_any_program_is_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(BadInput, match="expected a manifest with entries, got"):
        own_manifest(tmp_path)
