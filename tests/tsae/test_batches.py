"""Every token comes once, a pair is of one document and of what is trained on, and the order hangs on its key alone."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tsae_fixtures import store_of_layout

from interp.activations import Store
from interp.tsae import ContrastConfig, TrainingConfig, TSAEConfig
from interp.tsae.batches import Pool, Pools, batches, cut_batches, shuffle_runs
from interp.tsae.step import Batch

LAYOUT = [[(9, 3), (1, 0), (4, 4), (12, 0)], [(7, 6), (20, 2)], [(2, 0), (30, 5), (5, 9)]]
"""Some documents are one token, some all prompt, one of a prompt longer than itself."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_of_layout(tmp_path_factory.mktemp("batches") / "store", LAYOUT, layers=(0, 2))


def asked(batch: int = 16, *, seed: int = 0, prompts: bool = False, alpha: float = 1.0, **contrast: Any) -> TSAEConfig:
    training = TrainingConfig(batch=batch, seed=seed, prompts=prompts)
    return TSAEConfig(promote_every=None, contrast=ContrastConfig(alpha=alpha, **contrast), training=training)


def pool(store: Store, *, prompts: bool = False, shards: tuple[int, ...] = (0, 1, 2)) -> Pool:
    return Pools(store, 0, prompts=prompts).read_shards(*shards)


def tokens(batch: Batch) -> list[int]:
    """A token's number in the store is what it holds."""
    return batch.x_MD[:, 0].int().tolist()


def told(store: Store) -> dict[int, tuple[int, int, bool]]:
    """Of each token of the store: its document, its place in it, and whether it was written."""
    found: dict[int, tuple[int, int, bool]] = {}
    for document, row in enumerate(store.documents.iter_rows(named=True)):
        for place in range(row["length"]):
            found[len(found)] = (document, place, place >= row["prompt"])
    return found


def pairs_of(batch: Batch) -> list[tuple[int, int]]:
    held = tokens(batch)
    return [] if batch.pairs_P2 is None else [(held[anchor], held[partner]) for anchor, partner in batch.pairs_P2]


# --- pools ---------------------------------------------------------------------------------------------------------


def test_a_pool_holds_whole_shards_of_one_layer_in_the_order_asked_for(store):
    held = Pools(store, 2, prompts=False).read_shards(2, 0)
    assert torch.equal(held.x_PD, torch.cat([store.read(2, 2), store.read(0, 2)]))
    assert held.first_M.tolist() == [0, 2, 32, 37, 46, 47, 51]
    assert held.length_M.tolist() == [2, 30, 5, 9, 1, 4, 12]
    assert held.skip_M.tolist() == [0, 5, 5, 3, 0, 4, 0]
    assert Pools(store, 2, prompts=True).read_shards(2, 0).skip_M.tolist() == [0] * 7


def test_the_rows_of_a_pool_are_what_is_trained_on(store):
    rows = pool(store, shards=(0,)).trained_rows
    assert len(rows) == 19
    assert rows.row_N.tolist() == [3, 4, 5, 6, 7, 8, 9, *range(14, 26)]
    assert rows.document_N.tolist() == [0] * 6 + [1] + [3] * 12
    assert rows.position_N.tolist() == [*range(6), 0, *range(12)]
    assert pool(store, prompts=True, shards=(0,)).trained_rows.row_N.tolist() == [*range(26)]


class Held:
    """What a store says of its documents."""

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


SIZES = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=1, max_size=6)


@given(SIZES, st.integers(1, 200), st.integers(0, 5))
def test_a_document_comes_once_an_epoch_and_pools_keep_to_their_memory(sizes, room, epoch):
    held = Pools(Held(sizes), 0, gb=room * 5 * 4 / 1e9, prompts=False)  # pyright: ignore[reportArgumentType]
    found = held.epoch(epoch)
    taken = [(one.shard, at) for pool in found for one in pool for at in range(one.start, one.end)]
    assert sorted(taken) == [(shard, at) for shard, lengths in enumerate(sizes) for at in range(len(lengths))]
    slack = 2 * sum(max(lengths) for lengths in sizes)
    assert all(sum(sum(sizes[one.shard][one.start : one.end]) for one in pool) <= room + slack for pool in found)
    assert found == held.epoch(epoch)


