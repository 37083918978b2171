"""L0: the mean number of active latents a token, in the whole dictionary and in each block.

At inference the thresholds are fixed. On the activations of another checkpoint L0 is not the k of training, so it is
measured wherever a dictionary is used.
"""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from interp.tsae.metrics.blocks import Blocks, block_slices, expect_codes
from interp.tsae.metrics.checks import expect_same


@dataclass(frozen=True, slots=True)
class ActiveLatents:
    total: float | None
    per_block: tuple[float | None, ...]
    n: int
    """Tokens."""


@dataclass
class L0:
    """Number of active latents of each block, summed over tokens."""

    blocks: Blocks
    n: int = 0
    active: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.active = self.active or [0] * len(block_slices(self.blocks))

    def update(self, *, z_NF: Float[Tensor, "N F"]) -> None:
        expect_codes(z_NF, self.blocks)
        self.n += len(z_NF)
        for block, columns in enumerate(block_slices(self.blocks)):
            self.active[block] += int((z_NF[:, columns] > 0).sum())

    def merge(self, other: "L0") -> None:
        expect_same("blocks", self.blocks, other.blocks)
        self.n += other.n
        self.active = [own + others for own, others in zip(self.active, other.active, strict=True)]

    def compute(self) -> ActiveLatents:
        """None instead of 0 for a block without latents, and for all without tokens."""
        if not self.n:
            return ActiveLatents(None, tuple(None for _ in self.blocks), 0)
        per_block = [count / self.n if width else None for count, width in zip(self.active, self.blocks, strict=True)]
        return ActiveLatents(sum(self.active) / self.n, tuple(per_block), self.n)
