"""How much strengths have changed, and how sure that is: bootstrap over prompts, all latents at once.

The strength of a latent at a checkpoint is a ratio of sums over prompts: how many tokens it was on at, or how much of
it there was, over all tokens. A change is a weighted sum of strengths over checkpoints (`contrast`): end less start, or
the slope. Prompts are drawn with replacement, the same for every checkpoint, so that what a prompt does to all of them
cancels. The interval is Student's with the bootstrap's spread, the same from which the p-value is.

Matched, the strengths of all checkpoints are told at the base's mix: within a stratum (rollouts of one outcome, of like
length) strength against strength, and the strata weighed as the base had them. Strata that a checkpoint has at too few
prompts are left out, and it is told what share of the base's tokens the others are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.artifacts import BadInput

DRAWS = 400
LEVEL = 0.95
LEAST_PROMPTS = 8
"""With fewer there is no interval: of the bucket, or, where strata are matched, of the rarest of them."""
LEAST_COMMON = 0.5
"""Of the base's tokens, in strata that can be compared: with less there is no interval either."""


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
    """At which the rarest stratum occurs, at every checkpoint: of the bucket, where nothing is matched."""
    common: float
    """The share of the base's tokens in strata that are compared: 1 where nothing is matched."""


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


def change(
    sums: Sums, contrast_T: Float[np.ndarray, " T"], *, among: Sequence[int] = (), draws: int = DRAWS, seed: int = 0
) -> Change:
    """The first checkpoint is the base, whose mix of strata is that of all. Compared are strata that the checkpoints in
    the contrast have, and those of `among` too: contrasts that are held against each other are told of the same."""
    weighed = [at for at, weight in enumerate(contrast_T.tolist()) if weight]
    sums, common, prompts = held_by_all(sums, sorted({0, *weighed, *among}))
    strength_TF = torch.stack([told[0] for told in strengths(sums, torch.ones(1, sums.prompts))]).double()
    value_F = (torch.from_numpy(contrast_T).double() @ strength_TF).numpy()
    if prompts < LEAST_PROMPTS or common < LEAST_COMMON:
        none_F = np.full(len(value_F), np.nan)
        return Change(strength_TF.numpy(), value_F, none_F, none_F, none_F, prompts, common)
    drawn_BP = resampled(sums.prompts, draws, seed)
    found_BF = torch.zeros(draws, len(value_F), dtype=torch.float64)
    every = Sums(sums.amount_TSPF[weighed], sums.tokens_TSP[weighed])
    mix_BS = mix(sums.tokens_TSP[0], drawn_BP)
    for weight, told_BF in zip(contrast_T[weighed].tolist(), strengths(every, drawn_BP, mix_BS), strict=True):
        found_BF += weight * told_BF
    spread_F = found_BF.std(0).numpy() * (prompts / (prompts - 1)) ** 0.5
    low_F, high_F, p_F = students(value_F, spread_F, prompts - 1)
    return Change(strength_TF.numpy(), value_F, low_F, high_F, p_F, prompts, common)


def held_by_all(sums: Sums, checkpoints: list[int]) -> tuple[Sums, float, int]:
    """The strata that all of these checkpoints have at `LEAST_PROMPTS` prompts or more, what share of the base's tokens
    is in them, and at how many prompts the rarest of them occurs. Where there is but one, it is kept in any case."""
    prompts_S = (sums.tokens_TSP[checkpoints] > 0).sum(-1).min(0).values
    kept_S = prompts_S >= LEAST_PROMPTS if len(prompts_S) > 1 else torch.ones(1, dtype=torch.bool)
    base_S = sums.tokens_TSP[0].sum(-1)
    common = float(base_S[kept_S].sum() / base_S.sum().clamp(min=1e-9))
    fewest = int(prompts_S[kept_S].min()) if bool(kept_S.any()) else 0
    return Sums(sums.amount_TSPF[:, kept_S], sums.tokens_TSP[:, kept_S]), common, fewest


def strengths(
    sums: Sums, drawn_BP: Float[Tensor, "B P"], mix_BS: Float[Tensor, "B S"] | None = None
) -> list[Float[Tensor, "B F"]]:
    """Of each checkpoint, in each draw of prompts, at a mix of strata: the first's, if none is given."""
    mix_BS = mix(sums.tokens_TSP[0], drawn_BP) if mix_BS is None else mix_BS
    found = []
    for amount_SPF, tokens_SP in zip(sums.amount_TSPF, sums.tokens_TSP, strict=True):
        told_BF = torch.zeros(len(drawn_BP), amount_SPF.shape[-1])
        for at, (amount_PF, tokens_P) in enumerate(zip(amount_SPF, tokens_SP, strict=True)):
            tokens_B1 = (drawn_BP @ tokens_P)[:, None]
            told_BF += mix_BS[:, at, None] * (drawn_BP @ amount_PF) / tokens_B1.clamp(min=1e-9)
        found.append(told_BF)
    return found


def mix(tokens_SP: Float[Tensor, "S P"], drawn_BP: Float[Tensor, "B P"]) -> Float[Tensor, "B S"]:
    """The share of each stratum's tokens, in each draw."""
    tokens_BS = drawn_BP @ tokens_SP.T
    return tokens_BS / tokens_BS.sum(1, keepdim=True).clamp(min=1e-9)


def resampled(prompts: int, draws: int, seed: int) -> Float[Tensor, "B P"]:
    """How often each prompt is drawn."""
    rng = np.random.default_rng([seed, prompts])
    return torch.from_numpy(rng.multinomial(prompts, np.full(prompts, 1 / prompts), draws).astype(np.float32))


def students(
    value_F: np.ndarray, spread_F: np.ndarray, freedom: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
