"""How to train."""

from dataclasses import dataclass, field, replace
from typing import Literal

from interp.artifacts import BadInput
from interp.checks import expect_at_least, expect_one_of, expect_positive
from interp.grpo.objectives import OBJECTIVES, Objective
from interp.policy.config import SampleConfig

Loss = Literal["grpo", "dr-grpo", "bnpo", "dapo", "gspo", "cispo", "lite-ppo"]


@dataclass(frozen=True)
class UpdateConfig:
    lr: float = 2e-4
    """Fits an organism of 0.2 M parameters; a model of billions wants 1e-6, LoRA 1e-5."""
    warm_up: int = 0
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.0
    max_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    inner_epochs: int = 1
    """Updates per batch. From the second on, ratios leave 1 and clipping has something to do."""
    beta: float = 0.0
    """Weight of the KL to the base in the loss."""
    micro_tokens: int = 4096
    """Tokens, padding included, in one forward and backward. Less takes less memory; the gradient is the same."""
    lora_rank: int = 0
    """Train adapters of this rank instead of the weights. 0 trains the weights."""

    def __post_init__(self) -> None:
        expect_at_least(self, 0, "lr", "warm_up", "weight_decay", "beta", "lora_rank")
        expect_at_least(self, 1, "inner_epochs", "micro_tokens")
        expect_positive(self, "max_norm")


@dataclass(frozen=True)
class GRPOConfig:
    loss: Loss = "grpo"
    """A row of the table in interp/grpo/objectives.py."""
    steps: int = 60
    """How many, each on a batch of prompts of its own."""
    prompts: int = 32
    """Per step."""
    chat: bool = False
    """Ask as a user's turn in the tokenizer's chat template."""
    sampling: SampleConfig = field(default_factory=lambda: SampleConfig(rows=1024))
    """Its seed is the run's."""
    update: UpdateConfig = field(default_factory=UpdateConfig)
    clip_low: float | None = None
    """Instead of the loss's own."""
    clip_high: float | None = None
    """Instead of the loss's own."""
    redraw: bool | None = None
    """Whether to draw prompts until the batch is full of groups with contrast. Instead of the loss's own."""
    max_draws: int = 8
    """Where prompts are drawn anew: at most this many batches of them a step."""
    save_every: int = 10
    """Steps between checkpoints. The first and the last are always kept."""
    kl_every: int = 10
    """Steps between measurements of the KL to the base; every step if beta is not 0. 0 never measures it."""
    patience: int = 10
    """Steps in a row without contrast in any group, after which there is no signal."""
    without_signal: Literal["stop", "go on"] = "stop"

    def __post_init__(self) -> None:
        expect_one_of(self, OBJECTIVES, "loss")
        expect_at_least(self, 1, "steps", "prompts", "max_draws", "save_every", "patience")
        expect_at_least(self, 0, "kl_every")
        if self.sampling.group < 2:
            raise BadInput(
                f"group must be at least 2; got {self.sampling.group}: an answer is better or worse than the others "
                "of its group, and alone it teaches nothing"
            )
        if not self.sampling.temperature > 0:
            raise BadInput(
                f"temperature must be positive; got {self.sampling.temperature}: all of a group would be alike"
            )

    @property
    def seed(self) -> int:
        return self.sampling.seed

    def objective(self) -> Objective:
        own = {"clip_low": self.clip_low, "clip_high": self.clip_high, "redraw": self.redraw}
        return replace(OBJECTIVES[self.loss], **{name: value for name, value in own.items() if value is not None})

    def measures_kl(self, step: int) -> bool:
        return self.update.beta > 0 or (self.kl_every > 0 and step % self.kl_every == 0)
