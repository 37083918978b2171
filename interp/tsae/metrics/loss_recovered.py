"""Loss recovered: how much of what a layer does for the next token is left if its residual is put through a dictionary.

    ce_recovered = (CE_ablated - CE_spliced) / (CE_ablated - CE_clean)
    kl_recovered = 1 - KL(clean || spliced) / KL(clean || ablated)

A perfect splice scores 1, the ablation itself 0. CE is against the tokens that came; KL is against all the model would
have said, so it sees damage that CE forgives (and CE can exceed 1). Logits at t are those that predict `tokens_BL` at
t: nothing is shifted here. The nats stand beside the ratios, which flatter: against an ablation that costs 10 nats, a
splice that costs half a nat a token still has "95%".
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.tsae.metrics.checks import expect_shape, to_float64

SLICE = 1024
"""Tokens whose logits are worked on at once."""


@dataclass(frozen=True, slots=True)
class LossRecovered:
    """None where there are no tokens; a ratio, where the ablation did no harm: there is nothing to recover."""

    ce_recovered: float | None
    kl_recovered: float | None
    ce_clean_nats_per_token: float | None
    ce_spliced_nats_per_token: float | None
    ce_ablated_nats_per_token: float | None
    kl_spliced_nats_per_token: float | None
    kl_ablated_nats_per_token: float | None
    n: int
    """Tokens."""


@dataclass
class SpliceLosses:
    """Sums in nats over tokens."""

    ce_clean: float = 0.0
    ce_spliced: float = 0.0
    ce_ablated: float = 0.0
    kl_spliced: float = 0.0
    kl_ablated: float = 0.0
    n: int = 0

    @torch.no_grad()
    def update(
        self,
        *,
        clean_BLV: Float[Tensor, "B L V"],
        spliced_BLV: Float[Tensor, "B L V"],
        ablated_BLV: Float[Tensor, "B L V"],
        tokens_BL: Int[Tensor, "B L"],
        mask_BL: Bool[Tensor, "B L"],
    ) -> None:
        for name, logits in ("spliced_BLV", spliced_BLV), ("ablated_BLV", ablated_BLV):
            expect_shape(name, logits, tuple(clean_BLV.shape))
        for name, of_token in ("tokens_BL", tokens_BL), ("mask_BL", mask_BL):
            expect_shape(name, of_token, tuple(clean_BLV.shape[:2]))
        for at_S in mask_BL.flatten().nonzero()[:, 0].split(SLICE):
            tokens_S = tokens_BL.flatten()[at_S]
            clean_SV, spliced_SV, ablated_SV = (
                to_float64(logits.flatten(0, 1)[at_S]).log_softmax(-1) for logits in (clean_BLV, spliced_BLV, ablated_BLV)
            )
            self.ce_clean += _ce(clean_SV, tokens_S)
            self.ce_spliced += _ce(spliced_SV, tokens_S)
            self.ce_ablated += _ce(ablated_SV, tokens_S)
            self.kl_spliced += _kl(clean_SV, spliced_SV)
            self.kl_ablated += _kl(clean_SV, ablated_SV)
            self.n += len(at_S)

    def merge(self, other: "SpliceLosses") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def compute(self) -> LossRecovered:
        if not self.n:
            return LossRecovered(None, None, None, None, None, None, None, 0)
        harm = self.ce_ablated - self.ce_clean
        return LossRecovered(
            ce_recovered=(self.ce_ablated - self.ce_spliced) / harm if harm > 0 else None,
            kl_recovered=1 - self.kl_spliced / self.kl_ablated if self.kl_ablated > 0 else None,
            ce_clean_nats_per_token=self.ce_clean / self.n,
            ce_spliced_nats_per_token=self.ce_spliced / self.n,
            ce_ablated_nats_per_token=self.ce_ablated / self.n,
            kl_spliced_nats_per_token=self.kl_spliced / self.n,
            kl_ablated_nats_per_token=self.kl_ablated / self.n,
            n=self.n,
        )


def _ce(logp_SV: Tensor, tokens_S: Tensor) -> float:
    return -float(logp_SV.gather(-1, tokens_S.to(logp_SV.device)[:, None].long()).sum())


def _kl(p_SV: Tensor, q_SV: Tensor) -> float:
    """KL(p || q) of log-probabilities. What p never says costs nothing, whatever q says of it."""
    cost_SV = p_SV.exp() * (p_SV - q_SV)
    return float(torch.where(p_SV == -torch.inf, 0.0, cost_SV).sum())
