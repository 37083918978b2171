"""Writing a store: a killed writer goes on to the same bytes, and a shard that does not fit together is not written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from store_fixtures import ARGUMENTS, add_shard, contents, document_table, residuals, token_table, write_store

from interp.activations import Store, Writer
from interp.artifacts import BadInput, Mismatch


@pytest.fixture
def store(tmp_path) -> Store:
    return write_store(tmp_path / "store", config={"tokens": 14}, made_from={"policy-0": "aaa", "task": "ttt"})


# --- stopped, and gone on -----------------------------------------------------------------------------------------


def test_a_writer_stopped_after_any_shard_goes_on_to_the_same_bytes(tmp_path, store):
    arguments = {**ARGUMENTS, "config": {"tokens": 14}, "made_from": {"policy-0": "aaa", "task": "ttt"}}
    path = tmp_path / "stopped"
    for shard in range(3):
        writer = Writer(path, **arguments)
        assert [written.facts for written in writer.shards] == [{"index": before} for before in range(shard)]
        add_shard(writer, shard)
        with pytest.raises(BadInput, match=f"expected a finished store, got one of {shard + 1} shards so far"):
            Store.open(path)
    Writer(path, **arguments).finish()
    assert contents(path) == contents(store.path)


@pytest.mark.parametrize("suffix", ["safetensors", "parquet", "json"])
def test_remnants_of_a_writer_killed_within_a_shard_are_removed(tmp_path, monkeypatch, store, suffix):
    path = tmp_path / "killed"
    writer = Writer(path, **ARGUMENTS, config={"tokens": 14}, made_from=store.made_from)
    add_shard(writer, 0)
    replaced = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if self.name.startswith(".shard-00001") and suffix in self.name:
            shutil.copy(self, self.with_name(f".shard-00001.{suffix}.999999999.partial"))
            raise KeyboardInterrupt
        return replaced(self, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", killed)
        add_shard(writer, 1)
    assert (path / f".shard-00001.{suffix}.999999999.partial").exists()
    resumed = Writer(path, **ARGUMENTS, config={"tokens": 14}, made_from=store.made_from)
    assert [shard.facts for shard in resumed.shards] == [{"index": 0}]
    add_shard(resumed, 1)
    add_shard(resumed, 2)
    resumed.finish()
    assert contents(path) == contents(store.path)


def test_a_finished_store_is_opened_unchanged_and_takes_no_more_shards(store):
    before = contents(store.path)
    writer = Writer(store.path, **ARGUMENTS, config=store.config, made_from=store.made_from)
    assert len(writer.shards) == 3 and writer.finish().fingerprint() == store.fingerprint()
    with pytest.raises(BadInput, match="is finished: nothing can be added to it"):
        add_shard(writer, 0)
    assert contents(store.path) == before


def test_a_damaged_store_is_written_again_from_the_gap_on(store):
    before = contents(store.path)
    (store.path / "shard-00001.safetensors").unlink()
    writer = Writer(store.path, **ARGUMENTS, config=store.config, made_from=store.made_from)
    assert [shard.facts for shard in writer.shards] == [{"index": 0}]
    add_shard(writer, 1)
    with pytest.raises(BadInput, match="got one of 2 shards so far"):
        Store.open(store.path)
    add_shard(writer, 2)
    writer.finish()
    assert contents(store.path) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": (1, 2)}, "layers (expected [1, 2], got [1, 3])"),
        ({"d_model": 4}, "d_model (expected 4, got 2)"),
        ({"dtype": "bfloat16"}, "dtype (expected bfloat16, got float32)"),
        ({"roles": ("prompt",)}, "roles (expected ['prompt'], got ['prompt', 'step', 'end'])"),
        ({"config": {"tokens": 15}}, "config.tokens (expected 15, got 14)"),
        ({"made_from": {"policy-0": "bbb", "task": "ttt"}}, "made_from.policy-0 (expected bbb, got aaa)"),
    ],
)
def test_a_store_written_with_other_arguments_is_refused_naming_what_differs(store, changes, message):
    same = {**ARGUMENTS, "config": store.config, "made_from": store.made_from}
    with pytest.raises(Mismatch) as refused:
        Writer(store.path, **(same | changes))
    assert f"(activations) was made from other inputs: {message}. Repeat the call" in str(refused.value)


def test_a_store_without_a_shard_yet_may_be_begun_again_with_other_arguments(tmp_path):
    Writer(tmp_path / "store", **ARGUMENTS)
    writer = Writer(tmp_path / "store", **{**ARGUMENTS, "config": {"tokens": 15}})
    assert writer.shards == [] and not writer.finished
    with pytest.raises(BadInput, match="expected a finished store"):
        Store.open(tmp_path / "store")
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["config"] == {"tokens": 15}


def test_a_writer_whose_path_was_begun_again_by_another_adds_nothing_to_it(tmp_path):
    first, second = (Writer(tmp_path / "store", **ARGUMENTS, made_from={"policy-0": name}) for name in ("aaa", "bbb"))
    with pytest.raises(Mismatch, match=r"made_from.policy-0 \(expected aaa, got bbb\)"):
        add_shard(first, 0)
    add_shard(second, 0)
    assert second.finish().made_from == {"policy-0": "bbb"}


def test_a_path_with_other_files_in_it_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        BadInput,
        match=r"expected a directory of kind .activations. or an empty place, got notes\.txt and no manifest\.json",
    ):
        Writer(tmp_path, **ARGUMENTS)
    with pytest.raises(BadInput, match="expected a directory of kind .activations. or an empty place, got a file"):
        Writer(tmp_path / "notes.txt", **ARGUMENTS)


def test_an_empty_store_is_not_finished(tmp_path):
    with pytest.raises(BadInput, match="expected at least one shard, got none"):
        Writer(tmp_path / "empty", **ARGUMENTS).finish()


# --- what a writer refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
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
def test_impossible_arguments_are_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(BadInput, match=message):
        Writer(tmp_path / "store", **(ARGUMENTS | changes))
    assert not (tmp_path / "store").exists()


TABLE, DOCUMENTS = token_table((3, 2)), document_table((3, 2))
GOOD = {layer: residuals((3, 2), layer) for layer in (1, 3)}
NAN = {**GOOD, 3: torch.full((5, 2), float("nan"))}
HUGE = {**GOOD, 3: torch.full((5, 2), 1e39, dtype=torch.float64)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NAN, TABLE, DOCUMENTS), "layer 3: expected finite residuals, got 10 NaN and 0 infinite of 10 values"),
        ((HUGE, TABLE, DOCUMENTS), "layer 3: expected finite residuals, got 0 NaN and 10 infinite of 10 values"),
        (({1: GOOD[1]}, TABLE, DOCUMENTS), r"expected residuals of layers \[1, 3\], got \[1\]"),
        (({**GOOD, 3: torch.zeros(5, 3)}, TABLE, DOCUMENTS), r"layer 3: expected residuals of shape \(5, 2\), got"),
        ((GOOD, TABLE, document_table((3, 3))), "expected a token table of 6 rows, the sum of the documents' lengths"),
        ((GOOD, TABLE, document_table((3, 2, 0))), "expected documents with at least one token each: leave out those"),
        ((GOOD, TABLE, DOCUMENTS.drop("prompt")), "documents must have the columns length and prompt; got no prompt"),
        ((GOOD, TABLE, DOCUMENTS.with_columns(first=0)), "must leave shard and first to the reader; got first"),
        ((GOOD, TABLE, document_table((2, 3))), "expected the tokens of each document together"),
        ((GOOD, TABLE, DOCUMENTS.with_columns(prompt=2)), "first `prompt` tokens to be prompt"),
        ((GOOD, replace(TABLE, position=TABLE.position * 0), DOCUMENTS), "positions from 0 that rise within each"),
        ((GOOD, replace(TABLE, role=TABLE.role + 1), DOCUMENTS), "expected roles below 3, got 3"),
    ],
)
def test_an_inconsistent_shard_is_refused(tmp_path, arguments, message):
    writer = Writer(tmp_path / "store", **ARGUMENTS)
    with pytest.raises(BadInput, match=message):
        writer.add(*arguments)
    assert list(contents(tmp_path / "store")) == ["manifest.json"] and writer.shards == []


def test_documents_have_the_same_columns_in_every_shard(tmp_path):
    writer = Writer(tmp_path / "store", **ARGUMENTS)
    writer.add(GOOD, TABLE, DOCUMENTS)
    with pytest.raises(BadInput, match="expected documents with the columns of the first shard"):
        writer.add(GOOD, TABLE, DOCUMENTS.with_columns(run=pl.lit("a")))


def test_positions_need_not_begin_at_the_prompt(tmp_path):
    """A writer may store completions alone."""
    writer = Writer(tmp_path / "store", **ARGUMENTS)
    late = replace(TABLE, position=TABLE.position + 7, completion=torch.ones(5, dtype=torch.bool))
    writer.add(GOOD, late, DOCUMENTS.with_columns(prompt=0))
    assert writer.finish().tokens(0).position.tolist() == [7, 8, 9, 7, 8]
