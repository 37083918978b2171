"""The columns of a code, block by block: widths in order, the slow block first, so (205, 819) of 1024 latents."""

from collections.abc import Iterator
from itertools import accumulate

from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput

Blocks = tuple[int, ...]

CHUNK = 2**23
"""Numbers worked on at once: 64 MiB of float64."""


def spans(blocks: Blocks) -> list[slice]:
    """The columns of each block. A width of 0 is a block that the dictionary lacks."""
    if not blocks or min(blocks) < 0 or sum(blocks) == 0:
        raise BadInput(f"blocks must be widths, none negative and one at least positive; got {blocks}")
    return [slice(end - width, end) for width, end in zip(blocks, accumulate(blocks), strict=True)]


def chunks(span: slice, rows: int) -> Iterator[slice]:
    """A span's columns, so many at once that `rows` of them fit in memory in float64."""
    width = max(1, CHUNK // max(rows, 1))
    for start in range(span.start, span.stop, width):
        yield slice(start, min(start + width, span.stop))


def expect_codes(z_NF: Float[Tensor, "N F"], blocks: Blocks) -> None:
    """Refuse what cannot be the code of a dictionary with these blocks."""
    if z_NF.shape[1] != sum(blocks):
        raise BadInput(f"z_NF must be (rows, {sum(blocks)}), the blocks' sum; got {tuple(z_NF.shape)}: residuals?")
    if len(z_NF) and not float(z_NF.min()) >= 0:  # so asked, NaN is refused as well
        raise BadInput(f"z_NF must not be negative; its least is {float(z_NF.min())}: codes before the nonlinearity?")
