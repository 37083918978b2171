"""Blocks of latents: their widths in order, the slow block first, for instance (205, 819) of 1024 latents."""

from itertools import accumulate

from jaxtyping import Float, Int
from torch import Tensor

from interp.artifacts import BadInput

Blocks = tuple[int, ...]

CHUNK = 2**23
"""Numbers processed at once: 64 MiB of float64."""


def block_slices(blocks: Blocks) -> list[slice]:
    """The columns of each block. A width of 0 is a block that the dictionary lacks."""
    if not blocks or min(blocks) < 0 or sum(blocks) == 0:
        raise BadInput(f"blocks must be widths, none negative and one at least positive; got {blocks}")
    return [slice(end - width, end) for width, end in zip(blocks, accumulate(blocks), strict=True)]


def active_columns(z_NF: Float[Tensor, "N F"], columns: slice) -> tuple[Int[Tensor, " C"], ...]:
    """The active latents of a slice of columns, in chunks that fit in memory in float64. On a few documents of a wide
    dictionary few latents are active, and the others add nothing to a sum."""
    active_C = columns.start + (z_NF[:, columns] != 0).any(0).nonzero()[:, 0]
    return active_C.split(max(1, CHUNK // max(len(z_NF), 1)))


def expect_codes(z_NF: Float[Tensor, "N F"], blocks: Blocks) -> None:
    """Refuse what cannot be codes of a dictionary with these blocks."""
    if z_NF.shape[1] != sum(blocks):
        raise BadInput(f"z_NF must be (rows, {sum(blocks)}), the blocks' sum; got {tuple(z_NF.shape)}: residuals?")
    if len(z_NF) and not float(z_NF.min()) >= 0:  # NaN fails this comparison too
        raise BadInput(f"z_NF must not be negative; its minimum is {float(z_NF.min())}: codes before the nonlinearity?")
