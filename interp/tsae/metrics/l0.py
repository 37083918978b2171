"""L0: how many latents are active on a token, in the mean, of the whole dictionary and of each block.

To be measured wherever a dictionary is used: at inference its threshold is fixed, and on the activations of another
checkpoint L0 is not the K it was trained with.
"""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from interp.tsae.metrics.blocks import Blocks, expect_codes, block_slices
from interp.tsae.metrics.checks import expect_same


@dataclass(frozen=True, slots=True)
class ActiveLatents:
    total: float | None
    per_block: tuple[float | None, ...]
    n: int
    """Tokens."""


@dataclass
class L0:
    blocks: Blocks
    n: int = 0
    active: list[int] = field(default_factory=list)
    """Of each block, over all tokens."""

    def __post_init__(self) -> None:
        self.active = self.active or [0] * len(block_slices(self.blocks))

    def update(self, *, z_NF: Float[Tensor, "N F"]) -> None:
        expect_codes(z_NF, self.blocks)
        self.n += len(z_NF)
        for block, span in enumerate(block_slices(self.blocks)):
            self.active[block] += int((z_NF[:, span] > 0).sum())

    def merge(self, other: "L0") -> None:
        expect_same("blocks", self.blocks, other.blocks)
        self.n += other.n
        self.active = [mine + theirs for mine, theirs in zip(self.active, other.active, strict=True)]

    def compute(self) -> ActiveLatents:
        """A block of no latents has no L0: None, not 0."""
        if not self.n:
            return ActiveLatents(None, tuple(None for _ in self.blocks), 0)
        per_block = [count / self.n if width else None for count, width in zip(self.active, self.blocks, strict=True)]
        return ActiveLatents(sum(self.active) / self.n, tuple(per_block), self.n)
