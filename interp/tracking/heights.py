"""How much the height of latents has changed: how strong each is in the mean where it is on.

A height is a ratio of sums over prompts too: how much of a latent there was, over the tokens at which it was on. The
denominator is each latent's own, and so is all that hangs on it: which strata can be compared, how they are weighed,
how many prompts stand behind an interval. It is those prompts that give it its freedom. (Simulated, of latents that do
not change and are on at 5 prompts of 64: with the freedom of 64, 1 in 100 has p < 0.001; with their own, none has.) A
draw in which a latent is never on has no height, and is left out of its spread.

Matched, heights are told at the base's mix: strata are weighed by the base's own tokens at which that latent was on,
and not by all its tokens. Left out, for each latent, are strata in which a checkpoint has it on at too few prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.bootstrap import DRAWS, LEAST_COMMON, LEAST_PROMPTS, Change, Sums, held_by_all, resampled, students
from interp.tracking.changes import LEAST_SEEN

AT_ONCE = 1024
"""Latents that are drawn for at once: what a draw of prompts makes of them all would not fit."""


@dataclass(frozen=True)
class Firing(Sums):
    """The amount is how much of each latent there was."""

    active_TSPF: Float[Tensor, "T S P F"]
    """Tokens at which it was on."""


def compared_in(contrast_T: Float[np.ndarray, " T"], among: Sequence[int] = ()) -> list[int]:
    """Checkpoints that a contrast weighs, those it is held against, and the first, whose mix it is told at."""
    return sorted({0, *np.flatnonzero(contrast_T).tolist(), *among})


def change_of_height(
    firing: Firing, contrast_T: Float[np.ndarray, " T"], *, among: Sequence[int] = (), draws: int = DRAWS, seed: int = 0
) -> Change:
    """As `interp.bootstrap.change`, over the same draws. A latent that is never on at a checkpoint that is compared has
    NaN for its change; one that is on at few prompts, or in little that can be compared, has NaN for its interval."""
    compared, parts = compared_in(contrast_T, among), []
    _, common, prompts = held_by_all(Sums(firing.amount_TSPF[..., :0], firing.tokens_TSP), compared)
    few = prompts < LEAST_PROMPTS or common < LEAST_COMMON
    drawn_BP = torch.zeros(0, firing.prompts) if few else resampled(firing.prompts, draws, seed)
    for start in range(0, firing.amount_TSPF.shape[-1], AT_ONCE):
        some = slice(start, start + AT_ONCE)
        mass_TSPF, active_TSPF = firing.amount_TSPF[..., some], firing.active_TSPF[..., some]
        parts.append(_of_some(mass_TSPF, active_TSPF, contrast_T, compared, drawn_BP))
    strength_TF, value_F, *told = (np.concatenate(part, -1) for part in zip(*parts, strict=True))
    return Change(strength_TF, value_F, *told, prompts=prompts, common=common)


def _of_some(
    mass_TSPF: Float[Tensor, "T S P F"],
    active_TSPF: Float[Tensor, "T S P F"],
    contrast_T: Float[np.ndarray, " T"],
    compared: list[int],
    drawn_BP: Float[Tensor, "B P"],
) -> tuple[np.ndarray, ...]:
    """Of some latents: heights, change, interval and p-value. Without draws there is no interval."""
    kept_SF, prompts_F = held_on_by_all(active_TSPF, compared)
    height_TF = heights(mass_TSPF, active_TSPF, kept_SF, torch.ones(1, drawn_BP.shape[1]))[:, 0].double().numpy()
    value_F = _contrasted(contrast_T, height_TF)
    low_F, high_F, p_F = told_3F = np.full((3, len(value_F)), np.nan)
    sure_F = prompts_F >= LEAST_SEEN
    if len(drawn_BP) and sure_F.any():
        mass_TSPF, active_TSPF = (held_TSPF[compared][..., sure_F] for held_TSPF in (mass_TSPF, active_TSPF))
        found_TBF = heights(mass_TSPF, active_TSPF, kept_SF[:, sure_F], drawn_BP).double().numpy()
        freedom_F, sure = prompts_F[sure_F].numpy() - 1, sure_F.numpy()
        spread_F = np.nanstd(_contrasted(contrast_T[compared], found_TBF), 0, ddof=1) * (1 + 1 / freedom_F) ** 0.5
        told_3F[:, sure] = students(value_F[sure], spread_F, freedom_F)
    return height_TF, value_F, low_F, high_F, p_F


def held_on_by_all(
    active_TSPF: Float[Tensor, "T S P F"], compared: list[int]
) -> tuple[Bool[Tensor, "S F"], Int[Tensor, " F"]]:
    """Of each latent, the strata in which all of these checkpoints have it on at `LEAST_PROMPTS` prompts or more (at
    any, where there is but one stratum), and at how many the rarest of them has. None, where these strata hold too
    little of the base's tokens at which it is on."""
    prompts_SF = (active_TSPF[compared] > 0).sum(2).min(0).values
    kept_SF = prompts_SF >= (LEAST_PROMPTS if len(prompts_SF) > 1 else 1)
    base_SF = active_TSPF[0].sum(1)
    common_F = (base_SF * kept_SF).sum(0) / base_SF.sum(0).clamp(min=1)
    fewest_F = prompts_SF.where(kept_SF, active_TSPF.shape[2]).min(0).values
    return kept_SF, fewest_F.where(common_F >= LEAST_COMMON, 0)


def heights(
    mass_TSPF: Float[Tensor, "T S P F"],
    active_TSPF: Float[Tensor, "T S P F"],
    kept_SF: Bool[Tensor, "S F"],
    drawn_BP: Float[Tensor, "B P"],
) -> Float[Tensor, "T B F"]:
    """Of each checkpoint in each draw of prompts, over the strata that are kept. NaN where there is none, or a latent
    is not on in one of them."""
    told_TBF = torch.zeros(len(mass_TSPF), len(drawn_BP), mass_TSPF.shape[-1])
    mix_BF = torch.zeros(told_TBF.shape[1:])
    for at, kept_F in enumerate(kept_SF):
        active_TBF = drawn_BP @ active_TSPF[:, at]
        mix_BF += active_TBF[0] * kept_F
        told_TBF += torch.where(kept_F, active_TBF[0] * (drawn_BP @ mass_TSPF[:, at]) / active_TBF, 0.0)
    return told_TBF / mix_BF


def _contrasted(contrast_T: Float[np.ndarray, " T"], told: np.ndarray) -> np.ndarray:
    """Without the checkpoints that are not weighed: what has no height there may have a change all the same."""
    weighed = np.flatnonzero(contrast_T)
    return np.tensordot(contrast_T[weighed], told[weighed], 1)
