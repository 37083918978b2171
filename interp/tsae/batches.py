"""Batches of tokens and pairs of tokens, shuffled across the documents of a pool. The same key gives the same batches.

The documents are cut into runs of consecutive tokens, the runs are shuffled, and whole runs fill a batch. So
neighbours stay neighbours, every token is encoded once, and each serves in two pairs. (Runs of one token bring a
partner of their own instead, from as far back as `pairing` allows.) A pair never leaves its document, nor the part of
it that is trained on. Where the runs begin is drawn anew for each document and epoch, so that no position is always at
the edge of a run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.tsae.config import ContrastConfig, TSAEConfig
from interp.tsae.pools import IntArray, Pool, TrainedRows

MIN_FILL = 0.9
"""A batch is at least this full."""


@dataclass(frozen=True)
class Batch:
    """M tokens and P pairs of them."""

    x_MD: Float[Tensor, "M D"]
    n_reconstructed: int
    """The first n tokens are reconstructed. The others are partners, encoded for the contrast alone."""
    pairs_P2: Int[Tensor, "P 2"] | None = None
    """(anchor, partner), as rows of x_MD."""
    documents_M: Int[Tensor, " M"] | None = None

    def scaled(self, factor: float) -> "Batch":
        return self if factor == 1 else replace(self, x_MD=self.x_MD * factor)

    def to(self, device: torch.device) -> "Batch":
        pairs_P2, documents_M = (x if x is None else x.to(device) for x in (self.pairs_P2, self.documents_M))
        return Batch(self.x_MD.to(device), self.n_reconstructed, pairs_P2, documents_M)

    @classmethod
    def from_tokens(cls, x_BD: Float[Tensor, "B D"]) -> "Batch":
        """Tokens without pairs."""
        return cls(x_BD, len(x_BD))

    @classmethod
    def from_pairs(cls, x_B2D: Float[Tensor, "B 2 D"]) -> "Batch":
        """Pairs (partner, token): first all tokens, then all partners. All are reconstructed."""
        token_B = torch.arange(len(x_B2D), device=x_B2D.device)
        pairs_P2 = torch.stack([token_B, token_B + len(x_B2D)], 1)
        return cls(torch.cat([x_B2D[:, 1], x_B2D[:, 0]]), 2 * len(x_B2D), pairs_P2)


def batches(pool: Pool, config: TSAEConfig, *key: int) -> Iterator[Batch]:
    """Batches in which every trained token of the pool comes once, but for a rest too small for a batch. `key` and the
    seed decide the order."""
    rng, rows, contrast = np.random.default_rng([config.training.seed, *key, 1]), pool.trained_rows, config.contrast
    if len(rows) < config.training.batch:
        return
    order, run_ends = shuffle_runs(rows, contrast.run, rng)
    for chosen in cut_batches(order, run_ends, config.training.batch):
        if contrast.alpha and contrast.run == 1:
            yield _batch_with_partners(pool, rows, chosen, contrast, rng)
        else:
            yield _batch_of_runs(pool, rows, chosen, contrast, rng)


def shuffle_runs(rows: TrainedRows, run: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """An order of the rows with their runs of `run` tokens shuffled, and where each run ends in that order."""
    phase_M = rng.integers(0, run, rows.document_N[-1] + 1)
    starts_run = (rows.position_N == 0) | ((rows.position_N + phase_M[rows.document_N]) % run == 0)
    run_N = starts_run.cumsum() - 1
    rank = rng.permutation(run_N[-1] + 1)
    order = np.argsort(rank[run_N], kind="stable")
    return order, np.bincount(rank[run_N]).cumsum()


def cut_batches(order: IntArray, run_ends: IntArray, size: int) -> Iterator[IntArray]:
    """Parts of `order` of at most `size` rows. A part ends with a run, unless whole runs would fill less than nine
    tenths of it. A last part that is less full is left out."""
    start = 0
    while start < len(order):
        last_run = int(np.searchsorted(run_ends, start + size, side="right")) - 1
        whole = int(run_ends[last_run]) if last_run >= 0 else start
        end = whole if whole - start >= MIN_FILL * size else min(start + size, len(order))
        if end - start < MIN_FILL * size:
            return
        yield order[start:end]
        start = end


def _batch_of_runs(
    pool: Pool, rows: TrainedRows, chosen: IntArray, contrast: ContrastConfig, rng: np.random.Generator
) -> Batch:
    """Every token is paired with the one before it, if that one is in the batch."""
    row_M, document_M = rows.row_N[chosen], rows.document_N[chosen]
    follows = (np.diff(row_M) == 1) & (np.diff(document_M) == 0)
    anchors = follows.nonzero()[0] + 1
    return _batch(pool, row_M, document_M, len(row_M), anchors, anchors - 1, contrast, rng)


def _batch_with_partners(
    pool: Pool, rows: TrainedRows, chosen: IntArray, contrast: ContrastConfig, rng: np.random.Generator
) -> Batch:
    """Every token that has a token before it brings a partner. The partners come after all tokens."""
    row_N, document_N = rows.row_N[chosen], rows.document_N[chosen]
    past_N = rows.position_N[chosen] if contrast.partner_mask == "own" else row_N - pool.first_M[document_N]
    reaches = {"prev": np.minimum(past_N, 1), "window": np.minimum(past_N, contrast.reach), "past": past_N}
    reach_N = reaches[contrast.pairing]
    anchors = (reach_N > 0).nonzero()[0]
    back = 1 + np.floor(rng.random(len(anchors)) * reach_N[anchors]).astype(np.int64)
    row_M = np.concatenate([row_N, row_N[anchors] - back])
    document_M = np.concatenate([document_N, document_N[anchors]])
    partners = len(row_N) + np.arange(len(anchors))
    return _batch(pool, row_M, document_M, len(row_N), anchors, partners, contrast, rng)


def _batch(
    pool: Pool,
    row_M: IntArray,
    document_M: IntArray,
    n_reconstructed: int,
    anchors_P: IntArray,
    partners_P: IntArray,
    contrast: ContrastConfig,
    rng: np.random.Generator,
) -> Batch:
    if contrast.shuffled:
        partners_P = rng.permutation(partners_P)
    pairs_P2 = torch.from_numpy(np.stack([anchors_P, partners_P], 1))
    x_MD = pool.x_PD[torch.from_numpy(row_M)]
    return Batch(x_MD, n_reconstructed, pairs_P2, torch.from_numpy(document_M))