def test_a_pool_has_its_share_of_every_shard():
    """Of checkpoints and corpora, that is, however many there are and however little memory."""
    held = Pools(Held([[10] * 40] * 3 + [[40] * 10]), 0, gb=400 * 20 / 1e9, prompts=False)  # pyright: ignore
    assert held.per_epoch == 4
    for epoch in range(5):
        for pool in held.epoch(epoch):
            assert [(one.shard, (one.end - one.start) * (40 if one.shard == 3 else 10)) for one in pool] in (
                [(0, 100), (1, 100), (2, 100), (3, 80)],
                [(0, 100), (1, 100), (2, 100), (3, 120)],
            )


def test_a_pool_of_slices_holds_their_documents_one_after_another(store):
    held = Pools(store, 2, gb=40 * 8 / 1e9, prompts=False)
    rows = {shard: store.read(shard, 2) for shard in range(3)}
    begins = {shard: part["first"].to_list() for (shard,), part in store.documents.group_by("shard")}
    for slices in held.epoch(1):
        pool, wanted = held.read(slices), []
        for one in slices:
            ends = [*begins[one.shard], len(rows[one.shard])]
            wanted.append(rows[one.shard][ends[one.start] : ends[one.end]])
        assert torch.equal(pool.x_PD, torch.cat(wanted))
        assert pool.first_M.tolist() == [0, *pool.length_M.cumsum()[:-1]]


def test_what_is_held_together_is_other_each_epoch(store):
    held = Pools(store, 0, gb=40 * 8 / 1e9, prompts=False)
    assert len({str(held.epoch(epoch)) for epoch in range(20)}) > 3


# --- every token once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompts", [False, True])
@pytest.mark.parametrize("run", [1, 2, 8, 100])
@pytest.mark.parametrize("size", [4, 16, 40])
def test_every_token_that_is_trained_on_comes_once_but_for_a_last_batch_that_would_not_be_full(
    store, size, run, prompts
):
    config = asked(size, prompts=prompts, run=run)
    made = list(batches(pool(store, prompts=prompts), config, 0))
    wanted = {token for token, (_, _, written) in told(store).items() if written or prompts}
    seen = Counter(token for batch in made for token in tokens(batch)[: batch.n_reconstructed])
    assert set(seen) <= wanted and set(seen.values()) == {1}
    assert len(wanted) - len(seen) < 0.9 * size
    assert made and all(0.9 * size <= batch.n_reconstructed <= size for batch in made)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(1, 20))
def test_whole_runs_fill_a_batch_and_only_the_end_is_left_out(lengths, size):
    order, ends = np.arange(sum(lengths)), np.cumsum(lengths)
    parts = list(cut_batches(order, ends, size))
    done = np.concatenate([order[:0], *parts])
    assert np.array_equal(done, order[: len(done)]) and len(order) - len(done) < 0.9 * size
    for part in parts:
        fitting = [end for end in ends - part[0] if 0.9 * size <= end <= size]
        assert len(part) == (max(fitting) if fitting else size), "a run is cut only where whole ones do not do"


def test_a_pool_too_small_for_a_batch_has_none(store):
    assert list(batches(pool(store, shards=(0,)), asked(20), 0)) == []
    assert [batch.n_reconstructed for batch in batches(pool(store, shards=(0,)), asked(19), 0)] == [19]


def test_without_a_contrast_tokens_come_in_the_same_runs(store):
    """So that a dictionary and its control see the very same batches."""
    mine, other = (list(batches(pool(store), asked(alpha=alpha), 0)) for alpha in (1.0, 0.0))
    assert [tokens(batch) for batch in mine] == [tokens(batch) for batch in other]


