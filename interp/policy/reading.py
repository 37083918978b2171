"""Read completions: residuals at their tokens, and the log-probability of every token.

In a micro-batch each distinct prompt is read once; all its completions share its keys and values. Only what is asked
for is made: without log-probabilities forwards stop at the deepest layer, and of each layer only the residuals of the
tokens that are asked for are kept. Where logits would be many, they are made a slice of tokens at a time (`head.py`);
that may change their last bits, so where they are few they are made at once.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from interp.device import eval_mode
from interp.policy.head import has_many_logits, hidden_states, sliced_logprobs
from interp.policy.residual import AnyLayer, Layer, capture_residuals
from interp.policy.sample import pad_left, position_ids
from interp.policy.score import align_rows, batches_by_length, token_logprobs, unique_prompts


@dataclass(frozen=True)
class CompletionReading:
    """What a model says at the N tokens of some completions, one completion after another."""

    logprob_N: Float[Tensor, " N"]
    """NaN where log-probabilities were not asked for."""
    residuals: Mapping[Layer, Float[Tensor, "S D"]]
    """The residuals at the tokens that were asked for, in their order."""
    prompt_ends: Mapping[Layer, Float[Tensor, "B D"]]
    """The residuals at the last token of each prompt; NaN where a completion has no token."""


def completion_residuals(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    layer: Layer,
    *,
    pad: int,
    micro_tokens: int,
) -> Float[Tensor, "N D"]:
    """The residual at every token of every completion, one completion after another, in float32 on the CPU.

    Forwards stop at the layer."""
    reading = read_completions(model, prompts, completions, [layer], logprobs=False, pad=pad, micro_tokens=micro_tokens)
    return reading.residuals[layer]


@torch.no_grad()
def read_completions(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    layers: Sequence[AnyLayer] | Mapping[AnyLayer, Bool[Tensor, " N"]],
    *,
    logprobs: bool = True,
    pad: int,
    micro_tokens: int,
) -> CompletionReading:
    """The log-probability of every completion token, and the residuals at it and at the end of each prompt, in float32
    on the CPU. All are from the same forwards.

    `layers` may say for each layer at which of all N tokens residuals are kept; a list keeps those of all tokens."""
    starts_B = torch.tensor([0, *map(len, completions)]).cumsum(0)
    n, d_model = int(starts_B[-1]), model.config.hidden_size
    mask_of = dict(layers) if isinstance(layers, Mapping) else {layer: torch.ones(n).bool() for layer in layers}
    place_of = {layer: kept_N.cumsum(0) - 1 for layer, kept_N in mask_of.items()}
    logprob_N = torch.full((n,), torch.nan)
    residuals = {layer: torch.empty(int(kept_N.sum()), d_model) for layer, kept_N in mask_of.items()}
    prompt_ends = {layer: torch.full((len(prompts), d_model), torch.nan) for layer in mask_of}
    with eval_mode(model):
        for batch in batches_by_length(prompts, completions, micro_tokens) if mask_of or logprobs else ():
            rows = [completions[i] for i in batch]
            read = _read_batch(model, [prompts[i] for i in batch], rows, list(mask_of), pad, logprobs=logprobs)
            lengths_R = torch.tensor([len(row) for row in rows])
            is_token_RT = torch.arange(int(lengths_R.max())) < lengths_R[:, None]
            index_S = (starts_B[batch, None] + torch.arange(is_token_RT.shape[1]))[is_token_RT]
            if read.logprob_BT is not None:
                logprob_N[index_S] = read.logprob_BT.float().cpu()[is_token_RT]
            for layer, resid_RTD in read.residuals.items():
                is_kept_S = mask_of[layer][index_S]
                is_kept_RT = is_token_RT.masked_scatter(is_token_RT, is_kept_S)
                kept_SD = resid_RTD[is_kept_RT.to(resid_RTD.device)]
                residuals[layer][place_of[layer][index_S[is_kept_S]]] = kept_SD.float().cpu()
                prompt_ends[layer][batch] = read.prompt_ends[layer].float().cpu()
    return CompletionReading(logprob_N, residuals, prompt_ends)


@dataclass(frozen=True)
class _BatchReading:
    """What a model says at a micro-batch, on its device."""

    logprob_BT: Float[Tensor, "B T"] | None
    residuals: Mapping[Any, Float[Tensor, "B T D"]]
    prompt_ends: Mapping[Any, Float[Tensor, "B D"]]


def _read_batch(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    layers: Sequence[AnyLayer],
    pad: int,
    *,
    logprobs: bool,
) -> _BatchReading:
    """Without `logprobs`, forwards end at the deepest layer."""
    distinct, prompt_B = unique_prompts(prompts)
    prompt_B = prompt_B.to(model.device)
    prompt_ids_PL, prompt_mask_PL = pad_left(distinct, pad, model.device)
    rows = align_rows([[pad]] * len(completions), completions, pad, model.device)  # the one-token prompts are dropped
    ids_BT, mask_BT = rows.ids_BL[:, rows.start :], rows.mask_BL[:, rows.start :]
    cache, at_prompt_PL = DynamicCache(config=model.config), position_ids(prompt_mask_PL)
    common: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
    first_B1V: Any = None
    with capture_residuals(model, layers, stop=not logprobs) as at_prompt:
        prefill = model(
            input_ids=prompt_ids_PL,
            attention_mask=prompt_mask_PL,
            position_ids=at_prompt_PL,
            logits_to_keep=1,
            **common,
        )
        first_B1V = prefill.logits[prompt_B]
    ends = {layer: resid_PLD[prompt_B, -1] for layer, resid_PLD in at_prompt.items()}
    cache.batch_select_indices(prompt_B)
    mask_BL = torch.cat([prompt_mask_PL[prompt_B], mask_BT], dim=1)
    common |= {"attention_mask": mask_BL, "position_ids": position_ids(mask_BL)[:, prompt_ids_PL.shape[1] :]}
    if not logprobs:
        with capture_residuals(model, layers) as residuals:
            model(input_ids=ids_BT, logits_to_keep=1, **common)
        return _BatchReading(None, residuals, ends)
    is_sliced = has_many_logits(model, ids_BT.numel())
    with (
        capture_residuals(model, layers, stop=False) as residuals,
        hidden_states(model) if is_sliced else nullcontext([]) as hidden,
    ):
        logits_BTV = model(input_ids=ids_BT, logits_to_keep=1 if is_sliced else 0, **common).logits  # 0: all
    del cache, common
    if is_sliced:
        return _BatchReading(_sliced(model, first_B1V, hidden[0], ids_BT), residuals, ends)
    logits_BTV = torch.cat([first_B1V, logits_BTV[:, :-1]], 1)
    return _BatchReading(token_logprobs(logits_BTV, ids_BT), residuals, ends)


def _sliced(
    model: PreTrainedModel, first_B1V: Tensor, hidden_BTD: Tensor, ids_BT: Int[Tensor, "B T"]
) -> Float[Tensor, "B T"]:
    """Log-probabilities from the logits of the first tokens, and from the hidden states that predict the others."""
    first_B1 = token_logprobs(first_B1V, ids_BT[:, :1])
    if ids_BT.shape[1] == 1:
        return first_B1
    return torch.cat([first_B1, sliced_logprobs(model, hidden_BTD[:, :-1], ids_BT[:, 1:])], 1)
