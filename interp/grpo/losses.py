"""The policy gradient of a batch, token by token.

    loss = - sum_t  w_t (surrogate_t - beta k3_t)

    w_t (`token_weights`), for B rollouts:  1 / (B length)  "rollout" | 1 / tokens of the batch  "token"
                                          | 1 / (B limit)   "longest"
    surrogate_t (`surrogate`), with r_t = exp(logp_t - old_t) and clip(r) = clamp(r, 1 - clip_low, 1 + clip_high):
        ratio "token"     min(r_t A_t, clip(r_t) A_t)
        ratio "sequence"  the same, with r the exponential of the mean log ratio of the completion
        ratio "weight"    min(r_t, 1 + clip_high) A_t logp_t, where the factor before A_t is a constant
    k3_t (`k3`) = exp(ref_t - logp_t) - 1 - (ref_t - logp_t)

`token_weights` are relative to the whole batch, so a sum over micro-batches is the loss of the batch, however it is
cut. Advantages A are per token, (B, L).

Deviation from the GSPO paper: the ratio is that of the whole completion, but each token's gradient is its own (the
paper's GSPO-token). Otherwise credit inside a rollout would average away. With one advantage for all tokens of a
rollout the two are the same.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.grpo.config import Objective, Reduction


def token_weights(mask_BL: Bool[Tensor, "B L"], reduction: Reduction, limit: int) -> Float[Tensor, "B L"]:
    """The weight of each token in the loss. `limit` is the longest a completion may be.

    Rollouts without tokens count as rollouts."""
    mask_BL = mask_BL.float()
    match reduction:
        case "rollout":
            return mask_BL / mask_BL.sum(1, keepdim=True).clamp(min=1) / len(mask_BL)
        case "token":
            return mask_BL / mask_BL.sum().clamp(min=1)
        case "longest":
            return mask_BL / (len(mask_BL) * limit)


def surrogate(
    objective: Objective,
    logprobs_BL: Float[Tensor, "B L"],
    old_BL: Float[Tensor, "B L"],
    advantages_BL: Float[Tensor, "B L"],
    mask_BL: Bool[Tensor, "B L"],
) -> tuple[Float[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """The surrogate of each token, to be maximized, and where clipping cut its gradient.

    With ratio "weight" nothing is cut: the second is where the bound of the weight was met. Only `logprobs_BL` carries
    gradient."""
    log_ratio_BL = (logprobs_BL - old_BL) * mask_BL
    low, high = 1 - objective.clip_low, 1 + objective.clip_high
    if objective.ratio == "weight":
        weight_BL = log_ratio_BL.detach().exp()
        bounded_BL = (weight_BL > high) & (advantages_BL > 0) & mask_BL
        return weight_BL.clamp(max=high) * advantages_BL * logprobs_BL, bounded_BL
    if objective.ratio == "sequence":
        log_ratio_BL = _sequence_log_ratio(log_ratio_BL, mask_BL)
    ratio_BL = log_ratio_BL.exp()
    unclipped_BL, clipped_BL = ratio_BL * advantages_BL, ratio_BL.clamp(low, high) * advantages_BL
    return torch.minimum(unclipped_BL, clipped_BL), (clipped_BL < unclipped_BL) & mask_BL


def _sequence_log_ratio(log_ratio_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """In value the mean over the completion, in gradient each token's own."""
    lengths_B = mask_BL.sum(1, keepdim=True).clamp(min=1)
    mean_BL = (log_ratio_BL.sum(1, keepdim=True) / lengths_B).detach()
    return mean_BL + (log_ratio_BL - log_ratio_BL.detach())


def k3(logprobs_BL: Float[Tensor, "B L"], reference_BL: Float[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """Estimate of KL(policy || reference) from tokens the policy sampled: unbiased, and never negative.

    Its gradient is the one used in the literature, which is not the gradient of the KL."""
    log_ratio_BL = reference_BL - logprobs_BL
    return log_ratio_BL.expm1() - log_ratio_BL  # exp() - 1 would lose policies that are close, and fall below zero