# --- pairs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompts", [False, True])
@pytest.mark.parametrize("run", [2, 8])
def test_a_pair_is_of_neighbours_in_one_document_and_of_what_is_trained_on(store, run, prompts):
    """And wherever neighbours stand together, they are a pair."""
    known = told(store)
    for batch in batches(pool(store, prompts=prompts), asked(prompts=prompts, run=run), 0):
        assert batch.n_reconstructed == len(batch.x_MD) and batch.pairs_P2 is not None and batch.documents_M is not None
        held = tokens(batch)
        for anchor, partner in batch.pairs_P2.tolist():
            assert anchor == partner + 1
        for later, earlier in pairs_of(batch):
            assert later == earlier + 1 and known[later][0] == known[earlier][0]
            assert prompts or (known[later][2] and known[earlier][2])
        of_document = {*zip((known[token][0] for token in held), batch.documents_M.tolist(), strict=True)}
        assert (
            len(of_document) == len({document for document, _ in of_document}) == len({own for _, own in of_document})
        )
        beside = {(b, a) for a, b in zip(held, held[1:], strict=False) if b == a + 1 and known[a][0] == known[b][0]}
        assert set(pairs_of(batch)) == beside


def test_most_tokens_of_a_run_serve_in_two_pairs_and_are_encoded_once(tmp_path):
    held = store_of_layout(tmp_path / "store", [[(64, 0)] * 16])
    for batch in batches(pool(held, shards=(0,)), asked(256, run=8), 0):
        assert len(set(tokens(batch))) == batch.n_reconstructed == len(batch.x_MD)
        assert batch.pairs_P2 is not None and len(batch.pairs_P2) >= 0.8 * batch.n_reconstructed


@pytest.mark.parametrize("pairing", ["prev", "window", "past"])
@pytest.mark.parametrize("partner_mask", ["own", "anchor"])
@pytest.mark.parametrize("prompts", [False, True])
def test_partners_that_are_brought_along_keep_to_their_reach_and_to_their_document(
    store, pairing, partner_mask, prompts
):
    known, reach = told(store), {"prev": 1, "window": 3, "past": 1000}[pairing]
    config = asked(16, run=1, reach=3, pairing=pairing, partner_mask=partner_mask, prompts=prompts)
    back, crossed = Counter[int](), 0
    for number in range(30):
        for batch in batches(pool(store, prompts=prompts), config, number):
            assert batch.pairs_P2 is not None and batch.documents_M is not None
            held, pairs = tokens(batch), pairs_of(batch)
            assert len(held) == batch.n_reconstructed + len(pairs), "a partner for each anchor, behind all that are reconstructed"
            assert batch.pairs_P2[:, 1].tolist() == [*range(batch.n_reconstructed, len(held))]
            for anchor, partner in pairs:
                assert known[anchor][0] == known[partner][0] and 1 <= anchor - partner <= reach
                assert known[anchor][2] or prompts
                crossed += not known[partner][2] and not prompts
                back[anchor - partner] += 1
            lonely = {token for token in held[: batch.n_reconstructed]} - {anchor for anchor, _ in pairs}
            for token in lonely:  # it is the first of its document, or of its completion
                assert known[token][1] == 0 or (partner_mask == "own" and not (known[token - 1][2] or prompts))
            documents = [known[token][0] for token in held]
            assert len({*zip(documents, batch.documents_M.tolist(), strict=True)}) == len(set(documents))
    assert (crossed > 0) == (partner_mask == "anchor" and not prompts)
    assert max(back) == reach if reach <= 3 else 20 < max(back) < 30


