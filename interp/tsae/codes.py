"""Codes as a list of what is on: of F latents a handful are, and only they are carried about."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from interp.tsae.dictionary import TSAE

ENTRIES = 2**24
"""Of dense codes, before what is on is picked out: as many as are held at once."""
IN_CACHE = 2**21
"""On a processor, whose caches hold so many: more of them at once take three times as long, and memory too."""


def _tokens_at_once(tsae: TSAE) -> int:
    return max(1, (IN_CACHE if tsae.W_enc.device.type == "cpu" else ENTRIES) // tsae.width)


@dataclass(frozen=True)
class Codes:
    """Latents that are on, token after token, on the CPU."""

    token_K: Int[Tensor, " K"]
    latent_K: Int[Tensor, " K"]
    value_K: Float[Tensor, " K"]
    tokens: int
    width: int

    @classmethod
    def from_dense(cls, z_NF: Float[Tensor, "N F"]) -> "Codes":
        token_K, latent_K = z_NF.nonzero(as_tuple=True)
        value_K = z_NF[token_K, latent_K]
        return cls(token_K.cpu(), latent_K.cpu(), value_K.cpu(), *z_NF.shape)

    @classmethod
    def encode(cls, tsae: TSAE, x_ND: Float[Tensor, "N D"]) -> "Codes":
        """Those of `tsae.encode`, without making dense codes of them all."""
        parts, bound_F = [], tsae.threshold.clamp(min=0)
        for x_nD in x_ND.split(_tokens_at_once(tsae)):
            hidden_nF = tsae.pre_activations(x_nD)
            token_K, latent_K = (hidden_nF > bound_F).nonzero(as_tuple=True)
            value_K = hidden_nF[token_K, latent_K]
            parts.append(cls(token_K.cpu(), latent_K.cpu(), value_K.cpu(), *hidden_nF.shape))
        return cls.concat(parts)

    @classmethod
    def concat(cls, parts: "list[Codes]") -> "Codes":
        """One after another."""
        starts = torch.tensor([0, *(part.tokens for part in parts)]).cumsum(0).tolist()
        token_K = torch.cat([part.token_K + start for part, start in zip(parts, starts, strict=False)])
        latent_K, value_K = (torch.cat([getattr(part, name) for part in parts]) for name in ("latent_K", "value_K"))
        return cls(token_K, latent_K, value_K, starts[-1], parts[0].width)

    def select_tokens(self, kept_N: Bool[Tensor, " N"]) -> "Codes":
        """Of some of the tokens."""
        place_N = kept_N.cumsum(0) - 1
        mine_K = kept_N[self.token_K]
        token_K = place_N[self.token_K[mine_K]]
        return Codes(token_K, self.latent_K[mine_K], self.value_K[mine_K], int(kept_N.sum()), self.width)

    def latent_activations(self, latent: int) -> Float[ndarray, " N"]:
        """At every token, off or on."""
        mine_K, found_N = self.latent_K == latent, np.zeros(self.tokens)
        found_N[self.token_K[mine_K].numpy()] = self.value_K[mine_K].numpy()
        return found_N

    def decode(self, tsae: TSAE) -> Float[Tensor, "N D"]:
        """What the dictionary makes of them: worked out where it is, and given back on the CPU."""
        starts, there = torch.searchsorted(self.token_K, torch.arange(self.tokens + 1)), tsae.W_dec.device
        told = {"mode": "sum", "per_sample_weights": self.value_K.to(there), "include_last_offset": True}
        return (F.embedding_bag(self.latent_K.to(there), tsae.W_dec, starts.to(there), **told) + tsae.b_dec).cpu()
