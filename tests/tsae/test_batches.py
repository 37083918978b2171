"""Batches hold every trained token once, pairs stay within a document, and the key alone decides the order."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tsae_fixtures import store_with_layout

from interp.activations import Store
from interp.tsae import ContrastConfig, TrainingConfig, TSAEConfig
from interp.tsae.batches import Batch, batches, cut_batches, shuffle_runs
from interp.tsae.pools import Pool, Pools

LAYOUT = [[(9, 3), (1, 0), (4, 4), (12, 0)], [(7, 6), (20, 2)], [(2, 0), (30, 5), (5, 9)]]
"""Some documents are one token, one is all prompt, one has a prompt longer than itself."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_with_layout(tmp_path_factory.mktemp("batches") / "store", LAYOUT)


def config_of(
    batch: int = 16, *, seed: int = 0, prompts: bool = False, alpha: float = 1.0, **contrast: Any
) -> TSAEConfig:
    training = TrainingConfig(batch=batch, seed=seed, prompts=prompts)
    return TSAEConfig(promote_every=None, contrast=ContrastConfig(alpha=alpha, **contrast), training=training)


def pool_of(store: Store, *, prompts: bool = False, shards: tuple[int, ...] = (0, 1, 2)) -> Pool:
    return Pools(store, 0, prompts=prompts).read_shards(*shards)


def tokens_of(batch: Batch) -> list[int]:
    """The number of each token in the store, which is its first residual."""
    return batch.x_MD[:, 0].int().tolist()


def pairs_of(batch: Batch) -> list[tuple[int, int]]:
    """Anchor and partner as numbers in the store."""
    tokens = tokens_of(batch)
    return [] if batch.pairs_P2 is None else [(tokens[anchor], tokens[partner]) for anchor, partner in batch.pairs_P2]


class Token(NamedTuple):
    document: int
    position: int
    in_completion: bool


def token_facts(store: Store) -> list[Token]:
    """By number in the store."""
    return [
        Token(document, position, position >= row["prompt"])
        for document, row in enumerate(store.documents.iter_rows(named=True))
        for position in range(row["length"])
    ]


# --- every token once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompts", [False, True])
@pytest.mark.parametrize("run", [1, 2, 8, 100])
@pytest.mark.parametrize("size", [4, 16, 40])
def test_every_trained_token_comes_once_but_for_a_rest_too_small_for_a_batch(store, size, run, prompts):
    parts = list(batches(pool_of(store, prompts=prompts), config_of(size, prompts=prompts, run=run), 0))
    trained = {number for number, token in enumerate(token_facts(store)) if token.in_completion or prompts}
    counts = Counter(number for batch in parts for number in tokens_of(batch)[: batch.n_reconstructed])
    assert set(counts) <= trained and set(counts.values()) == {1}
    assert len(trained) - len(counts) < 0.9 * size
    assert parts and all(0.9 * size <= batch.n_reconstructed <= size for batch in parts)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(1, 20))
def test_a_run_is_cut_only_where_whole_runs_do_not_fill_a_batch(lengths, size):
    order, ends = np.arange(sum(lengths)), np.cumsum(lengths)
    parts = list(cut_batches(order, ends, size))
    joined = np.concatenate([order[:0], *parts])
    assert np.array_equal(joined, order[: len(joined)]) and len(order) - len(joined) < 0.9 * size
    for part in parts:
        fitting = [end for end in ends - part[0] if 0.9 * size <= end <= size]
        assert len(part) == (max(fitting) if fitting else size)


def test_a_pool_too_small_for_a_batch_gives_none(store):
    assert list(batches(pool_of(store, shards=(0,)), config_of(20), 0)) == []
    assert [batch.n_reconstructed for batch in batches(pool_of(store, shards=(0,)), config_of(19), 0)] == [19]


def test_without_a_contrast_the_batches_hold_the_same_tokens(store):
    """A dictionary and its control are trained on the same batches."""
    with_contrast, without = (list(batches(pool_of(store), config_of(alpha=alpha), 0)) for alpha in (1.0, 0.0))
    assert [tokens_of(batch) for batch in with_contrast] == [tokens_of(batch) for batch in without]


