"""Rollouts through a dictionary: the active latents at every completion token.

Prompts are read by the policy but not encoded: dictionaries are fitted on completions, where a policy acts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from interp.activations.documents import token_table
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tsae import TSAE
from interp.tsae.codes import Codes

MICRO_TOKENS = 8_192
CHUNK_TOKENS = 4_096
"""Tokens encoded at once."""


@dataclass(frozen=True)
class EncodedChunk:
    """N consecutive completion tokens of the rollouts."""

    codes: Codes
    x_ND: Float[Tensor, "N D"]
    """Residuals."""
    rollout_N: Int[Tensor, " N"]
    """Index of the rollout."""
    role_N: Int[Tensor, " N"]
    """Index into `STORED_ROLES`."""
    position_N: Int[Tensor, " N"]
    """Position in the completion."""


@torch.no_grad()
def encode_rollouts(
    tsae: TSAE, policy: Policy, layer: int, rollouts: Sequence[Rollout], *, micro_tokens: int = MICRO_TOKENS
) -> Iterator[EncodedChunk]:
    """Codes at every completion token, chunk by chunk. Every rollout must have a completion token."""
    tsae, table = tsae.to(policy.device), token_table(rollouts)
    written, x_ND = table.completion, _completion_residuals(tsae, policy, layer, rollouts, micro_tokens)
    rollout_N, role_N = table.document[written].long(), table.role[written].long()
    prompt_length_B = torch.tensor([len(row.prompt_ids) for row in rollouts])
    position_N = table.position[written].long() - prompt_length_B[rollout_N]
    for rows in torch.arange(len(x_ND)).split(CHUNK_TOKENS):
        codes = Codes.encode(tsae, x_ND[rows].to(policy.device))
        yield EncodedChunk(codes, x_ND[rows], rollout_N[rows], role_N[rows], position_N[rows])


@torch.no_grad()
def latent_on_rollouts(
    tsae: TSAE, policy: Policy, layer: int, rollouts: Sequence[Rollout], latent: int
) -> tuple[Float[ndarray, " N"], Int[ndarray, " N"]]:
    """Activation of one latent at every completion token, and the index of each token's rollout."""
    x_ND = _completion_residuals(tsae, policy, layer, rollouts, MICRO_TOKENS)
    rollout_N = np.repeat(np.arange(len(rollouts)), [len(row.tokens) for row in rollouts])
    return tsae.to("cpu").encode_latent(x_ND, latent).numpy(), rollout_N


@torch.no_grad()
def peaks_on_rollouts(
    tsae: TSAE,
    policy: Policy,
    layer: int,
    rollouts: Sequence[Rollout],
    latents: Sequence[int],
    *,
    micro_tokens: int = MICRO_TOKENS,
) -> Float[ndarray, "B U"]:
    """The highest activation of some latents in each rollout. Rollouts of one prompt are read together."""
    some, peak_BU = tsae.select_latents(latents).to(policy.device), np.zeros((len(rollouts), len(latents)))
    order = sorted(range(len(rollouts)), key=lambda i: (rollouts[i].prompt_ids, len(rollouts[i].tokens)))
    nonempty = [i for i in order if rollouts[i].tokens]
    ends = np.cumsum([len(rollouts[i].tokens) for i in nonempty])
    for part in np.split(nonempty, np.flatnonzero(np.diff(ends // micro_tokens)) + 1) if nonempty else ():
        rows = [rollouts[i] for i in part]
        x_ND = _completion_residuals(tsae, policy, layer, rows, micro_tokens)
        z_NU = some.encode(x_ND.to(policy.device)).cpu().numpy()
        peak_BU[part] = np.maximum.reduceat(z_NU, np.cumsum([0, *(len(row.tokens) for row in rows[:-1])]))
    return peak_BU


def _completion_residuals(
    tsae: TSAE, policy: Policy, layer: int, rollouts: Sequence[Rollout], micro_tokens: int
) -> Float[Tensor, "N D"]:
    """What the dictionary reads at every completion token."""
    prompts, completions = [row.prompt_ids for row in rollouts], [row.tokens for row in rollouts]
    return policy.completion_residuals(prompts, completions, tsae.at(layer), micro_tokens=micro_tokens)
