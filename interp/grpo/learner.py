"""The update: one batch of rollouts with an advantage for every token, in micro-batches of similar length.

    for each inner epoch:   gradient = sum over micro-batches of d/dw  - sum_t w_t (surrogate_t - beta k3_t)
                            scale it down to max_norm, one AdamW step

Rows whose advantages are all zero add exactly nothing to the gradient and are left out, unless the KL to the base is in
the loss. The first pass over a batch is at ratio 1; its log-probabilities are what later epochs are compared with.

`Optimizer` steps float32 copies of weights that are stored in half precision: a step of 1e-6 vanishes in bfloat16, and
so does much of a gradient that is summed in it. `add_adapters`, `disable_adapters` and `merge_adapters` train LoRA
adapters (peft) instead of the weights; a checkpoint is the merged model, which anyone can open.
"""

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from interp.artifacts import BadInput
from interp.credit.base import RolloutBatch
from interp.device import deterministic, eval_mode
from interp.grpo.config import GRPOConfig, UpdateConfig
from interp.grpo.losses import k3, surrogate, token_weights
from interp.policy.adapters import add_into_base
from interp.policy.policy import Policy
from interp.policy.score import batches_by_length, grouped_completion_logits, logprobs_and_entropies

# --- adapters ----------------------------------------------------------------------------------------------------


def add_adapters(model: Any, rank: int, seed: int) -> Any:
    """Put LoRA adapters into all linear layers of a model, and return peft's handle on them.

    They begin as zero, so step 0 is the base."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BadInput("lora_rank needs peft: pip install 'interp[peft]'") from error
    expect_rank(model, rank)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


def expect_rank(model: nn.Module, rank: int) -> None:
    """Refuse adapters of a greater rank than any matrix of the model has: they only take memory and time."""
    matrices = [module for module in model.modules() if isinstance(module, nn.Linear)]
    widest = max(min(matrix.in_features, matrix.out_features) for matrix in matrices)
    if rank > widest:
        raise BadInput(
            f"lora_rank must be at most {widest:,}, the highest rank of a matrix of this model; got {rank:,}: use a "
            "smaller one, or 0 to train the weights"
        )


@contextmanager
def disable_adapters(adapters: Any) -> Iterator[bool]:
    """Within the block the model is its base. Yields False if there are no adapters to disable."""
    if adapters is None:
        yield False
        return
    with adapters.disable_adapter():
        yield True


def merge_adapters(policy: Policy, adapters: Any) -> Policy:
    """A policy with the adapters, if any, added into its weights. The given policy is left as it is.

    The sum is in float32: rounded to half precision it would lose most of what the adapters learned."""
    if adapters is None:
        return policy
    return Policy(add_into_base(copy.deepcopy(adapters).float()), policy.tokenizer, policy.path)


# --- optimizer ---------------------------------------------------------------------------------------------------


class Optimizer:
    """AdamW on the trainable weights of a model; on float32 copies of those in half precision."""

    def __init__(self, model: nn.Module, config: UpdateConfig) -> None:
        self.config = config.with_lr(sum(p.numel() for p in model.parameters()))
        self.trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.half_precision = {name: p for name, p in self.trainable.items() if p.dtype != torch.float32}
        self.float_copies = {name: nn.Parameter(p.detach().float()) for name, p in self.half_precision.items()}
        self.adam = torch.optim.AdamW(
            self._stepped(), lr=self.config.lr or 0.0, weight_decay=config.weight_decay, fused=True
        )

    def _stepped(self) -> list[nn.Parameter]:
        """The parameters that AdamW steps, in the order of the model."""
        return [self.float_copies.get(name, parameter) for name, parameter in self.trainable.items()]

    def master_weights(self) -> nn.ParameterDict:
        """The parameters that AdamW steps, by name, to be saved and restored."""
        names = (name.replace(".", "/") for name in self.trainable)
        return nn.ParameterDict(dict(zip(names, self._stepped(), strict=True)))

    def accumulate_grads(self) -> None:
        """After each backward: move the gradients of half-precision weights to their float32 copies."""
        for name, parameter in self.half_precision.items():
            if parameter.grad is not None:
                float_copy = self.float_copies[name]
                grad = float_copy.grad
                float_copy.grad = parameter.grad.float() if grad is None else grad.add_(parameter.grad)
                parameter.grad = None

    def clip_grad_norm(self) -> Tensor:
        """Scale the gradient down to `max_norm`, and return the norm it had."""
        return torch.nn.utils.clip_grad_norm_(self._stepped(), self.config.max_norm)

    def step(self, step: int) -> None:
        """One AdamW step at the learning rate of training step `step`."""
        for group in self.adam.param_groups:
            group["lr"] = (self.config.lr or 0.0) * min(1.0, (step + 1) / max(self.config.warm_up, 1))
        self.adam.step()
        self.sync_weights()
        self.zero_grad()

    def sync_weights(self) -> None:
        """Round the float32 copies into the half-precision weights."""
        with torch.no_grad():
            for name, parameter in self.half_precision.items():
                parameter.copy_(self.float_copies[name])

    def zero_grad(self) -> None:
        for parameter in itertools.chain(self.trainable.values(), self.float_copies.values()):
            parameter.grad = None


# --- learner -----------------------------------------------------------------------------------------------------


@dataclass
class UpdateStats:
    """Statistics of an update, summed over its micro-batches."""

    loss: float = 0.0
    clipped_share: float = 0.0
    """Share of the trained tokens whose gradient was clipped."""
    gradient_norm: float = 0.0
    sampler_gap: float = 0.0
    """Largest difference between a token's log-probability in sampling and in training."""


