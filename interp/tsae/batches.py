"""Batches of tokens and pairs of them, shuffled across documents, in the same order each time.

The documents of a pool are cut into runs of consecutive tokens, the runs are shuffled, and whole runs fill a batch: so
neighbours stay neighbours, every token is encoded once, and each serves in two pairs. (Runs of one token bring a
partner of their own instead, from as far back as is asked for.) A pair never leaves its document, nor the part of it
that is trained on. Where the runs begin is drawn anew for each document and epoch, so that no place is always an edge.
"""

from collections.abc import Iterator

import numpy as np
import torch

from interp.tsae.config import ContrastConfig, TSAEConfig
from interp.tsae.pools import Ints, Pool, Rows
from interp.tsae.step import Batch


def batches(pool: Pool, config: TSAEConfig, *key: int) -> Iterator[Batch]:
    """Every token trained on once, but for a last batch that would not be full: none, of a pool too small for one.
    `key` names the order."""
    rng, rows, contrast = np.random.default_rng([config.training.seed, *key, 1]), pool.rows, config.contrast
    if len(rows) < config.training.batch:
        return
    order, ends = shuffled_runs(rows, contrast.run, rng)
    for chosen in cut(order, ends, config.training.batch):
        if contrast.alpha and contrast.run == 1:
            yield _with_partners(pool, rows, chosen, contrast, rng)
        else:
            yield _of_runs(pool, rows, chosen, contrast, rng)


def shuffled_runs(rows: Rows, run: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """The rows with their runs shuffled, and where in that order each run ends."""
    phase = rng.integers(0, run, rows.document[-1] + 1)
    begins = (rows.local == 0) | ((rows.local + phase[rows.document]) % run == 0)
    of_run = begins.cumsum() - 1
    rank = rng.permutation(of_run[-1] + 1)
    order = np.argsort(rank[of_run], kind="stable")
    lengths = np.bincount(rank[of_run])
    return order, lengths.cumsum()


def cut(order: Ints, ends: Ints, size: int) -> Iterator[Ints]:
    """Whole runs, as many as fit into `size`, and part of one where they would fill less than nine tenths of it. At
    the end, what would fill less is left out."""
    start = 0
    while start < len(order):
        at = int(np.searchsorted(ends, start + size, side="right")) - 1
        whole = int(ends[at]) if at >= 0 else start
        end = whole if whole - start >= 0.9 * size else min(start + size, len(order))
        if end - start < 0.9 * size:
            return
        yield order[start:end]
        start = end


def _of_runs(pool: Pool, rows: Rows, chosen: Ints, contrast: ContrastConfig, rng: np.random.Generator) -> Batch:
    place, document = rows.place[chosen], rows.document[chosen]
    joined = (np.diff(place) == 1) & (np.diff(document) == 0)
    anchors = joined.nonzero()[0] + 1
    pairs = np.stack([anchors, anchors - 1], 1)
    return _batch(pool, place, document, len(place), pairs, contrast, rng)


def _with_partners(pool: Pool, rows: Rows, chosen: Ints, contrast: ContrastConfig, rng: np.random.Generator) -> Batch:
    """Partners stand behind the tokens they belong to."""
    place, document = rows.place[chosen], rows.document[chosen]
    past = rows.local[chosen] if contrast.partner_mask == "own" else place - pool.first[document]
    reach = {"prev": np.minimum(past, 1), "window": np.minimum(past, contrast.reach), "past": past}[contrast.pairing]
    anchors = (reach > 0).nonzero()[0]
    back = 1 + np.floor(rng.random(len(anchors)) * reach[anchors]).astype(np.int64)
    pairs = np.stack([anchors, len(place) + np.arange(len(anchors))], 1)
    everything = np.concatenate([place, place[anchors] - back])
    documents = np.concatenate([document, document[anchors]])
    return _batch(pool, everything, documents, len(place), pairs, contrast, rng)


def _batch(
    pool: Pool, place: Ints, document: Ints, n: int, pairs: Ints, contrast: ContrastConfig, rng: np.random.Generator
) -> Batch:
    if contrast.shuffled:
        pairs = np.stack([pairs[:, 0], rng.permutation(pairs[:, 1])], 1)
    x_MD = pool.x_PD[torch.from_numpy(place)]
    return Batch(x_MD, n, torch.from_numpy(pairs), torch.from_numpy(document))
