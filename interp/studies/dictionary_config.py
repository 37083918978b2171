"""Settings of the dictionary study: planted latents, arms, and the facts that probes ask for."""

from dataclasses import dataclass, field
from typing import Annotated

from interp.artifacts import BadInput
from interp.checks import Count, Name, Processes, Range, Seed, Share, Tokens, Weight, expect_once_each, expect_plausible
from interp.organism.config import ModelShape, OrganismLayer
from interp.tsae.config import TSAEConfig

PRESETS = (
    "interp", "paper", "released", "matryoshka", "matryoshka-weighted", "batchtopk", "shuffled", "contrast-only",
    "promotion-only",
)  # fmt: skip
"""Arms, by their presets."""
RANDOM = "interp, random weights"
"""The arm `interp` on a policy of random weights that reads the same text. On the organism alone, as the two below."""
RESIDUAL = "the residual itself"
RESIDUAL_RANDOM = "the residual itself, random weights"
"""Arms without a dictionary: probes of the residual."""
PLANTED, ORGANISM = WORLDS = ("planted", "organism")
ARMS = {PLANTED: PRESETS, ORGANISM: (*PRESETS, RANDOM, RESIDUAL, RESIDUAL_RANDOM)}
KINDS = ("slow frequent", "slow rare", "fast frequent", "fast rare")
"""Kinds of planted latents."""
SLOW = ("format", "valid", "depth", "steps left", "running value")
"""Facts of the organism's answers that hold for a whole answer, or for a step of it."""
FAST = ("role", "operator", "digit", "result")
"""Facts of a single token."""


@dataclass(frozen=True)
class PlantedConfig:
    """The planted latents, and the documents made of them."""

    d_model: Annotated[int, Range(2, 100_000)] = 64
    """Width of the planted activations."""
    per_kind: Count = 24
    """Latents of each of the four kinds."""
    frequent_rate: Share = 0.08
    """Share of tokens at which a frequent latent is active."""
    rare_rate: Share = 0.01
    """Share of tokens at which a rare latent is active."""
    dwell: Annotated[float, Range(1, 10**6, without_low=True)] = 24.0
    """Tokens for which a slow latent stays active, on average."""
    length: Annotated[int, Range(2, 10**6)] = 48
    """Tokens of a document."""
    noise: Weight = 0.05
    """Standard deviation of the noise in each dimension. Latents have magnitudes around 1."""
    tokens: Tokens = 200_000
    """Tokens of the planted activations."""
    seed: Seed = 0
    """Seed of the planted activations."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        if not 0 < self.rare_rate <= self.frequent_rate < 1:
            raise BadInput(
                f"expected 0 < rare_rate <= frequent_rate < 1; got rare_rate {self.rare_rate} and frequent_rate "
                f"{self.frequent_rate}"
            )


@dataclass(frozen=True)
class DictionaryConfig:
    seeds: Count = 5
    """Seeds of each dictionary."""
    first_seed: Seed = 106
    """Seeds below were used to find settings, or to find out what the study lacked, and are not reported."""
    worlds: tuple[Name, ...] = WORLDS
    """Worlds to run: both are needed for the verdict."""
    planted: PlantedConfig = field(default_factory=PlantedConfig)
    planted_width: Count = 256
    """Latents of a dictionary of planted activations."""
    planted_k: Count = 6
    """Its active latents per token."""
    organism_width: Count = 1024
    """Latents of a dictionary of the organism's activations."""
    organism_k: Count = 16
    """Its active latents per token."""
    steps: Count = 2000
    """Steps of each fit, at 1,024 tokens a step."""
    layer: OrganismLayer = 2
    """The layer of the organism, of four, counted from 0."""
    tokens: Tokens = 400_000
    """Tokens of the organism's series to fit on, prompts included."""
    held_out_tokens: Tokens = 80_000
    """Tokens to measure on, of other problems."""
    grpo_steps: Count = 40
    """GRPO steps of the organism's series."""
    processes: Processes = 2
    """Dictionaries that are fitted at once."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        expect_once_each(self, "worlds")
        if unknown := sorted(set(self.worlds) - set(WORLDS)):
            raise BadInput(f"worlds must be some of {', '.join(WORLDS)}; got {', '.join(unknown)}")
        for world, d_model in ((PLANTED, self.planted.d_model), (ORGANISM, ModelShape().d_model)):
            width, k = self.size(world)
            TSAEConfig(width=width, k=k).resolved(d_model)  # refuses what would not fit

    def size(self, world: str) -> tuple[int, int]:
        """Width and K of every dictionary of a world."""
        width, k = (getattr(self, f"{world}_{name}") for name in ("width", "k"))
        return width, k


def world_spec(world: str, config: DictionaryConfig) -> dict[str, object]:
    """Everything that decides a world besides its seed."""
    if world == PLANTED:
        return {"planted": config.planted}
    return {name: getattr(config, name) for name in ("layer", "tokens", "held_out_tokens", "grpo_steps")}
