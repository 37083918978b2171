"""Sparse codes of many tokens: the active latents and their activations, without the zeros."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from interp.tsae.dictionary import TSAE

ENTRIES = 2**24
"""Entries of dense codes held at once before the active ones are picked out."""
IN_CACHE = 2**21
"""The same on a CPU, whose caches hold this many. More at once take three times as long, and more memory."""


@dataclass(frozen=True)
class Codes:
    """K active entries of an (N, F) matrix of codes, sorted by token, on the CPU."""

    token_K: Int[Tensor, " K"]
    latent_K: Int[Tensor, " K"]
    value_K: Float[Tensor, " K"]
    tokens: int
    """N."""
    width: int
    """F."""

    @classmethod
    def from_dense(cls, z_NF: Float[Tensor, "N F"]) -> "Codes":
        """The nonzero entries of dense codes."""
        token_K, latent_K = z_NF.nonzero(as_tuple=True)
        value_K = z_NF[token_K, latent_K]
        return cls(token_K.cpu(), latent_K.cpu(), value_K.cpu(), *z_NF.shape)

    @classmethod
    def encode(cls, tsae: TSAE, x_ND: Float[Tensor, "N D"]) -> "Codes":
        """The codes of `tsae.encode`, without holding all of them densely."""
        parts, threshold_F = [], tsae.threshold.clamp(min=0)
        for x_nD in x_ND.split(_tokens_at_once(tsae)):
            if tsae.form.top_k is not None:
                parts.append(cls.from_dense(tsae.encode(x_nD)))
                continue
            hidden_nF = tsae.pre_activations(x_nD)
            token_K, latent_K = (hidden_nF > threshold_F).nonzero(as_tuple=True)
            value_K = hidden_nF[token_K, latent_K]
            parts.append(cls(token_K.cpu(), latent_K.cpu(), value_K.cpu(), *hidden_nF.shape))
        return cls.concat(parts)

    @classmethod
    def concat(cls, parts: "list[Codes]") -> "Codes":
        """The tokens of all parts, in order."""
        starts = torch.tensor([0, *(part.tokens for part in parts)]).cumsum(0).tolist()
        token_K = torch.cat([part.token_K + start for part, start in zip(parts, starts, strict=False)])
        latent_K, value_K = (torch.cat([getattr(part, name) for part in parts]) for name in ("latent_K", "value_K"))
        return cls(token_K, latent_K, value_K, starts[-1], parts[0].width)

    def select_tokens(self, mask_N: Bool[Tensor, " N"]) -> "Codes":
        """The codes of the masked tokens, renumbered."""
        new_token_N = mask_N.cumsum(0) - 1
        selected_K = mask_N[self.token_K]
        token_K = new_token_N[self.token_K[selected_K]]
        return Codes(token_K, self.latent_K[selected_K], self.value_K[selected_K], int(mask_N.sum()), self.width)

    def latent_activations(self, latent: int) -> Float[ndarray, " N"]:
        """The activation of one latent at every token, zeros included."""
        of_latent_K, z_N = self.latent_K == latent, np.zeros(self.tokens)
        z_N[self.token_K[of_latent_K].numpy()] = self.value_K[of_latent_K].numpy()
        return z_N

    def decode(self, tsae: TSAE, x_ND: Float[Tensor, "N D"] | None = None) -> Float[Tensor, "N D"]:
        """Reconstructions, computed on the dictionary's device and returned on the CPU. A dictionary that normalizes
        its input needs the residuals too."""
        device = tsae.W_dec.device
        starts = torch.searchsorted(self.token_K, torch.arange(self.tokens + 1))
        xhat_ND = F.embedding_bag(
            self.latent_K.to(device),
            tsae.W_dec,
            starts.to(device),
            mode="sum",
            per_sample_weights=self.value_K.to(device),
            include_last_offset=True,
        )
        return tsae.denormalize(xhat_ND + tsae.b_dec, None if x_ND is None else x_ND.to(device)).cpu()


def _tokens_at_once(tsae: TSAE) -> int:
    return max(1, (IN_CACHE if tsae.W_enc.device.type == "cpu" else ENTRIES) // tsae.width)
