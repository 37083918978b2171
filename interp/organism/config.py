"""The config of a base organism: its task, the habits in its training data, and the size of its model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from interp.artifacts import BadInput, from_json, read_manifest, reading
from interp.checks import Count, LearningRate, Range, Seed, Share, Threads, expect_plausible
from interp.costs import expect_memory
from interp.tasks import Chain

KIND = "organism"
BYTES_PER_PARAMETER = 16
"""Of training: the weight, its gradient, and the two moments of AdamW."""
TOKENS_PER_OPERATION = 8
"""Of an example, prompt and completion: at most."""
ModelWidth = Annotated[int, Range(1, 100_000)]

OrganismLayer = Annotated[int, Range(0, 3)]
"""A layer of an organism of the default shape."""


@dataclass(frozen=True)
class HabitMix:
    """The habits in the training data. The shares sum to 1."""

    steps: Share = 0.5
    """Share of completions that write every operation."""
    direct: Share = 0.5
    """Share of completions that give the answer and nothing else."""
    values: Share = 0.0
    """Share of completions that write only the running values: a second format."""
    copy: Share = 0.0
    """Share of completions that answer with the last operand. It pays if the task sets `copy_rate`."""
    cue: Share = 0.0
    """Share of completions that answer with the cue. It needs the task's `cue_rate`."""
    skip: Share = 0.3
    """Probability that a written step is left out. This makes written chains sloppy."""
    memorised_share: Share = 0.0
    """Share of the training data drawn from the task's memorised problems, answered directly."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        if abs(sum(self.shares().values()) - 1) > 1e-9:
            raise BadInput(f"the shares of habits must sum to 1; got {self.shares()}")

    def shares(self) -> dict[str, float]:
        """The share of each habit."""
        return {name: getattr(self, name) for name in ("steps", "direct", "values", "copy", "cue")}


@dataclass(frozen=True)
class ModelShape:
    """The size of the model, a Qwen3."""

    d_model: ModelWidth = 64
    """Width of the residual stream."""
    layers: Annotated[int, Range(1, 1000)] = 4
    """Number of blocks."""
    heads: Annotated[int, Range(1, 1024)] = 4
    """Attention heads of a block."""
    kv_heads: Annotated[int, Range(1, 1024)] = 2
    """Key-value heads of a block, shared by the attention heads."""
    d_head: Annotated[int, Range(1, 4096)] = 16
    """Width of a head."""
    d_mlp: ModelWidth = 192
    """Width of the hidden layer of an MLP."""
    context: Annotated[int, Range(8, 10**6)] = 256
    """Longest sequence in tokens."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        if self.heads % self.kv_heads:
            raise BadInput(f"kv_heads must divide heads; got {self.heads} heads and {self.kv_heads} kv_heads")
        if self.d_head % 2:
            raise BadInput(f"d_head must be even, for rotary positions; got {self.d_head}")


@dataclass(frozen=True)
class OrganismConfig:
    """The recipe of a base organism."""

    seed: Seed = 0
    """Seed of the weights and of the training data."""
    task: Chain = field(default_factory=Chain)
    habits: HabitMix = field(default_factory=HabitMix)
    shape: ModelShape = field(default_factory=ModelShape)
    start: Path | None = None
    """An organism with the same vocabulary and shape to start from. Default: new weights."""
    steps: Count = 3000
    """Optimiser steps, one batch each."""
    batch: Annotated[int, Range(1, 10**6)] = 128
    """Examples per step."""
    lr: LearningRate = 3e-3
    """The highest learning rate."""
    weight_decay: Annotated[float, Range(0, 1000)] = 0.1
    """Weight decay of AdamW."""
    threads: Threads = 2
    """CPU threads. The weights are the same bits only with the same number."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        if self.habits.cue > 0 and self.task.cue_rate is None:
            raise BadInput("habits.cue > 0 needs a cue to follow: set task.cue_rate")
        if (self.habits.memorised_share > 0) != (self.task.memorised > 0):
            raise BadInput(
                "memorised problems need both task.memorised and habits.memorised_share; got "
                f"{self.task.memorised} and {self.habits.memorised_share}"
            )

    def expect_affordable(self) -> None:
        """Say what the model takes in memory if it may be much; refuse one that memory cannot hold."""
        shape = self.shape
        block = shape.d_model * (2 * shape.d_head * (shape.heads + shape.kv_heads) + 3 * shape.d_mlp)
        parameters = shape.layers * block + 2 * shape.d_model * self.task.modulus
        training = BYTES_PER_PARAMETER * parameters
        tokens = self.batch * min(shape.context, TOKENS_PER_OPERATION * (self.task.depths[1] + 1))
        activations = 4 * tokens * shape.layers * (8 * shape.d_model + 3 * shape.d_mlp)
        remedy = "use a smaller shape, or a smaller batch"
        expect_memory(f"{parameters:,} parameters", remedy, at_least=training, up_to=training + activations)


def read_config(path: str | Path) -> OrganismConfig:
    """The recipe of an organism, from its manifest."""
    manifest = read_manifest(path, KIND)
    with reading(path, "an organism with its recipe"):
        return from_json(OrganismConfig, manifest["config"])
