"""The update: one batch of rollouts with an advantage for every token, in micro-batches of like length.

Rows whose advantage is zero throughout add exactly nothing to the gradient and are left out (unless the KL to the
base is in the loss). The first pass over a batch is at ratio 1 by construction; its log-probabilities are what later
inner epochs are compared with.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.grpo.config import GRPOConfig
from interp.grpo.lora import adapters_off, with_adapters
from interp.grpo.losses import k3, shares, surrogate
from interp.grpo.optimiser import Optimiser
from interp.policy.modes import evaluating, repeatable
from interp.policy.policy import Policy
from interp.policy.score import by_length, completion_logits_of_groups, logprobs_and_entropies
from interp.rollouts.batch import RolloutBatch


@dataclass
class Updated:
    """What an update did, summed over its micro-batches."""

    loss: float = 0.0
    clipped: float = 0.0
    """Share of the trained tokens at which clipping cut the gradient off."""
    gradient_norm: float = 0.0
    sampler_gap: float = 0.0
    """The largest difference between the log-probability a token was drawn with and the one it was trained with."""


@dataclass
class Learner:
    base: Policy
    config: GRPOConfig
    policy: Policy = field(init=False)
    optimiser: Optimiser = field(init=False)
    adapters: Any = field(init=False, default=None)
    """In the policy's model, if it is they that are trained."""

    def __post_init__(self) -> None:
        model = copy.deepcopy(self.base.model)
        if self.config.update.lora_rank:
            self.adapters = with_adapters(model, self.config.update.lora_rank, self.config.seed)
        self.policy = Policy(model, self.base.tokenizer, self.base.path)
        self.optimiser = Optimiser(model, self.config.update)

    def update(
        self, batch: RolloutBatch, advantages_BL: Float[Tensor, "B L"], train_BL: Bool[Tensor, "B L"], step: int
    ) -> Updated:
        """Raises FloatingPointError, before it is applied, where loss or gradient is not a number."""
        told = Updated()
        old_BL: Tensor | None = None
        weights_BL = shares(train_BL, self.config.objective().reduction, self.config.sampling.max_new_tokens)
        taught_BL = train_BL & (advantages_BL != 0) | (train_BL & (self.config.update.beta > 0))
        # no dropout: the policy that is trained is the one that sampled
        with evaluating(self.policy.model), repeatable(self.policy.device):
            for epoch in range(self.config.update.inner_epochs):
                told.loss = told.clipped = 0.0
                logprobs_BL = self._accumulate(batch, advantages_BL, weights_BL, taught_BL, old_BL, told)
                told.gradient_norm = self._step(told.loss, step)
                if epoch == 0:
                    old_BL = logprobs_BL
                    told.sampler_gap = float(((logprobs_BL - batch.logprobs_BL).abs() * taught_BL).max())
        return told

    def _accumulate(
        self,
        batch: RolloutBatch,
        advantages_BL: Tensor,
        weights_BL: Tensor,
        taught_BL: Tensor,
        old_BL: Tensor | None,
        told: Updated,
    ) -> Tensor:
        """Leave the gradient of the batch on the weights, and return the log-probabilities it was taken at."""
        objective, beta = self.config.objective(), self.config.update.beta
        logprobs_BL = batch.logprobs_BL.clone()
        taught = int(taught_BL.sum())
        for rows in micro_batches(batch, taught_BL.any(1), self.config.update.micro_tokens):
            new_RL = self._logprobs(self.policy, batch, rows)
            width = new_RL.shape[1]
            taught_RL, advantages_RL, weights_RL = (
                table[rows, :width].to(new_RL.device) for table in (taught_BL, advantages_BL, weights_BL)
            )
            old_RL = new_RL.detach() if old_BL is None else old_BL[rows, :width].to(new_RL.device)
            counts_RL = weights_RL > 0  # more than is taught: the ratio of a completion is that of all its tokens
            gain_RL, clipped_RL = surrogate(objective, new_RL, old_RL, advantages_RL, counts_RL)
            if beta:
                # at padding the two may be worlds apart: infinity, masked afterwards, would leave NaN in the gradient
                reference_RL = torch.where(counts_RL, self.reference(batch, rows), new_RL.detach())
                gain_RL = gain_RL - beta * k3(new_RL, reference_RL)
            loss = -(weights_RL * torch.where(taught_RL, gain_RL, 0.0)).sum()
            loss.backward()
            self.optimiser.take_up_gradients()
            told.loss += float(loss.detach())
            told.clipped += float(clipped_RL.sum()) / taught
            logprobs_BL[rows, :width] = torch.where(counts_RL, new_RL.detach(), 0.0).cpu()
        return logprobs_BL

    def _step(self, loss: float, step: int) -> float:
        norm = float(self.optimiser.clip())
        if not all(map(torch.isfinite, torch.tensor([loss, norm]))):
            self.optimiser.forget()
            raise FloatingPointError(f"loss {loss}, norm of the gradient {norm}")
        self.optimiser.step(step)
        return norm

    @torch.no_grad()
    def reference(self, batch: RolloutBatch, rows: list[int]) -> Tensor:
        """What the base makes of them."""
        with adapters_off(self.adapters) as without:
            reference = self.policy if without else self.base
            with evaluating(reference.model):
                return self._logprobs(reference, batch, rows)

    @torch.no_grad()
    def kl_to_base(self, batch: RolloutBatch) -> float:
        """In nats per token, estimated on the batch."""
        total = 0.0
        everything_B = torch.ones(len(batch.rows), dtype=torch.bool)
        for rows in micro_batches(batch, everything_B, self.config.update.micro_tokens):
            reference_RL = self.reference(batch, rows)
            width = reference_RL.shape[1]
            own_RL = batch.logprobs_BL[rows, :width].to(reference_RL.device)
            total += float((k3(own_RL, reference_RL) * batch.mask_BL[rows, :width].to(own_RL.device)).sum())
        return total / int(batch.mask_BL.sum())

    def _logprobs(self, policy: Policy, batch: RolloutBatch, rows: list[int]) -> Tensor:
        prompts, completions = zip(*((batch.rows[at].prompt_ids, batch.rows[at].tokens) for at in rows), strict=True)
        logits_RLV, tokens_RL = completion_logits_of_groups(policy.model, prompts, completions, policy.pad)
        return logprobs_and_entropies(logits_RLV, tokens_RL, self.config.sampling.temperature)[0]


def micro_batches(batch: RolloutBatch, which_B: Tensor, micro_tokens: int) -> Iterator[list[int]]:
    """Rows of like length together, as many as keep the padded whole within `micro_tokens`; one at least."""
    which = which_B.nonzero()[:, 0].tolist()
    prompts, completions = ([getattr(batch.rows[at], of) for at in which] for of in ("prompt_ids", "tokens"))
    for part in by_length(prompts, completions, micro_tokens):
        yield [which[at] for at in part]
