"""How much strengths have changed, and how sure that is: bootstrap over prompts, all latents at once.

The strength of a latent at a checkpoint is a ratio of sums over prompts: how many tokens it was on at, or how much of
it there was, over all tokens. A change is a weighted sum of strengths over checkpoints (`contrast`): end less start, or
the slope. Prompts are drawn with replacement, the same for every checkpoint, so that what a prompt does to all of them
cancels. The interval is Student's with the bootstrap's spread, the same from which the p-value is.

Matched, the strengths of all checkpoints are told at the base's mix: within a stratum (rollouts of one outcome, of like
length) strength against strength, and the strata weighed as the base had them. Where strata are missing at any
checkpoint, it is told of those that all have, and what share of the base's tokens these are.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.artifacts import BadInput

DRAWS = 400
LEVEL = 0.95
LEAST_PROMPTS = 8
"""With fewer there is no interval."""


@dataclass(frozen=True)
class Sums:
    """Of one bucket and corpus, by checkpoint, stratum, prompt and latent."""

    amount_TSPF: Float[Tensor, "T S P F"]
    """What is told: tokens at which a latent was on, or how much of it there was."""
    tokens_TSP: Float[Tensor, "T S P"]

    @property
    def prompts(self) -> int:
        return self.tokens_TSP.shape[2]


@dataclass(frozen=True)
class Change:
    """Of each latent. Where there are too few prompts for an interval, it and the p-value are NaN."""

    strength_TF: Float[np.ndarray, "T F"]
    value_F: Float[np.ndarray, " F"]
    low_F: Float[np.ndarray, " F"]
    high_F: Float[np.ndarray, " F"]
    p_F: Float[np.ndarray, " F"]
    """That there is none."""
    prompts: int
    common: float
    """The share of the base's tokens in strata that all checkpoints have: 1 where nothing is matched."""


def end_less_start(checkpoints: int) -> Float[np.ndarray, " T"]:
    if checkpoints < 2:
        raise BadInput(f"a change is between two checkpoints: expected two at least, got {checkpoints}")
    weights_T = np.zeros(checkpoints)
    weights_T[0], weights_T[-1] = -1, 1
    return weights_T


def slope(steps: Int[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """The least-squares line's rise from the first checkpoint to the last."""
    if len(steps) < 2:
        raise BadInput(f"a slope is over checkpoints: expected two at least, got {len(steps)}")
    about_T = steps - steps.mean()
    return about_T / (about_T**2).sum() * (steps[-1] - steps[0])


def change(sums: Sums, contrast_T: Float[np.ndarray, " T"], *, draws: int = DRAWS, seed: int = 0) -> Change:
    """The first checkpoint is the base, whose mix of strata is that of all."""
    everything_1P = torch.ones(1, sums.prompts)
    strength_TF = torch.stack([told[0] for told in strengths(sums, everything_1P)]).double()
    contrast = torch.from_numpy(contrast_T).double()
    value_F = (contrast @ strength_TF).numpy()
    common = float(shares(sums.tokens_TSP, everything_1P)[1][0])
    if sums.prompts < LEAST_PROMPTS:
        none_F = np.full(len(value_F), np.nan)
        return Change(strength_TF.numpy(), value_F, none_F, none_F, none_F, sums.prompts, common)
    drawn_BP = resampled(sums.prompts, draws, seed)
    found_BF = torch.zeros(draws, len(value_F), dtype=torch.float64)
    for weight, told_BF in zip(contrast.tolist(), strengths(sums, drawn_BP), strict=True):
        if weight:
            found_BF += weight * told_BF
    spread_F = found_BF.std(0).numpy() * (sums.prompts / (sums.prompts - 1)) ** 0.5
    low_F, high_F, p_F = students(value_F, spread_F, sums.prompts - 1)
    return Change(strength_TF.numpy(), value_F, low_F, high_F, p_F, sums.prompts, common)


def strengths(sums: Sums, drawn_BP: Float[Tensor, "B P"]) -> list[Float[Tensor, "B F"]]:
    """Of each checkpoint, in each draw of prompts, at the base's mix of strata."""
    mix_BS, _ = shares(sums.tokens_TSP, drawn_BP)
    found = []
    for amount_SPF, tokens_SP in zip(sums.amount_TSPF, sums.tokens_TSP, strict=True):
        told_BF = torch.zeros(len(drawn_BP), amount_SPF.shape[-1])
        for at, (amount_PF, tokens_P) in enumerate(zip(amount_SPF, tokens_SP, strict=True)):
            if not bool(mix_BS[:, at].any()):
                continue
            tokens_B1 = (drawn_BP @ tokens_P)[:, None]
            told_BF += mix_BS[:, at, None] * (drawn_BP @ amount_PF) / tokens_B1.clamp(min=1e-9)
        found.append(told_BF)
    return found


def shares(
    tokens_TSP: Float[Tensor, "T S P"], drawn_BP: Float[Tensor, "B P"]
) -> tuple[Float[Tensor, "B S"], Float[Tensor, " B"]]:
    """Of each draw: the base's mix of those strata that all checkpoints have, and what share of its tokens they are."""
    tokens_TBS = torch.stack([drawn_BP @ tokens_SP.T for tokens_SP in tokens_TSP])
    base_BS = tokens_TBS[0] * (tokens_TBS > 0).all(0)
    every_B, held_B = tokens_TBS[0].sum(1), base_BS.sum(1)
    return base_BS / held_B.clamp(min=1e-9)[:, None], held_B / every_B.clamp(min=1e-9)


def resampled(prompts: int, draws: int, seed: int) -> Float[Tensor, "B P"]:
    """How often each prompt is drawn."""
    rng = np.random.default_rng([seed, prompts])
    return torch.from_numpy(rng.multinomial(prompts, np.full(prompts, 1 / prompts), draws).astype(np.float32))


def students(value_F: np.ndarray, spread_F: np.ndarray, freedom: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interval and p-value. What does not vary at all is as it is: surely changed, or surely not."""
    from scipy.special import stdtr, stdtrit

    reach_F = stdtrit(freedom, (1 + LEVEL) / 2) * spread_F
    with np.errstate(divide="ignore", invalid="ignore"):
        p_F = 2 * stdtr(freedom, -np.abs(value_F) / spread_F)
    return value_F - reach_F, value_F + reach_F, np.where(spread_F > 0, p_F, np.where(value_F == 0, 1.0, 0.0))


def benjamini_hochberg(p_F: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
    """The false-discovery rate at which each would still be found. NaN is not tested, and does not count."""
    q_F = np.full(len(p_F), np.nan)
    tested = np.flatnonzero(~np.isnan(p_F))
    order = tested[np.argsort(p_F[tested], kind="stable")]
    ranked = p_F[order] * len(order) / np.arange(1, len(order) + 1)
    q_F[order] = np.minimum.accumulate(ranked[::-1])[::-1].clip(max=1)
    return q_F
