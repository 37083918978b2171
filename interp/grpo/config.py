"""The configuration of a run, and the losses of the literature as one table: each is a choice at five places.

    scale       unit of a rollout's reward: the deviation of its group, of the whole batch, or none
    ratio       what is compared between new and old policy: a token, the whole completion, or a bounded constant weight
    reduction   what has equal weight in the sum: every rollout, every token, or a token against the longest allowed
    clip        how far the ratio may move a token before its gradient is cut
    filters     redraw groups of equal rewards, leave truncated rollouts out, penalize overlong ones

Papers: GRPO 2402.03300, Dr.GRPO 2503.20783, DAPO 2503.14476, GSPO 2507.18071, CISPO 2506.13585, Lite PPO 2508.08221.
BNPO is TRL's name for GRPO averaged over the tokens of the batch.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from interp.artifacts import BadInput
from interp.checks import Count, CountOrZero, Range, Share, Tokens, Weight, expect_plausible
from interp.costs import expect_disk
from interp.policy.config import SampleConfig
from interp.policy.prompts import PromptFormat

Scale = Literal["group", "batch", "none"]
Ratio = Literal["token", "sequence", "weight"]
Reduction = Literal["rollout", "token", "longest"]
Loss = Literal["grpo", "dr-grpo", "bnpo", "dapo", "gspo", "cispo", "lite-ppo"]
Clip = Annotated[float, Range(0, 1000)]


@dataclass(frozen=True)
class Objective:
    """A loss, as a choice at each of the five places."""

    scale: Scale = "group"
    ratio: Ratio = "token"
    reduction: Reduction = "rollout"
    clip_low: Clip = 0.2
    """The ratio counts down to 1 - clip_low."""
    clip_high: Clip = 0.2
    """The ratio counts up to 1 + clip_high."""
    redraw: bool = False
    """Draw problems until the batch is full of groups with different rewards (dynamic sampling)."""
    mask_truncated: bool = False
    """Leave rollouts that reached the length limit out of the loss."""
    overlong_from: Share = 1.0
    """Penalize rollouts longer than this share of the length limit, by up to 1 at the limit. 1 penalizes none."""

    def __post_init__(self) -> None:
        expect_plausible(self)


OBJECTIVES: dict[str, Objective] = {
    "grpo": Objective(),
    "dr-grpo": Objective(scale="none", reduction="longest"),
    "bnpo": Objective(reduction="token"),
    "dapo": Objective(reduction="token", clip_high=0.28, redraw=True, mask_truncated=True, overlong_from=0.8),
    "gspo": Objective(ratio="sequence", clip_low=3e-4, clip_high=4e-4),
    "cispo": Objective(ratio="weight", reduction="token", clip_high=4.0),
    "lite-ppo": Objective(scale="batch", reduction="token"),
}


LEARNING_RATES = ((10**7, 2e-4, 2e-4), (10**9, 1e-5, 1e-4), (math.inf, 1e-6, 1e-5))
"""Largest number of parameters, with the learning rate of the weights and of LoRA adapters."""


@dataclass(frozen=True)
class UpdateConfig:
    """How a batch updates the weights."""

    lr: Annotated[float, Range(0, 10)] | None = None
    """Learning rate. Default, by the parameters of the model: 2e-4 up to 10 million, 1e-5 up to a billion (with
    LoRA 1e-4), 1e-6 beyond (1e-5)."""
    warm_up: CountOrZero = 0
    """Steps over which the learning rate rises."""
    weight_decay: Annotated[float, Range(0, 1000)] = 0.0
    """Weight decay of AdamW."""
    max_norm: Annotated[float, Range(0, 10**12, without_low=True)] = 1.0
    """Gradients are scaled down to this norm. A huge one leaves them as they are."""
    inner_epochs: Annotated[int, Range(1, 1000)] = 1
    """Updates per batch. From the second on, ratios leave 1 and clipping takes effect."""
    beta: Weight = 0.0
    """Weight of the KL to the base in the loss."""
    micro_tokens: Tokens = 4096
    """Tokens, padding included, in one forward and backward. Fewer take less memory; the gradient is the same."""
    lora_rank: Annotated[int, Range(0, 16_384)] = 0
    """Train LoRA adapters of this rank instead of the weights. 0 trains the weights."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    def with_lr(self, parameters: int) -> "UpdateConfig":
        """The same with a learning rate: its own, or the one that suits a model of this size."""
        if self.lr is not None:
            return self
        of_weights, of_adapters = next(rates for size, *rates in LEARNING_RATES if parameters <= size)
        return replace(self, lr=of_adapters if self.lora_rank else of_weights)


