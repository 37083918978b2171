"""Loss recovered: how much of a layer's contribution to the next token survives the reconstruction of its residual.

    ce_recovered = (CE_ablated - CE_spliced) / (CE_ablated - CE_clean)
    kl_recovered = 1 - KL(clean || spliced) / KL(clean || ablated)

A perfect splice scores 1, the ablation itself 0. CE is measured on the tokens that came. KL is measured on the whole
distribution, so it shows damage that CE misses (and CE can exceed 1). The logits at position t predict `tokens_BL` at
t: nothing is shifted here. The nats are kept beside the ratios, which flatter: if the ablation costs 10 nats a token, a
splice that costs half a nat still "recovers 95%".
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.tsae.metrics.checks import expect_shape, to_float64

CHUNK = 1024
"""Tokens whose logits are processed at once."""


@dataclass(frozen=True, slots=True)
class LossRecovered:
    """All None without tokens. A ratio is None if the ablation did no harm: then there is nothing to recover."""

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
    """Sums of CE and KL over tokens, in nats."""

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
        for name, per_token in ("tokens_BL", tokens_BL), ("mask_BL", mask_BL):
            expect_shape(name, per_token, tuple(clean_BLV.shape[:2]))
        for rows_S in mask_BL.flatten().nonzero()[:, 0].split(CHUNK):
            tokens_S = tokens_BL.flatten()[rows_S]
            clean_SV, spliced_SV, ablated_SV = (
                to_float64(logits.flatten(0, 1)[rows_S]).log_softmax(-1)
                for logits in (clean_BLV, spliced_BLV, ablated_BLV)
            )
            self.ce_clean += _cross_entropy(clean_SV, tokens_S)
            self.ce_spliced += _cross_entropy(spliced_SV, tokens_S)
            self.ce_ablated += _cross_entropy(ablated_SV, tokens_S)
            self.kl_spliced += _kl(clean_SV, spliced_SV)
            self.kl_ablated += _kl(clean_SV, ablated_SV)
            self.n += len(rows_S)

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


def _cross_entropy(logp_SV: Tensor, tokens_S: Tensor) -> float:
    return -float(logp_SV.gather(-1, tokens_S.to(logp_SV.device)[:, None].long()).sum())


def _kl(p_SV: Tensor, q_SV: Tensor) -> float:
    """KL(p || q) of log-probabilities, summed over rows. A token with p = 0 adds 0, whatever q is."""
    cost_SV = p_SV.exp() * (p_SV - q_SV)
    return float(torch.where(p_SV == -torch.inf, 0.0, cost_SV).sum())
