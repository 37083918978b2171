"""Bootstrap over prompts, for all latents at once: how much a rate or a mean activation changed between checkpoints.

At a checkpoint, a latent's rate (or mean activation) is a ratio of sums over prompts,

    r_t = sum_p amount_tp / sum_p tokens_tp

and a change is a weighted sum over checkpoints, sum_t weight_t r_t: the last less the first, or a slope. Prompts are
drawn with replacement, the same for every checkpoint, so that what a prompt does to all of them cancels. Intervals and
p-values are Student's, with the bootstrap's standard deviation.

Strata are compared in one of two ways.

    by stratum   r_t = sum_s m_s r_ts, with m_s the base's share of tokens in stratum s (direct standardisation)
    by cell      every prompt x stratum cell is compared with itself (`interp.stats.cells`)

Comparing by stratum is right where strata do not select prompts. Outcomes do select them: after training, other
problems fill the stratum "valid", and a difference between problems looks like a change. Then compare by cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.stats.cells import match_cells
from interp.stats.estimate import LEVEL

DRAWS = 400
"""Times that prompts are resampled."""
MIN_PROMPTS = 8
"""Fewest prompts for an interval: in the bucket or, where strata are compared, in the rarest stratum."""
MIN_COMMON = 0.5
"""Smallest share of the base's tokens that must be comparable for an interval."""


@dataclass(frozen=True)
class PromptSums:
    """Sums over tokens, by checkpoint, stratum, prompt and latent. The first checkpoint is the base."""

    amount_TSPF: Float[Tensor, "T S P F"]
    """Tokens at which a latent was active, or the sum of its activations."""
    tokens_TSP: Float[Tensor, "T S P"]

    @property
    def prompts(self) -> int:
        return self.tokens_TSP.shape[2]


@dataclass(frozen=True)
class ChangeEstimates:
    """Change of each latent. Where there are too few prompts for an interval, it and the p-value are NaN."""

    ratio_TF: Float[np.ndarray, "T F"]
    """The rate or the mean activation itself, at each checkpoint."""
    value_F: Float[np.ndarray, " F"]
    low_F: Float[np.ndarray, " F"]
    high_F: Float[np.ndarray, " F"]
    p_F: Float[np.ndarray, " F"]
    """p-value of "no change"."""
    prompts: int
    """Prompts behind the interval: by stratum, those of the rarest stratum at any checkpoint; by cell, those with a
    cell that is compared."""
    common: float
    """Share of the base's tokens in the strata or cells that are compared; 1 where there is a single stratum."""


# --- weights of checkpoints ----------------------------------------------------------------------------------------


def last_minus_first(checkpoints: int) -> Float[np.ndarray, " T"]:
    """Weights of the last checkpoint less the first."""
    if checkpoints < 2:
        raise BadInput(f"a change is between two checkpoints: expected two at least, got {checkpoints}: add one")
    weights_T = np.zeros(checkpoints)
    weights_T[0], weights_T[-1] = -1, 1
    return weights_T


