"""What the study runs."""

from dataclasses import dataclass, field

from interp.artifacts import BadInput
from interp.studies.dictionary.planted import PlantedConfig

ARMS = (
    "interp", "paper", "released", "matryoshka", "batchtopk", "shuffled", "contrast-only", "promotion-only",
)  # fmt: skip
"""By their presets. On the organism there is one more: ours, on a policy of random weights reading the same text."""
RANDOM = "interp, random weights"
WORLDS = ("planted", "organism")


@dataclass(frozen=True)
class Size:
    """The same for every arm."""

    width: int
    k: int
    steps: int


@dataclass(frozen=True)
class DictionaryConfig:
    seeds: int = 5
    first_seed: int = 101
    """Seeds below were used to find settings, and are not reported."""
    worlds: tuple[str, ...] = WORLDS
    """Which to run: both are needed for the verdict."""
    planted: PlantedConfig = field(default_factory=PlantedConfig)
    planted_width: int = 256
    planted_k: int = 6
    organism_width: int = 1024
    organism_k: int = 16
    steps: int = 2000
    """Of each dictionary, at 1,024 tokens a step."""
    layer: int = 2
    """Of the organism's four, from 0."""
    tokens: int = 400_000
    """Of the organism's series to fit on, prompts included."""
    held_out: int = 80_000
    """And to measure on, of problems that were not fitted on."""
    grpo_steps: int = 40
    processes: int = 2

    def __post_init__(self) -> None:
        if strange := sorted(set(self.worlds) - set(WORLDS)):
            raise BadInput(f"worlds must be some of {', '.join(WORLDS)}; got {', '.join(strange)}")
        for name in ("seeds", "steps", "tokens", "held_out", "grpo_steps", "processes"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.layer < 0 or self.first_seed < 0:
            raise BadInput(f"layer and first_seed must not be negative; got {self.layer} and {self.first_seed}")

    def size(self, world: str) -> Size:
        width, k = (getattr(self, f"{world}_{name}") for name in ("width", "k"))
        return Size(width, k, self.steps)
