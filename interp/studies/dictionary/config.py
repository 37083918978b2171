"""What the study runs."""

from dataclasses import dataclass, field

from interp.artifacts import BadInput
from interp.checks import expect_at_least

ARMS = (
    "interp", "paper", "released", "matryoshka", "matryoshka-weighted", "batchtopk", "shuffled", "contrast-only",
    "promotion-only",
)  # fmt: skip
"""By their presets. On the organism there is one more: ours, on a policy of random weights reading the same text."""
RANDOM = "interp, random weights"
WORLDS = ("planted", "organism")


@dataclass(frozen=True)
class PlantedConfig:
    d_model: int = 64
    each: int = 24
    """Latents of each of the four kinds."""
    frequent: float = 0.08
    """The share of tokens at which a frequent latent is on."""
    rare: float = 0.01
    dwell: float = 24.0
    """Tokens for which a slow latent stays on, in the mean."""
    length: int = 48
    """Tokens of a document."""
    noise: float = 0.05
    """Of each dimension, where latents have magnitudes around 1."""
    tokens: int = 200_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.rare <= self.frequent < 1:
            raise BadInput(f"expected 0 < rare <= frequent < 1; got rare {self.rare} and frequent {self.frequent}")
        if not self.dwell > 1:
            raise BadInput(f"dwell must be above 1; got {self.dwell}")


@dataclass(frozen=True)
class Size:
    """The same for every arm."""

    width: int
    k: int
    steps: int


@dataclass(frozen=True)
class DictionaryConfig:
    seeds: int = 5
    first_seed: int = 106
    """Seeds below were used to find settings, or to find out what the study lacked, and are not reported."""
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
        expect_at_least(self, 1, "seeds", "steps", "tokens", "held_out", "grpo_steps", "processes")
        expect_at_least(self, 0, "layer", "first_seed")

    def size(self, world: str) -> Size:
        width, k = (getattr(self, f"{world}_{name}") for name in ("width", "k"))
        return Size(width, k, self.steps)