def slope_weights(steps: Int[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """Weights of the rise of the least-squares line, from the first checkpoint to the last."""
    if len(steps) < 2:
        raise BadInput(f"a slope is over checkpoints: expected two at least, got {len(steps)}: add one")
    centred_T = steps - steps.mean()
    return centred_T / (centred_T**2).sum() * (steps[-1] - steps[0])


def compared_checkpoints(weights_T: Float[np.ndarray, " T"], also_compared: Sequence[int] = ()) -> list[int]:
    """Indices of the checkpoints that are compared: those with a weight, `also_compared`, and the base."""
    return sorted({0, *np.flatnonzero(weights_T).tolist(), *also_compared})


# --- changes -------------------------------------------------------------------------------------------------------


def estimate_changes(
    sums: PromptSums,
    weights_T: Float[np.ndarray, " T"],
    *,
    by_cell: bool = False,
    also_compared: Sequence[int] = (),
    draws: int = DRAWS,
    seed: int = 0,
) -> ChangeEstimates:
    """Change of every latent, with its interval and p-value.

    `by_cell` compares each prompt x stratum cell with itself; otherwise strata are compared. `also_compared` are
    checkpoints without a weight at which a stratum or cell must occur all the same. With them, several changes can be
    measured on the same text."""
    compared = compared_checkpoints(weights_T, also_compared)
    if by_cell:
        amount_T1PF, tokens_T1P, common, prompts = match_cells(sums.amount_TSPF, sums.tokens_TSP, compared)
        sums = PromptSums(amount_T1PF, tokens_T1P)
    else:
        sums, common, prompts = keep_common_strata(sums, compared)
    ratio_TF = torch.stack([ratio_1F[0] for ratio_1F in ratios(sums, torch.ones(1, sums.prompts))]).double()
    value_F = (torch.from_numpy(weights_T).double() @ ratio_TF).numpy()
    if prompts < MIN_PROMPTS or common < MIN_COMMON:
        unknown_F = np.full(len(value_F), np.nan)
        return ChangeEstimates(ratio_TF.numpy(), value_F, unknown_F, unknown_F, unknown_F, prompts, common)
    counts_BP = resampled_prompts(sums.prompts, draws, seed)
    weighted = np.flatnonzero(weights_T).tolist()
    change_BF = torch.zeros(draws, len(value_F), dtype=torch.float64)
    weighted_sums = PromptSums(sums.amount_TSPF[weighted], sums.tokens_TSP[weighted])
    mix_BS = stratum_mix(sums.tokens_TSP[0], counts_BP)
    for weight, ratio_BF in zip(weights_T[weighted].tolist(), ratios(weighted_sums, counts_BP, mix_BS), strict=True):
        change_BF += weight * ratio_BF
    spread_F = change_BF.std(0).numpy() * (prompts / (prompts - 1)) ** 0.5
    low_F, high_F, p_F = student_interval_from_spread(value_F, spread_F, prompts - 1)
    return ChangeEstimates(ratio_TF.numpy(), value_F, low_F, high_F, p_F, prompts, common)


def keep_common_strata(sums: PromptSums, compared: list[int]) -> tuple[PromptSums, float, int]:
    """The strata that all compared checkpoints have at `MIN_PROMPTS` prompts or more, the share of the base's tokens in
    them, and the prompts of the rarest of them. A single stratum is kept in any case."""
    prompts_S = (sums.tokens_TSP[compared] > 0).sum(-1).min(0).values
    is_common_S = prompts_S >= MIN_PROMPTS if len(prompts_S) > 1 else torch.ones(1, dtype=torch.bool)
    base_S = sums.tokens_TSP[0].sum(-1)
    common = float(base_S[is_common_S].sum() / base_S.sum().clamp(min=1e-9))
    fewest = int(prompts_S[is_common_S].min()) if bool(is_common_S.any()) else 0
    return PromptSums(sums.amount_TSPF[:, is_common_S], sums.tokens_TSP[:, is_common_S]), common, fewest


def ratios(
    sums: PromptSums, counts_BP: Float[Tensor, "B P"], mix_BS: Float[Tensor, "B S"] | None = None
) -> list[Float[Tensor, "B F"]]:
    """Amount per token at each checkpoint and in each draw of prompts. Strata are weighted by `mix_BS`; default: the
    base's mix in that draw."""
    mix_BS = stratum_mix(sums.tokens_TSP[0], counts_BP) if mix_BS is None else mix_BS
    by_checkpoint = []
    for amount_SPF, tokens_SP in zip(sums.amount_TSPF, sums.tokens_TSP, strict=True):
        ratio_BF = torch.zeros(len(counts_BP), amount_SPF.shape[-1])
        for stratum, (amount_PF, tokens_P) in enumerate(zip(amount_SPF, tokens_SP, strict=True)):
            tokens_B1 = (counts_BP @ tokens_P)[:, None]
            ratio_BF += mix_BS[:, stratum, None] * (counts_BP @ amount_PF) / tokens_B1.clamp(min=1e-9)
        by_checkpoint.append(ratio_BF)
    return by_checkpoint


def stratum_mix(tokens_SP: Float[Tensor, "S P"], counts_BP: Float[Tensor, "B P"]) -> Float[Tensor, "B S"]:
    """Share of each stratum's tokens, in each draw of prompts."""
    tokens_BS = counts_BP @ tokens_SP.T
    return tokens_BS / tokens_BS.sum(1, keepdim=True).clamp(min=1e-9)


# --- draws and intervals -------------------------------------------------------------------------------------------


def resampled_prompts(prompts: int, draws: int, seed: int) -> Float[Tensor, "B P"]:
    """How often each prompt occurs in each draw: a draw takes `prompts` prompts with replacement."""
    rng = np.random.default_rng([seed, prompts])
    return torch.from_numpy(rng.multinomial(prompts, np.full(prompts, 1 / prompts), draws).astype(np.float32))


def student_interval_from_spread(
    value_F: np.ndarray, spread_F: np.ndarray, degrees_of_freedom: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """95% interval value +- t spread (low and high), and the two-sided p-value of "the value is zero".

    Where the spread is zero, the p-value is 1 if the value is zero, and 0 otherwise."""
    from scipy.special import stdtr, stdtrit

    reach_F = stdtrit(degrees_of_freedom, (1 + LEVEL) / 2) * spread_F
    with np.errstate(divide="ignore", invalid="ignore"):
        p_F = 2 * stdtr(degrees_of_freedom, -np.abs(value_F) / spread_F)
    return value_F - reach_F, value_F + reach_F, np.where(spread_F > 0, p_F, np.where(value_F == 0, 1.0, 0.0))
