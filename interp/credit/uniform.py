"""The floor: every rollout keeps its reward, every token has the same weight. Bit for bit the same as no credit."""

from dataclasses import dataclass

from interp.credit.base import Credit, RolloutBatch


@dataclass(frozen=True)
class Uniform:
    """The same credit for every token: plain GRPO."""

    def __call__(self, batch: RolloutBatch) -> Credit:
        return Credit.uniform(batch)
