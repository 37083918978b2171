"""Read completions: the residual at every token, and its log-probability.

In a micro-batch each distinct prompt is read once; all its completions share its keys and values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from interp.device import eval_mode
from interp.policy.residual import AnyLayer, Layer, capture_residuals
from interp.policy.sample import pad_left, position_ids
from interp.policy.score import align_rows, batches_by_length, logprobs_and_entropies, unique_prompts


@dataclass(frozen=True)
class CompletionReading:
    """What a model says at the N tokens of some completions, one completion after another."""

    logprob_N: Float[Tensor, " N"]
    residuals: Mapping[Layer, Float[Tensor, "N D"]]
    prompt_ends: Mapping[Layer, Float[Tensor, "B D"]]
    """The residuals at the last token of each prompt; NaN where a completion has no token."""


@torch.no_grad()
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
    starts = torch.tensor([0, *map(len, completions)]).cumsum(0)
    resid_ND = torch.empty(int(starts[-1]), model.config.hidden_size)
    with eval_mode(model):
        for batch in batches_by_length(prompts, completions, micro_tokens):
            rows = [completions[i] for i in batch]
            _, residuals, _ = _read_batch(model, [prompts[i] for i in batch], rows, [layer], pad, stop=True)
            for i, resid_TD in zip(batch, residuals[layer].float().cpu(), strict=True):
                resid_ND[starts[i] : starts[i + 1]] = resid_TD[: len(completions[i])]
    return resid_ND


@torch.no_grad()
def read_completions(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    layers: Sequence[AnyLayer],
    *,
    pad: int,
    micro_tokens: int,
) -> CompletionReading:
    """The log-probability of every completion token, and the residuals at it and at the end of each prompt, in float32
    on the CPU. All are from the same forwards."""
    starts = torch.tensor([0, *map(len, completions)]).cumsum(0)
    d_model, logprob_N = model.config.hidden_size, torch.empty(int(starts[-1]))
    residuals = {layer: torch.empty(len(logprob_N), d_model) for layer in layers}
    prompt_ends = {layer: torch.full((len(prompts), d_model), torch.nan) for layer in layers}
    with eval_mode(model):
        for batch in batches_by_length(prompts, completions, micro_tokens):
            rows = [completions[i] for i in batch]
            logits_BTV, captured, ends = _read_batch(model, [prompts[i] for i in batch], rows, layers, pad, stop=False)
            for layer, resid_BD in ends.items():
                prompt_ends[layer][batch] = resid_BD.float().cpu()
            tokens_BT = align_rows([[pad]] * len(rows), rows, pad, model.device).ids_BL[:, 1:]
            logprobs_BT = logprobs_and_entropies(logits_BTV, tokens_BT, 1.0)[0].float().cpu()
            for row, i in enumerate(batch):
                logprob_N[starts[i] : starts[i + 1]] = logprobs_BT[row, : len(rows[row])]
                for layer, resid_BTD in captured.items():
                    residuals[layer][starts[i] : starts[i + 1]] = resid_BTD[row, : len(rows[row])].float().cpu()
    return CompletionReading(logprob_N, residuals, prompt_ends)


def _read_batch(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    layers: Sequence[AnyLayer],
    pad: int,
    *,
    stop: bool,
) -> tuple[Any, dict[AnyLayer, Float[Tensor, "B T D"]], dict[AnyLayer, Float[Tensor, "B D"]]]:
    """The logits that predict each completion token, the residuals at it, and those at the last token of the prompt.
    With `stop`, forwards end at the deepest layer, and there are no logits."""
    distinct, prompt_B = unique_prompts(prompts)
    prompt_B = prompt_B.to(model.device)
    prompt_ids_PL, prompt_mask_PL = pad_left(distinct, pad, model.device)
    rows = align_rows([[pad]] * len(completions), completions, pad, model.device)  # the one-token prompts are dropped
    ids_BT, mask_BT = rows.ids_BL[:, rows.start :], rows.mask_BL[:, rows.start :]
    cache, at_prompt_PL = DynamicCache(config=model.config), position_ids(prompt_mask_PL)
    common: dict[str, Any] = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
    logits_BTV: Any = None
    with capture_residuals(model, layers, stop=stop) as at_prompt:
        prefill = model(input_ids=prompt_ids_PL, attention_mask=prompt_mask_PL, position_ids=at_prompt_PL, **common)
        logits_BTV = prefill.logits[prompt_B]
    cache.batch_select_indices(prompt_B)
    mask_BL = torch.cat([prompt_mask_PL[prompt_B], mask_BT], dim=1)
    position_ids_BT = position_ids(mask_BL)[:, prompt_ids_PL.shape[1] :]
    common["logits_to_keep"] = 0  # all
    with capture_residuals(model, layers, stop=stop) as residuals:
        out = model(input_ids=ids_BT, attention_mask=mask_BL, position_ids=position_ids_BT, **common)
        logits_BTV = torch.cat([logits_BTV, out.logits[:, :-1]], 1)
    return logits_BTV, residuals, {layer: resid_PLD[prompt_B, -1] for layer, resid_PLD in at_prompt.items()}
