"""The documents of a store, read again by other weights: the same tokens, token for token."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_policy
from grpo_world import FirstWord
from tsae_world import TINY, planted_store

from interp.activations import Store, Writer, collect
from interp.activations.reread import reread
from interp.artifacts import BadInput
from interp.policy import SampleConfig
from interp.rollouts import Series

TABLE = ("ids", "document", "position", "role", "completion")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    root = tmp_path_factory.mktemp("reread")
    tiny_policy(seed=0).save(root / "checkpoint-0")
    sampling = SampleConfig(group=2, max_new_tokens=8, rows=16)
    told = {"tokens": 600, "shard_tokens": 100, "micro_tokens": 64, "sampling": sampling}
    return collect(Series.from_dir(root), FirstWord(), layers=(0, 2), bar=False, **told)


def test_tokens_and_documents_are_the_same_and_only_the_reader_is_another(store, tmp_path):
    again = reread(store, tiny_policy(seed=5), reader=7, out=tmp_path / "again", bar=False)
    assert again.documents.drop("reader").equals(store.documents.drop("reader"))
    assert set(again.documents["reader"]) == {7} and again.layers == store.layers and again.roles == store.roles
    assert again.made_from == {"policy-7": tiny_policy(seed=5).fingerprint(), "store": store.fingerprint()}
    for shard in range(len(store.shards)):
        mine, theirs = again.table(shard), store.table(shard)
        assert all(torch.equal(getattr(mine, column), getattr(theirs, column)) for column in TABLE)


def test_residuals_are_those_of_the_one_who_reads(store, tmp_path):
    same = reread(store, tiny_policy(seed=0), reader=0, out=tmp_path / "same", micro_tokens=64, bar=False)
    other = reread(store, tiny_policy(seed=5), reader=0, out=tmp_path / "other", bar=False)
    for shard in range(len(store.shards)):
        for layer in store.layers:
            assert torch.equal(same.read(shard, layer), store.read(shard, layer))
            assert not torch.allclose(other.read(shard, layer), store.read(shard, layer), atol=1e-2)


def test_stopped_between_two_shards_it_goes_on_to_the_same_bytes(store, tmp_path, monkeypatch):
    whole = reread(store, tiny_policy(seed=5), reader=0, out=tmp_path / "whole", bar=False)
    add, added = Writer.add, []

    def killed(self: Writer, *told: object) -> object:
        if len(added) == 2:
            raise KeyboardInterrupt
        added.append(1)
        return add(self, *told)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Writer, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        reread(store, tiny_policy(seed=5), reader=0, out=tmp_path / "stopped", bar=False)
    monkeypatch.setattr(Writer, "add", add)
    after = reread(store, tiny_policy(seed=5), reader=0, out=tmp_path / "stopped", bar=False)
    assert after.fingerprint() == whole.fingerprint() and len(after.shards) > 2


def test_what_cannot_be_read_again_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="expected a policy of the width of .*, 16; got 32"):
        reread(planted_store(tmp_path / "narrow"), tiny_policy(seed=0), reader=0, out=tmp_path / "x", bar=False)
    wide = planted_store(tmp_path / "wide", replace(TINY, d_model=32))
    with pytest.raises(BadInput, match="expected tokens to read again, got a store of activations alone"):
        reread(wide, tiny_policy(seed=0), reader=0, out=tmp_path / "y", bar=False)
