"""Adapters instead of weights (peft): put on, taken off for a look at the base, merged for a checkpoint anyone can
open.

AdamW, on float32 copies of the weights where these are in half precision: a step of 1e-6 is lost in a bfloat16,
and so is much of a gradient that is summed in it.

The update: one batch of rollouts with an advantage for every token, in micro-batches of like length.

Rows whose advantage is zero throughout add exactly nothing to the gradient and are left out (unless the KL to the
base is in the loss). The first pass over a batch is at ratio 1 by construction; its log-probabilities are what later
inner epochs are compared with.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from interp.artifacts import BadInput
from interp.credit.base import RolloutBatch
from interp.device import evaluating, repeatable
from interp.grpo.config import GRPOConfig, UpdateConfig
from interp.grpo.losses import k3, shares, surrogate
from interp.policy.policy import Policy
from interp.policy.score import by_length, completion_logits_of_groups, logprobs_and_entropies


def with_adapters(model: Any, rank: int, seed: int) -> Any:
    """Put adapters into all linear layers of a model, and return peft's handle on them. They begin as nothing, so that
    step 0 is the base."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BadInput("lora_rank needs peft: pip install 'interp[peft]'") from error
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


@contextmanager
def adapters_off(adapters: Any) -> Iterator[bool]:
    """Whether there are any to take off: for the block, the model is its base."""
    if adapters is None:
        yield False
        return
    with adapters.disable_adapter():
        yield True


def merged(policy: Policy, adapters: Any) -> Policy:
    """A whole model with the adapters, if any, worked into its weights. The policy itself goes on as it is. In float32:
    rounded to half precision, the sum would lose most of what the adapters have learnt."""
    if adapters is None:
        return policy
    return Policy(copy.deepcopy(adapters).float().merge_and_unload(), policy.tokenizer, policy.path)


class Optimiser:
    def __init__(self, model: nn.Module, config: UpdateConfig) -> None:
        self.config = config
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.masters = nn.ParameterDict()
        self.halves = {name: p for name, p in self.trained.items() if p.dtype != torch.float32}
        for name, p in self.halves.items():
            self.masters[name.replace(".", "/")] = nn.Parameter(p.detach().float())
        self.adam = torch.optim.AdamW(
            [self._own(name) for name in self.trained], lr=config.lr, weight_decay=config.weight_decay, fused=True
        )

    def weights(self) -> nn.ParameterDict:
        """What the optimiser moves, by name: to be saved and put back."""
        return nn.ParameterDict({name.replace(".", "/"): self._own(name) for name in self.trained})

    def clip(self) -> Tensor:
        """Scale the gradient down to the largest norm allowed, and tell the norm it had."""
        return torch.nn.utils.clip_grad_norm_([self._own(name) for name in self.trained], self.config.max_norm)

    def take_up_gradients(self) -> None:
        """After each backward: add what half-precision weights were given to the gradients of their copies."""
        for name, p in self.halves.items():
            if p.grad is not None:
                own = self._own(name)
                own.grad = p.grad.float() if own.grad is None else own.grad.add_(p.grad)
                p.grad = None

    def step(self, at: int) -> None:
        for group in self.adam.param_groups:
            group["lr"] = self.config.lr * min(1.0, (at + 1) / max(self.config.warm_up, 1))
        self.adam.step()
        self.publish()
        self.forget()

    def publish(self) -> None:
        """Bring the half-precision weights in line with their copies."""
        with torch.no_grad():
            for name, p in self.halves.items():
                p.copy_(self._own(name))

    def forget(self) -> None:
        for p in _all(self.trained.values(), self.masters.values()):
            p.grad = None

    def _own(self, name: str) -> nn.Parameter:
        return self.masters[name.replace(".", "/")] if name in self.halves else self.trained[name]  # pyright: ignore[reportReturnType]


def _all(*groups: Iterable[Tensor]) -> Iterable[Tensor]:
    return (p for group in groups for p in group)


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
