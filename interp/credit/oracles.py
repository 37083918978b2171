"""The ceiling: what credit could do if it were known of every step whether it is right. The verifier knows.

`FirstError` splits a rollout at its first mistake (after arXiv 2609.02817): a success pays the tokens before it, a
failure is paid for by the tokens from it on. It only moves weight within a rollout. `StepValidity` also closes the
gate on lucky successes: of what can be judged, a reward is kept only where every step was right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from interp.artifacts import BadInput
from interp.credit.base import Credit, RolloutBatch, of_mean_one
from interp.rollouts.record import Rollout


@dataclass(frozen=True)
class FirstError:
    def __call__(self, batch: RolloutBatch) -> Credit:
        return Credit(torch.ones(len(batch.rows)), of_mean_one(batch.marked(_beside_first_error), batch.mask_BL))


def _beside_first_error(row: Rollout) -> Sequence[float]:
    length = len(row.tokens)
    if row.first_error is None:
        return [1.0] * length
    before = [float(at < row.first_error) for at in range(length)]
    return before if row.reward > 0 else [1 - weight for weight in before]


@dataclass(frozen=True)
class StepValidity:
    gate: bool = True
    """A lucky success keeps nothing of its reward."""
    weights: bool = True
    """A success pays the steps that were right; a failure is paid for by all else."""
    spared: float = 0.1
    """What the others of a rollout's tokens get, relative to those."""

    def __post_init__(self) -> None:
        if not 0 <= self.spared <= 1:
            raise BadInput(f"spared must lie in [0, 1]; got {self.spared}")

    def __call__(self, batch: RolloutBatch) -> Credit:
        credit = Credit.uniform(batch)
        if self.gate:
            credit = Credit(torch.tensor([float(row.lucky is not True) for row in batch.rows]), credit.weights_BL)
        if self.weights:
            credit = Credit(credit.gate_B, of_mean_one(batch.marked(self._pattern), batch.mask_BL))
        return credit

    def _pattern(self, row: Rollout) -> Sequence[float]:
        if row.valid:
            return [1.0] * len(row.tokens)
        # behind a closed gate a lucky success counts as a failure; what nobody could judge keeps its reward
        pays_right_steps = row.reward > 0 and not (self.gate and row.lucky)
        on, off = (1.0, self.spared) if pays_right_steps else (self.spared, 1.0)
        weights = [off] * len(row.tokens)
        for step in row.steps:
            if step.holds and step.follows:
                weights[step.start : step.end] = [on] * (step.end - step.start)
        return weights
