"""What a report knows of each token of its rollouts: the active latents, at the checkpoint that reads it and at the
base; log-probabilities and entropy; advantage and credit; its role, and the step that it belongs to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from interp.dashboard.report import NONE, Report
from interp.encoding import encode_rollouts
from interp.rollouts.record import Rollout, TokenStep
from interp.tasks.base import TOKEN_ROLES
from interp.tsae.codes import Codes

if TYPE_CHECKING:
    from interp.dashboard.rollouts import Batch
    from interp.dashboard.tokens import TokenTexts
    from interp.policy import Policy
    from interp.tsae import TSAE

NO_STEP, STEP_RIGHT, STEP_WRONG, STEP_NOT_DUE = 0, 1, 2, 3
"""State of a token's step. A step of which not all is judged has no state, and its number all the same."""


@dataclass(eq=False)
class Reading:
    """A batch, and what was read of it. None where there was no policy or no dictionary."""

    batch: "Batch"
    live: Codes | None = None
    """Codes at each token, of the checkpoint that reads it."""
    base: Codes | None = None
    """Codes of the base on the same tokens."""
    base_logprobs: Float[ndarray, " N"] | None = None
    logprobs: Float[ndarray, " N"] | None = None
    """Log-probabilities under the reader, where another checkpoint wrote the text."""
    entropies: Float[ndarray, " N"] | None = None


def read_codes(
    tsae: "TSAE", policy: "Policy", layer: int, rows: Sequence[Rollout], *, micro_tokens: int
) -> Codes | None:
    """Codes at every completion token, one rollout after another. None without tokens."""
    written = [row for row in rows if row.tokens]
    chunks = encode_rollouts(tsae, policy, layer, written, micro_tokens=micro_tokens) if written else ()
    parts = [chunk.codes for chunk in chunks]
    return Codes.concat(parts) if parts else None


def split_codes(codes: Codes, counts: Sequence[int]) -> "list[Codes | None]":
    """Codes of consecutive tokens in parts of so many tokens; None for a part of none."""
    starts = np.cumsum([0, *counts])
    ends = np.searchsorted(codes.token_K.numpy(), starts)
    return [
        Codes(codes.token_K[a:b] - start, codes.latent_K[a:b], codes.value_K[a:b], count, codes.width)
        if count
        else None
        for start, count, a, b in zip(starts.tolist(), counts, ends.tolist(), ends[1:].tolist(), strict=False)
    ]


def read_logprobs(
    policy: "Policy", rows: Sequence[Rollout], *, temperature: float, micro_tokens: int
) -> tuple[Float[ndarray, " N"], Float[ndarray, " N"]]:
    """Log-probability and entropy of every completion token under a policy, one rollout after another."""
    prompts, completions = [list(row.prompt_ids) for row in rows], [list(row.tokens) for row in rows]
    scored = policy.score(prompts, completions, temperature=temperature, micro_tokens=micro_tokens)
    inside = torch.arange(scored[0].shape[1]) < torch.tensor([[len(each)] for each in completions])
    logprobs, entropies = (values[inside].double().numpy() for values in scored)
    return logprobs, entropies


def strongest(codes: Codes, count: int) -> tuple[Int[ndarray, "N K"], Float[ndarray, "N K"]]:
    """The strongest latents at each token, strongest first, and their activations; -1 and 0 beyond the active ones."""
    token_K, latent_K, value_K = codes.token_K.numpy(), codes.latent_K.numpy(), codes.value_K.double().numpy()
    order_K = np.lexsort((-value_K, token_K))
    token_K, latent_K, value_K = token_K[order_K], latent_K[order_K], value_K[order_K]
    rank_K = np.arange(len(token_K)) - np.searchsorted(token_K, np.arange(codes.tokens))[token_K]
    columns = min(count, int(rank_K.max(initial=-1)) + 1)
    latent_NK, value_NK = np.full((codes.tokens, columns), -1), np.zeros((codes.tokens, columns))
    inside = rank_K < columns
    latent_NK[token_K[inside], rank_K[inside]] = latent_K[inside]
    value_NK[token_K[inside], rank_K[inside]] = value_K[inside]
    return latent_NK, value_NK


def step_state(step: TokenStep) -> int:
    """Whether a step is right, its equation wrong, or true and not due; no state where that was not judged."""
    if step.holds is False:
        return STEP_WRONG
    if step.holds is None or step.follows is None:
        return NO_STEP
    return STEP_RIGHT if step.follows else STEP_NOT_DUE


def step_columns(row: Rollout) -> tuple[list[int], list[int]]:
    """State and number of the step of each token; 0 outside of steps."""
    states, numbers = [NO_STEP] * len(row.tokens), [0] * len(row.tokens)
    for number, step in enumerate(row.steps, 1):
        for token in range(step.start, step.end):
            states[token], numbers[token] = step_state(step), min(number, 2**16 - 1)
    return states, numbers


def add_block(
    report: Report,
    number: int,
    reading: Reading,
    texts: "TokenTexts",
    row_of_latent: Int[ndarray, " F"] | None,
    codes: int,
) -> dict[str, str | None]:
    """Add the arrays of a batch. Returns the name of the chunk of each, None where nothing was measured."""
    rows = reading.batch.rows
    columns: dict[str, Any] = {
        name: [value for row in rows for value in values_of(row)] for name, values_of in PER_TOKEN.items()
    }
    if reading.logprobs is not None:
        columns |= {"logprob": reading.logprobs, "entropy": reading.entropies}
    tokens = len(columns["token"])
    columns["base_logprob"] = np.full(tokens, np.nan) if reading.base_logprobs is None else reading.base_logprobs
    steps = [step_columns(row) for row in rows]
    columns["state"], columns["step"] = ([value for each in steps for value in each[part]] for part in (0, 1))
    columns["token"] = texts.rows(columns["token"])
    arrays: dict[str, str | None] = {
        name: report.add(f"block.{number}.{name}", values, TOKEN_DTYPES[name]) for name, values in columns.items()
    }
    for name, one in (("live", reading.live), ("base", reading.base)):
        arrays |= {f"{name}_latent": None, f"{name}_value": None}
        if one is not None and row_of_latent is not None:
            latent_NK, value_NK = strongest(one, codes)
            row_NK = np.where(latent_NK < 0, NONE, row_of_latent[latent_NK])
            arrays[f"{name}_latent"] = report.add(f"block.{number}.{name}_latent", row_NK, "u4")
            arrays[f"{name}_value"] = report.add(f"block.{number}.{name}_value", value_NK, "f2")
    return arrays


def _or_nan(values: Sequence[float] | None, row: Rollout) -> Sequence[float]:
    return [float("nan")] * len(row.tokens) if values is None else values


PER_TOKEN: dict[str, Any] = {
    "token": lambda row: row.tokens,
    "logprob": lambda row: row.logprobs,
    "entropy": lambda row: row.entropies,
    "advantage": lambda row: _or_nan(row.advantages, row),
    "credit": lambda row: _or_nan(row.credit, row),
    "role": lambda row: [
        TOKEN_ROLES.index(role) if role in TOKEN_ROLES else len(TOKEN_ROLES) - 1 for role in row.roles
    ],
}
"""What a record says of each of its tokens."""
TOKEN_DTYPES = {
    **dict.fromkeys(("logprob", "entropy", "advantage", "credit", "base_logprob"), "f2"),
    **{"token": "u4", "role": "u1", "state": "u1", "step": "u2"},
}
