"""A gate that says nothing of a text: that of another scheme, dealt out at random."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interp.checks import Seed
from interp.credit.base import BaseSpecific, Credit, CreditScheme, Learning, RolloutBatch
from interp.credit.readout import in_failed_groups
from interp.policy.policy import Policy
from interp.readouts.controls import others


@dataclass(eq=False)
class RandomGate:
    """The gates of another scheme, and what it adds to advantages, dealt out at random among the successes of each
    batch; and its bonuses, among the answers of groups that failed. It pays exactly as much, to others."""

    scheme: CreditScheme
    seed: Seed = 0

    @property
    def needs_no_scale(self) -> bool:
        return getattr(self.scheme, "needs_no_scale", False)

    @property
    def is_waiting(self) -> bool:
        return getattr(self.scheme, "is_waiting", False)

    def __call__(self, batch: RolloutBatch) -> Credit:
        credit, first = self.scheme(batch), batch.rollouts[0]

        def deal(x_B: Tensor, is_dealt_B: Tensor) -> Tensor:
            """The numbers, with those of others where they are dealt."""
            rows_R = is_dealt_B.nonzero()[:, 0]
            other_R = others(len(rows_R), "random gate", self.seed, batch.seed, first.step, first.problem)
            return x_B.index_copy(0, rows_R, x_B[rows_R[other_R]])

        # a replayed answer is valid for sure: no scheme deals with it as with the policy's own
        is_own_B = torch.tensor([rollout.replayed_from is None for rollout in batch.rollouts])
        is_success_B = (batch.rewards_B > 0) & is_own_B
        counts_B, added_B, bonus_B = credit.counts_B, credit.added_B, credit.bonus_B
        return replace(
            credit,
            gate_B=deal(credit.gate_B, is_success_B),
            counts_B=None if counts_B is None else deal(counts_B, is_success_B),
            added_B=None if added_B is None else deal(added_B, is_success_B),
            bonus_B=None if bonus_B is None else deal(bonus_B, in_failed_groups(batch)),
        )

    def expect_base(self, base: Policy) -> None:
        if isinstance(self.scheme, BaseSpecific):
            self.scheme.expect_base(base)

    def fresh(self) -> "RandomGate":
        scheme = self.scheme.fresh() if isinstance(self.scheme, Learning) else self.scheme
        return replace(self, scheme=scheme)  # pyright: ignore[reportArgumentType]

    def observe(self, batch: RolloutBatch) -> None:
        if isinstance(self.scheme, Learning):
            self.scheme.observe(batch)

    def state(self) -> Mapping[str, Tensor]:
        return self.scheme.state() if isinstance(self.scheme, Learning) else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if isinstance(self.scheme, Learning):
            self.scheme.load_state(state)
