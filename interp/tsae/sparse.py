"""Sparse codes, and the products of them with dense matrices: K of F latents are active, so only K of F are worked on.

Only the encoder's product is dense. What follows touches active entries alone: the decoder's product is a weighted sum
of rows (`embedding_bag`), the gradient of a weight matrix is the same sum over the transposed pattern, and the
gradient of a code is one dot product (`sampled_addmm`). All three are bit-reproducible on the CPU.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

with warnings.catch_warnings():  # once and for all, torch says that its CSR tensors are young
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1))

IN_CACHE = 2**20
"""Entries of a matrix that a processor's caches may be trusted to hold."""


@dataclass(frozen=True)
class Pattern:
    """Which entries of an (R, C) matrix are there, in order of rows and of columns within a row."""

    rows_N: Int[Tensor, " N"]
    columns_N: Int[Tensor, " N"]
    n_rows: int
    n_columns: int

    @classmethod
    def from_flat(cls, flat_N: Int[Tensor, " N"], n_rows: int, n_columns: int) -> "Pattern":
        """From ascending places in the matrix laid out row by row."""
        rows_N = flat_N.div(n_columns, rounding_mode="floor")
        return cls(rows_N, flat_N - rows_N * n_columns, n_rows, n_columns)

    @cached_property
    def starts(self) -> Int[Tensor, " R+1"]:
        return _starts(self.rows_N, self.n_rows)

    @cached_property
    def column_order(self) -> tuple[Int[Tensor, " N"], Int[Tensor, " C+1"]]:
        """The entries in order of columns, and where each column's begin."""
        return torch.sort(self.columns_N, stable=True).indices, _starts(self.columns_N, self.n_columns)

    def select_columns(self, start: int, end: int) -> "tuple[Pattern, Tensor]":
        """The part in columns [start, end), and which entries those are."""
        kept_N = ((self.columns_N >= start) & (self.columns_N < end)).nonzero()[:, 0]
        return Pattern(self.rows_N[kept_N], self.columns_N[kept_N] - start, self.n_rows, end - start), kept_N

    def stack_blocks(self, ends: Sequence[int]) -> "tuple[Pattern, Tensor]":
        """Blocks of columns [0, ends_0), [ends_0, ends_1), ... one below the other, each as wide as all, and which
        entry of this one each of theirs is."""
        block_N = torch.bucketize(self.columns_N, torch.tensor(ends, device=self.columns_N.device), right=True)
        order_N = torch.cat([(block_N == at).nonzero()[:, 0] for at in range(len(ends))])
        rows_N = block_N * self.n_rows + self.rows_N
        return Pattern(rows_N[order_N], self.columns_N[order_N], len(ends) * self.n_rows, self.n_columns), order_N

    def select_rows(self, rows_P: Int[Tensor, " P"]) -> "tuple[Pattern, Tensor]":
        """The rows listed, in that order, and which entries theirs are."""
        first_P, held_P = self.starts[rows_P], self.starts[rows_P + 1] - self.starts[rows_P]
        new_rows_N = torch.repeat_interleave(torch.arange(len(rows_P), device=rows_P.device), held_P)
        before_P = held_P.cumsum(0) - held_P
        entries_N = torch.arange(len(new_rows_N), device=rows_P.device) + (first_P - before_P)[new_rows_N]
        return Pattern(new_rows_N, self.columns_N[entries_N], len(rows_P), self.n_columns), entries_N


def _starts(places_N: Tensor, length: int) -> Tensor:
    counts = torch.bincount(places_N, minlength=length)
    return F.pad(counts.cumsum(0), (1, 0))


def sparse_matmul(
    values_N: Float[Tensor, " N"], matrix_CD: Float[Tensor, "C D"], pattern: Pattern
) -> Float[Tensor, "R D"]:
    """The sparse matrix of these values times a dense one. Differentiable in both."""
    return _WeightedRows.apply(values_N, matrix_CD, pattern)  # pyright: ignore[reportReturnType]


class _WeightedRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_N: Tensor, matrix_CD: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(values_N, matrix_CD)
        ctx.pattern = pattern
        return sum_rows(matrix_CD, pattern.columns_N, pattern.starts, values_N)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values_N, matrix_CD = ctx.saved_tensors
        pattern, grad_RD = ctx.pattern, grads[0].contiguous()
        of_values = entry_dots(grad_RD, matrix_CD, pattern) if ctx.needs_input_grad[0] else None
        of_matrix = transposed_matmul(grad_RD, values_N, pattern) if ctx.needs_input_grad[1] else None
        return of_values, of_matrix, None


def sum_rows(matrix_CD: Tensor, which_N: Tensor, starts: Tensor, weights_N: Tensor) -> Tensor:
    """For each bag [starts[i], starts[i + 1]), the weighted sum of the rows it names."""
    return F.embedding_bag(
        which_N, matrix_CD, starts, mode="sum", per_sample_weights=weights_N, include_last_offset=True
    )


def transposed_matmul(dense_RD: Tensor, values_N: Tensor, pattern: Pattern) -> Float[Tensor, "C D"]:
    """The transpose of the sparse matrix times a dense one."""
    order_N, starts = pattern.column_order
    return sum_rows(dense_RD, pattern.rows_N[order_N], starts, values_N[order_N])


def entry_dots(left_RD: Tensor, right_CD: Tensor, pattern: Pattern) -> Float[Tensor, " N"]:
    """At each entry, the dot product of its row on the left with its column's row on the right."""
    if right_CD.device.type == "cpu" and right_CD.numel() > max(IN_CACHE, left_RD.numel()):
        order_N, starts = pattern.column_order  # each row on the right is read once, and those on the left stay at hand
        found_N = _dots(right_CD, left_RD, starts, pattern.rows_N[order_N])
        return torch.empty_like(found_N).index_copy_(0, order_N, found_N)
    return _dots(left_RD, right_CD, pattern.starts, pattern.columns_N)


def _dots(left_RD: Tensor, right_CD: Tensor, starts: Tensor, columns_N: Tensor) -> Float[Tensor, " N"]:
    there = torch.sparse_csr_tensor(
        starts, columns_N, left_RD.new_zeros(len(columns_N)), (len(left_RD), len(right_CD)), check_invariants=False
    )
    return torch.sparse.sampled_addmm(there, left_RD, right_CD.T, beta=0.0).values()


def largest_entries(dense_MF: Float[Tensor, "M F"], count: int, guess: float = 0.0) -> tuple[Int[Tensor, " N"], float]:
    """The places of the `count` largest positive entries, ascending, and the smallest of them (0 if there is none).
    Exact, whatever `guess` is: the closer it lies below the smallest, the fewer entries are compared."""
    flat = dense_MF.reshape(-1)
    places = (flat > max(guess, 0.0)).nonzero()[:, 0]
    if len(places) < count and guess > 0:
        places = (flat > 0).nonzero()[:, 0]
    values = flat[places]
    if len(places) > count:
        smallest = values.kthvalue(len(places) - count + 1).values
        kept_N = (values >= smallest).nonzero()[:, 0]
        if len(kept_N) > count:  # of equal ones, as equal tokens have them, the first
            tied_N = (values[kept_N] == smallest).nonzero()[:, 0][count - len(kept_N) :]
            kept_N = kept_N[torch.ones_like(kept_N, dtype=torch.bool).index_fill(0, tied_N, False)]
        places, values = places[kept_N], values[kept_N]
    return places, float(values.min()) if len(values) else 0.0
