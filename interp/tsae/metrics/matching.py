"""Match directions with rows of a decoder by cosine: which planted directions are found, and do their latents fire?

    best(p) = max_f <planted_p, decoder_f> / (||planted_p|| ||decoder_f||)        found: best(p) >= 0.7

The sign counts: codes are not negative, so a row of the opposite direction is no match. One row can be the best match
of two directions that it mixes. `match_one_to_one` assigns each row to at most one direction (Hungarian algorithm): as
many directions as possible are found, and among such assignments the sum of cosines is greatest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.metrics.checks import expect_shape, to_float64
from interp.tsae.metrics.ranks import auroc

MATCH_COSINE = 0.7
NO_LATENT = -1
"""Index of the latent of a direction that has no match."""


@dataclass(frozen=True, slots=True)
class Match:
    """For each planted direction, its latent (row of the whole decoder) and their cosine (0 without a latent)."""

    latent_P: Int[Tensor, " P"]
    cosine_P: Float[Tensor, " P"]

    def recall(self, group_P: Sequence[str], *, min_cosine: float = MATCH_COSINE) -> dict[str, float]:
        """Share of the directions found, by group."""
        if len(group_P) != len(self.cosine_P):
            raise BadInput(f"expected one group for each of {len(self.cosine_P)} directions, got {len(group_P)}")
        hits: dict[str, list[bool]] = {}
        for group, cosine in zip(group_P, self.cosine_P.tolist(), strict=True):
            hits.setdefault(group, []).append(cosine >= min_cosine)
        return {group: sum(flags) / len(flags) for group, flags in hits.items()}


def match_best(
    planted_PD: Float[Tensor, "P D"], decoder_FD: Float[Tensor, "F D"], *, rows: slice = slice(None)
) -> Match:
    """The latent with the highest cosine, for each direction. `rows` limits the search to a block (`block_slices`)."""
    cosine_PF = cosines(planted_PD, decoder_FD[rows])
    if not cosine_PF.shape[1]:
        return _no_match(len(planted_PD))
    cosine_P, latent_P = cosine_PF.max(1)
    return Match(latent_P + range(len(decoder_FD))[rows].start, cosine_P)


def match_one_to_one(
    planted_PD: Float[Tensor, "P D"],
    decoder_FD: Float[Tensor, "F D"],
    *,
    rows: slice = slice(None),
    min_cosine: float = MATCH_COSINE,
) -> Match:
    """A latent of its own for each direction, so that most directions reach `min_cosine`."""
    from scipy.optimize import linear_sum_assignment

    cosine_PF = cosines(planted_PD, decoder_FD[rows])
    match = _no_match(len(planted_PD))
    # the bonus for reaching min_cosine outweighs any sum of cosines
    score_PF = cosine_PF + (cosine_PF >= min_cosine) * (2 * len(planted_PD) + 1)
    direction, row = (torch.from_numpy(index) for index in linear_sum_assignment(score_PF.numpy(), maximize=True))
    match.latent_P[direction] = row + range(len(decoder_FD))[rows].start
    match.cosine_P[direction] = cosine_PF[direction, row]
    return match


def detection_auroc(match: Match, z_NF: Float[Tensor, "N F"], on_NP: Bool[Tensor, "N P"]) -> tuple[float | None, ...]:
    """For each planted direction, AUROC of its latent's activation for the tokens on which the direction is active.
    None without a latent, or if the direction is active on all tokens or none."""
    expect_shape("on_NP", on_NP, (len(z_NF), len(match.latent_P)))
    return tuple(
        None if latent == NO_LATENT else auroc(to_float64(z_NF[:, latent]).cpu().numpy(), on_N.cpu().numpy())
        for latent, on_N in zip(match.latent_P.tolist(), on_NP.T, strict=True)
    )


def cosines(planted_PD: Float[Tensor, "P D"], decoder_FD: Float[Tensor, "F D"]) -> Float[Tensor, "P F"]:
    """Cosine of every direction with every row, in float64 on the CPU. 0 for a row of zeros, as of a dead latent."""
    expect_shape("decoder_FD", decoder_FD, (len(decoder_FD), planted_PD.shape[1]))
    planted_PD, decoder_FD = to_float64(planted_PD).cpu(), to_float64(decoder_FD).cpu()
    if bool((planted_PD == 0).all(1).any()):
        raise BadInput("planted directions must not be zero; got one that is")
    unit_FD = decoder_FD / decoder_FD.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    return planted_PD / planted_PD.norm(dim=1, keepdim=True) @ unit_FD.T


def _no_match(planted: int) -> Match:
    return Match(torch.full((planted,), NO_LATENT), torch.zeros(planted, dtype=torch.float64))