@dataclass
class Learner:
    """A policy in training: its weights or adapters, its optimizer, and the update."""

    base: Policy
    config: GRPOConfig
    policy: Policy = field(init=False)
    """The policy in training: at first a copy of the base."""
    optimizer: Optimizer = field(init=False)
    adapters: Any = field(init=False, default=None)
    """peft's handle on the adapters in the policy's model, if they are what is trained."""

    def __post_init__(self) -> None:
        model = copy.deepcopy(self.base.model)
        if self.config.update.lora_rank:
            self.adapters = add_adapters(model, self.config.update.lora_rank, self.config.seed)
        self.policy = Policy(model, self.base.tokenizer, self.base.path)
        self.optimizer = Optimizer(model, self.config.update)

    def update(
        self, batch: RolloutBatch, advantages_BL: Float[Tensor, "B L"], mask_BL: Bool[Tensor, "B L"], step: int
    ) -> UpdateStats:
        """Train on one batch; `mask_BL` marks the tokens that count in the loss.

        Raises FloatingPointError, before the weights change, if loss or gradient is not finite."""
        stats = UpdateStats()
        old_BL: Tensor | None = None
        weights_BL = token_weights(mask_BL, self.config.objective().reduction, self.config.sampling.max_new_tokens)
        # tokens without advantage have a gradient through the KL alone
        trained_BL = mask_BL & (advantages_BL != 0) | (mask_BL & (self.config.update.beta > 0))
        replayed_B = torch.tensor([rollout.replayed_from is not None for rollout in batch.rollouts])
        # no dropout: the policy that is trained is the one that sampled
        with eval_mode(self.policy.model), deterministic(self.policy.device):
            for epoch in range(self.config.update.inner_epochs):
                stats.loss = stats.clipped_share = 0.0
                logprobs_BL = self._accumulate(batch, advantages_BL, weights_BL, trained_BL, old_BL, stats)
                stats.gradient_norm = self._step(stats.loss, step)
                if epoch == 0:
                    gap_BL = (logprobs_BL - batch.logprobs_BL).abs() * trained_BL
                    stats.sampler_gap = float((gap_BL * ~replayed_B[:, None]).max())
                    # what a replayed rollout is compared with is the policy that wrote it
                    old_BL = torch.where(replayed_B[:, None], batch.logprobs_BL, logprobs_BL)
        return stats

    def _accumulate(
        self,
        batch: RolloutBatch,
        advantages_BL: Tensor,
        weights_BL: Tensor,
        trained_BL: Tensor,
        old_BL: Tensor | None,
        stats: UpdateStats,
    ) -> Tensor:
        """Leave the gradient of the batch on the weights, and return the log-probabilities it was taken at."""
        objective, beta = self.config.objective(), self.config.update.beta
        logprobs_BL = batch.logprobs_BL.clone()
        n_trained = int(trained_BL.sum())
        for rows in micro_batches(batch, trained_BL.any(1), self.config.update.micro_tokens):
            new_RL = self._logprobs(self.policy, batch, rows)
            width = new_RL.shape[1]
            part_RL, advantages_RL, weights_RL = (
                table[rows, :width].to(new_RL.device) for table in (trained_BL, advantages_BL, weights_BL)
            )
            old_RL = (
                _written_logprobs(batch, rows, new_RL) if old_BL is None else old_BL[rows, :width].to(new_RL.device)
            )
            mask_RL = weights_RL > 0  # more than is trained: the ratio of a completion is over all its tokens
            gain_RL, clipped_RL = surrogate(objective, new_RL, old_RL, advantages_RL, mask_RL)
            if beta:
                # at padding the two may differ without bound: infinity, masked afterwards, would leave NaN in the
                # gradient
                reference_RL = torch.where(mask_RL, self.reference_logprobs(batch, rows), new_RL.detach())
                gain_RL = gain_RL - beta * k3(new_RL, reference_RL)
            loss = -(weights_RL * torch.where(part_RL, gain_RL, 0.0)).sum()
            loss.backward()
            self.optimizer.accumulate_grads()
            stats.loss += float(loss.detach())
            stats.clipped_share += float(clipped_RL.sum()) / n_trained
            logprobs_BL[rows, :width] = torch.where(mask_RL, new_RL.detach(), 0.0).cpu()
        return logprobs_BL

    def _step(self, loss: float, step: int) -> float:
        norm = float(self.optimizer.clip_grad_norm())
        if not all(map(torch.isfinite, torch.tensor([loss, norm]))):
            self.optimizer.zero_grad()
            raise FloatingPointError(f"loss {loss}, gradient norm {norm}")
        self.optimizer.step(step)
        return norm

    @torch.no_grad()
    def reference_logprobs(self, batch: RolloutBatch, rows: list[int]) -> Tensor:
        """Log-probabilities of rows under the base."""
        with disable_adapters(self.adapters) as disabled:
            reference = self.policy if disabled else self.base
            with eval_mode(reference.model):
                return self._logprobs(reference, batch, rows)

    @torch.no_grad()
    def kl_to_base(self, batch: RolloutBatch) -> float:
        """KL(policy || base) in nats per token, estimated on what the policy wrote in the batch."""
        total = 0.0
        own_rows_B = torch.tensor([rollout.replayed_from is None for rollout in batch.rollouts])
        for rows in micro_batches(batch, own_rows_B, self.config.update.micro_tokens):
            reference_RL = self.reference_logprobs(batch, rows)
            width = reference_RL.shape[1]
            logprobs_RL = batch.logprobs_BL[rows, :width].to(reference_RL.device)
            mask_RL = batch.mask_BL[rows, :width].to(reference_RL.device)
            total += float((k3(logprobs_RL, reference_RL) * mask_RL).sum())
        return total / int((batch.mask_BL & own_rows_B[:, None]).sum())

    def _logprobs(self, policy: Policy, batch: RolloutBatch, rows: list[int]) -> Tensor:
        prompts = [batch.rollouts[row].prompt_ids for row in rows]
        completions = [batch.rollouts[row].tokens for row in rows]
        logits_RLV, tokens_RL = grouped_completion_logits(policy.model, prompts, completions, policy.pad_id)
        return logprobs_and_entropies(logits_RLV, tokens_RL, self.config.sampling.temperature)[0]


def _written_logprobs(batch: RolloutBatch, rows: list[int], new_RL: Tensor) -> Tensor:
    """What new log-probabilities are compared with in the first epoch: themselves, so that the ratio is 1; of a
    replayed rollout those with which it was written."""
    replayed_R = torch.tensor([batch.rollouts[row].replayed_from is not None for row in rows], device=new_RL.device)
    written_RL = batch.logprobs_BL[rows, : new_RL.shape[1]].to(new_RL.device)
    return torch.where(replayed_R[:, None], written_RL, new_RL.detach())


def micro_batches(batch: RolloutBatch, selected_B: Tensor, micro_tokens: int) -> Iterator[list[int]]:
    """Indices of the selected rows, rows of similar length together. Padded, a micro-batch has at most `micro_tokens`
    tokens, or is one row."""
    selected = selected_B.nonzero()[:, 0].tolist()
    prompts = [batch.rollouts[row].prompt_ids for row in selected]
    completions = [batch.rollouts[row].tokens for row in selected]
    for part in batches_by_length(prompts, completions, micro_tokens):
        yield [selected[index] for index in part]
