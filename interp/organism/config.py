"""The config of a base organism: its task, the habits in its training data, and the size of its model."""

from dataclasses import dataclass, field
from pathlib import Path

from interp.artifacts import BadInput
from interp.checks import expect_at_least, expect_between, expect_positive
from interp.tasks import Chain

KIND = "organism"


@dataclass(frozen=True)
class HabitMix:
    """The habits in the training data. The shares sum to 1."""

    steps: float = 0.5
    """Share of completions that write every operation."""
    direct: float = 0.5
    """Share of completions that give the answer and nothing else."""
    values: float = 0.0
    """Share of completions that write only the running values: a second format."""
    copy: float = 0.0
    """Share of completions that answer with the last operand. It pays if the task sets `copy_rate`."""
    cue: float = 0.0
    """Share of completions that answer with the cue. It needs the task's `cue_rate`."""
    skip: float = 0.3
    """Probability that a written step is left out. This makes written chains sloppy."""
    memorised_share: float = 0.0
    """Share of the training data drawn from the task's memorised problems, answered directly."""

    def __post_init__(self) -> None:
        if abs(sum(self.shares().values()) - 1) > 1e-9:
            raise BadInput(f"the shares of habits must sum to 1; got {self.shares()}")
        expect_between(self, 0, 1, *self.shares(), "skip", "memorised_share")

    def shares(self) -> dict[str, float]:
        """The share of each habit."""
        return {name: getattr(self, name) for name in ("steps", "direct", "values", "copy", "cue")}


@dataclass(frozen=True)
class ModelShape:
    """The size of the model, a Qwen3."""

    d_model: int = 64
    """Width of the residual stream."""
    layers: int = 4
    """Number of blocks."""
    heads: int = 4
    """Attention heads of a block."""
    kv_heads: int = 2
    """Key-value heads of a block, shared by the attention heads."""
    d_head: int = 16
    """Width of a head."""
    d_mlp: int = 192
    """Width of the hidden layer of an MLP."""
    context: int = 256
    """Longest sequence in tokens."""


@dataclass(frozen=True)
class OrganismConfig:
    """The recipe of a base organism."""

    seed: int = 0
    """Seed of the weights and of the training data."""
    task: Chain = field(default_factory=Chain)
    habits: HabitMix = field(default_factory=HabitMix)
    shape: ModelShape = field(default_factory=ModelShape)
    start: Path | None = None
    """An organism with the same vocabulary and shape to start from. Default: new weights."""
    steps: int = 3000
    """Optimiser steps, one batch each."""
    batch: int = 128
    """Examples per step."""
    lr: float = 3e-3
    """The highest learning rate."""
    weight_decay: float = 0.1
    """Weight decay of AdamW."""
    threads: int = 2
    """CPU threads. The weights are the same bits only with the same number."""

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "steps", "batch", "threads")
        expect_at_least(self, 0, "weight_decay")
        expect_positive(self, "lr")
        if self.habits.cue > 0 and self.task.cue_rate is None:
            raise BadInput("habits.cue > 0 needs a cue to follow: set task.cue_rate")
        if (self.habits.memorised_share > 0) != (self.task.memorised > 0):
            raise BadInput(
                "memorised problems need both task.memorised and habits.memorised_share; got "
                f"{self.task.memorised} and {self.habits.memorised_share}"
            )
