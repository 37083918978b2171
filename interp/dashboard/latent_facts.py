"""Facts about latents: how often and how strongly each is active on the rollouts shown, what its decoder row raises and
lowers, and which latents point the same way.

The logit lens is the change of the logits per unit of activation, if the later blocks did nothing and the final norm
only scaled:

    lens_fv = sum_d W_dec_fd gain_d W_U_vd, less its mean over the vocabulary

with the gain of the final norm and the unembedding of the base. It ignores the division by the residual's norm, and
what later blocks make of the latent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from interp.dashboard.report import Report
from interp.policy.site_hooks import unwrap_adapters
from interp.tsae.codes import Codes

if TYPE_CHECKING:
    from interp.dashboard.tokens import TokenTexts
    from interp.policy import Policy
    from interp.tsae import TSAE

BINS = 24
"""Bins of the histogram of activations."""
LOGITS_AT_ONCE = 2**24
FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")


@dataclass
class ActivationCounts:
    """Activity of every latent, over tokens."""

    width: int
    tokens: int = 0
    parts: list[Codes] = field(default_factory=list)

    def update(self, codes: Codes) -> None:
        self.tokens += codes.tokens
        self.parts.append(codes)

    def alive(self) -> Int[ndarray, " K"]:
        """Latents that are active at some token, in order."""
        return np.unique(np.concatenate([codes.latent_K.numpy() for codes in self.parts] or [np.zeros(0, int)]))

    def facts(self, latents: Int[ndarray, " A"]) -> dict[str, ndarray]:
        """Firing rate, mean when active, and highest activation of some latents. NaN without tokens."""
        count_F, sum_F, max_F = np.zeros(self.width), np.zeros(self.width), np.zeros(self.width)
        for codes in self.parts:
            latent_K, value_K = codes.latent_K.numpy(), codes.value_K.double().numpy()
            count_F += np.bincount(latent_K, minlength=self.width)
            sum_F += np.bincount(latent_K, value_K, self.width)
            np.maximum.at(max_F, latent_K, value_K)
        with np.errstate(invalid="ignore", divide="ignore"):
            facts = {
                "firing_rate": count_F / (self.tokens or np.nan),
                "mean_when_active": sum_F / count_F,
                "max": np.where(count_F > 0, max_F, np.nan),
            }
        return {name: values_F[latents] for name, values_F in facts.items()}

    def histogram(self, latents: Int[ndarray, " A"]) -> tuple[Int[ndarray, "A H"], list[float]]:
        """Number of tokens in each bin of log10 of the activation, where active; and the edges of the bins."""
        row_F = np.full(self.width, -1)
        row_F[latents] = np.arange(len(latents))
        rows = [row_F[codes.latent_K.numpy()] for codes in self.parts]
        logs = [np.log10(codes.value_K.double().numpy().clip(min=1e-12)) for codes in self.parts]
        row_K, log_K = np.concatenate(rows or [np.zeros(0, int)]), np.concatenate(logs or [np.zeros(0)])
        row_K, log_K = row_K[row_K >= 0], log_K[row_K >= 0]
        low, high = (float(log_K.min()), float(log_K.max())) if len(log_K) else (0.0, 1.0)
        edges = np.linspace(low, max(high, low + 1e-3), BINS + 1)
        bin_K = np.clip(np.searchsorted(edges, log_K, side="right") - 1, 0, BINS - 1)
        counts = np.bincount(row_K * BINS + bin_K, minlength=len(latents) * BINS).reshape(len(latents), BINS)
        return counts, edges.tolist()


# --- the logit lens --------------------------------------------------------------------------------------------------


@torch.no_grad()
def norm_gain(norm: torch.nn.Module | None, like: Float[Tensor, " D"]) -> Float[Tensor, " D"]:
    """What a norm multiplies each dimension by, beside the division by the size of its input. Some families store the
    gain less one, so it is measured: on an input of mean 0 and size 1, and on its negative, so that a bias cancels."""
    if norm is None:
        return torch.ones_like(like)
    signs_D = torch.ones_like(like)
    signs_D[1::2] = -1
    return (norm(signs_D[None])[0] - norm(-signs_D[None])[0]) / 2 * signs_D


@torch.no_grad()
def logit_lens(
    tsae: "TSAE", policy: "Policy", latents: Sequence[int], count: int
) -> Iterator[tuple[Int[ndarray, "a L"], Float[ndarray, "a L"], Int[ndarray, "a L"], Float[ndarray, "a L"]]]:
    """For some latents, a block at a time: the tokens that each raises most, by how much; and those it lowers most."""
    model: Any = unwrap_adapters(policy.model)
    decoder = model.get_decoder()
    unembed_VD = model.get_output_embeddings().weight.float()
    norm = next((getattr(decoder, name) for name in FINAL_NORMS if hasattr(decoder, name)), None)
    gain_D = norm_gain(norm, torch.ones(policy.d_model, device=policy.device, dtype=policy.model.dtype)).float()
    count = min(count, len(unembed_VD))
    for rows in torch.tensor(list(latents)).split(max(1, LOGITS_AT_ONCE // len(unembed_VD))):
        direction_aD = tsae.W_dec[rows].to(policy.device).float() * gain_D
        logit_aV = direction_aD @ unembed_VD.T
        logit_aV = logit_aV - logit_aV.mean(1, keepdim=True)
        raised, lowered = logit_aV.topk(count), (-logit_aV).topk(count)
        yield tuple(part.cpu().numpy() for part in (raised.indices, raised.values, lowered.indices, -lowered.values))  # pyright: ignore[reportReturnType]


def add_lens(
    report: Report, tsae: "TSAE", policy: "Policy", latents: Sequence[int], texts: "TokenTexts", count: int
) -> dict[str, str] | None:
    """Add the logit lens of the latents shown. None if none is asked for, or none shown."""
    if not count or not len(latents):
        return None
    parts = [np.concatenate(part) for part in zip(*logit_lens(tsae, policy, latents, count), strict=True)]
    raised, raised_by, lowered, lowered_by = parts
    texts.add(policy, [*raised.reshape(-1), *lowered.reshape(-1)])
    rows = {name: np.reshape(texts.rows(ids.reshape(-1)), ids.shape) for name, ids in
            (("raised", raised), ("lowered", lowered))}  # fmt: skip
    return {
        "raised": report.add("lens.raised", rows["raised"], "u4"),
        "raised_by": report.add("lens.raised_by", raised_by, "f2"),
        "lowered": report.add("lens.lowered", rows["lowered"], "u4"),
        "lowered_by": report.add("lens.lowered_by", lowered_by, "f2"),
    }


# --- neighbours ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def nearest(tsae: "TSAE", latents: Sequence[int], count: int) -> tuple[Int[ndarray, "A M"], Float[ndarray, "A M"]]:
    """For each latent, the others whose decoder rows have the highest cosine with its own, and the cosines."""
    unit_AD = torch.nn.functional.normalize(tsae.W_dec[list(latents)].float().cpu(), dim=1)
    count = min(count, len(unit_AD) - 1)
    indices, cosines = [], []
    for start in range(0, len(unit_AD), block := max(1, LOGITS_AT_ONCE // max(1, len(unit_AD)))):
        cosine_aA = unit_AD[start : start + block] @ unit_AD.T
        own = torch.arange(len(cosine_aA))
        cosine_aA[own, own + start] = -2
        highest = cosine_aA.topk(count)
        indices.append(highest.indices.numpy())
        cosines.append(highest.values.numpy())
    return np.concatenate(indices), np.concatenate(cosines)


def add_neighbors(report: Report, tsae: "TSAE", latents: Sequence[int], count: int) -> dict[str, str] | None:
    """Add the neighbours of the latents shown. None if none are asked for, or there are no others."""
    if not count or len(latents) < 2:
        return None
    row_AM, cosine_AM = nearest(tsae, latents, count)
    return {
        "latent": report.add("neighbors.latent", row_AM, "i4"),
        "cosine": report.add("neighbors.cosine", cosine_AM, "f2"),
    }
