"""Planted directions against a decoder: which are found, by cosine with its rows, and does the latent fire when it
should?

    best(p) = max_f <planted_p, decoder_f> / (||planted_p|| ||decoder_f||),    found: best(p) >= 0.7

With their sign: codes are not negative, so a row that points the other way has not found the direction. One row may be
the best of two directions that it mixes; `one_to_one` deals the rows out (Hungarian), so that as many directions as can
be are found by rows of their own, and among such dealings takes the greatest sum of cosines.
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
"""In place of a latent, where there was none left."""


@dataclass(frozen=True, slots=True)
class Match:
    """Of each planted direction: the latent, as its row in the whole decoder, and the cosine with it (0 if none)."""

    latent_P: Int[Tensor, " P"]
    cosine_P: Float[Tensor, " P"]

    def recall(self, group_P: Sequence[str], *, min_cosine: float = MATCH_COSINE) -> dict[str, float]:
        """Of each group of planted directions, the share that is found."""
        if len(group_P) != len(self.cosine_P):
            raise BadInput(f"expected the group of each of {len(self.cosine_P)} directions, got {len(group_P)} groups")
        hit: dict[str, list[bool]] = {}
        for group, cosine in zip(group_P, self.cosine_P.tolist(), strict=True):
            hit.setdefault(group, []).append(cosine >= min_cosine)
        return {group: sum(hits) / len(hits) for group, hits in hit.items()}


def match_best(
    planted_PD: Float[Tensor, "P D"], decoder_FD: Float[Tensor, "F D"], *, rows: slice = slice(None)
) -> Match:
    """`rows`: those of one block, as `spans` has them."""
    cosine_PF = cosines(planted_PD, decoder_FD[rows])
    if not cosine_PF.shape[1]:
        return _nothing(len(planted_PD))
    cosine_P, latent_P = cosine_PF.max(1)
    return Match(latent_P + range(len(decoder_FD))[rows].start, cosine_P)


def match_one_to_one(
    planted_PD: Float[Tensor, "P D"],
    decoder_FD: Float[Tensor, "F D"],
    *,
    rows: slice = slice(None),
    min_cosine: float = MATCH_COSINE,
) -> Match:
    from scipy.optimize import linear_sum_assignment

    cosine_PF = cosines(planted_PD, decoder_FD[rows])
    match = _nothing(len(planted_PD))
    # to be found outweighs whatever all other cosines can add up to
    worth_PF = cosine_PF + (cosine_PF >= min_cosine) * (2 * len(planted_PD) + 1)
    place, row = (torch.from_numpy(index) for index in linear_sum_assignment(worth_PF.numpy(), maximize=True))
    match.latent_P[place] = row + range(len(decoder_FD))[rows].start
    match.cosine_P[place] = cosine_PF[place, row]
    return match


def detection_auroc(match: Match, z_NF: Float[Tensor, "N F"], on_NP: Bool[Tensor, "N P"]) -> tuple[float | None, ...]:
    """Of each planted direction, the AUROC with which its latent's activation tells the tokens it was on. None where
    it has no latent, or was on always or never."""
    expect_shape("on_NP", on_NP, (len(z_NF), len(match.latent_P)))
    return tuple(
        None if latent == NO_LATENT else auroc(to_float64(z_NF[:, latent]).cpu().numpy(), on_N.cpu().numpy())
        for latent, on_N in zip(match.latent_P.tolist(), on_NP.T, strict=True)
    )


def cosines(planted_PD: Float[Tensor, "P D"], decoder_FD: Float[Tensor, "F D"]) -> Float[Tensor, "P F"]:
    """In float64, on the CPU. A row of zeros, as a dead latent may have, is like nothing: 0."""
    expect_shape("decoder_FD", decoder_FD, (len(decoder_FD), planted_PD.shape[1]))
    planted_PD, decoder_FD = to_float64(planted_PD).cpu(), to_float64(decoder_FD).cpu()
    if bool((planted_PD == 0).all(1).any()):
        raise BadInput("a planted direction must not be zero; got one that is")
    unit_FD = decoder_FD / decoder_FD.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    return planted_PD / planted_PD.norm(dim=1, keepdim=True) @ unit_FD.T


def _nothing(planted: int) -> Match:
    return Match(torch.full((planted,), NO_LATENT), torch.zeros(planted, dtype=torch.float64))
