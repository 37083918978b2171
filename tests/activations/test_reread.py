"""The documents of a store, read again by other weights: the same tokens, token for token."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord
from tsae_fixtures import TINY, small_store

from interp.activations import CollectConfig, Store, Writer, collect
from interp.activations.reread import reread
from interp.activations.shard import TOKEN_COLUMNS
from interp.artifacts import BadInput
from interp.policy import SampleConfig
from interp.rollouts import Series


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    root = tmp_path_factory.mktemp("reread")
    tiny_policy(seed=0).save(root / "checkpoint-0")
    sampling = SampleConfig(group=2, max_new_tokens=8, rows=16)
    config = CollectConfig((0, 2), tokens=600, shard_tokens=100, micro_tokens=64, sampling=sampling)
    return collect(Series.from_dir(root), FirstWord(), config=config, progress=False)


def test_tokens_and_documents_stay_the_same_but_for_the_reader(store, tmp_path):
    other = reread(store, tiny_policy(seed=5), reader=7, out=tmp_path / "other", progress=False)
    assert other.documents.drop("reader").equals(store.documents.drop("reader"))
    assert set(other.documents["reader"]) == {7} and other.layers == store.layers and other.roles == store.roles
    assert other.made_from == {"policy-7": tiny_policy(seed=5).fingerprint(), "store": store.fingerprint()}
    for shard in range(len(store.shards)):
        new, old = other.tokens(shard), store.tokens(shard)
        assert all(torch.equal(getattr(new, column), getattr(old, column)) for column in TOKEN_COLUMNS)


def test_residuals_are_those_of_the_reading_policy(store, tmp_path):
    same = reread(store, tiny_policy(seed=0), reader=0, out=tmp_path / "same", micro_tokens=64, progress=False)
    other = reread(store, tiny_policy(seed=5), reader=0, out=tmp_path / "other", progress=False)
    for shard in range(len(store.shards)):
        for layer in store.layers:
            assert torch.equal(same.read(shard, layer), store.read(shard, layer))
            assert not torch.allclose(other.read(shard, layer), store.read(shard, layer), atol=1e-2)


def test_a_stopped_reread_continues_to_the_same_contents(store, tmp_path, monkeypatch):
    whole = reread(store, tiny_policy(seed=5), reader=0, out=tmp_path / "whole", progress=False)
    add, added = Writer.add, []

    def stops(self: Writer, *args: object) -> object:
        if len(added) == 2:
            raise KeyboardInterrupt
        added.append(1)
        return add(self, *args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Writer, "add", stops)
    with pytest.raises(KeyboardInterrupt):
        reread(store, tiny_policy(seed=5), reader=0, out=tmp_path / "stopped", progress=False)
    monkeypatch.setattr(Writer, "add", add)
    resumed = reread(store, tiny_policy(seed=5), reader=0, out=tmp_path / "stopped", progress=False)
    assert resumed.fingerprint() == whole.fingerprint() and len(resumed.shards) > 2


def test_another_width_and_a_store_without_tokens_are_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="expected a policy of the width of .*, 16; got 32"):
        reread(small_store(tmp_path / "narrow"), tiny_policy(seed=0), reader=0, out=tmp_path / "x", progress=False)
    wide = small_store(tmp_path / "wide", replace(TINY, d_model=32))
    with pytest.raises(BadInput, match="expected tokens to read again, got a store of activations alone"):
        reread(wide, tiny_policy(seed=0), reader=0, out=tmp_path / "y", progress=False)
