"""From rollouts to a store's contents: the token table, a row per document, and the residuals of every token."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from interp.activations.shard import TokenTable
from interp.policy.policy import Policy
from interp.policy.residual import compute_residuals
from interp.policy.score import batches_by_length
from interp.policy.site import RESID_POST, Site
from interp.rollouts.record import Rollout
from interp.tasks.base import TOKEN_ROLES

PROMPT = "prompt"
STORED_ROLES = (PROMPT, *TOKEN_ROLES)
DOCUMENT_SCHEMA: dict[str, Any] = {
    "length": pl.Int32,  # tokens in all
    "prompt": pl.Int32,  # tokens of the prompt
    "corpus": pl.String,
    "run": pl.String,
    "step": pl.Int64,  # step of the checkpoint that wrote the tokens
    "reader": pl.Int64,  # step of the checkpoint that the residuals come from
    "problem": pl.String,
    "sample": pl.Int64,
    "split": pl.String,
    "level": pl.String,
    "depth": pl.Int64,
    "truncated": pl.Boolean,
    "reward": pl.Float64,
    "correct": pl.Boolean,
    "valid": pl.Boolean,
    "lucky": pl.Boolean,
    "coherent": pl.Boolean,
    "format": pl.String,
    "shortcut": pl.String,
    "first_error": pl.Int64,
}
"""Columns of the documents. (run, step, problem, sample) joins them to rollouts."""
_ROLLOUT_COLUMNS = [name for name in DOCUMENT_SCHEMA if name not in ("length", "prompt", "corpus", "reader")]


def n_tokens(rollout: Rollout) -> int:
    """Tokens of prompt and completion."""
    return len(rollout.prompt_ids) + len(rollout.tokens)


def document_table(rollouts: Sequence[Rollout], *, corpus: str, reader: int) -> pl.DataFrame:
    """A row per rollout, with the columns of `DOCUMENT_SCHEMA`. `reader` is the step of the reading checkpoint."""
    columns = {name: [getattr(rollout, name) for rollout in rollouts] for name in _ROLLOUT_COLUMNS} | {
        "length": [n_tokens(rollout) for rollout in rollouts],
        "prompt": [len(rollout.prompt_ids) for rollout in rollouts],
        "corpus": [corpus] * len(rollouts),
        "reader": [reader] * len(rollouts),
    }
    return pl.DataFrame(columns, schema=DOCUMENT_SCHEMA)


def token_table(rollouts: Sequence[Rollout]) -> TokenTable:
    """All tokens of the rollouts, prompts included, one rollout after another."""
    codes = {role: code for code, role in enumerate(STORED_ROLES)}
    lengths = torch.tensor([n_tokens(rollout) for rollout in rollouts])
    prompts = torch.tensor([len(rollout.prompt_ids) for rollout in rollouts])
    position = torch.arange(int(lengths.sum())) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    roles = (((codes[PROMPT],) * len(row.prompt_ids), (codes[role] for role in row.roles)) for row in rollouts)
    return TokenTable(
        ids=_concatenate(((row.prompt_ids, row.tokens) for row in rollouts), np.int32),
        document=torch.arange(len(rollouts), dtype=torch.int32).repeat_interleave(lengths),
        position=position.int(),
        role=_concatenate(roles, np.uint8),
        completion=position >= prompts.repeat_interleave(lengths),
    )


def compute_document_residuals(
    policy: Policy,
    ids: Int[Tensor, " n"],
    lengths: Sequence[int],
    layers: Sequence[int],
    *,
    dtype: torch.dtype,
    micro_tokens: int,
    site: str = RESID_POST,
) -> dict[int, Float[Tensor, "n D"]]:
    """Residuals of all tokens of documents, or the activations of another site of the layers, by layer, on the CPU.
    `ids` holds documents of `lengths` one after another.

    Documents of similar length are read together, padded on the right, at most `micro_tokens` tokens in one forward.
    All layers come from the same forward."""
    documents = ids.long().split(list(lengths))
    ends = torch.tensor(list(lengths)).cumsum(0).tolist()
    sites = {layer: Site(layer, site) for layer in layers}
    residuals = {layer: torch.empty(len(ids), policy.d_model, dtype=dtype) for layer in layers}
    for batch in batches_by_length([()] * len(documents), [range(n) for n in lengths], micro_tokens):
        ids_BL = pad_sequence([documents[i] for i in batch], batch_first=True, padding_value=policy.pad_id)
        lengths_B = torch.tensor([lengths[i] for i in batch])
        mask_BL = torch.arange(ids_BL.shape[1]) < lengths_B[:, None]
        real = mask_BL.flatten().nonzero()[:, 0].to(policy.device)
        starts_B = torch.tensor([ends[i] for i in batch]) - lengths_B
        places = (starts_B[:, None] + torch.arange(ids_BL.shape[1]))[mask_BL]
        captured = compute_residuals(
            policy.model, ids_BL.to(policy.device), mask_BL.long().to(policy.device), list(sites.values())
        )
        for layer, place in sites.items():
            residuals[layer][places] = captured[place].flatten(0, 1).index_select(0, real).to(dtype).cpu()
    return residuals


def _concatenate(parts: Iterable[Iterable[Iterable[int]]], dtype: Any) -> Tensor:
    return torch.from_numpy(np.fromiter(chain.from_iterable(chain.from_iterable(parts)), dtype))
