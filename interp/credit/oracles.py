"""The ceiling: credit by the verifier, which knows whether each step is right.

`FirstError` splits a rollout at its first mistake (after arXiv 2609.02817): a success credits the tokens before it, a
failure blames the tokens from it on. It only moves weight within a rollout. `StepValidity` also closes the gate on
lucky successes: where validity was judged, only valid answers keep their reward.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from interp.checks import Share, expect_plausible
from interp.credit.base import Credit, RolloutBatch, normalize_weights
from interp.rollouts.record import Rollout


@dataclass(frozen=True)
class FirstError:
    """Credit before the first mistake of a success; blame from the first mistake of a failure on.

    A rollout without a first error, or with no token on the side that counts, gets uniform weights."""

    def __call__(self, batch: RolloutBatch) -> Credit:
        weights_BL = batch.per_token(_first_error_weights)
        return Credit(torch.ones(len(batch.rollouts)), normalize_weights(weights_BL, batch.mask_BL))


def _first_error_weights(rollout: Rollout) -> Sequence[float]:
    length = len(rollout.tokens)
    if rollout.first_error is None:
        return [1.0] * length
    before = [float(token < rollout.first_error) for token in range(length)]
    return before if rollout.reward > 0 else [1 - weight for weight in before]


@dataclass(frozen=True)
class StepValidity:
    """Credit for right steps, and a gate that is closed to lucky successes."""

    gate: bool = True
    """Lucky successes keep nothing of their reward."""
    weights: bool = True
    """Successes credit the steps that were right; failures blame everything else."""
    rest_weight: Share = 0.1
    """Weight of the other tokens of a rollout, relative to those."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    def __call__(self, batch: RolloutBatch) -> Credit:
        credit = Credit.uniform(batch)
        if self.gate:
            gate_B = torch.tensor([float(rollout.lucky is not True) for rollout in batch.rollouts])
            credit = Credit(gate_B, credit.weights_BL)
        if self.weights:
            credit = Credit(credit.gate_B, normalize_weights(batch.per_token(self._step_weights), batch.mask_BL))
        return credit

    def _step_weights(self, rollout: Rollout) -> Sequence[float]:
        if rollout.valid:
            return [1.0] * len(rollout.tokens)
        # a lucky success behind a closed gate counts as a failure; an answer that nobody could judge keeps its reward
        is_paid = rollout.reward > 0 and not (self.gate and rollout.lucky)
        right_weight, other_weight = (1.0, self.rest_weight) if is_paid else (self.rest_weight, 1.0)
        weights = [other_weight] * len(rollout.tokens)
        for step in rollout.steps:
            if step.holds and step.follows:
                weights[step.start : step.end] = [right_weight] * (step.end - step.start)
        return weights
