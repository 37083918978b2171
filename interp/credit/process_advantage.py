"""A process advantage of its own, among successes only, beside that of the outcome (after arXiv 2603.26535 and
2508.05170).

    A_b = A_outcome_b + beta * A_process_b

    A_outcome_b = plain GRPO: the reward above the mean of its group
    A_process_b = (s_b - mean of s) / max(deviation of s, floor)       over the successes of the batch, or of a level
                  0 for failures, and for successes whose score is not known

s is the gate that another scheme gives a success, as a score of its process:

    ReadoutCredit(sources, threshold=0)                 s = P(valid), read by the frozen base and refitted on audits
    StepValidity(weights=False)                         its oracle: s = 1 if valid, else 0
    RandomGate(ReadoutCredit(sources, threshold=0), k)  its control: the scores dealt out anew among the successes

The score does not touch the outcome: no gate, no part in the group's baseline and deviation. Successes are compared
with all others of the batch, since on hard problems a group has hardly two; and a group in which all succeed still has
a gradient. The papers compare within a group, and judge the process by a trained or prompted model.

The process advantages of a pool sum to zero, so that what some gain others lose, whatever the scores. A deviation below
the floor is taken for noise: a readout that knows nothing adds nothing. A low score leaves a lucky success its outcome,
which a gate of zero does not. A loss that draws groups of equal rewards anew still does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Range, Weight, expect_plausible
from interp.credit.base import Credit, CreditScheme, Learning, RolloutBatch, check_scheme
from interp.credit.random_gate import RandomGate
from interp.credit.readout import ReadoutCredit
from interp.policy.policy import Policy

Pool = Literal["batch", "level"]


@dataclass(eq=False)
class ProcessAdvantage:
    """Adds to the advantage of a success how much better its process is than that of the other successes."""

    score: CreditScheme
    """Its gates are the scores. Its bonuses and token weights are used as they are."""
    beta: Weight = 1.0
    """How much the process counts beside the outcome."""
    floor: Annotated[float, Range(0, 1, without_low=True)] = 0.003
    """The least deviation of scores that the process advantage is divided by. Where few successes are valid,
    probabilities differ by little: a larger floor would take what they say for noise."""
    pool: Pool = "batch"
    """The successes that are compared: all of a batch, or those of one level or bucket each."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        readout = self.score.scheme if isinstance(self.score, RandomGate) else self.score
        if isinstance(readout, ReadoutCredit) and (readout.threshold or readout.penalty or readout.pay != "graded"):
            raise BadInput(
                f"expected a readout whose gates are probabilities, got one with threshold {readout.threshold:g}, "
                f"penalty {readout.penalty:g} and pay {readout.pay!r}: pass ReadoutCredit(sources, threshold=0)"
            )

    @torch.no_grad()
    def __call__(self, batch: RolloutBatch) -> Credit:
        scored = self.score(batch).validate(batch)
        # a replayed answer is valid for sure: beside it all others would look worse than they are
        is_own_B = torch.tensor([rollout.replayed_from is None for rollout in batch.rollouts])
        is_scored_B = (batch.rewards_B > 0) & (batch.lengths_B > 0) & is_own_B
        if scored.counts_B is not None:  # screened out: nothing is known of it
            is_scored_B &= scored.counts_B
        process_B = torch.zeros(len(batch.rollouts))
        for is_pool_B in self._pools(batch):
            process_B += self._standardized(scored.gate_B, is_scored_B & is_pool_B)
        scores = scored.gate_B[is_scored_B].double()
        deviation = float((scores - scores[0]).std(correction=0)) if len(scores) else 0.0
        return replace(
            scored,
            gate_B=torch.ones(len(batch.rollouts)),
            counts_B=None,
            added_B=self.beta * process_B,
            facts={**scored.facts, "process_deviation": deviation},
        )

    def _pools(self, batch: RolloutBatch) -> list[Bool[Tensor, " B"]]:
        names = [rollout.level if self.pool == "level" else None for rollout in batch.rollouts]
        return [torch.tensor([name == own for name in names]) for own in dict.fromkeys(names)]

    def _standardized(self, score_B: Float[Tensor, " B"], is_in_B: Bool[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Scores above their mean in units of their deviation, of those that are in the pool; 0 of the others."""
        own = score_B[is_in_B].double()
        if not len(own) or bool((own == own[0]).all()):  # a mean may be off in its last bit
            return torch.zeros_like(score_B)
        standardized_B = (score_B.double() - own.mean()) / own.std(correction=0).clamp(min=self.floor)
        return torch.where(is_in_B, standardized_B, 0.0).float()

    # --- what the scheme of the scores learns ---------------------------------------------------------------------

    def expect_base(self, base: Policy) -> None:
        check_scheme(self.score, base)

    def fresh(self) -> "ProcessAdvantage":
        score = self.score.fresh() if isinstance(self.score, Learning) else self.score
        return replace(self, score=score)  # pyright: ignore[reportArgumentType]

    def observe(self, batch: RolloutBatch) -> None:
        if isinstance(self.score, Learning):
            self.score.observe(batch)

    def state(self) -> Mapping[str, Tensor]:
        return self.score.state() if isinstance(self.score, Learning) else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if isinstance(self.score, Learning):
            self.score.load_state(state)
