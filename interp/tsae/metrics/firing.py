"""How often each latent fires, how strongly when it does, and the share of latents that never did in the stream.

Dead is a word about a stream: on a shorter one, or on another checkpoint's, more latents are silent. Hence `n` stands
beside it, and two streams are compared at like length.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.tsae.metrics.blocks import Blocks, expect_codes, block_slices
from interp.tsae.metrics.checks import expect_same


@dataclass(frozen=True, slots=True)
class FiringRates:
    n: int
    """Tokens."""
    active_tokens_F: Int[Tensor, " F"]
    """On how many of them each latent was active."""
    firing_rate_F: Float[Tensor, " F"]
    """The share of tokens. NaN if there were none."""
    mean_when_active_F: Float[Tensor, " F"]
    """Its mean activation where it is active. NaN for a latent that never was: it has no strength, not one of 0."""
    dead_share: float | None
    dead_share_per_block: tuple[float | None, ...]


@dataclass
class Firing:
    blocks: Blocks
    n: int = 0
    active_tokens_F: Int[Tensor, " F"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    activation_sum_F: Float[Tensor, " F"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    """Activation, summed over tokens."""

    def __post_init__(self) -> None:
        if not len(self.active_tokens_F):
            width = block_slices(self.blocks)[-1].stop
            self.active_tokens_F = torch.zeros(width, dtype=torch.int64)
            self.activation_sum_F = torch.zeros(width, dtype=torch.float64)

    def update(self, *, z_NF: Float[Tensor, "N F"]) -> None:
        expect_codes(z_NF, self.blocks)
        self.n += len(z_NF)
        self.active_tokens_F += (z_NF > 0).sum(0).cpu()
        z_NF = z_NF.cpu() if z_NF.device.type == "mps" else z_NF  # which has no float64
        self.activation_sum_F += z_NF.sum(0, dtype=torch.float64).cpu()

    def merge(self, other: "Firing") -> None:
        expect_same("blocks", self.blocks, other.blocks)
        self.n += other.n
        self.active_tokens_F = self.active_tokens_F + other.active_tokens_F
        self.activation_sum_F = self.activation_sum_F + other.activation_sum_F

    def compute(self) -> FiringRates:
        dead_F = self.active_tokens_F == 0
        shares = [_share(dead_F[span]) if self.n else None for span in block_slices(self.blocks)]
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
