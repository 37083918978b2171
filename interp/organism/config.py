"""The config of a base organism: its task, the habits in its training data, and the size of its model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from interp.artifacts import BadInput, from_json, read_manifest, reading
from interp.checks import Count, LearningRate, Range, Seed, Share, Threads, expect_plausible
from interp.costs import expect_memory
from interp.tasks import Chain, Words

KIND = "organism"
BYTES_PER_PARAMETER = 16
"""Of training: the weight, its gradient, and the two moments of AdamW."""
TOKENS_PER_OPERATION = 8
"""Of an example, prompt and completion: at most."""
WORDS_VOCABULARY = 1024
"""Tokens of a new tokenizer of words: at most."""
ModelWidth = Annotated[int, Range(1, 100_000)]

OrganismKind = Literal["chain", "words"]
Precision = Literal["float32", "bfloat16"]

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
    slip: Share = 0.0
    """Probability that a written step has a wrong result. Words only."""
    restate: Share = 0.5
    """Share of written solutions that restate every change before its equation. Words only."""
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
    """Options of the chain task."""
    habits: HabitMix = field(default_factory=HabitMix)
    shape: ModelShape = field(default_factory=ModelShape)
    start: Path | None = None
    """The weights to start from. Chain: an organism with the same vocabulary and shape. Words: any local Hugging Face
    directory, with its own tokenizer and shape. Default: new weights."""
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
    kind: OrganismKind = "chain"
    """The task: chains of arithmetic, or English word problems."""
    words: Words = field(default_factory=Words)
    """Options of the words task."""
    lora_rank: Annotated[int, Range(0, 16_384)] = 0
    """Train LoRA adapters of this rank and merge them at the end. 0 trains the weights. Words with a start only."""
    numbers: Literal["whole", "digits"] = "whole"
    """Tokens of a number in a new tokenizer of words: one in all, or one for each digit."""
    last_step: Count | None = None
    """Stop after this many steps, before the schedule of `steps` ends."""
    curriculum: Share = 0.0
    """Share of the steps over which the depth of examples grows from the smallest to the largest."""
    precision: Precision = "float32"
    """Precision of the training's products. The trained weights are float32 in either case."""
    stored: Precision = "float32"
    """Precision of the weights on disk."""
    save_every: Count = 250
    """Steps between two saved states, from which a stopped training continues."""
    card_problems: Count | None = None
    """Evaluation problems per depth that the card measures. Default: 200 of chains, 60 of words, 12 of words for a
    pretrained model."""
    card_samples: Count | None = None
    """Rollouts for each of them. Default: 32 of chains, 16 of words, 8 of words for a pretrained model."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        field_name = {"chain": "task", "words": "words"}[self.kind]
        if self.habits.cue > 0 and self.chosen_task.cue_rate is None:
            raise BadInput(f"habits.cue > 0 needs a cue to follow: set {field_name}.cue_rate")
        if self.kind == "words" and self.habits.values:
            raise BadInput(f"habits.values is a format of the chain task; got {self.habits.values} for words")
        if self.kind == "chain" and (self.habits.slip or self.lora_rank):
            raise BadInput("habits.slip and lora_rank are for --kind words; got them for chain")
        if self.last_step is not None and self.last_step > self.steps:
            raise BadInput(f"last_step must be at most steps, {self.steps}; got {self.last_step}")
        if self.lora_rank and self.start is None:
            raise BadInput("lora_rank needs weights to adapt: set start to a local Hugging Face directory")
        if (self.habits.memorised_share > 0) != (self.task.memorised > 0):
            raise BadInput(
                "memorised problems need both task.memorised and habits.memorised_share; got "
                f"{self.task.memorised} and {self.habits.memorised_share}"
            )

    @property
    def chosen_task(self) -> Chain | Words:
        """The task of the organism's kind."""
        return self.task if self.kind == "chain" else self.words

    @property
    def card_counts(self) -> tuple[int, int]:
        """Problems per depth and rollouts per problem that the card measures."""
        usual = (200, 32) if self.kind == "chain" else (60, 16) if self.start is None else (12, 8)
        return self.card_problems or usual[0], self.card_samples or usual[1]

    def expect_affordable(self) -> None:
        """Say what the model takes in memory if it may be much; refuse one that memory cannot hold."""
        shape = self.shape
        block = shape.d_model * (2 * shape.d_head * (shape.heads + shape.kv_heads) + 3 * shape.d_mlp)
        vocabulary = 2 * self.task.modulus if self.kind == "chain" else WORDS_VOCABULARY
        parameters = shape.layers * block + shape.d_model * vocabulary
        training = BYTES_PER_PARAMETER * parameters
        per_operation = TOKENS_PER_OPERATION if self.kind == "chain" else 4 * TOKENS_PER_OPERATION
        tokens = self.batch * min(shape.context, per_operation * (self.chosen_task.depths[1] + 1))
        activations = 4 * tokens * shape.layers * (8 * shape.d_model + 3 * shape.d_mlp)
        remedy = "use a smaller shape, or a smaller batch"
        expect_memory(f"{parameters:,} parameters", remedy, at_least=training, up_to=training + activations)


def words_recipe(start: Path | None = None) -> OrganismConfig:
    """The recipe of the shipped words organism; with `start`, that of a finetuned pretrained model."""
    habits = HabitMix(skip=0.1, slip=0.03, restate=1.0)
    if start is not None:
        return OrganismConfig(
            kind="words",
            words=Words(largest=99, largest_change=20),
            habits=habits,
            start=start,
            steps=1200,
            batch=16,
            lr=5e-5,
            weight_decay=0.01,
            precision="bfloat16",
            save_every=100,
        )
    shape = ModelShape(d_model=256, layers=4, heads=4, kv_heads=2, d_head=64, d_mlp=704, context=512)
    return OrganismConfig(
        kind="words",
        habits=habits,
        shape=shape,
        steps=1600,
        batch=32,
        curriculum=0.35,
        lr=2e-3,
        threads=1,
        precision="bfloat16",
        stored="bfloat16",
        save_every=100,
    )


def read_config(path: str | Path) -> OrganismConfig:
    """The recipe of an organism, from its manifest."""
    manifest = read_manifest(path, KIND)
    with reading(path, "an organism with its recipe"):
        return from_json(OrganismConfig, manifest["config"])
