"""Rollouts through a dictionary: what is on at every token that was written, piece by piece.

Only completions are looked at: a dictionary is fitted on them, and what a policy does it does there.
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
"""Tokens whose codes are held at once."""


@dataclass(frozen=True)
class EncodedChunk:
    """Some tokens, in order."""

    codes: Codes
    x_ND: Float[Tensor, "N D"]
    rollout_N: Int[Tensor, " N"]
    """Which of the rollouts each is of."""
    role_N: Int[Tensor, " N"]
    """Of `STORED_ROLES`."""
    position_N: Int[Tensor, " N"]
    """From the first token that was written on."""


@torch.no_grad()
def encode_rollouts(
    policy: Policy, tsae: TSAE, layer: int, rollouts: Sequence[Rollout], *, micro_tokens: int = MICRO_TOKENS
) -> Iterator[EncodedChunk]:
    """Every rollout has to have a token."""
    tsae, table = tsae.to(policy.device), token_table(rollouts)
    written, x_ND = table.completion, _residuals(policy, layer, rollouts, micro_tokens)
    document_N, role_N = table.document[written].long(), table.role[written].long()
    prompt_M = torch.tensor([len(row.prompt_ids) for row in rollouts])
    place_N = table.position[written].long() - prompt_M[document_N]
    for rows in torch.arange(len(x_ND)).split(CHUNK_TOKENS):
        yield EncodedChunk(
            Codes.encode(tsae, x_ND[rows].to(policy.device)), x_ND[rows], document_N[rows], role_N[rows], place_N[rows]
        )


@torch.no_grad()
def latent_on_rollouts(
    policy: Policy, tsae: TSAE, layer: int, rollouts: Sequence[Rollout], latent: int
) -> tuple[Float[ndarray, " N"], Int[ndarray, " N"]]:
    """One latent at every token that was written, in order, and which of the rollouts each token is of."""
    x_ND = _residuals(policy, layer, rollouts, MICRO_TOKENS)
    document_N = np.repeat(np.arange(len(rollouts)), [len(row.tokens) for row in rollouts])
    return tsae.to("cpu").encode_latent(x_ND, latent).numpy(), document_N


def _residuals(policy: Policy, layer: int, rollouts: Sequence[Rollout], micro_tokens: int) -> Float[Tensor, "N D"]:
    prompts, completions = [row.prompt_ids for row in rollouts], [row.tokens for row in rollouts]
    return policy.completion_residuals(prompts, completions, layer, micro_tokens=micro_tokens)
