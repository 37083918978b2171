"""The contract of credit: a batch of rollouts in; what each reward becomes, and the weight of each token, out.

    R_b  = gate_b * reward_b + bonus_b                gate_b in [-1, 1]: 1 keeps the reward, 0 cancels it, -1 turns it
    A_b  = (R_b - mean of R in the group) / scale + added_b
    A_bt = weights_bt * A_b                           weights of mean 1 over the tokens of a rollout

Before the group's baseline, a scheme may keep, discount or turn a reward: a lucky answer of three tokens cannot be
corrected by moving weight among its tokens, and a turned success falls below an honest failure. It may add a bonus
where a whole group failed. It may screen a rollout out: it gets no advantage, and the mean and the scale of its group
are those of the others. After the baseline, a scheme may add an advantage of its own, and weighs tokens.

A scheme is any callable from a RolloutBatch to a Credit. Two optional parts: `expect_base` (`BaseSpecific`), and what a
scheme learns while a run goes on (`Learning`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.rollouts.record import Rollout

if TYPE_CHECKING:
    from interp.policy import Policy
    from interp.policy.config import SampleConfig
    from interp.policy.prompts import PromptFormat

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
    base: "Policy | None" = None
    """The frozen policy that training began from, for schemes that have it read the same text."""
    seed: int = 0
    """The run's seed. A scheme draws its random numbers from this and from the keys of the rollouts."""
    sampling: "SampleConfig | None" = None
    """How the run samples, for schemes that sample as it does. None: not known."""
    prompt_format: "PromptFormat | None" = None
    """How the run puts its problems, and where answers end. None: not known."""

    @classmethod
    def from_rollouts(
        cls,
        rollouts: Sequence[Rollout],
        group: int,
        *,
        policy: "Policy | None" = None,
        base: "Policy | None" = None,
        seed: int = 0,
        sampling: "SampleConfig | None" = None,
        prompt_format: "PromptFormat | None" = None,
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
            base=base,
            seed=seed,
            sampling=sampling,
            prompt_format=prompt_format,
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
    """What the rewards of a batch become, and its token weights."""

    gate_B: Float[Tensor, " B"]
    """Factor of each reward, in [-1, 1]."""
    weights_BL: Float[Tensor, "B L"]
    """Weight of each token in its rollout's advantage, with mean 1 over the tokens of a rollout."""
    bonus_B: Float[Tensor, " B"] | None = None
    """Added to each reward after its gate, in [-1, 1]. None adds nothing."""
    counts_B: Bool[Tensor, " B"] | None = None
    """Whether a rollout counts, for itself and in its group's baseline. None: all do."""
    added_B: Float[Tensor, " B"] | None = None
    """Added to each rollout's advantage after baseline and scale, if it counts. None adds nothing."""
    facts: Mapping[str, float | None] = field(default_factory=dict)
    """Numbers that the scheme reports of this batch. They join the metrics of the step."""

    @classmethod
    def uniform(cls, batch: RolloutBatch) -> "Credit":
        """Gate 1 for every rollout, weight 1 for every token: plain GRPO."""
        return cls(torch.ones(len(batch.rollouts)), batch.mask_BL.float())

    def validate(self, batch: RolloutBatch) -> "Credit":
        """The same credit on the CPU in float32. Wrong shapes, gates, bonuses, added advantages or mean weights are
        refused with their values."""
        rows, width = batch.mask_BL.shape
        credit = replace(
            self,
            gate_B=self.gate_B.cpu().float(),
            weights_BL=self.weights_BL.cpu().float(),
            bonus_B=None if self.bonus_B is None else self.bonus_B.cpu().float(),
            counts_B=None if self.counts_B is None else self.counts_B.cpu().bool(),
            added_B=None if self.added_B is None else self.added_B.cpu().float(),
        )
        if credit.gate_B.shape != (rows,) or credit.weights_BL.shape != (rows, width):
            raise BadInput(
                f"expected a gate of shape ({rows},) and weights of shape ({rows}, {width}), "
                f"got {tuple(credit.gate_B.shape)} and {tuple(credit.weights_BL.shape)}"
            )
        for name, x_B in (("bonus", credit.bonus_B), ("counts", credit.counts_B), ("added", credit.added_B)):
            if x_B is not None and x_B.shape != (rows,):
                raise BadInput(f"expected {name} of shape ({rows},), got {tuple(x_B.shape)}")
        for name, x_B in (("gate", credit.gate_B), ("bonus", credit.bonus_B)):
            if x_B is not None and not bool((x_B.abs() <= 1).all()):  # NaN fails the comparison
                raise BadInput(f"a {name} must lie in [-1, 1]; got {x_B.min():.3g} to {x_B.max():.3g}")
        if credit.added_B is not None and not bool(credit.added_B.isfinite().all()):
            raise BadInput(f"an added advantage must be finite; got {credit.added_B.tolist()}")
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


@runtime_checkable
class Learning(Protocol):
    """The optional part of a scheme that learns while a run goes on.

    What it has learned is part of the run's state, so that a run that is killed resumes to the same bits."""

    def fresh(self) -> "Learning":
        """A scheme of the same settings that has learned nothing. `interp.grpo.train` begins with one."""
        ...

    def observe(self, batch: RolloutBatch) -> None:
        """Learn from a batch. Called once a step, before the scheme is asked for the credit of that batch."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """What was learned."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
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
            bonus=None if credit.bonus_B is None else float(credit.bonus_B[row]),
            counts=None if credit.counts_B is None else bool(credit.counts_B[row]),
        )
        for row, rollout in enumerate(batch.rollouts)
    ]
