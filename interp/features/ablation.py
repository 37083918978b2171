"""What a latent does: its share of the residual taken away, or doubled, and the policy run on from there.

    x <- x + (scale - 1) z_i(x) d_i        scale 0 ablates, 2 amplifies; all else in x, the error too, stays as it is

The effect is on the log-odds of tokens that were written, log p / (1 - p), in nats a token: where a policy is all but
sure its log-probability has nowhere to go, and its odds have. It is taken by prompt, so that it has an interval over
prompts. It is a change of what the policy would do, not of what it did: the text stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from interp.device import evaluating
from interp.policy.policy import Policy
from interp.policy.residual import keeping, residual_in, resuming, with_residual
from interp.policy.score import SLICE, Aligned, align, by_length, completion_logits
from interp.rollouts.record import Rollout
from interp.tsae import TSAE

MICRO_TOKENS = 8_192
ABLATE, AMPLIFY = 0.0, 2.0


@dataclass(frozen=True)
class Mean:
    """Of what an edit changes, nats a token or a rate, with its interval over prompts."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True)
class Effect:
    """Of one edit."""

    target: Mean
    """On the log-odds of the tokens that the latent is held to help to write."""
    apart: Mean
    """That, less the effect on those of the same kind that it is not: what moves all alike is about none of them."""


@dataclass(frozen=True)
class _Laid:
    """Some rollouts, read up to the layer."""

    rows: Aligned
    edited_BL: Bool[Tensor, "B L"]
    """From the last token of the prompt on: it foretells the first that is written."""
    output: Any
    """What the layer's block gave."""
    clean_BT: Float[Tensor, "B T"]
    token_BT: Int[Tensor, "B T"]
    """Which of all tokens each is, in the order of the rollouts; -1 beyond the end."""


class Bench:
    """Rollouts read once up to the layer, to be read on from there again and again with one latent changed."""

    def __init__(self, policy: Policy, tsae: TSAE, layer: int, rollouts: Sequence[Rollout]) -> None:
        self.policy, self.tsae, self.layer = policy, tsae.to(policy.device), layer
        prompts, completions = [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts]
        starts = np.cumsum([0, *map(len, completions)])
        self.tokens = int(starts[-1])
        self._laid: list[_Laid] = []
        for batch in by_length(prompts, completions, MICRO_TOKENS):
            rows = align([prompts[at] for at in batch], [completions[at] for at in batch], policy.pad, policy.device)
            first_B = torch.tensor([int(starts[at]) for at in batch])[:, None]
            mask_BT = rows.mask_BL[:, rows.start :].bool().cpu()
            token_BT = torch.where(mask_BT, first_B + torch.arange(mask_BT.shape[1]), -1)
            self._laid.append(self._read(rows, token_BT))

    @torch.no_grad()
    def _read(self, rows: Aligned, token_BT: Int[Tensor, "B T"]) -> _Laid:
        edited_BL = rows.mask_BL.bool()
        edited_BL[:, : rows.start - 1] = False
        with evaluating(self.policy.model), keeping(self.policy.model, self.layer) as kept:
            clean_BT = written_odds(completion_logits(self.policy.model, rows), rows)
        return _Laid(rows, edited_BL, kept[0], clean_BT, token_BT)

    @torch.no_grad()
    def change(self, latent: int | Sequence[int], scale: float) -> Float[ndarray, " N"]:
        """What the edit, of one latent or of several at once, does to the log-odds of each token. Rollouts in which
        none of them is ever on are not read."""
        found_N, latents = np.zeros(self.tokens), [latent] if isinstance(latent, int) else latent
        for laid in self._laid:
            x_BLD = residual_in(laid.output)
            z_BLE = torch.stack([self.tsae.activation(x_BLD, one) for one in latents], -1) * laid.edited_BL[..., None]
            hot = (z_BLE > 0).any(-1).any(1).nonzero()[:, 0]
            if not len(hot):
                continue
            step_hLD = (scale - 1) * z_BLE[hot] @ self.tsae.W_dec[list(latents)]
            output = with_residual(laid.output, x_BLD[hot] + step_hLD.to(x_BLD.dtype))
            rows = Aligned(laid.rows.ids_BL[hot], laid.rows.mask_BL[hot], laid.rows.start)
            with evaluating(self.policy.model), resuming(self.policy.model, self.layer, output):
                change_hT = written_odds(completion_logits(self.policy.model, rows), rows) - laid.clean_BT[hot]
            token_hT = laid.token_BT[hot.cpu()]
            real_hT = token_hT >= 0
            found_N[token_hT[real_hT].numpy()] = change_hT.cpu()[real_hT].numpy()
        return found_N


def written_odds(logits_BTV: Float[Tensor, "B T V"], rows: Aligned) -> Float[Tensor, "B T"]:
    """Of the tokens that were written."""
    tokens_BT = rows.ids_BL[:, rows.start :]
    pieces = zip(logits_BTV.flatten(0, 1).split(SLICE), tokens_BT.flatten().split(SLICE), strict=True)
    return torch.cat([log_odds(logits, tokens) for logits, tokens in pieces]).view(tokens_BT.shape)


def log_odds(logits_NV: Float[Tensor, "N V"], tokens_N: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Of each token against all others together: its logit less the log of the sum of theirs."""
    own_N1 = logits_NV.double().gather(-1, tokens_N[:, None])
    others_NV = logits_NV.double().scatter(-1, tokens_N[:, None], -torch.inf)
    return (own_N1 - others_NV.logsumexp(-1, keepdim=True))[:, 0]


def scaled(tsae: TSAE, latent: int, scale: float):
    """One latent's share of the residual, scaled; all else as it is."""

    def edit(x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        z_BL = tsae.activation(x_BLD, latent)
        return x_BLD + ((scale - 1) * z_BL[..., None] * tsae.W_dec[latent]).to(x_BLD.dtype)

    return edit


def effect(
    change_N: Float[ndarray, " N"],
    target_N: Bool[ndarray, " N"],
    against_N: Bool[ndarray, " N"],
    problem_N: Int[ndarray, " N"],
    drawn_BP: Float[ndarray, "B P"],
) -> Effect:
    """With intervals over prompts from draws of them (`bootstrap.resampled`)."""
    drawn_BP = np.concatenate([np.ones((1, drawn_BP.shape[1])), drawn_BP])  # the first is of all prompts as they are
    target_B, against_B = (_means(change_N[these_N], problem_N[these_N], drawn_BP) for these_N in (target_N, against_N))
    return Effect(_with_interval(target_B), _with_interval(target_B - against_B))


def _means(change_n: ndarray, problem_n: ndarray, drawn_BP: Float[ndarray, "B P"]) -> Float[ndarray, " B"]:
    """NaN where a draw has no such token."""
    prompts = drawn_BP.shape[1]
    sums_P, counts_P = np.bincount(problem_n, change_n, prompts), np.bincount(problem_n, minlength=prompts)
    drawn_B = drawn_BP @ counts_P
    return np.divide(drawn_BP @ sums_P, drawn_B, out=np.full(len(drawn_B), np.nan), where=drawn_B > 0)


def _with_interval(told_B: Float[ndarray, " B"]) -> Mean:
    if np.isnan(told_B[0]):
        return Mean(float("nan"), float("nan"), float("nan"))
    low, high = np.nanpercentile(told_B[1:], [2.5, 97.5])
    return Mean(float(told_B[0]), float(low), float(high))
