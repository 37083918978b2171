"""The third gate: effects of a latent, measured by ablating it (or doubling it) and resuming from its layer.

    x <- x + (scale - 1) z_i(x) d_i        scale 0 ablates, 2 amplifies; the rest of x, error included, stays as it is

Effects are changes in the log-odds of tokens that were written, log p / (1 - p), in nats per token: where the policy is
almost sure, log p can hardly change and the log-odds can. Intervals are over prompts. The text stays as it is: this is
a change in what the policy would write. `interp.features.sampling` lets it write under the edit.

`BehaviorEffects` measures the same edit on the outcomes a policy is judged by, whatever role the latent has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from interp.device import eval_mode
from interp.features.families import DIRECT, NO_CHAIN_FORMATS
from interp.features.labels import LabeledTokens
from interp.policy.policy import Policy
from interp.policy.residual import ResidualEdit, output_residual, record_outputs, replace_residual, resume_from
from interp.policy.score import TOKENS_PER_SLICE, AlignedRows, align_rows, batches_by_length, completion_logits
from interp.rollouts.record import Rollout
from interp.stats.estimate import Estimate
from interp.stats.percentiles import percentile_estimate, token_means
from interp.tsae import TSAE

MICRO_TOKENS = 8_192
ABLATE, AMPLIFY = 0.0, 2.0


# --- edits ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ReadBatch:
    """Some rollouts, run up to the layer."""

    rows: AlignedRows
    edited_BL: Bool[Tensor, "B L"]
    """Positions that are edited: the last token of the prompt, which predicts the first written one, and all after."""
    output: Any
    """Output of the layer's block."""
    clean_BT: Float[Tensor, "B T"]
    """Log-odds of the written tokens without an edit."""
    token_BT: Int[Tensor, "B T"]
    """Index of each token among all tokens, in the order of the rollouts; -1 beyond the end."""


class LatentEditor:
    """Rollouts run once up to the layer. The forward pass of each edit resumes there."""

    def __init__(self, tsae: TSAE, policy: Policy, layer: int, rollouts: Sequence[Rollout]) -> None:
        self.policy, self.tsae, self.layer = policy, tsae.to(policy.device), layer
        prompts, completions = [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts]
        starts = np.cumsum([0, *map(len, completions)])
        self.tokens = int(starts[-1])
        self._batches: list[_ReadBatch] = []
        for batch in batches_by_length(prompts, completions, MICRO_TOKENS):
            rows = align_rows(
                [prompts[i] for i in batch], [completions[i] for i in batch], policy.pad_id, policy.device
            )
            first_B = torch.tensor([int(starts[i]) for i in batch])[:, None]
            mask_BT = rows.mask_BL[:, rows.start :].bool().cpu()
            token_BT = torch.where(mask_BT, first_B + torch.arange(mask_BT.shape[1]), -1)
            self._batches.append(self._read(rows, token_BT))

    @torch.no_grad()
    def _read(self, rows: AlignedRows, token_BT: Int[Tensor, "B T"]) -> _ReadBatch:
        edited_BL = rows.mask_BL.bool()
        edited_BL[:, : rows.start - 1] = False
        with eval_mode(self.policy.model), record_outputs(self.policy.model, self.layer) as outputs:
            clean_BT = written_log_odds(completion_logits(self.policy.model, rows), rows)
        return _ReadBatch(rows, edited_BL, outputs[0], clean_BT, token_BT)

    @torch.no_grad()
    def log_odds_shift(self, latent: int | Sequence[int], scale: float) -> Float[ndarray, " N"]:
        """Change in the log-odds of every token when one latent, or several at once, are scaled.

        Rollouts in which none of them is active are not run again: their change is 0."""
        shift_N, latents = np.zeros(self.tokens), [latent] if isinstance(latent, int) else list(latent)
        for batch in self._batches:
            x_BLD = output_residual(batch.output)
            z_BLE = torch.stack([self.tsae.encode_latent(x_BLD, i) for i in latents], -1) * batch.edited_BL[..., None]
            active = (z_BLE > 0).any(-1).any(1).nonzero()[:, 0]
            if not len(active):
                continue
            step_bLD = (scale - 1) * z_BLE[active] @ self.tsae.W_dec[latents]
            output = replace_residual(batch.output, x_BLD[active] + step_bLD.to(x_BLD.dtype))
            rows = AlignedRows(batch.rows.ids_BL[active], batch.rows.mask_BL[active], batch.rows.start)
            with eval_mode(self.policy.model), resume_from(self.policy.model, self.layer, output):
                edited_bT = written_log_odds(completion_logits(self.policy.model, rows), rows)
            shift_bT = (edited_bT - batch.clean_BT[active]).cpu()
            token_bT = batch.token_BT[active.cpu()]
            real_bT = token_bT >= 0
            shift_N[token_bT[real_bT].numpy()] = shift_bT[real_bT].numpy()
        return shift_N


