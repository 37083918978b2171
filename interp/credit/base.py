"""A batch of rollouts as tensors, and the credit its tokens receive.

Credit answers two questions. What share of its reward does a rollout keep? (`gate_B`, in [0, 1], applied to the
reward before the group's baseline: a lucky answer of three tokens cannot be mended by moving weight inside it.) And
what does each token receive of its rollout's advantage? (`weights_BL`, of mean 1 over the tokens of a rollout,
applied after the baseline.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.rollouts.record import Rollout

if TYPE_CHECKING:
    from interp.policy import Policy

TOLERANCE = 1e-4


@dataclass(frozen=True)
class RolloutBatch:
    """Right-padded, groups one after another, on the CPU. `rows` hold the verdicts and the role of every token."""

    rows: Sequence[Rollout]
    group: int
    tokens_BL: Int[Tensor, "B L"]
    mask_BL: Bool[Tensor, "B L"]
    logprobs_BL: Float[Tensor, "B L"]
    entropies_BL: Float[Tensor, "B L"]
    rewards_B: Float[Tensor, " B"]
    policy: "Policy | None" = None
    """The policy that wrote them, for schemes that look inside."""
    seed: int = 0
    """Of the run. What a scheme draws at random, it draws from this and from the keys of the rows."""

    @classmethod
    def of(
        cls, rows: Sequence[Rollout], group: int, *, policy: "Policy | None" = None, seed: int = 0
    ) -> "RolloutBatch":
        if not rows or len(rows) % group:
            raise BadInput(f"expected whole groups of {group} rollouts, got {len(rows)} rollouts")
        longest = max(len(row.tokens) for row in rows)
        columns = ([[*of(row), *[0] * (longest - len(row.tokens))] for row in rows] for of in _COLUMNS)
        tokens, logprobs, entropies = columns
        lengths_B = torch.tensor([len(row.tokens) for row in rows])
        return cls(
            rows=rows,
            group=group,
            tokens_BL=torch.tensor(tokens, dtype=torch.long),
            mask_BL=torch.arange(longest) < lengths_B[:, None],
            logprobs_BL=torch.tensor(logprobs, dtype=torch.float32),
            entropies_BL=torch.tensor(entropies, dtype=torch.float32),
            rewards_B=torch.tensor([row.reward for row in rows]),
            policy=policy,
            seed=seed,
        )

    @property
    def lengths_B(self) -> Int[Tensor, " B"]:
        return self.mask_BL.sum(1)

    @property
    def truncated_B(self) -> Bool[Tensor, " B"]:
        return torch.tensor([row.truncated for row in self.rows])

    def marked(self, mark: Callable[[Rollout], Sequence[float]]) -> Float[Tensor, "B L"]:
        """A number for each token, zero beyond the end: `mark` gives those of one rollout."""
        width = self.tokens_BL.shape[1]
        return torch.tensor([[*mark(row), *[0.0] * (width - len(row.tokens))] for row in self.rows])


_COLUMNS: tuple[Callable[[Rollout], Sequence[float]], ...] = (
    lambda row: row.tokens,
    lambda row: row.logprobs,
    lambda row: row.entropies,
)


@dataclass(frozen=True)
class Credit:
    gate_B: Float[Tensor, " B"]
    weights_BL: Float[Tensor, "B L"]

    @classmethod
    def uniform(cls, batch: RolloutBatch) -> "Credit":
        return cls(torch.ones(len(batch.rows)), batch.mask_BL.float())

    def checked(self, batch: RolloutBatch) -> "Credit":
        """On the CPU and in float32, or a refusal that says what a scheme got wrong."""
        rows, width = batch.mask_BL.shape
        held = Credit(self.gate_B.cpu().float(), self.weights_BL.cpu().float())
        if held.gate_B.shape != (rows,) or held.weights_BL.shape != (rows, width):
            raise BadInput(
                f"expected a gate of shape ({rows},) and weights of shape ({rows}, {width}), "
                f"got {tuple(held.gate_B.shape)} and {tuple(held.weights_BL.shape)}"
            )
        if not bool(((held.gate_B >= 0) & (held.gate_B <= 1)).all()):  # NaN is neither
            raise BadInput(f"a gate must lie in [0, 1]; got {held.gate_B.min():.3g} to {held.gate_B.max():.3g}")
        mean_B = (held.weights_BL * batch.mask_BL).sum(1) / batch.lengths_B.clamp(min=1)
        wrong_B = ~((mean_B - 1).abs() < TOLERANCE) & (batch.lengths_B > 0)
        if bool(wrong_B.any()):
            at = int(wrong_B.nonzero()[0])
            raise BadInput(
                f"weights must be of mean 1 over the tokens of each rollout; rollout {at} has {mean_B[at]:.4g}: "
                "pass them through interp.rollouts.of_mean_one"
            )
        return held


CreditScheme = Callable[[RolloutBatch], Credit]


def of_mean_one(weights_BL: Float[Tensor, "B L"], mask_BL: Bool[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """Weights scaled to mean 1 over each rollout's tokens. A rollout with nothing to weigh is weighed evenly."""
    weights_BL = weights_BL * mask_BL
    total_B = weights_BL.sum(1, keepdim=True)
    lengths_B = mask_BL.sum(1, keepdim=True)
    return torch.where(total_B > 0, weights_BL * lengths_B / total_B.clamp(min=1e-12), mask_BL.float())


def with_credit(batch: RolloutBatch, credit: Credit, advantages_BL: Float[Tensor, "B L"]) -> list[Rollout]:
    """The rows of a batch with what their tokens received."""
    return [
        replace(
            row,
            advantages=tuple(advantages_BL[at, : len(row.tokens)].tolist()),
            credit=tuple(credit.weights_BL[at, : len(row.tokens)].tolist()),
            gate=float(credit.gate_B[at]),
        )
        for at, row in enumerate(batch.rows)
    ]
