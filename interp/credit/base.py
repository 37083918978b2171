"""The contract of credit: a batch of rollouts in; per rollout a gate on its reward, per token a weight, out.

    R_b  = gate_b * reward_b                          gate_b in [0, 1]: the share of its reward a rollout keeps
    A_bt = weights_bt * (R_b - mean of R in the group) / scale       weights of mean 1 over the tokens of a rollout

The gate comes before the group's baseline: a lucky answer of three tokens cannot be corrected by moving weight among
its tokens. The weights come after it. A scheme is any callable from a RolloutBatch to a Credit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.rollouts.record import Rollout

if TYPE_CHECKING:
    from interp.policy import Policy

TOLERANCE = 1e-4
"""Allowed distance of a rollout's mean weight from 1."""


@dataclass(frozen=True)
class RolloutBatch:
    """Rollouts as tensors: right-padded, one group after another, on the CPU."""

    rollouts: Sequence[Rollout]
    """The records, with verdicts and the role of every token."""
    group: int
    """Rollouts per prompt."""
    tokens_BL: Int[Tensor, "B L"]
    mask_BL: Bool[Tensor, "B L"]
    logprobs_BL: Float[Tensor, "B L"]
    entropies_BL: Float[Tensor, "B L"]
    rewards_B: Float[Tensor, " B"]
    policy: "Policy | None" = None
    """The policy that sampled them, for schemes that read its activations."""
    seed: int = 0
    """The run's seed. A scheme draws its random numbers from this and from the keys of the rollouts."""

    @classmethod
    def from_rollouts(
        cls, rollouts: Sequence[Rollout], group: int, *, policy: "Policy | None" = None, seed: int = 0
    ) -> "RolloutBatch":
        """Tensors from records. The records must be whole groups of `group` rollouts, one after another."""
        if not rollouts or len(rollouts) % group:
            raise BadInput(f"expected whole groups of {group} rollouts, got {len(rollouts)} rollouts")
        lengths_B = torch.tensor([len(rollout.tokens) for rollout in rollouts])
        width = int(lengths_B.max())
        return cls(
            rollouts=rollouts,
            group=group,
            tokens_BL=torch.tensor(_padded(rollouts, width, lambda rollout: rollout.tokens), dtype=torch.long),
            mask_BL=torch.arange(width) < lengths_B[:, None],
            logprobs_BL=torch.tensor(_padded(rollouts, width, lambda rollout: rollout.logprobs), dtype=torch.float32),
            entropies_BL=torch.tensor(_padded(rollouts, width, lambda rollout: rollout.entropies), dtype=torch.float32),
            rewards_B=torch.tensor([rollout.reward for rollout in rollouts]),
            policy=policy,
            seed=seed,
        )

    @property
    def lengths_B(self) -> Int[Tensor, " B"]:
        return self.mask_BL.sum(1)

    @property
    def truncated_B(self) -> Bool[Tensor, " B"]:
        return torch.tensor([rollout.truncated for rollout in self.rollouts])

    def per_token(self, values: Callable[[Rollout], Sequence[float]]) -> Float[Tensor, "B L"]:
        """A tensor of one number per token, zero beyond the end. `values` gives the numbers of one rollout."""
        return torch.tensor(_padded(self.rollouts, self.tokens_BL.shape[1], values, padding=0.0))


def _padded(
    rollouts: Sequence[Rollout], width: int, values: Callable[[Rollout], Sequence[float]], padding: float = 0
) -> list[list[float]]:
    return [[*values(rollout), *[padding] * (width - len(rollout.tokens))] for rollout in rollouts]


