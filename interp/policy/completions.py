"""Residuals of what was written, where many completions answer the same prompt.

Of the rows that are read together each prompt is read once, and its keys and values are shared by all that answer it.
The forward ends at the layer asked for.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from interp.device import evaluating
from interp.policy.policy import Policy
from interp.policy.residual import capturing
from interp.policy.sample import pad_left, positions
from interp.policy.score import align, by_length, distinct


@torch.no_grad()
def written_residuals(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    layer: int,
    *,
    micro_tokens: int,
) -> Float[Tensor, "N D"]:
    """At every token of every completion, one completion after another, in float32 on the CPU."""
    starts = torch.tensor([0, *map(len, completions)]).cumsum(0)
    held_ND = torch.empty(int(starts[-1]), policy.d_model)
    with evaluating(policy.model):
        for batch in by_length(prompts, completions, micro_tokens):
            asked, told = [prompts[at] for at in batch], [completions[at] for at in batch]
            x_BTD = _of_one_batch(policy, asked, told, layer).float().cpu()
            for at, x_TD in zip(batch, x_BTD, strict=True):
                held_ND[starts[at] : starts[at + 1]] = x_TD[: len(completions[at])]
    return held_ND


def _of_one_batch(
    policy: Policy, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], layer: int
) -> Float[Tensor, "B T D"]:
    model, device = policy.model, policy.device
    once, asked_B = distinct(prompts)
    ids_PL, mask_PL = pad_left(once, policy.pad, device)
    rows = align([[policy.pad]] * len(completions), completions, policy.pad, device)  # a prompt to be cut off again
    ids_BT, mask_BT = rows.ids_BL[:, rows.start :], rows.mask_BL[:, rows.start :]
    cache = DynamicCache(config=model.config)
    told = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
    with capturing(model, [layer]):
        model(input_ids=ids_PL, attention_mask=mask_PL, position_ids=positions(mask_PL), **told)
    cache.batch_select_indices(asked_B.to(device))
    mask_BL = torch.cat([mask_PL[asked_B], mask_BT], dim=1)
    places_BT = positions(mask_BL)[:, ids_PL.shape[1] :]
    with capturing(model, [layer]) as caught:
        model(input_ids=ids_BT, attention_mask=mask_BL, position_ids=places_BT, **told)
    return caught[layer]
