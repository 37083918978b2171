"""Which latents carry a difference between two texts: each takes the other text's value, and the policy goes on.

    x_a <- x_a + (z_i(x_b) - z_i(x_a)) d_i      at the last token of text a, where b says something else

and the effect is how far the log-odds of what b calls for against what a calls for move towards b. It looks at no
outcome and at no contrast: where texts differ in one thing only, a cue or an operand, it is the truth about which
latents carry that thing there, and roles can be held against it. Texts of a pair are of one length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from interp.artifacts import BadInput
from interp.device import evaluating
from interp.policy.policy import Policy
from interp.policy.residual import residuals, splicing
from interp.tsae import TSAE

ROWS, TEXTS = 2_048, ("text", "other")


@dataclass(frozen=True)
class Pair:
    text: tuple[int, ...]
    other: tuple[int, ...]
    next: int
    """The token that `text` calls for."""
    other_next: int

    def __post_init__(self) -> None:
        if len(self.text) != len(self.other) or not self.text:
            raise BadInput(f"texts of a pair must be of one length; got {len(self.text)} and {len(self.other)}")


@dataclass(frozen=True)
class Interchanged:
    moved_PF: Float[ndarray, "P F"]
    """Of each pair and latent, in nats. 0 where the latent is the same in both texts."""
    whole_P: Float[ndarray, " P"]
    """The same, the whole residual taken from the other text."""


@torch.no_grad()
def interchange(policy: Policy, tsae: TSAE, layer: int, pairs: Sequence[Pair]) -> Interchanged:
    tsae = tsae.to(policy.device)
    moved_PF, whole_P = np.zeros((len(pairs), tsae.width)), np.zeros(len(pairs))
    for at_P, ids_PL, other_PL, next_P2 in _by_length(pairs, policy.device):
        with evaluating(policy.model):
            x_PD, other_PD = (
                residuals(policy.model, ids, torch.ones_like(ids), (layer,))[layer][:, -1].float()
                for ids in (ids_PL, other_PL)
            )
            leaning_P = _leaning(_logits(policy, ids_PL), next_P2)
            whole_P[at_P] = (_moved(policy, layer, ids_PL, other_PD - x_PD, next_P2) - leaning_P).cpu().numpy()
            change_PF = tsae.encode(other_PD) - tsae.encode(x_PD)
            pair_R, latent_R = change_PF.nonzero().T
            for pair_r, latent_r in zip(pair_R.split(ROWS), latent_R.split(ROWS), strict=True):
                step_rD = change_PF[pair_r, latent_r][:, None] * tsae.W_dec[latent_r]
                found_r = _moved(policy, layer, ids_PL[pair_r], step_rD, next_P2[pair_r]) - leaning_P[pair_r]
                moved_PF[at_P[pair_r.cpu().numpy()], latent_r.cpu().numpy()] = found_r.cpu().numpy()
    return Interchanged(moved_PF, whole_P)


def _by_length(
    pairs: Sequence[Pair], device: torch.device
) -> Iterator[tuple[ndarray, Int[Tensor, "P L"], Int[Tensor, "P L"], Int[Tensor, "P 2"]]]:
    lengths = np.array([len(pair.text) for pair in pairs])
    for length in np.unique(lengths):
        for at_P in np.array_split(found := np.flatnonzero(lengths == length), -(-len(found) // ROWS)):
            held = [pairs[at] for at in at_P]
            ids_PL, other_PL = (torch.tensor([getattr(p, name) for p in held], device=device) for name in TEXTS)
            yield at_P, ids_PL, other_PL, torch.tensor([(p.next, p.other_next) for p in held], device=device)


def _moved(
    policy: Policy, layer: int, ids_RL: Int[Tensor, "R L"], step_RD: Float[Tensor, "R D"], next_R2: Int[Tensor, "R 2"]
) -> Float[Tensor, " R"]:
    def edit(x_RLD: Float[Tensor, "R L D"]) -> Float[Tensor, "R L D"]:
        x_RLD[:, -1] += step_RD.to(x_RLD.dtype)
        return x_RLD

    with splicing(policy.model, layer, edit):
        return _leaning(_logits(policy, ids_RL), next_R2)


def _logits(policy: Policy, ids_PL: Int[Tensor, "P L"]) -> Float[Tensor, "P V"]:
    return policy.model(input_ids=ids_PL, use_cache=False, logits_to_keep=1).logits[:, -1]


def _leaning(logits_RV: Float[Tensor, "R V"], next_R2: Int[Tensor, "R 2"]) -> Float[Tensor, " R"]:
    """How much likelier the other text's token is, in nats."""
    own_R, other_R = logits_RV.double().gather(1, next_R2).T
    return other_R - own_R