@dataclass(frozen=True)
class GRPOConfig(PromptFormat):
    """Everything that decides a run, besides its base, task, problems and credit."""

    loss: Loss = "grpo"
    """A row of the table of objectives (interp.grpo.OBJECTIVES)."""
    steps: Count = 60
    """Updates, each on a new batch."""
    prompts: Annotated[int, Range(1, 10**6)] = 32
    """Prompts per step."""
    sampling: SampleConfig = field(default_factory=lambda: SampleConfig(rows=1024))
    """Sampling of rollouts. Its seed is the seed of the run."""
    update: UpdateConfig = field(default_factory=UpdateConfig)
    clip_low: Clip | None = None
    """Replaces the loss's own."""
    clip_high: Clip | None = None
    """Replaces the loss's own."""
    scale: Scale | None = None
    """Unit of a rollout's advantage. Replaces the loss's own. With "none", a reward of which credit keeps a tenth
    weighs a tenth; with the group's deviation as unit, as much as a whole one."""
    redraw: bool | None = None
    """Draw problems until the batch is full of groups with different rewards. Replaces the loss's own."""
    max_draws: Annotated[int, Range(1, 10_000)] = 8
    """With redraw: batches of problems drawn per step, at most."""
    save_every: Count = 10
    """Steps between checkpoints. The first and the last are always saved."""
    kl_every: CountOrZero = 10
    """Steps between measurements of the KL to the base; every step if beta is not 0. 0 never measures it."""
    patience: Count = 10
    """Steps in a row in which every group has equal rewards, after which there is no signal."""
    without_signal: Literal["stop", "go on"] = "stop"
    """What to do without signal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_plausible(self)
        if self.sampling.group < 2:
            raise BadInput(
                f"group must be at least 2; got {self.sampling.group}: a rollout is compared with the others of its "
                "group"
            )
        if not self.sampling.temperature > 0:
            raise BadInput(
                f"temperature must be positive; got {self.sampling.temperature}: all rollouts of a group would be equal"
            )

    def expect_affordable(self, out: Path, weights: int) -> None:
        """Refuse a run whose rollouts of a step, or whose checkpoints of `weights` bytes, cannot fit. A run that exists
        has its place."""
        self.sampling.expect_affordable(self.prompts)
        checkpoints = 2 + self.steps // self.save_every
        if not out.exists():
            state = 0 if self.update.lora_rank else 3 * weights  # float32 weights and the two moments of AdamW
            expect_disk(
                f"{checkpoints:,} checkpoints of {weights / 1e9:,.2g} GB, with the state to resume from,",
                "take fewer steps, a greater save_every, or LoRA adapters (lora_rank)",
                place=out,
                n_bytes=checkpoints * weights + state,
            )

    @property
    def seed(self) -> int:
        return self.sampling.seed

    def objective(self) -> Objective:
        """The loss's row, with the fields that this config replaces."""
        own = {name: getattr(self, name) for name in ("scale", "clip_low", "clip_high", "redraw")}
        return replace(OBJECTIVES[self.loss], **{name: value for name, value in own.items() if value is not None})

    def measures_kl(self, step: int) -> bool:
        """Whether the KL to the base is measured at this step: always with a beta, else every `kl_every` steps."""
        return self.update.beta > 0 or (self.kl_every > 0 and step % self.kl_every == 0)
