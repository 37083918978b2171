"""Firing rate of each latent, its mean activation where it is active, and the share of latents that never fire.

"Dead" depends on the stream: on fewer tokens, or on another checkpoint's, more latents never fire. So `n` stands beside
the share, and two streams are compared at similar length.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.tsae.metrics.blocks import Blocks, block_slices, expect_codes
from interp.tsae.metrics.checks import expect_same


@dataclass(frozen=True, slots=True)
class FiringRates:
    n: int
    """Tokens."""
    active_tokens_F: Int[Tensor, " F"]
    """Number of tokens on which each latent is active."""
    firing_rate_F: Float[Tensor, " F"]
    """Share of tokens. NaN without tokens."""
    mean_when_active_F: Float[Tensor, " F"]
    """Mean activation where active. NaN for a latent that never is."""
    dead_share: float | None
    """Share of latents that never fired."""
    dead_share_per_block: tuple[float | None, ...]


@dataclass
class Firing:
    """Counts and sums of activations over tokens."""

    blocks: Blocks
    n: int = 0
    active_tokens_F: Int[Tensor, " F"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    activation_sum_F: Float[Tensor, " F"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))

    def __post_init__(self) -> None:
        if not len(self.active_tokens_F):
            width = block_slices(self.blocks)[-1].stop
            self.active_tokens_F = torch.zeros(width, dtype=torch.int64)
            self.activation_sum_F = torch.zeros(width, dtype=torch.float64)

    def update(self, *, z_NF: Float[Tensor, "N F"]) -> None:
        expect_codes(z_NF, self.blocks)
        self.n += len(z_NF)
        self.active_tokens_F += (z_NF > 0).sum(0).cpu()
        z_NF = z_NF.cpu() if z_NF.device.type == "mps" else z_NF  # MPS has no float64
        self.activation_sum_F += z_NF.sum(0, dtype=torch.float64).cpu()

    def merge(self, other: "Firing") -> None:
        expect_same("blocks", self.blocks, other.blocks)
        self.n += other.n
        self.active_tokens_F = self.active_tokens_F + other.active_tokens_F
        self.activation_sum_F = self.activation_sum_F + other.activation_sum_F

    def compute(self) -> FiringRates:
        dead_F = self.active_tokens_F == 0
        shares = [_share(dead_F[columns]) if self.n else None for columns in block_slices(self.blocks)]
        return FiringRates(
            n=self.n,
            active_tokens_F=self.active_tokens_F.clone(),
            firing_rate_F=self.active_tokens_F.double() / self.n,
            mean_when_active_F=self.activation_sum_F / self.active_tokens_F,
            dead_share=_share(dead_F) if self.n else None,
            dead_share_per_block=tuple(shares),
        )


def _share(dead_F: Tensor) -> float | None:
    return float(dead_F.double().mean()) if len(dead_F) else None
