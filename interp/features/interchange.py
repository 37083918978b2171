"""Interchange interventions: which latents carry the difference between two texts.

Each latent of one text takes its value in the other text, and the policy reads on from there:

    x_a <- x_a + (z_i(x_b) - z_i(x_a)) d_i      at the last token of text a

The effect is how far the log-odds of b's next token against a's move towards b. No outcome and no contrast is used:
where two texts differ in one thing only (a cue, an operand), the effect says which latents carry it there, and roles
can be checked against that. The two texts of a pair have the same length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from interp.artifacts import BadInput
from interp.device import eval_mode
from interp.policy.policy import Policy
from interp.policy.residual import Layer, compute_residuals, splice_residual
from interp.tsae import TSAE

ROWS = 2_048
"""Rows of one forward pass."""


@dataclass(frozen=True)
class TextPair:
    """Two texts as token ids, and the token that each of them calls for next."""

    text: tuple[int, ...]
    other_text: tuple[int, ...]
    next_token: int
    other_next_token: int

    def __post_init__(self) -> None:
        if len(self.text) != len(self.other_text) or not self.text:
            raise BadInput(
                f"expected two texts of one length, at least one token; got {len(self.text)} and {len(self.other_text)}"
            )


@dataclass(frozen=True)
class InterchangeEffects:
    """Effects of interchange in each pair of texts, latent by latent."""

    shift_PF: Float[ndarray, "P F"]
    """Shift towards the other text, in nats, for each pair and latent. 0 where the latent is the same in both texts."""
    full_shift_P: Float[ndarray, " P"]
    """The shift when the whole residual is taken from the other text."""


@torch.no_grad()
def interchange_latents(tsae: TSAE, policy: Policy, layer: int, pairs: Sequence[TextPair]) -> InterchangeEffects:
    """Interchange every latent, and the whole residual, in every pair of texts."""
    tsae = tsae.to(policy.device)
    shift_PF, full_shift_P = np.zeros((len(pairs), tsae.width)), np.zeros(len(pairs))
    site = tsae.at(layer)
    for index_P, ids_PL, other_ids_PL, next_P2 in _batches_by_length(pairs, policy.device):
        with eval_mode(policy.model):
            x_PD, other_x_PD = (
                compute_residuals(policy.model, ids, torch.ones_like(ids), (site,))[site][:, -1].float()
                for ids in (ids_PL, other_ids_PL)
            )
            clean_P = _preference(_last_logits(policy, ids_PL), next_P2)
            full_P = _edited_preference(policy, site, ids_PL, other_x_PD - x_PD, next_P2)
            full_shift_P[index_P] = (full_P - clean_P).cpu().numpy()
            change_PF, unit_P1 = tsae.encode(other_x_PD) - tsae.encode(x_PD), tsae.unit(x_PD)
            pair_R, latent_R = change_PF.nonzero().T
            for pair_r, latent_r in zip(pair_R.split(ROWS), latent_R.split(ROWS), strict=True):
                step_rD = change_PF[pair_r, latent_r][:, None] * tsae.W_dec[latent_r] * unit_P1[pair_r]
                edited_r = _edited_preference(policy, site, ids_PL[pair_r], step_rD, next_P2[pair_r])
                shift_r = (edited_r - clean_P[pair_r]).cpu().numpy()
                shift_PF[index_P[pair_r.cpu().numpy()], latent_r.cpu().numpy()] = shift_r
    return InterchangeEffects(shift_PF, full_shift_P)


def _batches_by_length(
    pairs: Sequence[TextPair], device: torch.device
) -> Iterator[tuple[ndarray, Int[Tensor, "P L"], Int[Tensor, "P L"], Int[Tensor, "P 2"]]]:
    """Indices, ids of both texts and next tokens, in batches of pairs of one length."""
    lengths = np.array([len(pair.text) for pair in pairs])
    for length in np.unique(lengths):
        of_length = np.flatnonzero(lengths == length)
        for index_P in np.array_split(of_length, -(-len(of_length) // ROWS)):
            batch = [pairs[i] for i in index_P]
            ids_PL = torch.tensor([pair.text for pair in batch], device=device)
            other_ids_PL = torch.tensor([pair.other_text for pair in batch], device=device)
            next_P2 = torch.tensor([(pair.next_token, pair.other_next_token) for pair in batch], device=device)
            yield index_P, ids_PL, other_ids_PL, next_P2


def _edited_preference(
    policy: Policy, layer: Layer, ids_RL: Int[Tensor, "R L"], step_RD: Float[Tensor, "R D"], next_R2: Int[Tensor, "R 2"]
) -> Float[Tensor, " R"]:
    """The preference with `step_RD` added to the residual of the last token."""

    def edit(x_RLD: Float[Tensor, "R L D"]) -> Float[Tensor, "R L D"]:
        x_RLD[:, -1] += step_RD.to(x_RLD.dtype)
        return x_RLD

    with splice_residual(policy.model, layer, edit):
        return _preference(_last_logits(policy, ids_RL), next_R2)


def _last_logits(policy: Policy, ids_PL: Int[Tensor, "P L"]) -> Float[Tensor, "P V"]:
    return policy.model(input_ids=ids_PL, use_cache=False, logits_to_keep=1).logits[:, -1]


def _preference(logits_RV: Float[Tensor, "R V"], next_R2: Int[Tensor, "R 2"]) -> Float[Tensor, " R"]:
    """Log-odds of the other text's next token against the own text's, in nats."""
    own_R, other_R = logits_RV.double().gather(1, next_R2).T
    return other_R - own_R
