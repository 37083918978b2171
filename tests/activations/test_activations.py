"""A store of activations: what is written is read, a killed writer goes on, and whatever does not fit is refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

import interp
from interp.activations import Store, TokenTable, Writer
from interp.artifacts import BadInput, Mismatch

MAKING: dict[str, Any] = {"layers": (1, 3), "d_model": 2, "roles": ("prompt", "step", "end")}
LENGTHS = ((3, 2), (4,), (2, 1, 2))
"""Of the documents of three shards. The first token of each is its prompt."""


def tokens_of(lengths: tuple[int, ...]) -> TokenTable:
    """Token ids count up; a document is one prompt token, then steps, the last of them its end."""
    places = [(document, place, n) for document, n in enumerate(lengths) for place in range(n)]
    return TokenTable(
        ids=torch.arange(len(places), dtype=torch.int32),
        document=torch.tensor([document for document, _, _ in places], dtype=torch.int32),
        position=torch.tensor([place for _, place, _ in places], dtype=torch.int32),
        role=torch.tensor([0 if not p else 2 if p == n - 1 else 1 for _, p, n in places], dtype=torch.uint8),
        completion=torch.tensor([place > 0 for _, place, _ in places]),
    )


def documents_of(lengths: tuple[int, ...], names: str = "abc") -> pl.DataFrame:
    return pl.DataFrame({"length": lengths, "prompt": [1] * len(lengths), "problem": list(names[: len(lengths)])})


def residuals_of(lengths: tuple[int, ...], layer: int, shard: int = 0) -> torch.Tensor:
    """Each value says where it belongs: layer, shard and token."""
    n = sum(lengths)
    return (100 * layer + 10 * shard + torch.arange(n).float())[:, None] * torch.tensor([1.0, -1.0])


def add(writer: Writer, at: int) -> None:
    lengths = LENGTHS[at]
    activations = {layer: residuals_of(lengths, layer, at) for layer in writer.layers}
    writer.add(activations, tokens_of(lengths), documents_of(lengths), {"at": at})


def written(path: Path, **changes: Any) -> Store:
    writer = Writer(path, **{**MAKING, **changes})
    for at in range(len(writer.done), len(LENGTHS)):
        add(writer, at)
    return writer.finish()


@pytest.fixture
def store(tmp_path) -> Store:
    return written(tmp_path / "store", config={"tokens": 14}, made_from={"policy-0": "aaa", "task": "ttt"})


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


# --- what is written is read --------------------------------------------------------------------------------------


def test_what_is_written_is_read_layer_by_layer_and_shard_by_shard(store):
    assert (store.layers, store.d_model, store.dtype, len(store)) == ((1, 3), 2, "float32", 14)
    assert store.shards == ("shard-00000", "shard-00001", "shard-00002") and store.skipped == ()
    assert store.roles == ("prompt", "step", "end") and store.config == {"tokens": 14}
    assert store.made_from == {"policy-0": "aaa", "task": "ttt"}
    for shard, lengths in enumerate(LENGTHS):
        for layer in store.layers:
            assert torch.equal(store.read(shard, layer), residuals_of(lengths, layer, shard))
        assert store.facts(shard) == {"at": shard}
    assert "14 tokens of 6 documents, layers 1, 3 of width 2, 3 shards" in repr(store)


def test_a_token_knows_its_document_in_the_whole_store_and_a_document_its_rows(store):
    assert [store.table(shard).document.tolist() for shard in range(3)] == [[0, 0, 0, 1, 1], [2] * 4, [3, 3, 4, 5, 5]]
    documents = store.documents
    assert documents.columns == ["shard", "first", "length", "prompt", "problem"]
    assert documents["shard"].to_list() == [0, 0, 1, 2, 2, 2]
    assert documents["first"].to_list() == [0, 3, 0, 0, 2, 3]
    for at, row in enumerate(documents.iter_rows(named=True)):
        table = store.table(row["shard"])
        rows = slice(row["first"], row["first"] + row["length"])
        assert set(table.document[rows].tolist()) == {at}
        assert table.position[rows].tolist() == list(range(row["length"]))
        assert (~table.completion[rows]).sum() == row["prompt"]
    assert [store.roles[role] for role in store.table(0).role] == ["prompt", "step", "end", "prompt", "end"]
    assert len(store.table(0)) == 5 and store.table(0).ids.dtype == torch.int32


def test_one_layer_of_several_can_be_looked_at_alone(store):
    alone = Store.open(store.path, layer=3)
    assert alone.layers == (3,) and alone.layer == 3
    with pytest.raises(BadInput, match=r"holds layers 1, 3: say which one \(layer=\.\.\., --layer\)"):
        store.layer  # noqa: B018
    with pytest.raises(Mismatch, match="expected one of the layers 3; got 1"):
        alone.read(0, 1)
    with pytest.raises(BadInput, match="expected a shard from 0 to 2, got 3"):
        store.read(3, 1)


def test_half_precision_halves_the_residuals_and_is_read_as_float32(tmp_path, store):
    half = written(tmp_path / "half", dtype="bfloat16")
    assert half.read(0, 3).dtype == torch.float32
    assert torch.equal(half.read(0, 3), residuals_of(LENGTHS[0], 3).bfloat16().float())
    whole, halved = (load_file(s.path / "shard-00000.safetensors")["layer.3"].nbytes for s in (store, half))
    assert whole == 2 * halved == 5 * 2 * 4


def test_a_fingerprint_is_of_the_contents_and_not_of_the_place(tmp_path, store):
    assert written(tmp_path / "again", config={"tokens": 14}).fingerprint() == store.fingerprint()
    assert Store.open(store.path, layer=3).fingerprint() == store.fingerprint(), "it is the same store"
    assert written(tmp_path / "of another layer", layers=(1, 2)).fingerprint() != store.fingerprint()
    other = Writer(tmp_path / "other", **MAKING)
    for at, lengths in enumerate(LENGTHS):
        changed = {layer: residuals_of(lengths, layer, at) for layer in (1, 3)}
        changed[3][-1, -1] += 1e-3 * (at == 2)
        other.add(changed, tokens_of(lengths), documents_of(lengths), {"at": at})
    assert other.finish().fingerprint() != store.fingerprint()


def test_the_documents_belong_to_the_fingerprint(tmp_path, store):
    writer = Writer(tmp_path / "named", **MAKING)
    for at, lengths in enumerate(LENGTHS):
        activations = {layer: residuals_of(lengths, layer, at) for layer in (1, 3)}
        writer.add(activations, tokens_of(lengths), documents_of(lengths, "xyz"), {"at": at})
    assert writer.finish().fingerprint() != store.fingerprint()


def test_the_room_is_entered_without_torch():
    code = "import sys, interp; interp.activations; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert interp.activations.Store is Store


# --- stopped, and gone on -----------------------------------------------------------------------------------------


def test_a_store_whose_writer_was_stopped_goes_on_and_ends_in_the_same_bytes(tmp_path, store):
    making = {**MAKING, "config": {"tokens": 14}, "made_from": {"policy-0": "aaa", "task": "ttt"}}
    path = tmp_path / "stopped"
    for at in range(3):
        writer = Writer(path, **making)
        assert writer.done == [{"at": before} for before in range(at)]
        add(writer, at)
        with pytest.raises(BadInput, match=rf"expected a finished store, got one of {at + 1} shards so far: ask for"):
            Store.open(path)
    Writer(path, **making).finish()
    assert contents(path) == contents(store.path)


@pytest.mark.parametrize("suffix", ["safetensors", "parquet", "json"])
def test_a_writer_killed_within_a_shard_leaves_a_half_that_is_cleared_away(tmp_path, monkeypatch, store, suffix):
    path = tmp_path / "killed"
    writer = Writer(path, **MAKING, config={"tokens": 14}, made_from=store.made_from)
    add(writer, 0)
    replaced = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if self.name.startswith(".shard-00001") and suffix in self.name:
            shutil.copy(self, self.with_name(f".shard-00001.{suffix}.999999999.partial"))
            raise KeyboardInterrupt
        return replaced(self, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", killed)
        add(writer, 1)
    assert (path / f".shard-00001.{suffix}.999999999.partial").exists()
    again = Writer(path, **MAKING, config={"tokens": 14}, made_from=store.made_from)
    assert again.done == [{"at": 0}]
    add(again, 1)
    add(again, 2)
    again.finish()
    assert contents(path) == contents(store.path)


def test_a_finished_store_is_returned_as_it_is_and_takes_nothing_more(store):
    before = contents(store.path)
    writer = Writer(store.path, **MAKING, config=store.config, made_from=store.made_from)
    assert len(writer.done) == 3 and writer.finish().fingerprint() == store.fingerprint()
    with pytest.raises(BadInput, match="is finished: nothing can be added to it"):
        add(writer, 0)
    assert contents(store.path) == before


def test_a_damaged_store_is_mended_from_the_gap_on(store):
    before = contents(store.path)
    (store.path / "shard-00001.safetensors").unlink()
    writer = Writer(store.path, **MAKING, config=store.config, made_from=store.made_from)
    assert writer.done == [{"at": 0}]
    add(writer, 1)
    with pytest.raises(BadInput, match="got one of 2 shards so far"):
        Store.open(store.path)
    add(writer, 2)
    writer.finish()
    assert contents(store.path) == before


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"layers": (1, 2)}, r"layers was \[1, 3\], now \[1, 2\]"),
        ({"d_model": 4}, "d_model was 2, now 4"),
        ({"dtype": "bfloat16"}, "dtype was 'float32', now 'bfloat16'"),
        ({"roles": ("prompt",)}, r"roles was .*, now \['prompt'\]"),
        ({"config": {"tokens": 15}}, "config.tokens was 14, now 15"),
        ({"made_from": {"policy-0": "bbb", "task": "ttt"}}, "made_from.policy-0 was 'aaa', now 'bbb'"),
    ],
)
def test_a_store_begun_with_other_arguments_is_refused_saying_what_differs(store, changes, told):
    same = {**MAKING, "config": store.config, "made_from": store.made_from}
    with pytest.raises(BadInput, match=rf"holds a store of another making: {told}\. Ask for the same, or choose"):
        Writer(store.path, **{**same, **changes})


def test_a_place_in_which_nothing_was_written_yet_takes_whatever_is_asked_for_next(tmp_path):
    Writer(tmp_path / "store", **MAKING)
    writer = Writer(tmp_path / "store", **{**MAKING, "config": {"tokens": 15}})
    assert writer.shards == [] and not writer.finished
    with pytest.raises(BadInput, match="not finished|expected a finished store"):
        Store.open(tmp_path / "store")
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["config"] == {"tokens": 15}


def test_a_writer_whose_place_was_taken_meanwhile_adds_nothing_to_it(tmp_path):
    first, second = (Writer(tmp_path / "store", **{**MAKING, "made_from": {"policy-0": of}}) for of in ("aaa", "bbb"))
    with pytest.raises(BadInput, match="of another making: made_from.policy-0 was 'bbb', now 'aaa'"):
        add(first, 0)
    add(second, 0)
    assert second.finish().made_from == {"policy-0": "bbb"}


def test_a_place_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BadInput, match=r"expected a store or an empty place, got notes\.txt and no manifest\.json"):
        Writer(tmp_path, **MAKING)
    with pytest.raises(BadInput, match="expected a store or an empty place, got a file"):
        Writer(tmp_path / "notes.txt", **MAKING)


def test_an_empty_store_is_not_finished(tmp_path):
    with pytest.raises(BadInput, match="expected at least one shard, got none"):
        Writer(tmp_path / "empty", **MAKING).finish()


# --- what a reader refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"layer": 2}, "expected residuals of layer 2, got those of 1, 3: collect that layer"),
        ({"dtype": "bfloat16"}, "expected residuals in bfloat16, got float32"),
        ({"made_from": {"policy-0": "zzz"}}, "was made from another policy-0: expected zzz, got aaa"),
        ({"made_from": {"policy-9": "zzz"}}, "was made from another policy-9: expected zzz, got None"),
    ],
)
def test_a_store_of_another_layer_precision_or_model_is_refused(store, wanted, told):
    with pytest.raises(Mismatch, match=told):
        Store.open(store.path, **wanted)


def test_what_is_no_store_is_refused(tmp_path):
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
    ("spoil", "told"),
    [
        (lose, r"shard-00001\.safetensors is missing"),
        (lose_documents, r"shard-00001\.parquet is missing"),
        (cut, r"shard-00001\.safetensors: expected \d+ bytes, got \d+"),
        (garble, r"shard-00001\.safetensors: expected residuals as safetensors, got a file without"),
        (garble_documents, r"shard-00001\.parquet: expected 1 documents as Parquet, got a file that does not open"),
        (exchange, r"shard-00001: layer\.1: expected F32 \[4, 2\], got F32 \[8, 1\]"),
    ],
)
def test_a_shard_that_cannot_be_read_is_named_and_left_out_only_on_request(store, spoil, told):
    spoil(store.path)
    with pytest.raises(BadInput, match=rf"1 of 3 shards cannot be read: {told}.*leave them out .skip_bad"):
        Store.open(store.path)
    left = Store.open(store.path, skip_bad=True)
    assert left.shards == ("shard-00000", "shard-00002") and len(left) == 10
    assert [name for name, _ in left.skipped] == ["shard-00001"] and "1 left out" in repr(left)
    assert left.documents["shard"].to_list() == [0, 0, 1, 1, 1]
    assert left.table(1).document.tolist() == [2, 2, 3, 4, 4]
    assert torch.equal(left.read(1, 3), residuals_of(LENGTHS[2], 3, 2))
    assert left.fingerprint() != store.fingerprint()


def poison(path: Path, shard: int, layer: int, *values: float) -> None:
    file = path / f"shard-0000{shard}.safetensors"
    tensors = load_file(file)
    tensors[f"layer.{layer}"].view(-1)[: len(values)] = torch.tensor(values)
    save_file(tensors, file)


def test_values_that_are_no_numbers_are_refused_when_read_and_left_out_on_request(store):
    poison(store.path, 1, 3, float("nan"), float("inf"), float("-inf"))
    store = Store.open(store.path)
    store.read(1, 1)
    with pytest.raises(BadInput, match="got 1 NaN and 2 infinite of 8 values in shard-00001 at layer 3"):
        store.read(1, 3)
    left = Store.open(store.path, skip_bad=True)
    assert left.skipped == (("shard-00001", "1 NaN and 2 infinite of 8 values at layer 3"),)
    assert Store.open(store.path, layer=1, skip_bad=True).skipped == ()


def test_where_no_shard_can_be_read_there_is_no_store_even_on_request(store):
    for shard in range(3):
        poison(store.path, shard, 1, float("nan"))
    with pytest.raises(BadInput, match="expected at least one shard that can be read, got none: shard-00000: 1 NaN"):
        Store.open(store.path, skip_bad=True)


def test_many_bad_shards_are_counted_and_some_listed(tmp_path):
    writer = Writer(tmp_path / "many", **MAKING)
    for _ in range(7):
        add(writer, 0)
    writer.finish()
    for file in (tmp_path / "many").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(BadInput, match=r"7 of 7 shards cannot be read: .*shard-00004.*; and 2 more"):
        Store.open(tmp_path / "many")


# --- what a writer refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"layers": ()}, r"layers must be different numbers from 0 on, one at least; got \[\]"),
        ({"layers": (1, 1)}, r"got \[1, 1\]"),
        ({"layers": (-1,)}, r"got \[-1\]"),
        ({"dtype": "float16"}, "dtype must be one of float32, bfloat16; got 'float16'"),
        ({"d_model": 0}, "d_model must be at least 1; got 0"),
        ({"roles": ()}, r"roles must be 1 to 256 different names; got \[\]"),
        ({"roles": ("a", "a")}, r"got \['a', 'a'\]"),
    ],
)
def test_a_store_that_could_not_be_is_not_begun(tmp_path, changes, told):
    with pytest.raises(BadInput, match=told):
        Writer(tmp_path / "store", **{**MAKING, **changes})
    assert not (tmp_path / "store").exists()


TABLE, DOCUMENTS = tokens_of((3, 2)), documents_of((3, 2))
GOOD = {layer: residuals_of((3, 2), layer) for layer in (1, 3)}
NAN = {**GOOD, 3: torch.full((5, 2), float("nan"))}
HUGE = {**GOOD, 3: torch.full((5, 2), 1e39, dtype=torch.float64)}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((NAN, TABLE, DOCUMENTS), "layer 3: expected finite residuals, got 10 NaN and 0 infinite of 10 values"),
        ((HUGE, TABLE, DOCUMENTS), "layer 3: expected finite residuals, got 0 NaN and 10 infinite of 10 values"),
        (({1: GOOD[1]}, TABLE, DOCUMENTS), r"expected residuals of layers \[1, 3\], got \[1\]"),
        (({**GOOD, 3: torch.zeros(5, 3)}, TABLE, DOCUMENTS), r"layer 3: expected residuals of shape \(5, 2\), got"),
        ((GOOD, TABLE, documents_of((3, 3))), "expected a token table of 6 rows, the sum of the documents' lengths"),
        ((GOOD, TABLE, documents_of((3, 2, 0))), "expected documents with at least one token each: leave out those"),
        ((GOOD, TABLE, DOCUMENTS.drop("prompt")), "documents must have the columns length and prompt; got no prompt"),
        ((GOOD, TABLE, DOCUMENTS.with_columns(first=0)), "must leave shard and first to the reader; got first"),
        ((GOOD, TABLE, documents_of((2, 3))), "expected the tokens of each document together"),
        ((GOOD, TABLE, DOCUMENTS.with_columns(prompt=2)), "first `prompt` tokens to be prompt"),
        ((GOOD, replace(TABLE, position=TABLE.position * 0), DOCUMENTS), "positions from 0 that rise within each"),
        ((GOOD, replace(TABLE, role=TABLE.role + 1), DOCUMENTS), "expected roles below 3, got 3"),
    ],
)
def test_a_shard_that_does_not_fit_together_is_not_written(tmp_path, given, told):
    writer = Writer(tmp_path / "store", **MAKING)
    with pytest.raises(BadInput, match=told):
        writer.add(*given)
    assert list(contents(tmp_path / "store")) == ["manifest.json"] and writer.done == []


def test_documents_have_the_same_columns_in_every_shard(tmp_path):
    writer = Writer(tmp_path / "store", **MAKING)
    writer.add(GOOD, TABLE, DOCUMENTS)
    with pytest.raises(BadInput, match="expected documents with the columns of the first shard"):
        writer.add(GOOD, TABLE, DOCUMENTS.with_columns(run=pl.lit("a")))


def test_positions_need_not_begin_at_the_prompt(tmp_path):
    """A writer may keep completions alone."""
    writer = Writer(tmp_path / "store", **MAKING)
    late = replace(TABLE, position=TABLE.position + 7, completion=torch.ones(5, dtype=torch.bool))
    writer.add(GOOD, late, DOCUMENTS.with_columns(prompt=0))
    assert writer.finish().table(0).position.tolist() == [7, 8, 9, 7, 8]


def test_the_size_on_disk_is_known(store):
    files = [file for file in store.path.iterdir() if file.suffix in (".safetensors", ".parquet")]
    assert store.size == sum(file.stat().st_size for file in files)
    facts = json.loads((store.path / "shard-00000.json").read_text())
    assert sum(facts["bytes"].values()) < store.size