def scale_latent(tsae: TSAE, latent: int, scale: float) -> ResidualEdit:
    """An edit that scales one latent's share of the residual and leaves the rest as it is."""

    def edit(x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        z_BL = tsae.encode_latent(x_BLD, latent)
        return x_BLD + ((scale - 1) * z_BL[..., None] * tsae.W_dec[latent]).to(x_BLD.dtype)

    return edit


def written_log_odds(logits_BTV: Float[Tensor, "B T V"], rows: AlignedRows) -> Float[Tensor, "B T"]:
    """Log-odds of the tokens that were written."""
    tokens_BT = rows.ids_BL[:, rows.start :]
    slices = logits_BTV.flatten(0, 1).split(TOKENS_PER_SLICE), tokens_BT.flatten().split(TOKENS_PER_SLICE)
    return torch.cat([log_odds(logits, tokens) for logits, tokens in zip(*slices, strict=True)]).view(tokens_BT.shape)


def log_odds(logits_NV: Float[Tensor, "N V"], tokens_N: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Log-odds of each token against all others: its logit less the logsumexp of theirs."""
    own_N1 = logits_NV.double().gather(-1, tokens_N[:, None])
    others_NV = logits_NV.double().scatter(-1, tokens_N[:, None], -torch.inf)
    return (own_N1 - others_NV.logsumexp(-1, keepdim=True))[:, 0]


# --- effects on a contrast's tokens -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """Effect of one edit on a contrast's tokens, in nats per token."""

    target: Estimate
    """On the tokens that the latent should make likelier."""
    difference: Estimate
    """`target` less the effect on tokens of the same kind that the latent should not make likelier."""


def estimate_effect(
    shift_N: Float[ndarray, " N"],
    target_N: Bool[ndarray, " N"],
    other_N: Bool[ndarray, " N"],
    problem_N: Int[ndarray, " N"],
    counts_BP: Float[ndarray, "B P"],
) -> Effect:
    """Mean shifts, with intervals over prompts. `counts_BP` says how often each bootstrap draw has each prompt
    (`interp.stats.resampled_prompts`)."""
    prompts = counts_BP.shape[1]
    counts_BP = np.concatenate([np.ones((1, prompts)), counts_BP])  # the first draw has all prompts once
    target_B, other_B = (token_means(shift_N[kind_N], problem_N[kind_N], counts_BP) for kind_N in (target_N, other_N))
    difference_B = target_B - other_B
    return Effect(
        percentile_estimate(float(target_B[0]), target_B[1:], prompts),
        percentile_estimate(float(difference_B[0]), difference_B[1:], prompts),
    )


# --- effects on behavior ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BehaviorEffects:
    """Effects of one edit on the outcomes a policy is judged by, in nats per token. NaN without such tokens."""

    valid_chain: Estimate
    """On the tokens of valid chains, less those of other written chains."""
    right_answer: Estimate
    """On right answers, less wrong ones."""
    direct_answer: Estimate
    """On the first token of direct answers: how much likelier the policy is to begin one."""

    @property
    def values(self) -> tuple[float, float, float]:
        return self.valid_chain.value, self.right_answer.value, self.direct_answer.value


@dataclass(frozen=True)
class OutcomeMasks:
    """The tokens on which `BehaviorEffects` are measured."""

    valid_N: Bool[ndarray, " N"]
    not_valid_N: Bool[ndarray, " N"]
    right_N: Bool[ndarray, " N"]
    wrong_N: Bool[ndarray, " N"]
    direct_start_N: Bool[ndarray, " N"]
    problem_N: Int[ndarray, " N"]

    @classmethod
    def from_labels(cls, labeled: LabeledTokens) -> "OutcomeMasks":
        written, answer = ~np.isin(labeled["format"], NO_CHAIN_FORMATS), labeled["role"] == "answer"
        direct_start = (labeled["format"] == DIRECT) & (labeled["position"] == 0)
        valid_N, not_valid_N = (written & (labeled["valid"] == valid) for valid in (1, 0))
        right_N, wrong_N = (answer & (labeled["correct"] == correct) for correct in (1, 0))
        return cls(valid_N, not_valid_N, right_N, wrong_N, direct_start, labeled["problem"])

    def effects(self, shift_N: Float[ndarray, " N"], counts_BP: Float[ndarray, "B P"]) -> BehaviorEffects:
        """Effects of an edit, from the shift of every token's log-odds."""
        prompts = self.problem_N, counts_BP
        return BehaviorEffects(
            valid_chain=estimate_effect(shift_N, self.valid_N, self.not_valid_N, *prompts).difference,
            right_answer=estimate_effect(shift_N, self.right_N, self.wrong_N, *prompts).difference,
            direct_answer=estimate_effect(shift_N, self.direct_start_N, ~self.direct_start_N, *prompts).target,
        )
