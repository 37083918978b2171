"""From rollouts to what a store keeps of them: residuals, token table, documents."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from interp.activations import TokenTable
from interp.policy.policy import Policy
from interp.policy.residual import residuals
from interp.policy.score import by_length
from interp.rollouts.record import Rollout
from interp.tasks.base import ROLES

PROMPT = "prompt"
STORED_ROLES = (PROMPT, *ROLES)
DOCUMENTS: dict[str, Any] = {
    "length": pl.Int32,
    "prompt": pl.Int32,
    "corpus": pl.String,
    "run": pl.String,
    "step": pl.Int64,  # of the checkpoint that wrote the tokens
    "reader": pl.Int64,  # of the checkpoint whose residuals they are
    "problem": pl.String,
    "sample": pl.Int64,
    "split": pl.String,
    "bucket": pl.String,
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
"""Columns of the documents. (run, step, problem, sample) is the key that joins them."""
_OWN = [name for name in DOCUMENTS if name not in ("length", "prompt", "corpus", "reader")]


def length(rollout: Rollout) -> int:
    return len(rollout.prompt_ids) + len(rollout.tokens)


def frame_of(rollouts: Sequence[Rollout], *, corpus: str, reader: int) -> pl.DataFrame:
    columns = {name: [getattr(rollout, name) for rollout in rollouts] for name in _OWN} | {
        "length": [length(rollout) for rollout in rollouts],
        "prompt": [len(rollout.prompt_ids) for rollout in rollouts],
        "corpus": [corpus] * len(rollouts),
        "reader": [reader] * len(rollouts),
    }
    return pl.DataFrame(columns, schema=DOCUMENTS)


def table_of(rollouts: Sequence[Rollout]) -> TokenTable:
    """Prompts included."""
    codes = {role: code for code, role in enumerate(STORED_ROLES)}
    lengths = torch.tensor([length(rollout) for rollout in rollouts])
    prompts = torch.tensor([len(rollout.prompt_ids) for rollout in rollouts])
    place = torch.arange(int(lengths.sum())) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    roles = (((codes[PROMPT],) * len(row.prompt_ids), (codes[role] for role in row.roles)) for row in rollouts)
    return TokenTable(
        ids=_flat(((row.prompt_ids, row.tokens) for row in rollouts), np.int32),
        document=torch.arange(len(rollouts), dtype=torch.int32).repeat_interleave(lengths),
        position=place.int(),
        role=_flat(roles, np.uint8),
        completion=place >= prompts.repeat_interleave(lengths),
    )


def residuals_of(
    policy: Policy,
    ids: Int[Tensor, " n"],
    lengths: Sequence[int],
    layers: Sequence[int],
    *,
    dtype: torch.dtype,
    micro_tokens: int,
) -> dict[int, Float[Tensor, "n D"]]:
    """Of documents that stand one after another in `ids`, on the CPU. Rows of like length are read together, padded on
    the right; all layers in one forward."""
    rows = ids.long().split(list(lengths))
    ends = torch.tensor(list(lengths)).cumsum(0).tolist()
    held = {layer: torch.empty(len(ids), policy.d_model, dtype=dtype) for layer in layers}
    for batch in by_length([()] * len(rows), [range(n) for n in lengths], micro_tokens):
        ids_BL = pad_sequence([rows[at] for at in batch], batch_first=True, padding_value=policy.pad)
        lengths_B = torch.tensor([lengths[at] for at in batch])
        mask_BL = torch.arange(ids_BL.shape[1]) < lengths_B[:, None]
        real = mask_BL.flatten().nonzero()[:, 0].to(policy.device)
        starts_B = torch.tensor([ends[at] for at in batch]) - lengths_B
        places = (starts_B[:, None] + torch.arange(ids_BL.shape[1]))[mask_BL]
        caught = residuals(policy.model, ids_BL.to(policy.device), mask_BL.long().to(policy.device), layers)
        for layer, resid_BLD in caught.items():
            held[layer][places] = resid_BLD.flatten(0, 1).index_select(0, real).to(dtype).cpu()
    return held


def _flat(parts: Iterable[Iterable[Iterable[int]]], kind: Any) -> Tensor:
    return torch.from_numpy(np.fromiter(chain.from_iterable(chain.from_iterable(parts)), kind))
