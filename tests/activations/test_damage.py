"""Damage to a store: refused or left out by its name, written again by the next collection, and never outside it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from damage_fixtures import DAMAGES, edit_json, edit_manifest
from lock_fixtures import lock_held_by_another
from safetensors.torch import load_file, save_file
from store_fixtures import (
    ARGUMENTS,
    LENGTHS,
    add_shard,
    contents,
    document_table,
    forget_checksums,
    residuals,
    token_table,
    write_store,
)

from interp.activations import Store, Writer, shard
from interp.artifacts import MANIFEST, BadInput, InUse, integrity, locked, record_file

FILES = [f"shard-0000{i}.{suffix}" for i in range(3) for suffix in ("safetensors", "parquet", "json")]


@pytest.fixture
def store(tmp_path) -> Path:
    return write_store(tmp_path / "store").path


@pytest.fixture
def other(tmp_path) -> Path:
    """A store of the same documents, with other residuals and names."""
    writer = Writer(tmp_path / "other", **ARGUMENTS)
    for index, lengths in enumerate(LENGTHS):
        halves = {layer: residuals(lengths, layer, index) / 2 for layer in writer.layers}
        writer.add(halves, token_table(lengths), document_table(lengths, "xyz"), {"index": index + 10})
    return writer.finish().path


def read_all(path: Path) -> list[Any]:
    store = Store.open(path)
    shards = range(len(store.shards))
    values = [store.read(i, layer).tolist() for i in shards for layer in store.layers]
    return [*values, *(store.tokens(i).ids.tolist() for i in shards), store.documents.to_dicts()]


def record_again(path: Path) -> None:
    """Record the files as they are now, as somebody would who knows of their checksums."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"] = {name: record_file(path / name) for name in manifest["files"]}
        for entry in manifest["shards"]:
            entry["bytes"] = {suffix: (path / f"{entry['name']}{suffix}").stat().st_size for suffix in shard.SUFFIXES}

    edit_manifest(path, change)


# --- files as they were written --------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_by_its_name_left_out_on_request_and_written_again(store, other, name, damage):
    whole = contents(store)
    DAMAGES[damage](store / name, other / name)
    with pytest.raises(BadInput, match=name.replace(".", r"\.")):
        read_all(store)
    rest = Store.open(store, skip_bad=True)
    assert [bad for bad, _ in rest.skipped] == [Path(name).stem] and len(rest.shards) == 2
    write_store(store)
    assert contents(store) == whole


@pytest.mark.parametrize("damage", ["flip", "cut", "exchange"])
def test_a_damaged_manifest_is_refused(store, other, damage):
    DAMAGES[damage](store / MANIFEST, other / MANIFEST)
    with pytest.raises(BadInput, match=str(store)):
        read_all(store)


def test_two_shards_of_one_store_are_not_exchanged_in_silence(tmp_path):
    writer = Writer(tmp_path / "store", **ARGUMENTS)
    for index in (0, 0):
        add_shard(writer, index)
    add = {layer: residuals(LENGTHS[0], layer) + 1 for layer in writer.layers}
    writer.add(add, token_table(LENGTHS[0]), document_table(LENGTHS[0]))
    path = writer.finish().path
    first, last = (path / f"shard-0000{i}.safetensors" for i in (0, 2))
    content = first.read_bytes()
    shutil.copyfile(last, first)
    last.write_bytes(content)
    Store.open(path)
    with pytest.raises(BadInput, match=f"{first}: expected checksum"):
        read_all(path)


def test_a_store_is_opened_without_reading_residuals_and_compared_at_the_first_read(store):
    content = bytearray((store / "shard-00001.safetensors").read_bytes())
    content[-1] ^= 1
    (store / "shard-00001.safetensors").write_bytes(content)
    opened = Store.open(store)
    opened.read(0, 1)
    for read in (lambda: opened.read(1, 3), lambda: opened.tokens(1)):
        with pytest.raises(BadInput, match="shard-00001.safetensors: expected checksum"):
            read()
    with integrity("sizes"):
        opened.read(1, 1)


@pytest.mark.filterwarnings("ignore:.*without checksums")
def test_a_store_of_an_earlier_version_is_read_and_gone_on_with(tmp_path):
    writer = Writer(tmp_path / "old", **ARGUMENTS)
    add_shard(writer, 0)
    for file in (tmp_path / "old").glob("shard-*.json"):
        edit_json(file, lambda facts: facts.pop("checksum"))
        edit_json(file, lambda facts: facts.pop("sha256"))
    whole = read_all(write_store(tmp_path / "old").path)
    assert whole == read_all(write_store(tmp_path / "new").path)
    forget_checksums(tmp_path / "old")
    with pytest.warns(UserWarning, match="without checksums"):
        assert read_all(tmp_path / "old") == whole
    (tmp_path / "old" / "shard-00001.parquet").write_bytes(b"PAR1" * 9)
    with pytest.raises(BadInput, match="shard-00001"):
        Store.open(tmp_path / "old")


# --- facts that must agree -------------------------------------------------------------------------------------------


