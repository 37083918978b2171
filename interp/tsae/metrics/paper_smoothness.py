"""Smoothness as the T-SAE paper has it: of a document, over the latents i that fire in it, the mean of

    max_t |f_i(t) - f_i(t-1)| / ||x_t - x_{t-1}||,

averaged over documents (https://arxiv.org/abs/2511.05541). Lower is smoother. Reported so that it can be compared, and
not to be relied on: it is not free of scale (halve the code, double the decoder, and it halves), and a maximum over a
document grows with its length. Ours, beside it, are free of both.

The released code takes windows of 128 tokens that run across documents; here only pairs within one count. Pairs
between which x does not move are left out, and so are documents without a pair; a block that is silent throughout a
document is left out of that document, where the released code has NaN.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.tsae.metrics.blocks import CHUNK, Blocks, active_columns, block_slices
from interp.tsae.metrics.checks import expect_same, to_float64


@dataclass
class PaperSmoothness:
    """The part of `Smoothness` that is the paper's; what is handed to it has been checked there."""

    blocks: Blocks
    sums: list[float] = field(default_factory=list)
    """Over documents: of each block, and last of the whole dictionary."""
    documents: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums = self.sums or [0.0] * (len(block_slices(self.blocks)) + 1)
        self.documents = self.documents or [0] * len(self.sums)

    def update(self, *, z_NF: Float[Tensor, "N F"], x_ND: Float[Tensor, "N D"], joined_N: Bool[Tensor, " N"]) -> None:
        joined_N = joined_N.to(to_float64(z_NF[:0]).device)
        at_P = joined_N.nonzero()[:, 0]
        moved_P = _moved(x_ND, at_P)
        at_P, moved_P = at_P[moved_P > 0], moved_P[moved_P > 0]
        if not len(at_P):
            return
        doc_N = (~joined_N).cumsum(0) - 1
        paired_M = torch.bincount(doc_N[at_P], minlength=int(doc_N[-1]) + 1) > 0
        parts = [_of_span(span, z_NF, at_P, moved_P, doc_N, paired_M) for span in block_slices(self.blocks)]
        rough_BM, firing_BM = (torch.stack(part) for part in zip(*parts, strict=True))
        parts.append((rough_BM.sum(0), firing_BM.sum(0)))
        for which, (rough_M, firing_M) in enumerate(parts):
            told_M = paired_M & (firing_M > 0)
            self.sums[which] += float((rough_M[told_M] / firing_M[told_M]).sum())
            self.documents[which] += int(told_M.sum())

    def merge(self, other: "PaperSmoothness") -> None:
        expect_same("blocks", self.blocks, other.blocks)
        self.sums = [mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True)]
        self.documents = [mine + theirs for mine, theirs in zip(self.documents, other.documents, strict=True)]

    def compute(self) -> tuple[float | None, tuple[float | None, ...]]:
        """Of the whole dictionary, and of each block."""
        means = [total / n if n else None for total, n in zip(self.sums, self.documents, strict=True)]
        return means[-1], tuple(means[:-1])


def _moved(x_ND: Tensor, at_P: Tensor) -> Tensor:
    """How far x went in each pair; few pairs at a time, for they are taken in float64."""
    parts = at_P.split(max(1, CHUNK // x_ND.shape[1]))
    return torch.cat([(to_float64(x_ND[at]) - to_float64(x_ND[at - 1])).norm(dim=1) for at in parts])


def _of_span(
    span: slice, z_NF: Tensor, at_P: Tensor, moved_P: Tensor, doc_N: Tensor, paired_M: Tensor
) -> tuple[Tensor, Tensor]:
    """By document: the sum over latents of their largest step, and how many latents fire."""
    rough_M = paired_M.new_zeros(paired_M.shape, dtype=torch.float64)
    firing_M = torch.zeros_like(rough_M)
    for on_C in active_columns(z_NF, span):
        z_NC = to_float64(z_NF[:, on_C])
        step_PC = (z_NC[at_P] - z_NC[at_P - 1]).abs() / moved_P[:, None]
        rough_M += _largest(step_PC, doc_N[at_P], len(paired_M)).sum(1)
        firing_M += (_largest(z_NC, doc_N, len(paired_M)) > 0).sum(1)
    return rough_M, firing_M


def _largest(value_NC: Tensor, doc_N: Tensor, documents: int) -> Tensor:
    """Of each column in each document; values are not negative."""
    empty_MC = value_NC.new_zeros(documents, value_NC.shape[1])
    return empty_MC.scatter_reduce(0, doc_N[:, None].expand_as(value_NC), value_NC, "amax")
