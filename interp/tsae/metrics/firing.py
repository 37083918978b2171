"""How often each latent fires, how strongly when it does, and the share of latents that never did in the stream.

Dead is a word about a stream: on a shorter one, or on another checkpoint's, more latents are silent. Hence `n` stands
beside it, and two streams are compared at like length.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.tsae.metrics.blocks import Blocks, expect_codes, spans
from interp.tsae.metrics.checks import expect_same


@dataclass(frozen=True, slots=True)
class FiringRates:
    n: int
    """Tokens."""
    fired_F: Int[Tensor, " F"]
    """On how many of them each latent was active."""
    rate_F: Float[Tensor, " F"]
    """The share of tokens. NaN if there were none."""
    when_firing_F: Float[Tensor, " F"]
    """Its mean activation where it is active. NaN for a latent that never was: it has no strength, not one of 0."""
    dead_share: float | None
    dead_share_per_block: tuple[float | None, ...]


@dataclass
class Firing:
    blocks: Blocks
    n: int = 0
    fired_F: Int[Tensor, " F"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    mass_F: Float[Tensor, " F"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    """Activation, summed over tokens."""

    def __post_init__(self) -> None:
        if not len(self.fired_F):
            width = spans(self.blocks)[-1].stop
            self.fired_F = torch.zeros(width, dtype=torch.int64)
            self.mass_F = torch.zeros(width, dtype=torch.float64)

    def update(self, *, z_NF: Float[Tensor, "N F"]) -> None:
        expect_codes(z_NF, self.blocks)
        self.n += len(z_NF)
        self.fired_F += (z_NF > 0).sum(0).cpu()
        z_NF = z_NF.cpu() if z_NF.device.type == "mps" else z_NF  # which has no float64
        self.mass_F += z_NF.sum(0, dtype=torch.float64).cpu()

    def merge(self, other: "Firing") -> None:
        expect_same("blocks", self.blocks, other.blocks)
        self.n += other.n
        self.fired_F = self.fired_F + other.fired_F
        self.mass_F = self.mass_F + other.mass_F

    def compute(self) -> FiringRates:
        dead_F = self.fired_F == 0
        shares = [_share(dead_F[span]) if self.n else None for span in spans(self.blocks)]
        return FiringRates(
            n=self.n,
            fired_F=self.fired_F.clone(),
            rate_F=self.fired_F.double() / self.n,
            when_firing_F=self.mass_F / self.fired_F,
            dead_share=_share(dead_F) if self.n else None,
            dead_share_per_block=tuple(shares),
        )


def _share(dead_F: Tensor) -> float | None:
    return float(dead_F.double().mean()) if len(dead_F) else None
