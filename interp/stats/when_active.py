"""Change of each latent's mean activation when active: bootstrap over prompts.

The mean when active is a ratio of sums over prompts, the sum of activations over the number of active tokens:

    h_t = sum_p mass_tp / sum_p active_tp

Every latent has its own denominator, and so its own comparable strata or cells, weights, and prompts behind the
interval. The degrees of freedom are the latent's prompts less one. (In a simulation of latents that do not change and
are active at 5 prompts of 64, 1 in 100 has p < 0.001 with 63 degrees of freedom; with 4, none has.) A draw in which a
latent is never active is left out of its spread.

By stratum, strata are weighted by the base's active tokens. By cell (`interp.stats.cells`), the overlap weights count
active tokens. A latent that is not active in a cell at one of the checkpoints gives that cell no weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.stats.bootstrap import (
    DRAWS,
    MIN_COMMON,
    MIN_PROMPTS,
    ChangeEstimates,
    PromptSums,
    compared_checkpoints,
    keep_common_strata,
    resampled_prompts,
    student_interval_from_spread,
)
from interp.stats.cells import match_cells, matched_amounts, overlap_weights

MIN_ACTIVE_PROMPTS = 5
"""Fewest prompts at which a latent must be active, at each compared checkpoint, for an interval."""
LATENTS_AT_ONCE = 1024
"""Latents per chunk: the draws of all latents at once would not fit into memory."""


@dataclass(frozen=True)
class ActiveSums(PromptSums):
    """Sums over tokens with counts of active tokens beside them. `amount_TSPF` is the sum of activations."""

    active_TSPF: Float[Tensor, "T S P F"]
    """Tokens at which a latent was active."""


def estimate_active_changes(
    sums: ActiveSums,
    weights_T: Float[np.ndarray, " T"],
    *,
    by_cell: bool = False,
    also_compared: Sequence[int] = (),
    draws: int = DRAWS,
    seed: int = 0,
) -> ChangeEstimates:
    """Change of every latent's mean activation when active, with its interval and p-value.

    Arguments and draws of prompts are those of `interp.stats.bootstrap.estimate_changes`. A latent that is never active
    at a compared checkpoint has NaN for its change. A latent that is active at few prompts, or in few of the comparable
    tokens, has NaN for its interval."""
    compared, parts = compared_checkpoints(weights_T, also_compared), []
    no_latents_TSPF = sums.amount_TSPF[..., :0]
    if by_cell:
        *_, common, prompts = match_cells(no_latents_TSPF, sums.tokens_TSP, compared)
    else:
        _, common, prompts = keep_common_strata(PromptSums(no_latents_TSPF, sums.tokens_TSP), compared)
    too_few = prompts < MIN_PROMPTS or common < MIN_COMMON
    counts_BP = torch.zeros(0, sums.prompts) if too_few else resampled_prompts(sums.prompts, draws, seed)
    for start in range(0, sums.amount_TSPF.shape[-1], LATENTS_AT_ONCE):
        chunk = slice(start, start + LATENTS_AT_ONCE)
        mass_TSPF, active_TSPF = sums.amount_TSPF[..., chunk], sums.active_TSPF[..., chunk]
        matched = (_match_cells if by_cell else _match_strata)(mass_TSPF, active_TSPF, compared)
        parts.append(_changes_of_chunk(*matched, weights_T, compared, counts_BP))
    ratio_TF, value_F, *interval = (np.concatenate(part, -1) for part in zip(*parts, strict=True))
    return ChangeEstimates(ratio_TF, value_F, *interval, prompts=prompts, common=common)


def _match_strata(
    mass_TSPF: Tensor, active_TSPF: Tensor, compared: list[int]
) -> tuple[Tensor, Tensor, Bool[Tensor, "S F"], Int[Tensor, " F"]]:
    """The sums unchanged, the strata in which each latent is compared, and the number of prompts behind each latent.

    A stratum is compared if the latent is active in it at `MIN_PROMPTS` prompts or more at every compared checkpoint
    (at one prompt, if there is a single stratum). The prompts are those of the rarest such stratum, or 0 if these
    strata hold too few of the base's active tokens."""
    prompts_SF = (active_TSPF[compared] > 0).sum(2).min(0).values
    is_common_SF = prompts_SF >= (MIN_PROMPTS if len(prompts_SF) > 1 else 1)
    base_SF = active_TSPF[0].sum(1)
    common_F = (base_SF * is_common_SF).sum(0) / base_SF.sum(0).clamp(min=1)
    fewest_F = prompts_SF.where(is_common_SF, active_TSPF.shape[2]).min(0).values
    return mass_TSPF, active_TSPF, is_common_SF, fewest_F.where(common_F >= MIN_COMMON, 0)