# --- pairs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompts", [False, True])
@pytest.mark.parametrize("run", [2, 8])
def test_pairs_of_runs_are_all_trained_neighbours_within_a_document(store, run, prompts):
    facts = token_facts(store)
    for batch in batches(pool_of(store, prompts=prompts), config_of(prompts=prompts, run=run), 0):
        assert batch.n_reconstructed == len(batch.x_MD)
        assert batch.pairs_P2 is not None and batch.documents_M is not None
        tokens, pairs = tokens_of(batch), pairs_of(batch)
        for anchor, partner in batch.pairs_P2.tolist():
            assert anchor == partner + 1
        for later, earlier in pairs:
            assert later == earlier + 1 and facts[later].document == facts[earlier].document
            assert prompts or (facts[later].in_completion and facts[earlier].in_completion)
        expect_same_grouping([facts[token].document for token in tokens], batch.documents_M.tolist())
        neighbours = {
            (later, earlier)
            for earlier, later in zip(tokens, tokens[1:], strict=False)
            if later == earlier + 1 and facts[earlier].document == facts[later].document
        }
        assert set(pairs) == neighbours


def expect_same_grouping(left: list[int], right: list[int]) -> None:
    assert len({*zip(left, right, strict=True)}) == len(set(left)) == len(set(right))


def test_most_tokens_of_a_run_are_encoded_once_and_in_two_pairs(tmp_path):
    store = store_with_layout(tmp_path / "store", [[(64, 0)] * 16])
    for batch in batches(pool_of(store, shards=(0,)), config_of(256, run=8), 0):
        assert len(set(tokens_of(batch))) == batch.n_reconstructed == len(batch.x_MD)
        assert batch.pairs_P2 is not None and len(batch.pairs_P2) >= 0.8 * batch.n_reconstructed


@pytest.mark.parametrize("pairing", ["prev", "window", "past"])
@pytest.mark.parametrize("partner_mask", ["own", "anchor"])
@pytest.mark.parametrize("prompts", [False, True])
def test_partners_of_single_tokens_stay_within_reach_and_document(store, pairing, partner_mask, prompts):
    facts, reach = token_facts(store), {"prev": 1, "window": 3, "past": 1000}[pairing]
    config = config_of(16, run=1, reach=3, pairing=pairing, partner_mask=partner_mask, prompts=prompts)
    distances, partners_in_prompts = Counter[int](), 0
    for key in range(30):
        for batch in batches(pool_of(store, prompts=prompts), config, key):
            assert batch.pairs_P2 is not None and batch.documents_M is not None
            tokens, pairs = tokens_of(batch), pairs_of(batch)
            assert len(tokens) == batch.n_reconstructed + len(pairs), "one partner for each anchor"
            assert batch.pairs_P2[:, 1].tolist() == [*range(batch.n_reconstructed, len(tokens))]
            for anchor, partner in pairs:
                assert facts[anchor].document == facts[partner].document and 1 <= anchor - partner <= reach
                assert facts[anchor].in_completion or prompts
                partners_in_prompts += not facts[partner].in_completion and not prompts
                distances[anchor - partner] += 1
            for token in set(tokens[: batch.n_reconstructed]) - {anchor for anchor, _ in pairs}:
                first_of_completion = partner_mask == "own" and not (facts[token - 1].in_completion or prompts)
                assert facts[token].position == 0 or first_of_completion
            expect_same_grouping([facts[token].document for token in tokens], batch.documents_M.tolist())
    assert (partners_in_prompts > 0) == (partner_mask == "anchor" and not prompts)
    assert max(distances) == reach if reach <= 3 else 20 < max(distances) < 30


def test_past_partners_are_drawn_evenly(tmp_path):
    """The last of five tokens has its partner among the four before it, each as often."""
    store = store_with_layout(tmp_path / "store", [[(5, 4)] * 400])
    config = config_of(400, run=1, pairing="past", partner_mask="anchor")
    (batch,) = batches(pool_of(store, shards=(0,)), config, 0)
    distances = Counter(anchor - partner for anchor, partner in pairs_of(batch))
    assert sum(distances.values()) == 400 and all(70 < distances[back] < 130 for back in (1, 2, 3, 4))


