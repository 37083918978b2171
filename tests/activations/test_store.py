"""Reading a store: every token, residual and document comes back, and whatever does not fit is refused."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from store_fixtures import (
    ARGUMENTS,
    LENGTHS,
    add_shard,
    document_table,
    forget_checksums,
    residuals,
    token_table,
    write_store,
)

import interp
from interp.activations import Store, Writer
from interp.artifacts import BadInput, Mismatch


@pytest.fixture
def store(tmp_path) -> Store:
    return write_store(tmp_path / "store", config={"tokens": 14}, made_from={"policy-0": "aaa", "task": "ttt"})


# --- what is written is read --------------------------------------------------------------------------------------


def test_residuals_are_read_back_layer_by_layer_and_shard_by_shard(store):
    assert (store.layers, store.d_model, store.dtype, len(store)) == ((1, 3), 2, "float32", 14)
    assert store.shards == ("shard-00000", "shard-00001", "shard-00002") and store.skipped == ()
    assert store.roles == ("prompt", "step", "end") and store.config == {"tokens": 14}
    assert store.made_from == {"policy-0": "aaa", "task": "ttt"}
    for shard, lengths in enumerate(LENGTHS):
        for layer in store.layers:
            assert torch.equal(store.read(shard, layer), residuals(lengths, layer, shard))
        assert store.facts(shard) == {"index": shard}
    assert "14 tokens (8 of completions) of 6 documents, layers 1, 3 of width 2, 3 shards" in repr(store)


def test_tokens_give_their_document_in_the_store_and_documents_their_rows(store):
    assert [store.tokens(shard).document.tolist() for shard in range(3)] == [[0, 0, 0, 1, 1], [2] * 4, [3, 3, 4, 5, 5]]
    documents = store.documents
    assert documents.columns == ["shard", "first", "length", "prompt", "problem"]
    assert documents["shard"].to_list() == [0, 0, 1, 2, 2, 2]
    assert documents["first"].to_list() == [0, 3, 0, 0, 2, 3]
    for document, row in enumerate(documents.iter_rows(named=True)):
        table = store.tokens(row["shard"])
        rows = slice(row["first"], row["first"] + row["length"])
        assert set(table.document[rows].tolist()) == {document}
        assert table.position[rows].tolist() == list(range(row["length"]))
        assert (~table.completion[rows]).sum() == row["prompt"]
    assert [store.roles[role] for role in store.tokens(0).role] == ["prompt", "step", "end", "prompt", "end"]
    assert len(store.tokens(0)) == 5 and store.tokens(0).ids.dtype == torch.int32


def test_one_layer_of_several_can_be_opened_alone(store):
    alone = Store.open(store.path, layer=3)
    assert alone.layers == (3,) and alone.layer == 3
    with pytest.raises(BadInput, match=r"holds layers 1, 3: say which one \(layer=\.\.\., --layer\)"):
        store.layer  # noqa: B018
    with pytest.raises(Mismatch, match="expected one of the layers 3; got 1"):
        alone.read(0, 1)
    with pytest.raises(BadInput, match="expected a shard from 0 to 2, got 3"):
        store.read(3, 1)


def test_half_precision_halves_the_residuals_and_is_read_as_float32(tmp_path, store):
    half = write_store(tmp_path / "half", dtype="bfloat16")
    assert half.read(0, 3).dtype == torch.float32
    assert torch.equal(half.read(0, 3), residuals(LENGTHS[0], 3).bfloat16().float())
    whole, halved = (load_file(s.path / "shard-00000.safetensors")["layer.3"].nbytes for s in (store, half))
    assert whole == 2 * halved == 5 * 2 * 4


def test_the_fingerprint_depends_on_the_contents_and_not_on_the_path(tmp_path, store):
    assert write_store(tmp_path / "again", config={"tokens": 14}).fingerprint() == store.fingerprint()
    assert Store.open(store.path, layer=3).fingerprint() == store.fingerprint(), "it is the same store"
    assert write_store(tmp_path / "of another layer", layers=(1, 2)).fingerprint() != store.fingerprint()
    other = Writer(tmp_path / "other", **ARGUMENTS)
    for shard, lengths in enumerate(LENGTHS):
        changed = {layer: residuals(lengths, layer, shard) for layer in (1, 3)}
        changed[3][-1, -1] += 1e-3 * (shard == 2)
        other.add(changed, token_table(lengths), document_table(lengths), {"index": shard})
    assert other.finish().fingerprint() != store.fingerprint()


def test_the_fingerprint_depends_on_the_documents(tmp_path, store):
    writer = Writer(tmp_path / "named", **ARGUMENTS)
    for shard in range(len(LENGTHS)):
        add_shard(writer, shard, names="xyz")
    assert writer.finish().fingerprint() != store.fingerprint()


def test_importing_the_package_does_not_import_torch():
    code = "import sys, interp; interp.activations; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert interp.activations.Store is Store


# --- what a reader refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"layer": 2}, "expected residuals of layer 2, got those of 1, 3: collect that layer"),
        ({"dtype": "bfloat16"}, "expected residuals in bfloat16, got float32"),
        ({"made_from": {"policy-0": "zzz"}}, "was made from another policy-0: expected zzz, got aaa"),
        ({"made_from": {"policy-9": "zzz"}}, "was made from another policy-9: expected zzz, got None"),
    ],
)
def test_a_store_of_another_layer_precision_or_model_is_refused(store, expected, message):
    with pytest.raises(Mismatch, match=message):
        Store.open(store.path, **expected)


def test_a_path_without_a_store_is_refused(tmp_path):
    with pytest.raises(BadInput, match="expected a directory of kind 'activations', got no such directory"):
        Store.open(tmp_path / "nowhere")


def lose(path: Path) -> None:
    (path / "shard-00001.safetensors").unlink()


def lose_documents(path: Path) -> None:
    (path / "shard-00001.parquet").unlink()


def cut(path: Path) -> None:
    file = path / "shard-00001.safetensors"
    file.write_bytes(file.read_bytes()[:-3])


def garble(path: Path) -> None:
    file = path / "shard-00001.safetensors"
    file.write_bytes(b"\xff" * file.stat().st_size)


def garble_documents(path: Path) -> None:
    file = path / "shard-00001.parquet"
    file.write_bytes(b"\xff" * file.stat().st_size)


def exchange(path: Path) -> None:
    """By the shard of another store, of the same size: half as wide, and twice as many layers."""
    file = path / "shard-00001.safetensors"
    tensors = load_file(file)
    for layer in (1, 3):
        tensors[f"layer.{layer}"] = tensors[f"layer.{layer}"].reshape(8, 1)
    size = file.stat().st_size
    save_file(tensors, file)
    assert file.stat().st_size == size


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose, r"shard-00001\.safetensors is missing"),
        (lose_documents, r"shard-00001\.parquet is missing"),
        (cut, r"shard-00001\.safetensors: expected \d+ bytes, got \d+"),
        (garble, r".*shard-00001\.safetensors: expected a safetensors header, got"),
        (garble_documents, r"\S+/shard-00001\.parquet: expected checksum \w+, got \w+"),
        (exchange, r"shard-00001: layer\.1: expected F32 \[4, 2\], got F32 \[8, 1\]"),
    ],
)
def test_a_shard_that_cannot_be_read_is_named_and_left_out_only_on_request(store, damage, message):
    damage(store.path)
    with pytest.raises(BadInput, match=rf"1 of 3 shards cannot be read: {message}.*leave them out .skip_bad"):
        Store.open(store.path)
    rest = Store.open(store.path, skip_bad=True)
    assert rest.shards == ("shard-00000", "shard-00002") and len(rest) == 10
    assert [name for name, _ in rest.skipped] == ["shard-00001"] and "1 left out" in repr(rest)
    assert rest.documents["shard"].to_list() == [0, 0, 1, 1, 1]
    assert rest.tokens(1).document.tolist() == [2, 2, 3, 4, 4]
    assert torch.equal(rest.read(1, 3), residuals(LENGTHS[2], 3, 2))
    assert rest.fingerprint() != store.fingerprint()


def poison(path: Path, shard: int, layer: int, *values: float) -> None:
    file = path / f"shard-0000{shard}.safetensors"
    tensors = load_file(file)
    tensors[f"layer.{layer}"].view(-1)[: len(values)] = torch.tensor(values)
    save_file(tensors, file)


@pytest.mark.filterwarnings("ignore:.*without checksums")
def test_values_that_are_not_finite_are_refused_when_read_and_left_out_on_request(store):
    forget_checksums(store.path)
    poison(store.path, 1, 3, float("nan"), float("inf"), float("-inf"))
    store = Store.open(store.path)
    store.read(1, 1)
    with pytest.raises(BadInput, match="got 1 NaN and 2 infinite of 8 values in shard-00001 at layer 3"):
        store.read(1, 3)
    rest = Store.open(store.path, skip_bad=True)
    assert rest.skipped == (("shard-00001", "1 NaN and 2 infinite of 8 values at layer 3"),)
    assert Store.open(store.path, layer=1, skip_bad=True).skipped == ()


@pytest.mark.filterwarnings("ignore:.*without checksums")
def test_a_store_without_a_readable_shard_is_refused_even_with_skip_bad(store):
    forget_checksums(store.path)
    for shard in range(3):
        poison(store.path, shard, 1, float("nan"))
    with pytest.raises(BadInput, match="expected at least one shard that can be read, got none: shard-00000: 1 NaN"):
        Store.open(store.path, skip_bad=True)


def test_an_error_lists_some_bad_shards_and_counts_the_others(tmp_path):
    writer = Writer(tmp_path / "many", **ARGUMENTS)
    for _ in range(7):
        add_shard(writer, 0)
    writer.finish()
    for file in (tmp_path / "many").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(BadInput, match=r"7 of 7 shards cannot be read: .*shard-00004.*; and 2 more"):
        Store.open(tmp_path / "many")


def test_the_bytes_on_disk_are_those_of_tensors_and_documents(store):
    files = [file for file in store.path.iterdir() if file.suffix in (".safetensors", ".parquet")]
    assert store.n_bytes == sum(file.stat().st_size for file in files)
    facts = json.loads((store.path / "shard-00000.json").read_text())
    assert sum(facts["bytes"].values()) < store.n_bytes


def test_a_store_shows_its_documents_and_counts_them_by_checkpoint_and_corpus(store, tmp_path):
    assert store.table().equals(store.documents)
    assert store.summary().to_dicts() == [{"shards": 3, "documents": 6, "tokens": 14, "completion_tokens": 8}]
    writer = Writer(tmp_path / "keyed", **ARGUMENTS)
    documents = document_table(LENGTHS[0]).with_columns(
        reader=7, corpus=pl.Series(["probe", "on-policy"]), correct=True
    )
    writer.add({layer: residuals(LENGTHS[0], layer) for layer in (1, 3)}, token_table(LENGTHS[0]), documents)
    assert writer.finish().summary().rows() == [(7, "probe", 1, 1, 3, 2, 1.0), (7, "on-policy", 1, 1, 2, 1, 1.0)]
    assert "14 tokens (8 of completions) of 6 documents" in store._repr_html_()
