"""Recorded draws: a fit is repeated from its seed, so no stream of random numbers may change unseen."""

from typing import Any

import pytest
import torch
from tsae_fixtures import store_with_layout

from interp.activations import Store
from interp.tsae import ContrastConfig, TrainingConfig, TSAEConfig
from interp.tsae.batches import batches
from interp.tsae.metrics import held_out_rows, permute_labels
from interp.tsae.pools import Pools

LAYOUT = [[(9, 3), (1, 0), (4, 4), (12, 0)], [(7, 6), (20, 2)], [(2, 0), (30, 5), (5, 9)]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store_with_layout(tmp_path_factory.mktemp("streams") / "store", LAYOUT)


RUNS = ([8, *range(19, 26), 60, 61, 62, 63], [19, 20, 21, 22, 23, 24, 60, 61, 62])
ALONE = (
    [22, 46, 20, 63, 19, 84, 47, 6, 64, 83, 5, 73],
    [21, 44, 19, 62, 18, 80, 46, 5, 62, 79, 3, 70],
)
PERMUTED = (RUNS[0], [21, 20, 23, 62, 22, 61, 24, 60, 19])


@pytest.mark.parametrize(
    ("contrast", "expected"),
    [({}, RUNS), ({"run": 1, "pairing": "window", "reach": 4}, ALONE), ({"shuffled": True}, PERMUTED)],
    ids=["runs", "alone", "permuted"],
)
def test_the_first_batch_of_a_seed_is_the_one_recorded(store, contrast: dict[str, Any], expected):
    """Its tokens by number, and the partner of each that has one."""
    training = TrainingConfig(batch=12, seed=5)
    config = TSAEConfig(promote_every=None, contrast=ContrastConfig(alpha=1.0, **contrast), training=training)
    batch = next(batches(Pools(store, 0, prompts=False).read_shards(0, 1, 2), config, 2, 7))
    tokens = batch.x_MD[:, 0].int().tolist()
    assert batch.pairs_P2 is not None
    assert (tokens[:12], [tokens[partner] for _, partner in batch.pairs_P2.tolist()]) == expected


def test_the_pools_of_an_epoch_are_those_recorded(store):
    pools = Pools(store, 0, gb=2e-7, prompts=True)
    assert pools.per_epoch == 4
    assert [[(part.shard, part.start, part.end) for part in pool] for pool in pools.epoch(1)] == [
        [(0, 1, 3), (2, 2, 3)],
        [(0, 3, 4), (2, 0, 2)],
        [(1, 0, 1)],
        [(0, 0, 1), (1, 1, 2)],
    ]


def test_held_out_documents_and_permuted_labels_are_those_recorded():
    document_N = torch.arange(8).repeat_interleave(2)
    for seed, documents in ((0, [0, 4]), (1, [4, 5])):
        assert held_out_rows(document_N, 0.3, seed)[::2].nonzero()[:, 0].tolist() == documents
    permuted = permute_labels(torch.arange(16), document_N, 0)
    assert permuted.tolist() == [9, 8, 10, 11, 7, 6, 14, 15, 12, 13, 4, 5, 2, 3, 0, 1]


def test_a_share_of_documents_leaves_one_on_each_side():
    document_N = torch.arange(4)
    assert [int(held_out_rows(document_N, share, 0).sum()) for share in (0.0, 0.3, 0.5, 0.7, 1.0)] == [1, 1, 2, 3, 3]
