"""What a latent does: its share of the residual taken away, or doubled, and the policy run on from there.

    x <- x + (scale - 1) z_i(x) d_i        scale 0 ablates, 2 amplifies; all else in x, the error too, stays as it is

The effect is on the log-odds of tokens that were written, log p / (1 - p), in nats a token: where a policy is all but
sure its log-probability has nowhere to go, and its odds have. It is taken by prompt, so that it has an interval over
prompts. It is a change of what the policy would do, not of what it did: the text stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from interp.policy.modes import evaluating
from interp.policy.policy import Policy
from interp.policy.score import align, by_length, completion_logits
from interp.policy.splice import splicing
from interp.rollouts.record import Rollout
from interp.tsae import TSAE

MICRO_TOKENS = 8_192
ABLATE, AMPLIFY = 0.0, 2.0


@dataclass(frozen=True)
class Effect:
    """Of one edit on the tokens looked at."""

    nats: float
    """Mean change of their log-odds."""
    low: float
    high: float
    prompts: int


class Bench:
    """Rollouts laid out once, to be read again and again with one latent changed."""

    def __init__(self, policy: Policy, tsae: TSAE, layer: int, rollouts: Sequence[Rollout]) -> None:
        self.policy, self.tsae, self.layer = policy, tsae.to(policy.device), layer
        self.rollouts = list(rollouts)
        prompts, completions = [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts]
        self._batches = []
        for batch in by_length(prompts, completions, MICRO_TOKENS):
            rows = align([prompts[at] for at in batch], [completions[at] for at in batch], policy.pad, policy.device)
            mask_BL = rows.mask_BL.bool()
            mask_BL[:, : rows.start - 1] = False  # the last of the prompt foretells the first that is written
            self._batches.append((batch, rows, mask_BL))
        self.clean = self._odds(None)
        """Of each rollout, the log-odds of each token."""

    def change(self, latent: int, scale: float) -> list[ndarray]:
        """Of each rollout, what the edit does to the log-odds of each token."""
        edited = self._odds((latent, scale))
        return [after - before for after, before in zip(edited, self.clean, strict=True)]

    @torch.no_grad()
    def _odds(self, edited: tuple[int, float] | None) -> list[ndarray]:
        found: list[ndarray] = [np.zeros(0)] * len(self.rollouts)
        for batch, rows, mask_BL in self._batches:
            with evaluating(self.policy.model):
                if edited is None:
                    logits_BTV = completion_logits(self.policy.model, rows)
                else:
                    edit = scaled(self.tsae, *edited)
                    with splicing(self.policy.model, self.layer, edit, mask_BL=mask_BL):
                        logits_BTV = completion_logits(self.policy.model, rows)
            tokens_BT = rows.ids_BL[:, rows.start :]
            for at, odds_T in zip(batch, log_odds(logits_BTV, tokens_BT).cpu(), strict=True):
                found[at] = odds_T[: len(self.rollouts[at].tokens)].numpy()
        return found


def log_odds(logits_BTV: Float[Tensor, "B T V"], tokens_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """Of each token against all others together: its logit less the log of the sum of theirs."""
    own_BT1 = logits_BTV.double().gather(-1, tokens_BT[..., None])
    others_BTV = logits_BTV.double().scatter(-1, tokens_BT[..., None], -torch.inf)
    return (own_BT1 - others_BTV.logsumexp(-1, keepdim=True))[..., 0]


def scaled(tsae: TSAE, latent: int, scale: float):
    """One latent's share of the residual, scaled; all else as it is."""
    w_D, d_D, bias, bound = tsae.W_enc[:, latent], tsae.W_dec[latent], tsae.b_enc[latent], tsae.threshold[latent]

    def edit(x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        hidden_BL = (x_BLD.to(w_D) - tsae.b_dec) @ w_D + bias
        z_BL = hidden_BL.relu() * (hidden_BL > bound)
        return x_BLD + ((scale - 1) * z_BL[..., None] * d_D).to(x_BLD.dtype)

    return edit


def effect(
    changes: Sequence[ndarray],
    looked_at: Sequence[Bool[ndarray, " T"]],
    problem_M: Int[ndarray, " M"],
    drawn_BP: Float[ndarray, "B P"],
) -> Effect:
    """Over the tokens looked at, with an interval over prompts from draws of them (`bootstrap.resampled`)."""
    prompts = drawn_BP.shape[1]
    sums = np.bincount(problem_M, [float(c[w].sum()) for c, w in zip(changes, looked_at, strict=True)], prompts)
    counts = np.bincount(problem_M, [int(w.sum()) for w in looked_at], prompts)
    if not counts.sum():
        return Effect(float("nan"), float("nan"), float("nan"), 0)
    told_B = (drawn_BP @ sums) / np.maximum(drawn_BP @ counts, 1e-9)
    low, high = np.percentile(told_B, [2.5, 97.5])
    return Effect(float(sums.sum() / counts.sum()), float(low), float(high), int((counts > 0).sum()))
