"""Pools hold whole documents of every shard, within their memory, and an epoch reads each document once."""

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tsae_fixtures import store_with_layout

from interp.activations import Store
from interp.tsae.pools import Pools

LAYOUT = [[(9, 3), (1, 0), (4, 4), (12, 0)], [(7, 6), (20, 2)], [(2, 0), (30, 5), (5, 9)]]
"""Some documents are one token, one is all prompt, one has a prompt longer than itself."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_with_layout(tmp_path_factory.mktemp("pools") / "store", LAYOUT, layers=(0, 2))


class StoreWithoutResiduals:
    """The table of documents of a store with shards of these document lengths."""

    d_model = 5

    def __init__(self, sizes: list[list[int]]) -> None:
        self.documents = pl.DataFrame(
            {
                "shard": [shard for shard, lengths in enumerate(sizes) for _ in lengths],
                "length": [length for lengths in sizes for length in lengths],
                "prompt": [0 for lengths in sizes for _ in lengths],
            }
        )

    def __len__(self) -> int:
        return int(self.documents["length"].sum())


def pools_of_sizes(sizes: list[list[int]], tokens_per_pool: int) -> Pools:
    return Pools(StoreWithoutResiduals(sizes), 0, gb=tokens_per_pool * 5 * 4 / 1e9, prompts=False)  # pyright: ignore


def test_a_pool_of_shards_holds_them_in_the_order_given(store):
    pool = Pools(store, 2, prompts=False).read_shards(2, 0)
    assert torch.equal(pool.x_PD, torch.cat([store.read(2, 2), store.read(0, 2)]))
    assert pool.first_M.tolist() == [0, 2, 32, 37, 46, 47, 51]
    assert pool.length_M.tolist() == [2, 30, 5, 9, 1, 4, 12]
    assert pool.skip_M.tolist() == [0, 5, 5, 3, 0, 4, 0]
    assert Pools(store, 2, prompts=True).read_shards(2, 0).skip_M.tolist() == [0] * 7


def test_trained_rows_leave_out_the_tokens_of_prompts(store):
    rows = Pools(store, 0, prompts=False).read_shards(0).trained_rows
    assert len(rows) == 19
    assert rows.row_N.tolist() == [3, 4, 5, 6, 7, 8, 9, *range(14, 26)]
    assert rows.document_N.tolist() == [0] * 6 + [1] + [3] * 12
    assert rows.position_N.tolist() == [*range(6), 0, *range(12)]
    with_prompts = Pools(store, 0, prompts=True).read_shards(0).trained_rows
    assert with_prompts.row_N.tolist() == [*range(26)]


SIZES = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=1, max_size=6)


@given(SIZES, st.integers(1, 200), st.integers(0, 5))
def test_an_epoch_holds_every_document_once_in_pools_of_limited_size(sizes, tokens_per_pool, epoch):
    pools = pools_of_sizes(sizes, tokens_per_pool)
    slices_by_pool = pools.epoch(epoch)
    documents = [(part.shard, i) for slices in slices_by_pool for part in slices for i in range(part.start, part.end)]
    assert sorted(documents) == [(shard, i) for shard, lengths in enumerate(sizes) for i in range(len(lengths))]
    slack = 2 * sum(max(lengths) for lengths in sizes)
    for slices in slices_by_pool:
        assert sum(sum(sizes[part.shard][part.start : part.end]) for part in slices) <= tokens_per_pool + slack
    assert slices_by_pool == pools.epoch(epoch)


def test_every_pool_has_its_share_of_every_shard():
    pools = pools_of_sizes([[10] * 40] * 3 + [[40] * 10], 400)
    assert pools.per_epoch == 4
    for epoch in range(5):
        for slices in pools.epoch(epoch):
            tokens = [(part.shard, (part.end - part.start) * (40 if part.shard == 3 else 10)) for part in slices]
            assert tokens in (
                [(0, 100), (1, 100), (2, 100), (3, 80)],
                [(0, 100), (1, 100), (2, 100), (3, 120)],
            )


def test_a_pool_holds_the_documents_of_its_slices_one_after_another(store):
    pools = Pools(store, 2, gb=40 * 8 / 1e9, prompts=False)
    residuals = {shard: store.read(shard, 2) for shard in range(3)}
    starts = {shard: part["first"].to_list() for (shard,), part in store.documents.group_by("shard")}
    for slices in pools.epoch(1):
        pool, expected = pools.read(slices), []
        for part in slices:
            ends = [*starts[part.shard], len(residuals[part.shard])]
            expected.append(residuals[part.shard][ends[part.start] : ends[part.end]])
        assert torch.equal(pool.x_PD, torch.cat(expected))
        assert pool.first_M.tolist() == [0, *pool.length_M.cumsum()[:-1]]


def test_epochs_group_the_documents_differently(store):
    pools = Pools(store, 0, gb=40 * 8 / 1e9, prompts=False)
    assert len({str(pools.epoch(epoch)) for epoch in range(20)}) > 3
