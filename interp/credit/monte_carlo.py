"""Credit by what each step did for the outcome, measured on fresh continuations (after VinePPO, arXiv 2410.01679).

    delta_k = V(end of segment k) - V(start of it)       V: mean reward of n continuations under the live policy
    gain_k  = max(0, direction * delta_k)                direction: +1 in a success, -1 in a failure
    w_t     = rest_weight + gain of the segment of t     then scaled to mean 1

A segment is a written step with what separates it from the one before; the last is what follows the last step. A
success credits the steps that raised its value, a failure blames the steps that lowered it. Gains are not divided by
their largest: the deltas of a success sum to 1 - V(prompt), so that weights stay even where nothing was at stake.

Two deviations from the paper: its advantage is delta V itself, of either sign; here delta V only divides the advantage
of the rollout. And a group of equal rewards is not continued, since its advantages are zero.

The verifier judges the continuations as it judges rollouts: by their answers. Steps are never judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Share, expect_plausible, expect_type
from interp.credit.base import Credit, RolloutBatch, normalize_weights
from interp.policy.config import Group, SampleConfig
from interp.policy.prompts import PLAIN, PromptFormat
from interp.rollouts.prefix_values import RolloutValues
from interp.rollouts.values import sample_values
from interp.tasks.base import Task


@dataclass(frozen=True)
class MonteCarloValues:
    """Credit for the steps of a success that raised its value, and for those of a failure that lowered it."""

    task: Task
    """Verifies the continuations."""
    n: Group = 9
    """Continuations of each prefix."""
    rest_weight: Share = 0.1
    """Weight of a token whose step changed nothing; that of a step which decided everything is larger by 1."""
    sampling: SampleConfig | None = None
    """Length, temperature and rows at once of the continuations; its group and seed are not read. None: as the run
    samples its rollouts."""
    prompt_format: PromptFormat | None = None
    """Where answers end. None: as in the run."""

    only_weighs_tokens: ClassVar[bool] = True
    """It keeps every reward, so `interp.grpo.train` chooses the groups of a batch without asking it."""

    def __post_init__(self) -> None:
        expect_type(self.task, Task, "pass the task that is trained on, MonteCarloValues(task)")
        expect_plausible(self, "n", "rest_weight", "sampling", "prompt_format")

    def __call__(self, batch: RolloutBatch) -> Credit:
        if batch.policy is None:
            raise BadInput(
                "expected a batch with the policy that sampled it, got none: RolloutBatch.from_rollouts(..., "
                "policy=policy)"
            )
        sampling = self.sampling or batch.sampling or SampleConfig()
        mixed_B = _in_mixed_groups(batch)
        rows = [row for row, is_mixed in enumerate(mixed_B.tolist()) if is_mixed and len(batch.rollouts[row].tokens)]
        values = sample_values(
            batch.policy,
            self.task,
            [batch.rollouts[row] for row in rows],
            replace(sampling, group=self.n, seed=batch.seed),
            prompt_format=self.prompt_format or batch.prompt_format or PLAIN,
            purpose="monte-carlo",
            progress=False,
        )
        weights_BL = batch.mask_BL.float()
        for row, own in zip(rows, values, strict=True):
            weights_BL[row, : own.positions[-1]] = self._token_weights(own, success=bool(batch.rewards_B[row] > 0))
        weights_BL = normalize_weights(weights_BL, batch.mask_BL)
        return Credit(torch.ones(len(batch.rollouts)), weights_BL, facts=_facts(values))

    def _token_weights(self, values: RolloutValues, *, success: bool) -> Float[Tensor, " L"]:
        gain_L = torch.tensor(values.per_token()) * (1 if success else -1)
        return self.rest_weight + gain_L.clamp(min=0)


def _in_mixed_groups(batch: RolloutBatch) -> Bool[Tensor, " B"]:
    """Whether the rewards of a rollout's group are finite and differ."""
    rewards_PG = batch.rewards_B.view(-1, batch.group)
    mixed_P = rewards_PG.isfinite().all(1) & (rewards_PG.amax(1) > rewards_PG.amin(1))
    return mixed_P.repeat_interleave(batch.group)


def _facts(values: Sequence[RolloutValues]) -> dict[str, float]:
    """How many rollouts were valued, and the mean size of a delta."""
    deltas = [abs(delta) for own in values for delta in own.deltas()]
    return {"valued": float(len(values)), "delta_size": sum(deltas) / max(1, len(deltas))}