def test_far_partners_are_drawn_evenly_from_all_there_are(tmp_path):
    """The last of five tokens has its partner among the four before it, each as often."""
    held = store_of_layout(tmp_path / "store", [[(5, 4)] * 400])
    config = asked(400, run=1, pairing="past", partner_mask="anchor")
    (batch,) = batches(pool(held, shards=(0,)), config, 0)
    counted = Counter(anchor - partner for anchor, partner in pairs_of(batch))
    assert sum(counted.values()) == 400 and all(70 < counted[back] < 130 for back in (1, 2, 3, 4))


def test_documents_of_one_token_give_no_pairs(tmp_path):
    held = store_of_layout(tmp_path / "store", [[(1, 0)] * 40])
    for config in (asked(run=8), asked(run=1), asked(run=1, pairing="past", partner_mask="anchor")):
        for batch in batches(pool(held, shards=(0,)), config, 0):
            assert pairs_of(batch) == [] and batch.n_reconstructed == len(batch.x_MD)


@pytest.mark.parametrize("run", [1, 8])
def test_the_shuffled_control_keeps_anchors_and_deals_out_their_partners(store, run):
    pairing = {"run": run, "pairing": "prev"}
    apart = 0
    for mine, control in zip(
        batches(pool(store), asked(**pairing), 0), batches(pool(store), asked(shuffled=True, **pairing), 0), strict=True
    ):
        assert tokens(mine) == tokens(control)
        real, dealt = pairs_of(mine), pairs_of(control)
        assert [anchor for anchor, _ in real] == [anchor for anchor, _ in dealt]
        assert sorted(partner for _, partner in real) == sorted(partner for _, partner in dealt)
        apart += sum(one != other for one, other in zip(real, dealt, strict=True))
    assert apart > 10


# --- chance --------------------------------------------------------------------------------------------------------


def same(left: list[Batch], right: list[Batch]) -> bool:
    return [(tokens(b), pairs_of(b)) for b in left] == [(tokens(b), pairs_of(b)) for b in right]


@pytest.mark.parametrize("config", [asked(), asked(run=1, pairing="past"), asked(shuffled=True)], ids=["run", "p", "s"])
def test_the_same_key_gives_the_same_batches_and_another_key_others(store, config):
    held = pool(store)
    first = list(batches(held, config, 3))
    assert same(first, list(batches(held, config, 3)))
    assert not same(first, list(batches(held, config, 4)))
    reseeded = replace(config, training=replace(config.training, seed=1))
    assert not same(first, list(batches(held, reseeded, 3)))


def test_where_runs_begin_is_drawn_for_each_document():
    """In a hundred documents of forty tokens, cut by eights: no two places are edges together, none is one always."""
    held = Pool(torch.zeros(4000, 1), np.arange(100) * 40, np.full(100, 40), np.zeros(100, np.int64))
    order, ends = shuffle_runs(held.trained_rows, 8, np.random.default_rng(0))
    begins = order[np.concatenate([[0], ends[:-1]])]
    local, document = held.trained_rows.position_N[begins], held.trained_rows.document_N[begins]
    counted = Counter(local.tolist())
    assert counted[0] == 100, "a run never reaches into another document"
    assert all(2 <= counted[place] <= 30 for place in range(1, 40)), "an eighth of a hundred, give or take"
    phases = {int(one): set((local[(document == one) & (local > 0)] % 8).tolist()) for one in range(100)}
    assert all(len(phase) == 1 for phase in phases.values()), "within a document they are eight apart"
    assert len(set().union(*phases.values())) == 8


def test_runs_come_in_any_order(tmp_path: Path):
    held = store_of_layout(tmp_path / "store", [[(8, 0)] * 100])
    (batch,) = batches(pool(held, shards=(0,)), asked(800, run=8), 0)
    assert batch.documents_M is not None
    documents = batch.documents_M.numpy()
    apart = np.abs(np.diff(documents)[np.diff(documents) != 0])
    assert 25 < apart.mean() < 45, "as far apart as two drawn at random: a third of a hundred"
