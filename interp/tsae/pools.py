"""Parts of a store in memory, from all over it: so that what is shuffled together is of every checkpoint and corpus.

A store is one pair of checkpoint and corpus after another, and may be far larger than memory. Each shard is cut into as
many slices of whole documents as there are pools, and a pool holds one slice of each: the next one, counted from a
place that is drawn for every shard and epoch. So an epoch sees each document once, and each in other company.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations import Store

Ints = np.ndarray


@dataclass(frozen=True)
class Pool:
    """Some documents in memory. A document's rows are [first, first + length); those trained on begin at
    first + skip."""

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


@dataclass(frozen=True)
class Slice:
    """Some documents of a shard, side by side."""

    shard: int
    start: int
    end: int


@dataclass(frozen=True)
class _Documents:
    """Of a shard. Each begins where the one before it ends."""

    length: Ints
    skip: Ints

    @property
    def ends(self) -> Ints:
        return self.length.cumsum()

    def slices(self, count: int) -> Ints:
        """Where each of `count` slices of about as many tokens begins, and where the last one ends."""
        begins = self.ends - self.length
        wanted = np.arange(count) * (self.ends[-1] / count)
        return np.append(np.searchsorted(begins, wanted), len(begins))


class Pools:
    """The pools of one layer of a store, of as many tokens as go into `gb`, give or take a document of each shard."""

    def __init__(self, store: Store, layer: int, *, gb: float = math.inf, prompts: bool) -> None:
        self.store, self.layer = store, layer
        self._shards = _by_shard(store, prompts=prompts)
        self.count = max(1, min(store.documents.height, math.ceil(4 * store.d_model * len(store) / (gb * 1e9))))
        """In an epoch."""
        self._slices = [documents.slices(self.count) for documents in self._shards]

    def epoch(self, number: int) -> list[list[Slice]]:
        """Every document once."""
        rng = np.random.default_rng([number])
        shifts = rng.integers(self.count, size=len(self._slices))
        return [pool for at in range(self.count) if (pool := self._at((at + shifts) % self.count))]

    def _at(self, which: Ints) -> list[Slice]:
        """The given slice of each shard, where it holds a document."""
        bounds = (edges[at : at + 2].tolist() for edges, at in zip(self._slices, which, strict=True))
        return [Slice(shard, start, end) for shard, (start, end) in enumerate(bounds) if end > start]

    def of_shards(self, *shards: int) -> Pool:
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
