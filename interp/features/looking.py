"""Rollouts through a dictionary: what is on at every token that was written, piece by piece.

Only completions are looked at: a dictionary is fitted on them, and what a policy does it does there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from interp.activations import TokenTable
from interp.policy.policy import Policy
from interp.rollouts.harvest import residuals_of, table_of
from interp.rollouts.record import Rollout
from interp.tsae import TSAE
from interp.tsae.codes import ENTRIES, Codes

MICRO_TOKENS = 8_192


@dataclass(frozen=True)
class Looked:
    """Some tokens, in order."""

    codes: Codes
    x_ND: Float[Tensor, "N D"]
    document_N: Int[Tensor, " N"]
    """Which of the rollouts each is of."""
    role_N: Int[Tensor, " N"]
    """Of `STORED_ROLES`."""
    place_N: Int[Tensor, " N"]
    """From the first token that was written on."""


@torch.no_grad()
def look(
    policy: Policy, tsae: TSAE, layer: int, rollouts: Sequence[Rollout], *, micro_tokens: int = MICRO_TOKENS
) -> Iterator[Looked]:
    """Every rollout has to have a token."""
    tsae, table = tsae.to(policy.device), table_of(rollouts)
    x_ND, written = _residuals(policy, layer, rollouts, table, micro_tokens)
    prompt_M = torch.tensor([len(row.prompt_ids) for row in rollouts])
    for rows in written.split(max(1, ENTRIES // tsae.width)):
        codes, document_n = Codes.of(tsae.encode(x_ND[rows].to(policy.device))), table.document[rows].long()
        places = table.position[rows].long() - prompt_M[document_n]
        yield Looked(codes, x_ND[rows], document_n, table.role[rows].long(), places)


@torch.no_grad()
def look_at_one(
    policy: Policy, tsae: TSAE, layer: int, rollouts: Sequence[Rollout], latent: int
) -> tuple[Float[ndarray, " N"], Int[ndarray, " N"]]:
    """One latent at every token that was written, in order, and which of the rollouts each token is of."""
    table = table_of(rollouts)
    x_ND, written = _residuals(policy, layer, rollouts, table, MICRO_TOKENS)
    return tsae.to("cpu").activation(x_ND[written], latent).numpy(), table.document[written].numpy()


def _residuals(
    policy: Policy, layer: int, rollouts: Sequence[Rollout], table: TokenTable, micro_tokens: int
) -> tuple[Float[Tensor, "n D"], Int[Tensor, " N"]]:
    """Of all tokens, and which of them were written."""
    lengths = [len(row.prompt_ids) + len(row.tokens) for row in rollouts]
    told = {"dtype": torch.float32, "micro_tokens": micro_tokens}
    return residuals_of(policy, table.ids, lengths, (layer,), **told)[layer], table.completion.nonzero()[:, 0]