@dataclass(frozen=True)
class Credit:
    """The gate and the token weights of a batch."""

    gate_B: Float[Tensor, " B"]
    """Share of its reward that each rollout keeps, in [0, 1]."""
    weights_BL: Float[Tensor, "B L"]
    """Weight of each token in its rollout's advantage, with mean 1 over the tokens of a rollout."""

    @classmethod
    def uniform(cls, batch: RolloutBatch) -> "Credit":
        """Gate 1 for every rollout, weight 1 for every token: plain GRPO."""
        return cls(torch.ones(len(batch.rollouts)), batch.mask_BL.float())

    def validate(self, batch: RolloutBatch) -> "Credit":
        """The same credit on the CPU in float32. Wrong shapes, gates or mean weights are refused with their values."""
        rows, width = batch.mask_BL.shape
        credit = Credit(self.gate_B.cpu().float(), self.weights_BL.cpu().float())
        if credit.gate_B.shape != (rows,) or credit.weights_BL.shape != (rows, width):
            raise BadInput(
                f"expected a gate of shape ({rows},) and weights of shape ({rows}, {width}), "
                f"got {tuple(credit.gate_B.shape)} and {tuple(credit.weights_BL.shape)}"
            )
        if not bool(((credit.gate_B >= 0) & (credit.gate_B <= 1)).all()):  # NaN fails both comparisons
            raise BadInput(f"a gate must lie in [0, 1]; got {credit.gate_B.min():.3g} to {credit.gate_B.max():.3g}")
        mean_B = (credit.weights_BL * batch.mask_BL).sum(1) / batch.lengths_B.clamp(min=1)
        wrong_B = ~((mean_B - 1).abs() < TOLERANCE) & (batch.lengths_B > 0)
        if bool(wrong_B.any()):
            row = int(wrong_B.nonzero()[0])
            raise BadInput(
                f"weights must have mean 1 over the tokens of each rollout; rollout {row} has {mean_B[row]:.4g}: "
                "scale them with interp.credit.normalize_weights"
            )
        return credit


@runtime_checkable
class CreditScheme(Protocol):
    """Computes the credit of a batch of rollouts. Any function with this signature is a scheme.

    A scheme that is valid for one base policy alone also has a method `expect_base`, see `BaseSpecific`."""

    def __call__(self, batch: RolloutBatch, /) -> Credit: ...


@runtime_checkable
class BaseSpecific(Protocol):
    """The optional part of a scheme: it refuses a base policy that it was not made for."""

    def expect_base(self, base: "Policy") -> None:
        """Raise Mismatch unless the scheme was made for `base`. `interp.grpo.train` calls this before the first
        step."""
        ...


def check_scheme(scheme: CreditScheme | None, base: "Policy") -> None:
    """Refuse an object that is no scheme, or a scheme that was made for another base policy."""
    if scheme is None:
        return
    if not callable(scheme) or isinstance(scheme, type):
        raise BadInput(
            "credit must be a function of a batch, such as interp.credit.StepValidity(), or None; "
            f"got {scheme!r}{': make an instance of it' if isinstance(scheme, type) else ''}"
        )
    if isinstance(scheme, BaseSpecific):
        scheme.expect_base(base)


def normalize_weights(weights_BL: Float[Tensor, "B L"], mask_BL: Bool[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """Weights scaled to mean 1 over each rollout's tokens. Where all weights of a rollout are zero, they become 1."""
    weights_BL = weights_BL * mask_BL
    total_B = weights_BL.sum(1, keepdim=True)
    lengths_B = mask_BL.sum(1, keepdim=True)
    return torch.where(total_B > 0, weights_BL * lengths_B / total_B.clamp(min=1e-12), mask_BL.float())


def attach_credit(batch: RolloutBatch, credit: Credit, advantages_BL: Float[Tensor, "B L"]) -> list[Rollout]:
    """The records of a batch with the advantages, weights and gate they received."""
    return [
        replace(
            rollout,
            advantages=tuple(advantages_BL[row, : len(rollout.tokens)].tolist()),
            credit=tuple(credit.weights_BL[row, : len(rollout.tokens)].tolist()),
            gate=float(credit.gate_B[row]),
        )
        for row, rollout in enumerate(batch.rollouts)
    ]
