"""Products of sparse codes with dense matrices. K of F latents are active on a token, so work is done on K of F.

Only the encoder's product is dense. Everything after it touches active entries alone: the decoder's product is a
weighted sum of rows (`embedding_bag`), the gradient of a weight matrix is the same sum over the transposed pattern,
and the gradient of a code is one dot product (`sampled_addmm`). All three are bit-reproducible on the CPU.
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

with warnings.catch_warnings():  # torch warns once per process that CSR tensors are in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1))

TINY = 1e-12
IN_CACHE = 2**20
"""Matrix entries that fit in the caches of a CPU."""


@dataclass(frozen=True)
class Pattern:
    """Row and column of each of the N entries of a sparse (R, C) matrix, sorted by row, then by column."""

    rows_N: Int[Tensor, " N"]
    columns_N: Int[Tensor, " N"]
    n_rows: int
    n_columns: int

    @classmethod
    def from_flat(cls, flat_N: Int[Tensor, " N"], n_rows: int, n_columns: int) -> "Pattern":
        """From ascending indices into the flattened matrix."""
        rows_N = flat_N.div(n_columns, rounding_mode="floor")
        return cls(rows_N, flat_N - rows_N * n_columns, n_rows, n_columns)

    @cached_property
    def row_starts(self) -> Int[Tensor, " R+1"]:
        """Index of the first entry of each row, and N."""
        return _starts(self.rows_N, self.n_rows)

    @cached_property
    def column_order(self) -> tuple[Int[Tensor, " N"], Int[Tensor, " C+1"]]:
        """The permutation that sorts the entries by column, and where each column starts in it."""
        return torch.sort(self.columns_N, stable=True).indices, _starts(self.columns_N, self.n_columns)

    def first_rows(self, n: int) -> "tuple[Pattern, slice]":
        """The pattern of the first `n` rows, and the entries they hold."""
        end = int(self.row_starts[n])
        return Pattern(self.rows_N[:end], self.columns_N[:end], n, self.n_columns), slice(0, end)

    def select_columns(self, start: int, end: int) -> "tuple[Pattern, Tensor]":
        """The pattern of columns [start, end), and the index of each of its entries in this one."""
        entries_N = ((self.columns_N >= start) & (self.columns_N < end)).nonzero()[:, 0]
        return Pattern(self.rows_N[entries_N], self.columns_N[entries_N] - start, self.n_rows, end - start), entries_N

    def select_rows(self, rows_P: Int[Tensor, " P"]) -> "tuple[Pattern, Tensor]":
        """The pattern of the given rows, in that order, and the index of each of its entries in this one."""
        first_P, count_P = self.row_starts[rows_P], self.row_starts[rows_P + 1] - self.row_starts[rows_P]
        new_rows_N = torch.repeat_interleave(torch.arange(len(rows_P), device=rows_P.device), count_P)
        before_P = count_P.cumsum(0) - count_P
        entries_N = torch.arange(len(new_rows_N), device=rows_P.device) + (first_P - before_P)[new_rows_N]
        return Pattern(new_rows_N, self.columns_N[entries_N], len(rows_P), self.n_columns), entries_N

    def stack_blocks(self, ends: Sequence[int]) -> "tuple[Pattern, Tensor]":
        """The column blocks [0, ends_0), [ends_0, ends_1), ... one below the other, each at full width, and the index
        of each entry in this pattern."""
        block_N = torch.bucketize(self.columns_N, torch.tensor(ends, device=self.columns_N.device), right=True)
        entries_N = torch.cat([(block_N == block).nonzero()[:, 0] for block in range(len(ends))])
        rows_N = block_N * self.n_rows + self.rows_N
        return Pattern(rows_N[entries_N], self.columns_N[entries_N], len(ends) * self.n_rows, self.n_columns), entries_N


def _starts(indices_N: Tensor, length: int) -> Tensor:
    return F.pad(torch.bincount(indices_N, minlength=length).cumsum(0), (1, 0))


# --- products ------------------------------------------------------------------------------------------------------


def sparse_matmul(
    values_N: Float[Tensor, " N"], matrix_CD: Float[Tensor, "C D"], pattern: Pattern
) -> Float[Tensor, "R D"]:
    """A sparse matrix, given as values and pattern, times a dense one. Differentiable in both."""
    return _SparseMatmul.apply(values_N, matrix_CD, pattern)  # pyright: ignore[reportReturnType]


class _SparseMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_N: Tensor, matrix_CD: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(values_N, matrix_CD)
        ctx.pattern = pattern
        return sum_rows(matrix_CD, pattern.columns_N, pattern.row_starts, values_N)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values_N, matrix_CD = ctx.saved_tensors
        pattern, grad_RD = ctx.pattern, grads[0].contiguous()
        grad_values_N = entry_dots(grad_RD, matrix_CD, pattern) if ctx.needs_input_grad[0] else None
        grad_matrix_CD = transposed_matmul(grad_RD, values_N, pattern) if ctx.needs_input_grad[1] else None
        return grad_values_N, grad_matrix_CD, None


def sum_rows(matrix_CD: Tensor, columns_N: Tensor, starts: Tensor, weights_N: Tensor) -> Tensor:
    """For each bag i, the sum of weights_n matrix[columns_n] over n in [starts_i, starts_i+1)."""
    return F.embedding_bag(
        columns_N, matrix_CD, starts, mode="sum", per_sample_weights=weights_N, include_last_offset=True
    )


def transposed_matmul(dense_RD: Tensor, values_N: Tensor, pattern: Pattern) -> Float[Tensor, "C D"]:
    """The transpose of the sparse matrix times a dense one."""
    order_N, starts = pattern.column_order
    return sum_rows(dense_RD, pattern.rows_N[order_N], starts, values_N[order_N])


def entry_dots(left_RD: Tensor, right_CD: Tensor, pattern: Pattern) -> Float[Tensor, " N"]:
    """At each entry (r, c), the dot product <left_r, right_c>."""
    if right_CD.device.type == "cpu" and right_CD.numel() > max(IN_CACHE, left_RD.numel()):
        # by columns, each row of the larger matrix is loaded once while the smaller one stays in the cache
        order_N, starts = pattern.column_order
        dots_N = _dots(right_CD, left_RD, starts, pattern.rows_N[order_N])
        return torch.empty_like(dots_N).index_copy_(0, order_N, dots_N)
    return _dots(left_RD, right_CD, pattern.row_starts, pattern.columns_N)


def _dots(left_RD: Tensor, right_CD: Tensor, starts: Tensor, columns_N: Tensor) -> Float[Tensor, " N"]:
    entries = torch.sparse_csr_tensor(
        starts, columns_N, left_RD.new_zeros(len(columns_N)), (len(left_RD), len(right_CD)), check_invariants=False
    )
    return torch.sparse.sampled_addmm(entries, left_RD, right_CD.T, beta=0.0).values()


# --- gradients of values that are known already ---------------------------------------------------------------------


def encoder_entries(
    values_N: Tensor, centred_MD: Tensor, encoder: tuple[Tensor, Tensor, Tensor], pattern: Pattern
) -> Float[Tensor, " N"]:
    """(x_r - b_dec) . W_enc_c + b_enc_c at each entry (r, c), for `encoder` = (W_enc (F, D), b_enc, b_dec).

    `values_N` are these values, computed before without a gradient; this adds the gradient. That of b_dec needs no
    product over tokens: it is -W_enc times that of b_enc."""
    return _EncoderEntries.apply(values_N, centred_MD, *encoder, pattern)  # pyright: ignore[reportReturnType]


class _EncoderEntries(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values_N: Tensor, centred_MD: Tensor, W_FD: Tensor, b_F: Tensor, b_D: Tensor, pattern: Pattern
    ) -> Tensor:
        ctx.save_for_backward(centred_MD, W_FD)
        ctx.pattern = pattern
        return values_N.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (centred_MD, W_FD), pattern = ctx.saved_tensors, ctx.pattern
        grad_b_F = torch.bincount(pattern.columns_N, grads[0], minlength=pattern.n_columns).to(W_FD.dtype)
        grad_W_FD = transposed_matmul(centred_MD, grads[0].contiguous(), pattern)
        return None, None, grad_W_FD, grad_b_F, -grad_b_F @ W_FD, None


def scale_by_norms(acts_N: Tensor, W_FD: Tensor, norms_F: Tensor, pattern: Pattern) -> Float[Tensor, " N"]:
    """acts_N times |W_c| at each entry (r, c), for `norms_F` = |W|. The rows of W get their gradient in one pass."""
    return _ScaleByNorms.apply(acts_N, W_FD, norms_F, pattern)  # pyright: ignore[reportReturnType]


class _ScaleByNorms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, acts_N: Tensor, W_FD: Tensor, norms_F: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(acts_N, W_FD, norms_F)
        ctx.pattern = pattern
        return acts_N * norms_F[pattern.columns_N]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (acts_N, W_FD, norms_F), pattern = ctx.saved_tensors, ctx.pattern
        grad_norms_F = torch.bincount(pattern.columns_N, grads[0] * acts_N, minlength=pattern.n_columns).to(W_FD.dtype)
        grad_W_FD = W_FD * (grad_norms_F / norms_F.clamp(min=TINY))[:, None]
        return grads[0] * norms_F[pattern.columns_N], grad_W_FD, None, None


# --- selection -----------------------------------------------------------------------------------------------------


def largest_entries(dense_MF: Float[Tensor, "M F"], count: int, guess: float = 0.0) -> tuple[Int[Tensor, " N"], float]:
    """Flat indices of the `count` largest positive entries, ascending, and the smallest of these entries (0 if none).

    Exact for any `guess`. The closer `guess` lies below the smallest selected entry, the fewer entries are compared.
    Of equal entries the first are selected."""
    flat = dense_MF.reshape(-1)
    indices = (flat > max(guess, 0.0)).nonzero()[:, 0]
    if len(indices) < count and guess > 0:
        indices = (flat > 0).nonzero()[:, 0]
    values = flat[indices]
    if len(indices) > count:
        smallest = values.kthvalue(len(indices) - count + 1).values
        chosen_N = (values >= smallest).nonzero()[:, 0]
        if len(chosen_N) > count:
            surplus_N = (values[chosen_N] == smallest).nonzero()[:, 0][count - len(chosen_N) :]
            chosen_N = chosen_N[torch.ones_like(chosen_N, dtype=torch.bool).index_fill(0, surplus_N, False)]
        indices, values = indices[chosen_N], values[chosen_N]
    return indices, float(values.min()) if len(values) else 0.0