def _match_cells(
    mass_TSPF: Tensor, active_TSPF: Tensor, compared: list[int]
) -> tuple[Tensor, Tensor, Bool[Tensor, "1 F"], Int[Tensor, " F"]]:
    """The matched sums as one stratum, with the same denominator at every checkpoint; otherwise as `_match_strata`."""
    weight_SPF = overlap_weights(active_TSPF[compared])
    base_SPF = active_TSPF[0]
    common_F = (base_SPF * (weight_SPF > 0)).sum((0, 1)) / base_SPF.sum((0, 1)).clamp(min=1)
    weight_PF = weight_SPF.sum(0)
    prompts_F = (weight_PF > 0).sum(0)
    mass_TPF = matched_amounts(mass_TSPF, active_TSPF, weight_SPF)
    denominator_TSPF = weight_PF.expand(len(mass_TPF), 1, *weight_PF.shape)
    return mass_TPF[:, None], denominator_TSPF, prompts_F[None] > 0, prompts_F.where(common_F >= MIN_COMMON, 0)


def _changes_of_chunk(
    mass_TSPF: Float[Tensor, "T S P F"],
    active_TSPF: Float[Tensor, "T S P F"],
    is_common_SF: Bool[Tensor, "S F"],
    prompts_F: Int[Tensor, " F"],
    weights_T: Float[np.ndarray, " T"],
    compared: list[int],
    counts_BP: Float[Tensor, "B P"],
) -> tuple[np.ndarray, ...]:
    """Ratio at each checkpoint, change, low, high and p-value. Without draws the last three are NaN."""
    once_1P = torch.ones(1, counts_BP.shape[1])
    ratio_TF = active_ratios(mass_TSPF, active_TSPF, is_common_SF, once_1P)[:, 0].double().numpy()
    value_F = _weighted(weights_T, ratio_TF)
    low_F, high_F, p_F = interval_3F = np.full((3, len(value_F)), np.nan)
    enough_F = prompts_F >= MIN_ACTIVE_PROMPTS
    if len(counts_BP) and enough_F.any():
        mass_TSPF, active_TSPF = (part[compared][..., enough_F] for part in (mass_TSPF, active_TSPF))
        ratio_TBF = active_ratios(mass_TSPF, active_TSPF, is_common_SF[:, enough_F], counts_BP).double().numpy()
        freedom_F, enough = prompts_F[enough_F].numpy() - 1, enough_F.numpy()
        change_BF = _weighted(weights_T[compared], ratio_TBF)
        spread_F = np.nanstd(change_BF, 0, ddof=1) * (1 + 1 / freedom_F) ** 0.5
        interval_3F[:, enough] = student_interval_from_spread(value_F[enough], spread_F, freedom_F)
    return ratio_TF, value_F, low_F, high_F, p_F


def active_ratios(
    mass_TSPF: Float[Tensor, "T S P F"],
    active_TSPF: Float[Tensor, "T S P F"],
    is_common_SF: Bool[Tensor, "S F"],
    counts_BP: Float[Tensor, "B P"],
) -> Float[Tensor, "T B F"]:
    """Mean activation when active at each checkpoint and in each draw, over the common strata at the base's mix.

    NaN without a common stratum, or where a latent is not active in one of them."""
    ratio_TBF = torch.zeros(len(mass_TSPF), len(counts_BP), mass_TSPF.shape[-1])
    total_BF = torch.zeros(ratio_TBF.shape[1:])
    for stratum, is_common_F in enumerate(is_common_SF):
        active_TBF = counts_BP @ active_TSPF[:, stratum]
        total_BF += active_TBF[0] * is_common_F
        amount_TBF = counts_BP @ mass_TSPF[:, stratum]
        ratio_TBF += torch.where(is_common_F, active_TBF[0] * amount_TBF / active_TBF, 0.0)
    return ratio_TBF / total_BF


def _weighted(weights_T: Float[np.ndarray, " T"], ratio_TX: np.ndarray) -> np.ndarray:
    """sum_t weight_t ratio_t over checkpoints with a weight: a NaN at one without a weight must not count."""
    weighted = np.flatnonzero(weights_T)
    return np.tensordot(weights_T[weighted], ratio_TX[weighted], 1)
