"""What a policy thinks of given completions: teacher-forced log-probabilities and entropies.

Prompts are padded on the left and completions on the right, so that all completions of a micro-batch start in the
same column and the head is applied to completion columns alone: prompt logits are never made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from interp.artifacts import BadInput
from interp.policy.modes import evaluating
from interp.policy.sample import pad_left, positions


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


def logprobs_and_entropies(
    logits_BTV: Float[Tensor, "B T V"], tokens_BT: Int[Tensor, "B T"], temperature: float = 1.0
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    logp_BTV = torch.log_softmax(logits_BTV.float() / temperature, dim=-1)
    chosen_BT = logp_BTV.gather(-1, tokens_BT[..., None])[..., 0]
    return chosen_BT, torch.special.entr(logp_BTV.exp()).sum(-1)


@torch.no_grad()
def score(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    pad: int,
    temperature: float = 1.0,
    micro_batch: int = 64,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    """Log-probabilities and entropies of every completion token, zero beyond the end of a row, on the CPU."""
    if len(prompts) != len(completions):
        raise BadInput(f"expected a completion for each of {len(prompts)} prompts, got {len(completions)} completions")
    longest = max(map(len, completions), default=0)
    logprobs_BT, entropies_BT = torch.zeros(2, len(prompts), longest)
    with evaluating(model):
        for batch in _by_length(prompts, completions, micro_batch):
            rows = align([prompts[i] for i in batch], [completions[i] for i in batch], pad, model.device)
            tokens_BT = rows.ids_BL[:, rows.start :]
            logp, entropy = logprobs_and_entropies(completion_logits(model, rows), tokens_BT, temperature)
            real = rows.mask_BL[:, rows.start :]
            width = tokens_BT.shape[1]
            logprobs_BT[batch, :width] = (logp * real).cpu()
            entropies_BT[batch, :width] = (entropy * real).cpu()
    return logprobs_BT, entropies_BT


def _by_length(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], size: int
) -> Iterator[list[int]]:
    """Rows of like length together, so that little of a micro-batch is padding. Empty rows are left out."""
    written = [i for i in range(len(prompts)) if len(completions[i])]
    order = sorted(written, key=lambda i: (len(completions[i]), len(prompts[i])))
    for at in range(0, len(order), size):
        yield order[at : at + size]
