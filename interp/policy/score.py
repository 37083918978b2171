"""What a policy thinks of given completions: teacher-forced log-probabilities and entropies.

Prompts are padded on the left and completions on the right, so that all completions of a micro-batch start in the
same column and the head is applied to completion columns alone: prompt logits are never made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from interp.artifacts import BadInput
from interp.device import evaluating
from interp.policy.sample import entropy, pad_left, positions

SLICE = 1024
"""Tokens whose logits are worked on at once."""


@dataclass(frozen=True)
class Aligned:
    """Rows whose completions all begin at column `start`."""

    ids_BL: Int[Tensor, "B L"]
    mask_BL: Int[Tensor, "B L"]
    start: int


def align(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], pad: int, device: torch.device
) -> Aligned:
    ids_PL, mask_PL = pad_left(prompts, pad, device)
    reversed_ids, reversed_mask = pad_left([list(reversed(row)) for row in completions], pad, device)
    ids_BL = torch.cat([ids_PL, reversed_ids.flip(-1)], dim=1)
    return Aligned(ids_BL, torch.cat([mask_PL, reversed_mask.flip(-1)], dim=1), ids_PL.shape[1])


def completion_logits(model: PreTrainedModel, rows: Aligned) -> Float[Tensor, "B T V"]:
    """The logits that predict each completion token. Differentiable."""
    length = rows.ids_BL.shape[1] - rows.start
    out = model(
        input_ids=rows.ids_BL,
        attention_mask=rows.mask_BL,
        position_ids=positions(rows.mask_BL),
        use_cache=False,
        logits_to_keep=length + 1,
    )
    return out.logits[:, -length - 1 : -1]


def completion_logits_of_groups(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], pad: int
) -> tuple[Float[Tensor, "B T V"], Int[Tensor, "B T"]]:
    """The same logits, and the tokens they predict, where many rows answer the same prompt: each prompt is read once
    and its keys and values are shared. Differentiable, through the sharing too."""
    once, asked_B = distinct(prompts)
    asked_B = asked_B.to(model.device)
    ids_PL, mask_PL = pad_left(once, pad, model.device)
    rows = align([[pad]] * len(completions), completions, pad, model.device)
    tokens_BT, mask_BT = rows.ids_BL[:, 1:], rows.mask_BL[:, 1:]
    cache = DynamicCache(config=model.config)
    read = model(
        input_ids=ids_PL,
        attention_mask=mask_PL,
        position_ids=positions(mask_PL),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    first_B1V = read.logits[asked_B]
    if tokens_BT.shape[1] == 1:
        return first_B1V, tokens_BT
    cache.batch_select_indices(asked_B)
    mask_BL = torch.cat([mask_PL[asked_B], mask_BT], dim=1)[:, :-1]
    later = model(
        input_ids=tokens_BT[:, :-1],
        attention_mask=mask_BL,
        position_ids=positions(mask_BL)[:, ids_PL.shape[1] :],
        past_key_values=cache,
        use_cache=True,
    )
    return torch.cat([first_B1V, later.logits], dim=1), tokens_BT


def distinct(prompts: Sequence[Sequence[int]]) -> tuple[list[Sequence[int]], Int[Tensor, " B"]]:
    """Each prompt once, and which of those each was."""
    places: dict[tuple[int, ...], int] = {}
    asked_B = torch.tensor([places.setdefault(tuple(prompt), len(places)) for prompt in prompts])
    return list(places), asked_B


def logprobs_and_entropies(
    logits_BTV: Float[Tensor, "B T V"], tokens_BT: Int[Tensor, "B T"], temperature: float = 1.0
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    """Of given tokens. The log-probabilities carry gradient, the entropies do not. In float32, a slice of rows at a
    time: over a large vocabulary the copies that a softmax makes are what fills the memory."""
    rows = max(1, SLICE // logits_BTV.shape[1])
    parts = [
        _logprobs_and_entropies(logits.float() / temperature, tokens)
        for logits, tokens in zip(logits_BTV.split(rows), tokens_BT.split(rows), strict=True)
    ]
    return torch.cat([logprobs for logprobs, _ in parts]), torch.cat([entropies for _, entropies in parts])


def _logprobs_and_entropies(logits_BTV: Tensor, tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
    total_BT = logits_BTV.logsumexp(-1)
    chosen_BT = logits_BTV.gather(-1, tokens_BT[..., None])[..., 0] - total_BT
    with torch.no_grad():
        entropies_BT = entropy(logits_BTV - total_BT[..., None])
    return chosen_BT, entropies_BT


@torch.no_grad()
def score(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    pad: int,
    context: int,
    temperature: float = 1.0,
    micro_tokens: int = 4096,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    """Log-probabilities and entropies of every completion token, zero beyond the end of a row, on the CPU."""
    if len(prompts) != len(completions):
        raise BadInput(f"expected a completion for each of {len(prompts)} prompts, got {len(completions)} completions")
    for at, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        if not 0 < len(prompt) <= context - len(completion):
            raise BadInput(
                f"a prompt and its completion must have up to {context} tokens, one of the prompt's at least; "
                f"row {at} has {len(prompt)} + {len(completion)}"
            )
    longest = max(map(len, completions), default=0)
    logprobs_BT, entropies_BT = torch.zeros(2, len(prompts), longest)
    with evaluating(model):
        for batch in by_length(prompts, completions, micro_tokens):
            rows = align([prompts[i] for i in batch], [completions[i] for i in batch], pad, model.device)
            tokens_BT = rows.ids_BL[:, rows.start :]
            logp, entropy = logprobs_and_entropies(completion_logits(model, rows), tokens_BT, temperature)
            real = rows.mask_BL[:, rows.start :]
            width = tokens_BT.shape[1]
            logprobs_BT[batch, :width] = (logp * real).cpu()
            entropies_BT[batch, :width] = (entropy * real).cpu()
    return logprobs_BT, entropies_BT


def by_length(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], micro_tokens: int
) -> Iterator[list[int]]:
    """Rows of like length together, so that little of a micro-batch is padding, and few enough that they, padded, keep
    within `micro_tokens` (or one row, if that is more). Those without a completion are left out."""
    written = [i for i in range(len(prompts)) if len(completions[i])]
    batch: list[int] = []
    widest = 0
    for i in sorted(written, key=lambda i: (len(completions[i]), len(prompts[i]))):
        widest = max(widest, len(prompts[i]))
        if batch and (len(batch) + 1) * (len(completions[i]) + widest) > micro_tokens:
            yield batch
            batch, widest = [], len(prompts[i])
        batch.append(i)
    if batch:
        yield batch
