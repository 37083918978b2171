"""Smoothness as the T-SAE paper defines it (https://arxiv.org/abs/2511.05541): per document, the mean over the latents
i that fire in it of

    max_t |f_i(t) - f_i(t-1)| / ||x_t - x_{t-1}||,

averaged over documents. Lower is smoother. It is reported for comparison with the paper. It depends on the scale of the
code (halve the code, double the decoder, and it halves), and the maximum grows with the length of a document. The
measures of `smoothness.py` do neither.

The released code takes windows of 128 tokens that cross documents; here only pairs within a document count. Pairs with
equal x are left out, and so are documents without a pair. A block without an active latent in a document is left out of
that document, where the released code has NaN.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.tsae.metrics.blocks import CHUNK, Blocks, active_columns, block_slices
from interp.tsae.metrics.checks import expect_same, to_float64


@dataclass
class PaperSmoothness:
    """Sums over documents. `Smoothness` checks the input."""

    blocks: Blocks
    sums: list[float] = field(default_factory=list)
    """Of each block, and last of the whole dictionary."""
    documents: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums = self.sums or [0.0] * (len(block_slices(self.blocks)) + 1)
        self.documents = self.documents or [0] * len(self.sums)

    def update(self, *, z_NF: Float[Tensor, "N F"], x_ND: Float[Tensor, "N D"], joined_N: Bool[Tensor, " N"]) -> None:
        joined_N = joined_N.to(to_float64(z_NF[:0]).device)
        row_P = joined_N.nonzero()[:, 0]
        distance_P = _distances(x_ND, row_P)
        row_P, distance_P = row_P[distance_P > 0], distance_P[distance_P > 0]
        if not len(row_P):
            return
        document_N = (~joined_N).cumsum(0) - 1
        paired_M = torch.bincount(document_N[row_P], minlength=int(document_N[-1]) + 1) > 0
        blocks = [
            _block_steps(columns, z_NF, row_P, distance_P, document_N, paired_M)
            for columns in block_slices(self.blocks)
        ]
        steps_BM, firing_BM = (torch.stack(part) for part in zip(*blocks, strict=True))
        for i, (steps_M, firing_M) in enumerate([*blocks, (steps_BM.sum(0), firing_BM.sum(0))]):
            counted_M = paired_M & (firing_M > 0)
            self.sums[i] += float((steps_M[counted_M] / firing_M[counted_M]).sum())
            self.documents[i] += int(counted_M.sum())

    def merge(self, other: "PaperSmoothness") -> None:
        expect_same("blocks", self.blocks, other.blocks)
        self.sums = [own + others for own, others in zip(self.sums, other.sums, strict=True)]
        self.documents = [own + others for own, others in zip(self.documents, other.documents, strict=True)]

    def compute(self) -> tuple[float | None, tuple[float | None, ...]]:
        """Of the whole dictionary, and of each block."""
        means = [total / n if n else None for total, n in zip(self.sums, self.documents, strict=True)]
        return means[-1], tuple(means[:-1])


def _distances(x_ND: Tensor, row_P: Tensor) -> Tensor:
    """||x_t - x_{t-1}|| for the rows t, in chunks, since they are converted to float64."""
    parts = row_P.split(max(1, CHUNK // x_ND.shape[1]))
    return torch.cat([(to_float64(x_ND[rows]) - to_float64(x_ND[rows - 1])).norm(dim=1) for rows in parts])


def _block_steps(
    columns: slice, z_NF: Tensor, row_P: Tensor, distance_P: Tensor, document_N: Tensor, paired_M: Tensor
) -> tuple[Tensor, Tensor]:
    """By document: the sum over the latents of a block of their largest step, and the number of latents that fire."""
    steps_M = paired_M.new_zeros(paired_M.shape, dtype=torch.float64)
    firing_M = torch.zeros_like(steps_M)
    for latent_C in active_columns(z_NF, columns):
        z_NC = to_float64(z_NF[:, latent_C])
        step_PC = (z_NC[row_P] - z_NC[row_P - 1]).abs() / distance_P[:, None]
        steps_M += _largest_by_document(step_PC, document_N[row_P], len(paired_M)).sum(1)
        firing_M += (_largest_by_document(z_NC, document_N, len(paired_M)) > 0).sum(1)
    return steps_M, firing_M


def _largest_by_document(value_NC: Tensor, document_N: Tensor, documents: int) -> Tensor:
    """The largest value of each column in each document. Values are not negative."""
    zeros_MC = value_NC.new_zeros(documents, value_NC.shape[1])
    return zeros_MC.scatter_reduce(0, document_N[:, None].expand_as(value_NC), value_NC, "amax")
