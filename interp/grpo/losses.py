"""The policy gradient of a batch, token by token.

    loss = - sum_t  share_t  (surrogate_t - beta k3_t)

`shares` says what each token counts for in the whole batch, so that a sum over micro-batches is the loss of the
batch, however it was cut. Advantages are per token, (B, L). Deviation from the GSPO paper: its ratio is that of the
whole completion, but each token's gradient is its own (the paper's GSPO-token), without which credit inside a rollout
would average away; with one advantage for all tokens the two are the same.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.grpo.config import Objective, Reduction


def shares(mask_BL: Bool[Tensor, "B L"], reduction: Reduction, limit: int) -> Float[Tensor, "B L"]:
    """What each token counts for. `limit` is the longest a completion may be. Rollouts without tokens count as
    rollouts."""
    real_BL = mask_BL.float()
    match reduction:
        case "rollout":
            return real_BL / real_BL.sum(1, keepdim=True).clamp(min=1) / len(real_BL)
        case "token":
            return real_BL / real_BL.sum().clamp(min=1)
        case "longest":
            return real_BL / (len(real_BL) * limit)


def surrogate(
    objective: Objective,
    logprobs_BL: Float[Tensor, "B L"],
    old_BL: Float[Tensor, "B L"],
    advantages_BL: Float[Tensor, "B L"],
    mask_BL: Bool[Tensor, "B L"],
) -> tuple[Float[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """What is to be made large at each token, and where clipping has cut its gradient off (or, for a bounded weight,
    where the bound was met). Only `logprobs` carry gradient."""
    log_ratio_BL = (logprobs_BL - old_BL) * mask_BL
    low, high = 1 - objective.clip_low, 1 + objective.clip_high
    if objective.ratio == "weight":
        weight_BL = log_ratio_BL.detach().exp()
        return weight_BL.clamp(max=high) * advantages_BL * logprobs_BL, (weight_BL > high) & (
            advantages_BL > 0
        ) & mask_BL
    if objective.ratio == "sequence":
        log_ratio_BL = _of_completion(log_ratio_BL, mask_BL)
    ratio_BL = log_ratio_BL.exp()
    free_BL, held_BL = ratio_BL * advantages_BL, ratio_BL.clamp(low, high) * advantages_BL
    return torch.minimum(free_BL, held_BL), (held_BL < free_BL) & mask_BL


def _of_completion(log_ratio_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """The mean over a completion as value; as gradient, each token's own."""
    lengths_B = mask_BL.sum(1, keepdim=True).clamp(min=1)
    mean_BL = (log_ratio_BL.sum(1, keepdim=True) / lengths_B).detach()
    return mean_BL + (log_ratio_BL - log_ratio_BL.detach())


def k3(logprobs_BL: Float[Tensor, "B L"], reference_BL: Float[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """An estimate of KL(policy || reference) from tokens the policy drew: unbiased, and never negative. Its gradient is
    the literature's, which is not that of the KL."""
    beyond_BL = reference_BL - logprobs_BL
    return beyond_BL.expm1() - beyond_BL  # exp() - 1 would lose policies that are close, and dip below zero
