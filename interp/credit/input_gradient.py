"""Credit for the tokens that the answer depends on, by its gradient (after OAR-G, arXiv 2601.07408; formula ours).

    S     = sum of log p(token | everything before it) over the tokens of the answer
    s_t   = | dS/de_t . e_t |          e_t: the embedding of completion token t before the answer
    rel_t = s_t / mean of s            before the answer; clipped to [min_weight, max_weight]
    rel_t = 1                          from the answer on: the answer cannot depend on what follows it
    w_t   = rel_t, scaled to mean 1

In a success these tokens are credited, in a failure they are blamed. The frozen base reads the text, unless the policy
in training is asked for: what a gradient says of the policy itself, training can change. One backward pass serves a
whole micro-batch, since its rows do not see each other. Gradients of weights are neither computed nor touched.

A rollout without an answer, or with nothing before it, is weighted evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from interp.artifacts import BadInput
from interp.checks import Count, Range, Share, expect_one_of, expect_plausible
from interp.credit.base import Credit, RolloutBatch, normalize_weights
from interp.device import deterministic, eval_mode
from interp.policy.policy import Policy
from interp.policy.sample import position_ids
from interp.policy.score import AlignedRows, align_rows, batches_by_length

Reader = Literal["base", "live"]
READERS = ("base", "live")


@dataclass(frozen=True)
class InputGradient:
    """Credit for the tokens that the log-probability of the answer depends on."""

    reader: Reader = "base"
    """Whose gradient: that of the frozen base, or of the policy in training."""
    min_weight: Share = 0.1
    """Smallest weight of a token, before weights are scaled to mean 1."""
    max_weight: Annotated[float, Range(1, 10**6)] = 3.0
    """Largest weight of a token, before weights are scaled to mean 1."""
    micro_tokens: Count = 1024
    """Tokens of one forward and backward pass."""

    def __post_init__(self) -> None:
        expect_one_of(self, READERS, "reader")
        expect_plausible(self)

    def __call__(self, batch: RolloutBatch) -> Credit:
        is_answer_BL = batch.per_token(lambda rollout: [float(role == "answer") for role in rollout.roles]).bool()
        before_BL = batch.mask_BL & (is_answer_BL.cumsum(1) == 0) & is_answer_BL.any(1, keepdim=True)
        saliency_BL = self._saliency(batch, is_answer_BL, before_BL.any(1)) * before_BL
        mean_B1 = saliency_BL.sum(1, keepdim=True) / before_BL.sum(1, keepdim=True).clamp(min=1)
        is_usable_B1 = saliency_BL.isfinite().all(1, keepdim=True) & (mean_B1 > 0)
        relative_BL = (saliency_BL / mean_B1).clamp(self.min_weight, self.max_weight)
        weights_BL = torch.where(before_BL & is_usable_B1, relative_BL, 1.0)
        return Credit(torch.ones(len(batch.rollouts)), normalize_weights(weights_BL, batch.mask_BL))

    def _saliency(
        self, batch: RolloutBatch, is_answer_BL: Bool[Tensor, "B L"], read_B: Bool[Tensor, " B"]
    ) -> Float[Tensor, "B L"]:
        """Saliency of every completion token of the rollouts to be read, 0 elsewhere."""
        saliency_BL, rows = torch.zeros(batch.mask_BL.shape), read_B.nonzero()[:, 0]
        if len(rows):
            own = [batch.rollouts[row] for row in rows.tolist()]
            saliency_BL[rows] = answer_saliency(
                _expect_reader(batch, self.reader),
                [rollout.prompt_ids for rollout in own],
                [rollout.tokens for rollout in own],
                is_answer_BL[rows],
                micro_tokens=self.micro_tokens,
            )
        return saliency_BL


def answer_saliency(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    is_answer_BL: Bool[Tensor, "B L"],
    *,
    micro_tokens: int,
) -> Float[Tensor, "B L"]:
    """Gradient times input of the answer's log-probability, in size, at every completion token; on the CPU."""
    saliency_BL, model = torch.zeros(is_answer_BL.shape), policy.model
    with eval_mode(model), deterministic(model.device):
        for batch in batches_by_length(prompts, completions, micro_tokens):
            rows = align_rows([prompts[i] for i in batch], [completions[i] for i in batch], policy.pad_id, model.device)
            width = rows.ids_BL.shape[1] - rows.start
            is_answer_BT = is_answer_BL[batch, :width].to(model.device)
            saliency_BL[batch, :width] = _batch_saliency(model, rows, is_answer_BT).cpu()
    return saliency_BL


@torch.enable_grad()
def _batch_saliency(
    model: PreTrainedModel, rows: AlignedRows, is_answer_BT: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T"]:
    """One forward and one backward pass. The head is applied only where an answer token of some row is predicted."""
    embeds_BLD = model.get_input_embeddings()(rows.ids_BL).detach().requires_grad_()
    columns_C = is_answer_BT.any(0).nonzero()[:, 0]
    out = model(
        inputs_embeds=embeds_BLD,
        attention_mask=rows.mask_BL,
        position_ids=position_ids(rows.mask_BL),
        use_cache=False,
        logits_to_keep=columns_C + rows.start - 1,
    )
    logp_BCV = torch.log_softmax(out.logits.float(), -1)
    logp_BC = logp_BCV.gather(-1, rows.ids_BL[:, columns_C + rows.start, None])[..., 0]
    answer_logp = torch.where(is_answer_BT[:, columns_C], logp_BC, 0.0).sum()
    (gradient_BLD,) = torch.autograd.grad(answer_logp, embeds_BLD)
    return (gradient_BLD.float() * embeds_BLD.detach().float()).sum(-1).abs()[:, rows.start :]


def _expect_reader(batch: RolloutBatch, reader: Reader) -> Policy:
    policy = batch.base if reader == "base" else batch.policy
    if policy is None:
        option = "base=base" if reader == "base" else "policy=policy"
        raise BadInput(
            f"expected a batch with the {'frozen base' if reader == 'base' else 'policy that sampled it'}, got none: "
            f"RolloutBatch.from_rollouts(..., {option})"
        )
    return policy