def test_documents_of_one_token_give_no_pairs(tmp_path):
    store = store_with_layout(tmp_path / "store", [[(1, 0)] * 40])
    for config in (config_of(run=8), config_of(run=1), config_of(run=1, pairing="past", partner_mask="anchor")):
        for batch in batches(pool_of(store, shards=(0,)), config, 0):
            assert pairs_of(batch) == [] and batch.n_reconstructed == len(batch.x_MD)


@pytest.mark.parametrize("run", [1, 8])
def test_the_shuffled_control_keeps_the_anchors_and_permutes_their_partners(store, run):
    options, moved = {"run": run, "pairing": "prev"}, 0
    real_batches = batches(pool_of(store), config_of(**options), 0)
    shuffled_batches = batches(pool_of(store), config_of(shuffled=True, **options), 0)
    for real, shuffled in zip(real_batches, shuffled_batches, strict=True):
        assert tokens_of(real) == tokens_of(shuffled)
        real_pairs, shuffled_pairs = pairs_of(real), pairs_of(shuffled)
        assert [anchor for anchor, _ in real_pairs] == [anchor for anchor, _ in shuffled_pairs]
        assert sorted(partner for _, partner in real_pairs) == sorted(partner for _, partner in shuffled_pairs)
        moved += sum(left != right for left, right in zip(real_pairs, shuffled_pairs, strict=True))
    assert moved > 10


def test_a_batch_of_pairs_holds_the_tokens_then_their_partners():
    x_B2D = torch.arange(12.0).reshape(3, 2, 2)
    batch = Batch.from_pairs(x_B2D)
    assert torch.equal(batch.x_MD, torch.cat([x_B2D[:, 1], x_B2D[:, 0]])) and batch.n_reconstructed == 6
    assert batch.pairs_P2 is not None and batch.pairs_P2.tolist() == [[0, 3], [1, 4], [2, 5]]


# --- randomness ----------------------------------------------------------------------------------------------------


def same_batches(left: list[Batch], right: list[Batch]) -> bool:
    return [(tokens_of(b), pairs_of(b)) for b in left] == [(tokens_of(b), pairs_of(b)) for b in right]


@pytest.mark.parametrize(
    "config", [config_of(), config_of(run=1, pairing="past"), config_of(shuffled=True)], ids=["run", "past", "shuffled"]
)
def test_the_same_key_gives_the_same_batches_and_another_key_or_seed_gives_others(store, config):
    pool = pool_of(store)
    first = list(batches(pool, config, 3))
    assert same_batches(first, list(batches(pool, config, 3)))
    assert not same_batches(first, list(batches(pool, config, 4)))
    other_seed = replace(config, training=replace(config.training, seed=1))
    assert not same_batches(first, list(batches(pool, other_seed, 3)))


def test_runs_start_at_a_position_drawn_for_each_document():
    """In a hundred documents of forty tokens, cut into eights, no position is always the start of a run."""
    pool = Pool(torch.zeros(4000, 1), np.arange(100) * 40, np.full(100, 40), np.zeros(100, np.int64))
    rows = pool.trained_rows
    order, ends = shuffle_runs(rows, 8, np.random.default_rng(0))
    starts = order[np.concatenate([[0], ends[:-1]])]
    position, document = rows.position_N[starts], rows.document_N[starts]
    counts = Counter(position.tolist())
    assert counts[0] == 100, "a run never crosses documents"
    assert all(2 <= counts[p] <= 30 for p in range(1, 40)), "an eighth of a hundred, give or take"
    phases = {int(m): set((position[(document == m) & (position > 0)] % 8).tolist()) for m in range(100)}
    assert all(len(phase) == 1 for phase in phases.values()), "within a document the starts are eight apart"
    assert len(set().union(*phases.values())) == 8


def test_runs_are_shuffled(tmp_path: Path):
    store = store_with_layout(tmp_path / "store", [[(8, 0)] * 100])
    (batch,) = batches(pool_of(store, shards=(0,)), config_of(800, run=8), 0)
    assert batch.documents_M is not None
    steps = np.diff(batch.documents_M.numpy())
    assert 25 < np.abs(steps[steps != 0]).mean() < 45, "two documents drawn at random are a third of a hundred apart"
