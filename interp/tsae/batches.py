"""Batches of tokens and pairs of them, shuffled across documents and shards, in the same order each time.

A pool of shards is held in memory; its documents are cut into runs of consecutive tokens, the runs are shuffled, and
whole runs fill a batch: so neighbours stay neighbours, every token is encoded once, and each serves in two pairs. (Runs
of one token bring a partner of their own instead, from as far back as is asked for.) A pair never leaves its document,
nor the part of it that is trained on. Where the runs begin is drawn anew for each document and epoch, so that no place
is always an edge.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations import Store
from interp.tsae.config import ContrastConfig, TSAEConfig
from interp.tsae.step import Batch

Ints = np.ndarray


@dataclass(frozen=True)
class Pool:
    """Some shards in memory. A document's rows are [first, first + length); those trained on begin at first + skip."""

    x_PD: Float[Tensor, "P D"]
    first: Ints
    length: Ints
    skip: Ints

    @property
    def rows(self) -> "Rows":
        """The tokens that are trained on."""
        held = self.length - self.skip
        document = np.repeat(np.arange(len(held)), held)
        local = np.arange(held.sum()) - np.repeat(held.cumsum() - held, held)
        return Rows(self.first[document] + self.skip[document] + local, document, local)


@dataclass(frozen=True)
class Rows:
    place: Ints
    """In the pool."""
    document: Ints
    local: Ints
    """0 for the first of a document that is trained on."""

    def __len__(self) -> int:
        return len(self.place)


def groups(store: Store, config: TSAEConfig, epoch: int) -> list[list[int]]:
    """All shards once, in an order of the epoch's own, as many together as memory is allowed for."""
    sizes = store.documents.group_by("shard").agg(tokens=_column("length").sum()).sort("shard")
    tokens = dict(zip(sizes["shard"], sizes["tokens"], strict=True))
    room = config.training.pool_gb * 1e9 / (4 * store.d_model)
    found: list[list[int]] = [[]]
    for shard in np.random.default_rng([epoch]).permutation(sorted(tokens)).tolist():
        if found[-1] and sum(tokens[held] for held in found[-1]) + tokens[shard] > room:
            found.append([])
        found[-1].append(shard)
    return found


def pool_of(store: Store, layer: int, shards: list[int], *, prompts: bool) -> Pool:
    parts = [store.documents.filter(_column("shard") == shard) for shard in shards]
    sizes = [int(part["length"].sum()) for part in parts]
    x_PD = torch.empty(sum(sizes), store.d_model)
    first, at = [], 0
    for shard, part, size in zip(shards, parts, sizes, strict=True):
        x_PD[at : at + size] = store.read(shard, layer)
        first.append(part["first"].to_numpy() + at)
        at += size
    length, prompt = (np.concatenate([part[name].to_numpy() for part in parts]) for name in ("length", "prompt"))
    skip = np.zeros_like(prompt) if prompts else np.minimum(prompt, length)
    return Pool(x_PD, np.concatenate(first).astype(np.int64), length.astype(np.int64), skip.astype(np.int64))


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


def _column(name: str):  # polars is imported where it is used: a command's --help must not wait for it
    import polars as pl

    return pl.col(name)
