"""Parts of a store in memory, each with documents from all over it, so that a shuffle mixes checkpoints and corpora.

A store lists one checkpoint and corpus after another, and may be far larger than memory. Each shard is cut into as many
slices of whole documents as there are pools in an epoch. A pool holds one slice of each shard: the next one, counted
from an offset drawn for every shard and epoch. So an epoch reads each document once, and each epoch groups them anew.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations import Store

IntArray = np.ndarray


@dataclass(frozen=True)
class Pool:
    """M documents in memory. Document m holds rows [first, first + length); training uses those from first + skip."""

    x_PD: Float[Tensor, "P D"]
    first_M: IntArray
    length_M: IntArray
    skip_M: IntArray

    @property
    def trained_rows(self) -> "TrainedRows":
        """The tokens that training uses, in order."""
        count_M = self.length_M - self.skip_M
        document_N = np.repeat(np.arange(len(count_M)), count_M)
        position_N = np.arange(count_M.sum()) - np.repeat(count_M.cumsum() - count_M, count_M)
        return TrainedRows(self.first_M[document_N] + self.skip_M[document_N] + position_N, document_N, position_N)


@dataclass(frozen=True)
class TrainedRows:
    """Of each token: its row in the pool, its document, and its position among the trained tokens of the document."""

    row_N: IntArray
    document_N: IntArray
    position_N: IntArray

    def __len__(self) -> int:
        return len(self.row_N)


@dataclass(frozen=True)
class Slice:
    """Documents [start, end) of a shard."""

    shard: int
    start: int
    end: int


@dataclass(frozen=True)
class _ShardDocuments:
    """Length of each document of a shard, and how many of its first tokens are not trained on."""

    length_M: IntArray
    skip_M: IntArray

    @property
    def ends_M(self) -> IntArray:
        return self.length_M.cumsum()

    def slice_edges(self, count: int) -> IntArray:
        """The first document of each of `count` slices of about as many tokens, and the end of the last slice."""
        starts_M = self.ends_M - self.length_M
        targets = np.arange(count) * (self.ends_M[-1] / count)
        return np.append(np.searchsorted(starts_M, targets), len(starts_M))


class Pools:
    """Cuts one layer of a store into pools of about `gb` GB, give or take one document of each shard."""

    def __init__(
        self, store: Store, layer: int, *, gb: float = math.inf, prompts: bool, skip_first: int | None = None
    ) -> None:
        self.store, self.layer = store, layer
        self._shards = _documents_by_shard(store, prompts=prompts, skip_first=skip_first or 0)
        self.per_epoch = max(1, min(store.documents.height, math.ceil(4 * store.d_model * len(store) / (gb * 1e9))))
        self._edges = [documents.slice_edges(self.per_epoch) for documents in self._shards]

    def epoch(self, number: int) -> list[list[Slice]]:
        """The slices of each pool of an epoch. Together they hold every document once."""
        rng = np.random.default_rng([number])
        offsets = rng.integers(self.per_epoch, size=len(self._edges))
        pools = (self._slices((pool + offsets) % self.per_epoch) for pool in range(self.per_epoch))
        return [slices for slices in pools if slices]

    def _slices(self, chosen: IntArray) -> list[Slice]:
        """The chosen slice of each shard, left out if it holds no document."""
        bounds = (edges[at : at + 2].tolist() for edges, at in zip(self._edges, chosen, strict=True))
        return [Slice(shard, start, end) for shard, (start, end) in enumerate(bounds) if end > start]

    def read_shards(self, *shards: int) -> Pool:
        """A pool of whole shards."""
        return self.read([Slice(shard, 0, len(self._shards[shard].length_M)) for shard in shards])

    def read(self, slices: list[Slice]) -> Pool:
        """The pool of these slices, one after another."""
        parts = [(self._shards[part.shard], part) for part in slices]
        length_M = np.concatenate([documents.length_M[part.start : part.end] for documents, part in parts])
        skip_M = np.concatenate([documents.skip_M[part.start : part.end] for documents, part in parts])
        x_PD, filled = torch.empty(int(length_M.sum()), self.store.d_model), 0
        for documents, part in parts:
            ends = np.append(0, documents.ends_M)
            rows = slice(int(ends[part.start]), int(ends[part.end]))
            n = rows.stop - rows.start
            x_PD[filled : filled + n] = self.store.read(part.shard, self.layer, rows)
            filled += n
        return Pool(x_PD, length_M.cumsum() - length_M, length_M, skip_M)


def _documents_by_shard(store: Store, *, prompts: bool, skip_first: int) -> list[_ShardDocuments]:
    """One entry per shard, in order. The first `skip_first` tokens of a document are skipped and, without `prompts`,
    those of its prompt."""
    documents = []
    for frame in store.documents.select("shard", "length", "prompt").partition_by("shard", maintain_order=True):
        length_M, prompt_M = (frame[name].to_numpy().astype(np.int64) for name in ("length", "prompt"))
        skip_M = np.minimum(np.maximum(0 if prompts else prompt_M, skip_first), length_M)
        documents.append(_ShardDocuments(length_M, skip_M))
    return documents
