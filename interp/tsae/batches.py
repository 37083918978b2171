"""Parts of a store in memory, from all over it: so that what is shuffled together is of every checkpoint and corpus.

A store is one pair of checkpoint and corpus after another, and may be far larger than memory. Each shard is cut into as
many slices of whole documents as there are pools, and a pool holds one slice of each: the next one, counted from a
place that is drawn for every shard and epoch. So an epoch sees each document once, and each in other company.

Batches of tokens and pairs of them, shuffled across documents, in the same order each time.

The documents of a pool are cut into runs of consecutive tokens, the runs are shuffled, and whole runs fill a batch: so
neighbours stay neighbours, every token is encoded once, and each serves in two pairs. (Runs of one token bring a
partner of their own instead, from as far back as is asked for.) A pair never leaves its document, nor the part of it
that is trained on. Where the runs begin is drawn anew for each document and epoch, so that no place is always an edge.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations import Store
from interp.tsae.config import ContrastConfig, TSAEConfig
from interp.tsae.step import Batch

IntArray = np.ndarray


@dataclass(frozen=True)
class Pool:
    """Some documents in memory. A document's rows are [first, first + length); those trained on begin at
    first + skip."""

    x_PD: Float[Tensor, "P D"]
    first_M: IntArray
    length_M: IntArray
    skip_M: IntArray

    @property
    def trained_rows(self) -> "TrainedRows":
        """The tokens that are trained on."""
        held = self.length_M - self.skip_M
        document = np.repeat(np.arange(len(held)), held)
        local = np.arange(held.sum()) - np.repeat(held.cumsum() - held, held)
        return TrainedRows(self.first_M[document] + self.skip_M[document] + local, document, local)


@dataclass(frozen=True)
class TrainedRows:
    row_N: IntArray
    """In the pool."""
    document_N: IntArray
    position_N: IntArray
    """0 for the first of a document that is trained on."""

    def __len__(self) -> int:
        return len(self.row_N)


@dataclass(frozen=True)
class Slice:
    """Some documents of a shard, side by side."""

    shard: int
    start: int
    end: int


@dataclass(frozen=True)
class _Documents:
    """Of a shard. Each begins where the one before it ends."""

    length: IntArray
    skip: IntArray

    @property
    def ends(self) -> IntArray:
        return self.length.cumsum()

    def slices(self, count: int) -> IntArray:
        """Where each of `count` slices of about as many tokens begins, and where the last one ends."""
        begins = self.ends - self.length
        wanted = np.arange(count) * (self.ends[-1] / count)
        return np.append(np.searchsorted(begins, wanted), len(begins))


class Pools:
    """The pools of one layer of a store, of as many tokens as go into `gb`, give or take a document of each shard."""

    def __init__(self, store: Store, layer: int, *, gb: float = math.inf, prompts: bool) -> None:
        self.store, self.layer = store, layer
        self._shards = _by_shard(store, prompts=prompts)
        self.per_epoch = max(1, min(store.documents.height, math.ceil(4 * store.d_model * len(store) / (gb * 1e9))))
        """In an epoch."""
        self._slices = [documents.slices(self.per_epoch) for documents in self._shards]

    def epoch(self, number: int) -> list[list[Slice]]:
        """Every document once."""
        rng = np.random.default_rng([number])
        shifts = rng.integers(self.per_epoch, size=len(self._slices))
        return [pool for at in range(self.per_epoch) if (pool := self._at((at + shifts) % self.per_epoch))]

    def _at(self, which: IntArray) -> list[Slice]:
        """The given slice of each shard, where it holds a document."""
        bounds = (edges[at : at + 2].tolist() for edges, at in zip(self._slices, which, strict=True))
        return [Slice(shard, start, end) for shard, (start, end) in enumerate(bounds) if end > start]

    def read_shards(self, *shards: int) -> Pool:
        """Whole ones."""
        return self.read([Slice(shard, 0, len(self._shards[shard].length)) for shard in shards])

    def read(self, slices: list[Slice]) -> Pool:
        parts = [(self._shards[one.shard], one) for one in slices]
        length, skip = (
            np.concatenate([getattr(documents, name)[one.start : one.end] for documents, one in parts])
            for name in ("length", "skip")
        )
        x_PD, at = torch.empty(int(length.sum()), self.store.d_model), 0
        for documents, one in parts:
            ends = np.append(0, documents.ends)
            rows = slice(int(ends[one.start]), int(ends[one.end]))
            n = rows.stop - rows.start
            x_PD[at : at + n] = self.store.read(one.shard, self.layer, rows)
            at += n
        return Pool(x_PD, length.cumsum() - length, length, skip)


def _by_shard(store: Store, *, prompts: bool) -> list[_Documents]:
    """In order of the shards."""
    held = store.documents.select("shard", "length", "prompt").partition_by("shard", maintain_order=True)
    found = []
    for part in held:
        length, prompt = (part[name].to_numpy().astype(np.int64) for name in ("length", "prompt"))
        found.append(_Documents(length, np.zeros_like(prompt) if prompts else np.minimum(prompt, length)))
    return found


def batches(pool: Pool, config: TSAEConfig, *key: int) -> Iterator[Batch]:
    """Every token trained on once, but for a last batch that would not be full: none, of a pool too small for one.
    `key` names the order."""
    rng, rows, contrast = np.random.default_rng([config.training.seed, *key, 1]), pool.trained_rows, config.contrast
    if len(rows) < config.training.batch:
        return
    order, ends = shuffle_runs(rows, contrast.run, rng)
    for chosen in cut_batches(order, ends, config.training.batch):
        if contrast.alpha and contrast.run == 1:
            yield _with_partners(pool, rows, chosen, contrast, rng)
        else:
            yield _of_runs(pool, rows, chosen, contrast, rng)


def shuffle_runs(rows: TrainedRows, run: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """The rows with their runs shuffled, and where in that order each run ends."""
    phase = rng.integers(0, run, rows.document_N[-1] + 1)
    begins = (rows.position_N == 0) | ((rows.position_N + phase[rows.document_N]) % run == 0)
    of_run = begins.cumsum() - 1
    rank = rng.permutation(of_run[-1] + 1)
    order = np.argsort(rank[of_run], kind="stable")
    lengths = np.bincount(rank[of_run])
    return order, lengths.cumsum()


def cut_batches(order: IntArray, ends: IntArray, size: int) -> Iterator[IntArray]:
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


def _of_runs(pool: Pool, rows: TrainedRows, chosen: IntArray, contrast: ContrastConfig, rng: np.random.Generator) -> Batch:
    place, document = rows.row_N[chosen], rows.document_N[chosen]
    joined = (np.diff(place) == 1) & (np.diff(document) == 0)
    anchors = joined.nonzero()[0] + 1
    pairs = np.stack([anchors, anchors - 1], 1)
    return _batch(pool, place, document, len(place), pairs, contrast, rng)


def _with_partners(pool: Pool, rows: TrainedRows, chosen: IntArray, contrast: ContrastConfig, rng: np.random.Generator) -> Batch:
    """Partners stand behind the tokens they belong to."""
    place, document = rows.row_N[chosen], rows.document_N[chosen]
    past = rows.position_N[chosen] if contrast.partner_mask == "own" else place - pool.first_M[document]
    reach = {"prev": np.minimum(past, 1), "window": np.minimum(past, contrast.reach), "past": past}[contrast.pairing]
    anchors = (reach > 0).nonzero()[0]
    back = 1 + np.floor(rng.random(len(anchors)) * reach[anchors]).astype(np.int64)
    pairs = np.stack([anchors, len(place) + np.arange(len(anchors))], 1)
    everything = np.concatenate([place, place[anchors] - back])
    documents = np.concatenate([document, document[anchors]])
    return _batch(pool, everything, documents, len(place), pairs, contrast, rng)


def _batch(
    pool: Pool, place: IntArray, document: IntArray, n: int, pairs: IntArray, contrast: ContrastConfig, rng: np.random.Generator
) -> Batch:
    if contrast.shuffled:
        pairs = np.stack([pairs[:, 0], rng.permutation(pairs[:, 1])], 1)
    x_MD = pool.x_PD[torch.from_numpy(place)]
    return Batch(x_MD, n, torch.from_numpy(pairs), torch.from_numpy(document))
