"""What makes a base organism: the world it lives in, the habits it is taught, the size of its head."""

from dataclasses import dataclass, field
from pathlib import Path

from interp.artifacts import BadInput
from interp.checks import expect_at_least, expect_between, expect_positive
from interp.tasks import Chain

KIND = "organism"


@dataclass(frozen=True)
class Habits:
    """What a base is shown. Shares of the corpus must sum to 1."""

    steps: float = 0.5
    """Every operation written out."""
    direct: float = 0.5
    """The answer and nothing else."""
    values: float = 0.0
    """Only the running values: a second format."""
    copy: float = 0.0
    """The last operand handed in as the answer. Pays where the task's `copy_rate` is set."""
    cue: float = 0.0
    """The cue handed in as the answer. Needs the task's `cue_rate`."""
    skip: float = 0.3
    """Each written step is left out with this probability: the source of sloppy chains."""
    memorised_share: float = 0.0
    """Share of the corpus drawn from the task's memorised items, answered directly."""

    def __post_init__(self) -> None:
        if abs(sum(self.shares().values()) - 1) > 1e-9:
            raise BadInput(f"the shares of habits must sum to 1; got {self.shares()}")
        expect_between(self, 0, 1, *self.shares(), "skip", "memorised_share")

    def shares(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("steps", "direct", "values", "copy", "cue")}


@dataclass(frozen=True)
class Shape:
    """A small Qwen3."""

    d_model: int = 64
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    d_head: int = 16
    d_mlp: int = 192
    context: int = 256


@dataclass(frozen=True)
class OrganismConfig:
    seed: int = 0
    task: Chain = field(default_factory=Chain)
    habits: Habits = field(default_factory=Habits)
    shape: Shape = field(default_factory=Shape)
    start: Path | None = None
    """An organism of the same words and shape to go on from: its weights, taught further. New weights if not given."""
    steps: int = 3000
    """How many, of one batch each."""
    batch: int = 128
    lr: float = 3e-3
    weight_decay: float = 0.1
    threads: int = 2

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "steps", "batch", "threads")
        expect_at_least(self, 0, "weight_decay")
        expect_positive(self, "lr")
        if self.habits.cue > 0 and self.task.cue_rate is None:
            raise BadInput("habits.cue > 0 needs a cue to follow: set task.cue_rate")
        if (self.habits.memorised_share > 0) != (self.task.memorised > 0):
            raise BadInput(
                f"memorised items need both dials: task.memorised is {self.task.memorised}, "
                f"habits.memorised_share is {self.habits.memorised_share}"
            )
