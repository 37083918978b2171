"""From rewards to advantages: what a rollout earned above its group, in units of how much that varies.

One step's rollouts: draw prompts, answer each a group of times, judge, and settle what every token receives.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.credit.base import Credit, CreditScheme, RolloutBatch, with_credit
from interp.grpo.config import GRPOConfig, Objective, Scale
from interp.grpo.prompts import Prompts
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import encode, judge
from interp.tasks.base import Task, hash_of

EPSILON = 1e-4
"""Beside a deviation, so that a group without contrast divides nothing by nothing."""


def advantages(rewards_B: Float[Tensor, " B"], group: int, scale: Scale) -> Float[Tensor, " B"]:
    """Groups lie one after another. A group whose rewards are all alike gets exactly zero."""
    rewards_PG = rewards_B.view(-1, group)
    above_PG = (rewards_PG - rewards_PG.mean(1, keepdim=True)) * contrasting(rewards_B, group)[:, None]
    if scale == "group":
        above_PG = above_PG / (rewards_PG.std(1, keepdim=True) + EPSILON)
    elif scale == "batch":
        above_PG = above_PG / (rewards_B.std() + EPSILON)
    return above_PG.flatten()


def contrasting(rewards_B: Float[Tensor, " B"], group: int) -> Bool[Tensor, " P"]:
    """Which groups hold different rewards: only they teach anything."""
    rewards_PG = rewards_B.view(-1, group)
    return rewards_PG.amax(1) > rewards_PG.amin(1)


def fined(
    rewards_B: Float[Tensor, " B"], lengths_B: Int[Tensor, " B"], limit: int, fine_from: float
) -> Float[Tensor, " B"]:
    """Less for rollouts near the length limit: nothing up to `fine_from` of it, one at the limit, linear between."""
    free = fine_from * limit
    if free >= limit:
        return rewards_B
    return rewards_B - ((lengths_B - free) / (limit - free)).clamp(0, 1)


@dataclass(frozen=True)
class Collected:
    batch: RolloutBatch
    """What the update is made of."""
    settled: "Settled"
    train_BL: Bool[Tensor, "B L"]
    """The tokens that count in the loss."""
    drawn: int
    """Prompts drawn since the run began."""
    rows: list[Rollout]
    """All that was sampled; those in the batch say what they received, the others are empty there."""

    @property
    def advantages_BL(self) -> Float[Tensor, "B L"]:
        return self.settled.advantages_BL


@dataclass(frozen=True)
class Settled:
    """What each rollout of a batch is paid, and each of its tokens."""

    credit: Credit
    kept_B: Float[Tensor, " B"]
    """Rewards after the gate."""
    earned_B: Float[Tensor, " B"]
    """After the fine for length too: what the baseline is taken of."""
    advantages_BL: Float[Tensor, "B L"]


@dataclass(frozen=True)
class Collector:
    task: Task
    prompts: Prompts
    config: GRPOConfig
    credit: CreditScheme | None
    run: str

    def collect(self, policy: Policy, step: int, drawn: int) -> Collected:
        objective, group = self.config.objective(), self.config.sampling.group
        rows: list[Rollout] = []
        chosen_B: list[bool] = []
        for _ in range(self.config.max_draws if objective.redraw else 1):
            rows += self._roll_out(policy, step, drawn)
            drawn += self.config.prompts
            chosen_B += self._chosen(rows[len(chosen_B) :], policy, objective)
            if sum(chosen_B) >= self.config.prompts * group:
                break
        keep = [at for at, chosen in enumerate(chosen_B) if chosen][: self.config.prompts * group]
        batch = self._batch(
            [rows[at] for at in keep] or rows[:group], policy
        )  # a batch without contrast teaches nothing
        settled = settle(batch, self.credit, objective, self.config.sampling.max_new_tokens)
        for at, row in zip(keep, with_credit(batch, settled.credit, settled.advantages_BL), strict=False):
            rows[at] = row
        train_BL = batch.mask_BL & ~batch.truncated_B[:, None] if objective.mask_truncated else batch.mask_BL
        return Collected(batch, settled, train_BL, drawn, rows)

    def _roll_out(self, policy: Policy, step: int, drawn: int) -> list[Rollout]:
        problems = self.prompts(step, drawn, self.config.prompts)
        encoded = encode(policy, problems, chat=self.config.chat)
        keys = [hash_of("grpo", step, drawn + at) for at in range(len(problems))]
        samples = policy.sample(encoded, self.config.sampling, keys=keys, bar=False)
        return judge(policy, self.task, problems, encoded, samples, run=self.run, step=step, bar=False)

    def _chosen(self, rows: list[Rollout], policy: Policy, objective: Objective) -> list[bool]:
        """All of them, or where prompts are drawn anew, those whose group has contrast."""
        if not objective.redraw:
            return [True] * len(rows)
        batch = self._batch(rows, policy)
        settled = settle(batch, self.credit, objective, self.config.sampling.max_new_tokens)
        return contrasting(settled.kept_B, batch.group).repeat_interleave(batch.group).tolist()

    def _batch(self, rows: list[Rollout], policy: Policy) -> RolloutBatch:
        return RolloutBatch.of(rows, self.config.sampling.group, policy=policy, seed=self.config.seed)


def settle(batch: RolloutBatch, scheme: CreditScheme | None, objective: Objective, limit: int) -> Settled:
    """Credit, reward, advantage. The gate comes before the baseline: after it, only
    penalties would be left, and the longer answers would pay them."""
    credit = Credit.uniform(batch) if scheme is None else scheme(batch).checked(batch)
    kept_B = credit.gate_B * batch.rewards_B
    earned_B = fined(kept_B, batch.lengths_B, limit, objective.fine_from)
    advantages_B = advantages(earned_B, batch.group, objective.scale)
    return Settled(credit, kept_B, earned_B, torch.where(batch.mask_BL, advantages_B[:, None] * credit.weights_BL, 0.0))