def change_entry(index: int, **changes: Any) -> Callable[[Any], None]:
    return lambda manifest: manifest["shards"][index].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_entry(0, name="../outside/shard"), "expected a shard called shard-00000, got '../outside/shard'"),
        (change_entry(0, name="/shard-00000"), "expected a shard called shard-00000"),
        (change_entry(1, name="shard-00000"), "expected a shard called shard-00001, got 'shard-00000'"),
        (change_entry(1, name=None), "shard-00001"),
        (change_entry(1, tokens=5), "expected shards of 14 tokens together, got 15"),
        (change_entry(1, tokens="4"), "the facts of shard-00001"),
        (change_entry(1, bytes={}), "expected tokens, documents and bytes of at least 1"),
        (change_entry(1, documents=2), "expected 2 documents, got 1"),
        (change_entry(1, facts=[]), "the facts of shard-00001"),
        (change_entry(1, sha256={}), "expected facts and checksums by name"),
        (change_entry(1, tokens=0), "expected tokens, documents and bytes of at least 1"),
        (lambda manifest: manifest["shards"].pop(), "expected shards of 14 tokens together, got 11|got 9"),
        (lambda manifest: manifest.update(shards=3), "the entries of a store"),
        (lambda manifest: manifest.update(shards=[3]), "the facts of shard-00000"),
        (lambda manifest: manifest.pop("tokens"), "no entry 'tokens'"),
        (lambda manifest: manifest.update(layers=[99]), r"layer\.99"),
        (lambda manifest: manifest.update(layers=[]), r"expected different layers from 0 on, got \[\]"),
        (lambda manifest: manifest.update(layers=["1"]), "expected different layers from 0 on"),
        (lambda manifest: manifest.update(d_model=3), r"layer\.1: expected F32 \[5, 3\], got F32 \[5, 2\]"),
        (lambda manifest: manifest.update(d_model="2"), "expected a width and a precision"),
        (lambda manifest: manifest.update(dtype="bfloat16"), r"layer\.1: expected BF16 \[5, 2\], got F32 \[5, 2\]"),
        (lambda manifest: manifest.update(dtype="int8"), "expected a width and a precision"),
        (lambda manifest: manifest.update(roles=None), "expected names of roles, got None"),
    ],
)
def test_entries_that_are_not_those_of_the_shards_are_refused(store, change, message):
    shutil.copytree(store, store.parent / "outside")
    edit_manifest(store, change)
    with pytest.raises(BadInput, match=message):
        Store.open(store)


def test_roles_that_the_tokens_do_not_have_are_refused_when_they_are_read(store):
    edit_manifest(store, lambda manifest: manifest.update(roles=["prompt"]))
    with pytest.raises(
        BadInput, match="shard-00000: the tokens are not those of its documents: expected roles below 1"
    ):
        Store.open(store).tokens(0)


def test_documents_of_other_lengths_than_the_tokens_are_refused(store):
    documents = document_table((2, 3))
    documents.write_parquet(store / "shard-00000.parquet")
    record_again(store)
    opened = Store.open(store)
    with pytest.raises(BadInput, match="shard-00000: the tokens are not those of its documents"):
        opened.tokens(0)
    assert Store.open(store, skip_bad=True).shards == ("shard-00001", "shard-00002")
    document_table((2, 4)).write_parquet(store / "shard-00000.parquet")
    record_again(store)
    with pytest.raises(BadInput, match="expected documents of 5 tokens together, got 6"):
        Store.open(store)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (document_table((3, 2)).drop("prompt"), "expected documents with the column prompt of integers"),
        (document_table((3, 2)).with_columns(length=pl.Series(["3", "2"])), "the column length of integers"),
        (document_table((3, 2)).with_columns(more=1), "expected documents with the columns"),
    ],
)
def test_documents_with_other_columns_are_refused(store, documents, message):
    documents.write_parquet(store / "shard-00000.parquet")
    record_again(store)
    with pytest.raises(BadInput, match=message):
        Store.open(store)


def test_a_token_table_of_another_type_is_refused(store):
    file = store / "shard-00000.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"ids": tensors["ids"].long()}, file)
    record_again(store)
    with pytest.raises(BadInput, match=r"ids: expected I32 \[5\], got I64 \[5\]"):
        Store.open(store)


@pytest.mark.parametrize("name", ["reader", "corpus"])
def test_documents_of_another_reader_or_corpus_than_their_shard_are_refused(tmp_path, name):
    writer = Writer(tmp_path / "store", **ARGUMENTS)
    documents = document_table(LENGTHS[0]).with_columns(reader=7, corpus=pl.lit("probe"))
    facts = {"reader": 7, "corpus": "probe"}
    values = {layer: residuals(LENGTHS[0], layer) for layer in writer.layers}
    writer.add(values, token_table(LENGTHS[0]), documents, facts)
    path = writer.finish().path
    edit_manifest(path, lambda manifest: manifest["shards"][0]["facts"].update({name: "other"}))
    with pytest.raises(BadInput, match=f"expected documents of {name} other, got"):
        Store.open(path)


def test_facts_of_a_shard_that_were_edited_are_not_gone_on_with(tmp_path):
    writer = Writer(tmp_path / "store", **ARGUMENTS)
    add_shard(writer, 0)
    facts = tmp_path / "store" / "shard-00000.json"
    edit_json(facts, lambda entry: entry["facts"].update(index=5))
    assert Writer(tmp_path / "store", **ARGUMENTS).shards == []
    facts.write_text("[" * 99_999)
    assert Writer(tmp_path / "store", **ARGUMENTS).shards == []


# --- one writer at a time --------------------------------------------------------------------------------------------


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that collects into `store`."""
    with lock_held_by_another(tmp_path / "store") as child:
        yield child


def test_a_store_that_another_process_writes_takes_no_shard(tmp_path, holder):
    with pytest.raises(InUse, match=f"store is in use by process {holder.pid}"):
        Writer(tmp_path / "store", **ARGUMENTS)
    assert not (tmp_path / "store").exists()


def test_a_shard_is_added_by_who_holds_the_place(tmp_path):
    with locked(tmp_path / "store"):
        assert len(write_store(tmp_path / "store").shards) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
    assert json.loads((tmp_path / "store" / MANIFEST).read_text())["files"].keys() == set(FILES)
    assert torch.equal(Store.open(tmp_path / "store").read(0, 1), residuals(LENGTHS[0], 1))
