"""Log-probabilities and entropies of given completions under a policy: teacher-forced, batched by length.

    logprob_t = log p(token_t | prompt, tokens before t)        entropy_t = - sum_v p_t(v) log p_t(v)

Prompts are padded on the left and completions on the right, so that all completions of a micro-batch start in the same
column. The head is applied to completion columns alone: the logits of prompts are never computed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from interp.artifacts import BadInput
from interp.device import eval_mode
from interp.policy.sample import entropy, pad_left, position_ids

TOKENS_PER_SLICE = 1024
"""Tokens whose log-probabilities are computed at once. A softmax over a large vocabulary copies all logits, which would
fill the memory."""


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
    """Log-probability and entropy (nats) of every completion token, zero beyond the end of a row, on the CPU."""
    if len(prompts) != len(completions):
        raise BadInput(f"expected a completion for each of {len(prompts)} prompts, got {len(completions)} completions")
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        if not 0 < len(prompt) <= context - len(completion):
            raise BadInput(
                f"expected a prompt of at least one token, and with its completion up to {context} tokens; "
                f"row {row} has {len(prompt)} + {len(completion)}"
            )
    longest = max(map(len, completions), default=0)
    logprobs_BT, entropies_BT = torch.zeros(2, len(prompts), longest)
    with eval_mode(model):
        for batch in batches_by_length(prompts, completions, micro_tokens):
            rows = align_rows([prompts[i] for i in batch], [completions[i] for i in batch], pad, model.device)
            tokens_BT, mask_BT = rows.ids_BL[:, rows.start :], rows.mask_BL[:, rows.start :]
            logp_BT, entropy_BT = logprobs_and_entropies(completion_logits(model, rows), tokens_BT, temperature)
            width = tokens_BT.shape[1]
            logprobs_BT[batch, :width] = (logp_BT * mask_BT).cpu()
            entropies_BT[batch, :width] = (entropy_BT * mask_BT).cpu()
    return logprobs_BT, entropies_BT


@dataclass(frozen=True)
class AlignedRows:
    """Prompts and completions, padded so that every completion begins at column `start`."""

    ids_BL: Int[Tensor, "B L"]
    mask_BL: Int[Tensor, "B L"]
    start: int


def align_rows(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], pad: int, device: torch.device
) -> AlignedRows:
    """Prompts padded on the left, completions padded on the right."""
    ids_PL, mask_PL = pad_left(prompts, pad, device)
    reversed_ids, reversed_mask = pad_left([list(reversed(row)) for row in completions], pad, device)
    ids_BL = torch.cat([ids_PL, reversed_ids.flip(-1)], dim=1)
    return AlignedRows(ids_BL, torch.cat([mask_PL, reversed_mask.flip(-1)], dim=1), ids_PL.shape[1])


def batches_by_length(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], micro_tokens: int
) -> Iterator[list[int]]:
    """Micro-batches of row indices: rows of similar length together, so that little of a batch is padding.

    Padded, a batch has at most `micro_tokens` tokens, or is one row. Rows with an empty completion are left out."""
    nonempty = [i for i in range(len(prompts)) if len(completions[i])]
    batch: list[int] = []
    longest_prompt = 0
    for i in sorted(nonempty, key=lambda i: (len(completions[i]), len(prompts[i]))):
        longest_prompt = max(longest_prompt, len(prompts[i]))
        if batch and (len(batch) + 1) * (len(completions[i]) + longest_prompt) > micro_tokens:
            yield batch
            batch, longest_prompt = [], len(prompts[i])
        batch.append(i)
    if batch:
        yield batch


def completion_logits(model: PreTrainedModel, rows: AlignedRows) -> Float[Tensor, "B T V"]:
    """The logits that predict each completion token. Differentiable."""
    length = rows.ids_BL.shape[1] - rows.start
    out = model(
        input_ids=rows.ids_BL,
        attention_mask=rows.mask_BL,
        position_ids=position_ids(rows.mask_BL),
        use_cache=False,
        logits_to_keep=length + 1,
    )
    return out.logits[:, -length - 1 : -1]


def grouped_completion_logits(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], pad: int
) -> tuple[Float[Tensor, "B T V"], Int[Tensor, "B T"]]:
    """Completion logits and the tokens they predict, with each distinct prompt read once.

    The logits equal those of `completion_logits`. All completions of a prompt share its keys and values, through which
    gradients flow too."""
    distinct, prompt_B = unique_prompts(prompts)
    prompt_B = prompt_B.to(model.device)
    prompt_ids_PL, prompt_mask_PL = pad_left(distinct, pad, model.device)
    rows = align_rows([[pad]] * len(completions), completions, pad, model.device)  # the one-token prompts are dropped
    tokens_BT, mask_BT = rows.ids_BL[:, 1:], rows.mask_BL[:, 1:]
    cache = DynamicCache(config=model.config)
    prefill = model(
        input_ids=prompt_ids_PL,
        attention_mask=prompt_mask_PL,
        position_ids=position_ids(prompt_mask_PL),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    first_B1V = prefill.logits[prompt_B]
    if tokens_BT.shape[1] == 1:
        return first_B1V, tokens_BT
    cache.batch_select_indices(prompt_B)
    mask_BL = torch.cat([prompt_mask_PL[prompt_B], mask_BT], dim=1)[:, :-1]
    completion_out = model(
        input_ids=tokens_BT[:, :-1],
        attention_mask=mask_BL,
        position_ids=position_ids(mask_BL)[:, prompt_ids_PL.shape[1] :],
        past_key_values=cache,
        use_cache=True,
    )
    return torch.cat([first_B1V, completion_out.logits], dim=1), tokens_BT


def unique_prompts(prompts: Sequence[Sequence[int]]) -> tuple[list[Sequence[int]], Int[Tensor, " B"]]:
    """Each distinct prompt once, and for every row the index of its prompt among them."""
    indices: dict[tuple[int, ...], int] = {}
    prompt_B = torch.tensor([indices.setdefault(tuple(prompt), len(indices)) for prompt in prompts])
    return list(indices), prompt_B


def token_logprobs(logits_BTV: Float[Tensor, "B T V"], tokens_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """Log-probability of each token, in float32, a slice of rows at a time."""
    rows = max(1, TOKENS_PER_SLICE // logits_BTV.shape[1])
    slices = zip(logits_BTV.split(rows), tokens_BT.split(rows), strict=True)
    return torch.cat([_logprobs(logits.float(), tokens) for logits, tokens in slices])


def logprobs_and_entropies(
    logits_BTV: Float[Tensor, "B T V"], tokens_BT: Int[Tensor, "B T"], temperature: float = 1.0
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    """Log-probability of each token and entropy of its distribution, in float32, a slice of rows at a time.

    The log-probabilities carry gradient, the entropies do not."""
    rows = max(1, TOKENS_PER_SLICE // logits_BTV.shape[1])
    slices = [
        _logprobs_and_entropies(logits.float() / temperature, tokens)
        for logits, tokens in zip(logits_BTV.split(rows), tokens_BT.split(rows), strict=True)
    ]
    return torch.cat([logprobs for logprobs, _ in slices]), torch.cat([entropies for _, entropies in slices])


def _logprobs_and_entropies(logits_BTV: Tensor, tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
    logsumexp_BT = logits_BTV.logsumexp(-1)
    logprobs_BT = logits_BTV.gather(-1, tokens_BT[..., None])[..., 0] - logsumexp_BT
    with torch.no_grad():
        entropies_BT = entropy(logits_BTV - logsumexp_BT[..., None])
    return logprobs_BT, entropies_BT


def _logprobs(logits_BTV: Tensor, tokens_BT: Tensor) -> Tensor:
    return logits_BTV.gather(-1, tokens_BT[..., None])[..., 0] - logits_BTV.logsumexp(-1)
