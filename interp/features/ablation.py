"""The third gate: effects of a latent, measured by ablating it (or doubling it) and resuming from its layer.

    x <- x + (scale - 1) z_i(x) d_i        scale 0 ablates, 2 amplifies; the rest of x, error included, stays as it is

Effects are changes in the log-odds of tokens that were written, log p / (1 - p), in nats per token: where the policy is
almost sure, log p can hardly change and the log-odds can. Intervals are over prompts. The text stays as it is: this is
a change in what the policy would write. `interp.features.sampling` lets it write under the edit.

Only tokens from the first one at which a latent is active are read again (`interp.features.suffixes`), those of many
edits in one forward. `BehaviorEffects` measures the same edit on the outcomes a policy is judged by, whatever role the
latent has.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from interp.features.families import DIRECT, NO_CHAIN_FORMATS
from interp.features.labels import LabeledTokens
from interp.features.suffixes import (
    KeysValues,
    Places,
    RowsRead,
    Suffixes,
    keys_values_of,
    read_rows,
    suffix_log_odds,
)
from interp.policy.policy import Policy
from interp.policy.residual import ResidualEdit
from interp.policy.score import align_rows, batches_by_length
from interp.rollouts.record import Rollout
from interp.stats.estimate import Estimate
from interp.stats.percentiles import percentile_estimate, token_means
from interp.tsae import TSAE

MICRO_TOKENS = 8_192
ABLATE, AMPLIFY = 0.0, 2.0
LOGITS = 2**26
"""Logits of one forward."""
KEPT_BYTES = 10**9
"""Keys and values that are kept between edits. Those beyond are computed again for each set of edits."""


# --- edits ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """A latent, or several at once, scaled."""

    latents: tuple[int, ...]
    scale: float


@dataclass(frozen=True)
class Batch:
    """Some rollouts, run once."""

    read: RowsRead
    clean_BL: Float[Tensor, "B L"]
    """Log-odds, without an edit, of the token after each."""
    token_BL: Int[Tensor, "B L"]
    """Index of the written token after each, among all tokens in the order of the rollouts; -1 where there is none."""

    @property
    def first(self) -> int:
        """The first column that is edited: the last token of the prompt, which predicts the first written one."""
        return self.read.rows.start - 1

    def predicts(self, wanted_N: Bool[ndarray, " N"] | None) -> Bool[ndarray, "B L"]:
        """The columns that predict a wanted token."""
        token_BL = self.token_BL.cpu().numpy()
        return token_BL >= 0 if wanted_N is None else (token_BL >= 0) & wanted_N[token_BL.clip(min=0)]

    def whole_suffixes(self) -> Suffixes:
        """The suffix of each row from the first column that is edited."""
        predicts_BL = self.predicts(None)
        rows, last_B = np.arange(len(predicts_BL)), last_true(predicts_BL)
        return Suffixes(np.zeros_like(rows), rows, np.full_like(rows, self.first), last_B, predicts_BL.sum(1))


class LatentEditor:
    """Rollouts run once. The forwards of edits resume at the layer, at the first token that an edit changes."""

    def __init__(
        self, tsae: TSAE, policy: Policy, layer: int, rollouts: Sequence[Rollout], *, micro_tokens: int | None = None
    ) -> None:
        self.policy, self.tsae, self.layer = policy, tsae.to(policy.device), layer
        self.site = tsae.at(layer)
        self.micro_tokens = micro_tokens or MICRO_TOKENS
        prompts, completions = [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts]
        starts = np.cumsum([0, *map(len, completions)])
        self.tokens = int(starts[-1])
        self.forwards, self.suffix_tokens, self.seconds = 0, 0, 0.0
        """What was run from the layer on, and how long it took."""
        self.batches: list[Batch] = []
        self._kept_bytes = 0
        for indices in batches_by_length(prompts, completions, self.micro_tokens):
            rows = align_rows(
                [prompts[i] for i in indices], [completions[i] for i in indices], policy.pad_id, policy.device
            )
            token_BL = torch.full(rows.ids_BL.shape, -1)
            for b, i in enumerate(indices):
                token_BL[b, rows.start - 1 : rows.start - 1 + len(completions[i])] = torch.arange(*starts[i : i + 2])
            self.batches.append(self._read_batch(read_rows(policy, self.site, rows), token_BL.to(policy.device)))

    @torch.no_grad()
    def _read_batch(self, read: RowsRead, token_BL: Int[Tensor, "B L"]) -> Batch:
        batch = Batch(read, torch.zeros(token_BL.shape, device=token_BL.device), token_BL)
        keys_values = keys_values_of(self.policy, self.site, read)
        for part in batch.whole_suffixes().chunks(self.micro_tokens, self.logit_tokens):
            places = part.places(self.policy.device)
            wanted_JS = places.real_JS
            odds_W = self.log_odds(batch, keys_values, places, places.gather(read.x_BLD), wanted_JS)
            batch.clean_BL[places.row_J1.expand_as(wanted_JS)[wanted_JS], places.column_JS[wanted_JS]] = odds_W
        self._kept_bytes += (size := sum(state.nbytes for states in keys_values for state in states))
        if self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= size
            read.keys_values = None
        return batch

    @property
    def logit_tokens(self) -> int:
        """Tokens that the head reads in one forward."""
        head: Any = self.policy.model.get_output_embeddings()
        return max(1, LOGITS // head.weight.shape[0])

    def log_odds(
        self, batch: Batch, keys_values: KeysValues, places: Places, x_JSD: Tensor, wanted_JS: Bool[Tensor, "J S"]
    ) -> Float[Tensor, " W"]:
        """Log-odds of the token after each wanted one; counted and timed."""
        start = time.perf_counter()
        odds_W = suffix_log_odds(self.policy, self.site, batch.read, keys_values, places, x_JSD, wanted_JS)
        self.seconds += time.perf_counter() - start
        self.forwards, self.suffix_tokens = self.forwards + 1, self.suffix_tokens + int(places.real_JS.sum())
        return odds_W

    def log_odds_shift(self, latent: int | Sequence[int], scale: float) -> Float[ndarray, " N"]:
        """Change in the log-odds of every token when one latent, or several at once, are scaled.

        Rollouts in which none of them is active are not run again: their change is 0."""
        latents = (latent,) if isinstance(latent, int) else tuple(latent)
        return self.log_odds_shifts([Edit(latents, scale)])[0]

    @torch.no_grad()
    def log_odds_shifts(
        self,
        edits: Sequence[Edit],
        wanted: Sequence[Bool[ndarray, " N"] | None] | None = None,
        on_tokens: Callable[[int], object] = lambda n: None,
    ) -> Float[ndarray, "E N"]:
        """The shift of every token under each edit. `wanted` says which tokens are needed of each (None: all); the
        others stay 0. Tokens are read from the first that an edit changes to the last that is needed."""
        shift_EN = np.zeros((len(edits), self.tokens))
        wanted = [None] * len(edits) if wanted is None else list(wanted)
        for batch in self.batches if edits else ():
            z_BLU, at_EK = self._activations(batch, edits)
            suffixes, predicts_MBL, mask_E = _plan(batch, z_BLU, at_EK, wanted)
            if not len(suffixes):
                continue
            keys_values = keys_values_of(self.policy, self.site, batch.read)
            for part in suffixes.chunks(self.micro_tokens, self.logit_tokens):
                places = part.places(self.policy.device)
                predicts_JS = predicts_MBL[
                    torch.from_numpy(mask_E[part.edit_J])[:, None], places.row_J1, places.column_JS
                ]
                wanted_JS = predicts_JS & places.real_JS
                x_JSD = self._edited(batch, places, z_BLU, at_EK[part.edit_J], [edits[i] for i in part.edit_J])
                odds_W = self.log_odds(batch, keys_values, places, x_JSD, wanted_JS)
                shift_W = (odds_W - places.gather(batch.clean_BL)[wanted_JS]).cpu().numpy()
                edit_W = np.broadcast_to(part.edit_J[:, None], wanted_JS.shape)[wanted_JS.cpu().numpy()]
                shift_EN[edit_W, places.gather(batch.token_BL)[wanted_JS].cpu().numpy()] = shift_W
                on_tokens(part.tokens)
        return shift_EN

    def count_tokens(self, edits: Sequence[Edit], wanted: Sequence[Bool[ndarray, " N"] | None]) -> int:
        """Tokens that `log_odds_shifts` would read again."""
        if not edits:
            return 0
        plans = (_plan(batch, *self._activations(batch, edits), wanted)[0] for batch in self.batches)
        return sum(plan.tokens for plan in plans)

    def _activations(self, batch: Batch, edits: Sequence[Edit]) -> tuple[Float[Tensor, "B L U"], Int[ndarray, "E K"]]:
        """Activations of all latents that are edited, where they are, and their indices for each edit. An edit of fewer
        latents than others repeats the last index, which is of no latent."""
        latents = sorted({latent for edit in edits for latent in edit.latents})
        index = {latent: i for i, latent in enumerate(latents)}
        longest = max((len(edit.latents) for edit in edits), default=0)
        at_EK = np.array(
            [[*map(index.get, edit.latents)] + [-1] * (longest - len(edit.latents)) for edit in edits], int
        )
        z_BLU = self.tsae.select_latents(latents).encode(batch.read.x_BLD)
        z_BLU = torch.cat([z_BLU, z_BLU.new_zeros(*z_BLU.shape[:2], 1)], -1)
        z_BLU[:, : batch.first] = 0
        return z_BLU * batch.read.rows.mask_BL[..., None], at_EK.reshape(len(edits), longest)

    def _edited(
        self, batch: Batch, places: Places, z_BLU: Tensor, at_JK: Int[ndarray, "J K"], edits: Sequence[Edit]
    ) -> Float[Tensor, "J S D"]:
        """The residuals of suffixes, each under its edit."""
        x_JSD, device = places.gather(batch.read.x_BLD), z_BLU.device
        if len({edit.latents for edit in edits}) == 1:
            d_JKD = self.tsae.W_dec[list(edits[0].latents)]  # the same for all: they may be very many
            at_JK = at_JK[:, : len(d_JKD)]
        else:
            padded = [[*edit.latents] + [0] * (at_JK.shape[1] - len(edit.latents)) for edit in edits]
            d_JKD = self.tsae.W_dec[torch.tensor(padded, device=device)]
        at_J1K = torch.from_numpy(at_JK).to(device)[:, None]
        z_JSK = z_BLU[places.row_J1[..., None], places.column_JS[..., None], at_J1K]
        step_J11 = torch.tensor([edit.scale - 1 for edit in edits], device=device)[:, None, None]
        return x_JSD + (step_J11 * (z_JSK @ d_JKD) * self.tsae.unit(x_JSD)).to(x_JSD.dtype)


def _plan(
    batch: Batch, z_BLU: Float[Tensor, "B L U"], at_EK: Int[ndarray, "E K"], wanted: Sequence[ndarray | None]
) -> tuple[Suffixes, Bool[Tensor, "M B L"], Int[ndarray, " E"]]:
    """The suffixes that edits make necessary; the columns that predict wanted tokens, once for each distinct set of
    them; and which set each edit has."""
    never = z_BLU.shape[1]
    active_BLU = (z_BLU > 0).cpu().numpy()
    first_BU = np.where(active_BLU.any(1), active_BLU.argmax(1), never)
    first_EB = first_BU[:, at_EK].min(2, initial=never).T
    sets = {id(mask): mask for mask in wanted}
    mask_E = np.array([list(sets).index(id(mask)) for mask in wanted])
    predicts_MBL = np.stack([batch.predicts(mask) for mask in sets.values()])
    last_EB = last_true(predicts_MBL)[mask_E]
    edit_J, row_J = np.nonzero(first_EB <= last_EB)
    first_J, last_J = first_EB[edit_J, row_J], last_EB[edit_J, row_J]
    before_MBL = np.concatenate([np.zeros_like(predicts_MBL[..., :1], int), predicts_MBL.cumsum(-1)], -1)
    end_J, start_J = (before_MBL[mask_E[edit_J], row_J, column_J] for column_J in (last_J + 1, first_J))
    suffixes = Suffixes(edit_J, row_J, first_J, last_J, end_J - start_J)
    return suffixes, torch.from_numpy(predicts_MBL).to(z_BLU.device), mask_E


def last_true(mask_BL: Bool[ndarray, "*B L"]) -> Int[ndarray, "*B"]:
    """The last column that is true; -1 where none is."""
    length = mask_BL.shape[-1]
    return np.where(mask_BL.any(-1), length - 1 - mask_BL[..., ::-1].argmax(-1), -1)


def scale_latent(tsae: TSAE, latent: int, scale: float) -> ResidualEdit:
    """An edit that scales one latent's share of the residual and leaves the rest as it is."""

    def edit(x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        z_BL = tsae.encode_latent(x_BLD, latent)
        return x_BLD + ((scale - 1) * z_BL[..., None] * tsae.W_dec[latent] * tsae.unit(x_BLD)).to(x_BLD.dtype)

    return edit


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

    @property
    def any_N(self) -> Bool[ndarray, " N"]:
        """All of these tokens."""
        return self.valid_N | self.not_valid_N | self.right_N | self.wrong_N | self.direct_start_N

    def effects(self, shift_N: Float[ndarray, " N"], counts_BP: Float[ndarray, "B P"]) -> BehaviorEffects:
        """Effects of an edit, from the shift of every token's log-odds."""
        prompts = self.problem_N, counts_BP
        return BehaviorEffects(
            valid_chain=estimate_effect(shift_N, self.valid_N, self.not_valid_N, *prompts).difference,
            right_answer=estimate_effect(shift_N, self.right_N, self.wrong_N, *prompts).difference,
            direct_answer=estimate_effect(shift_N, self.direct_start_N, ~self.direct_start_N, *prompts).target,
        )
