"""What the demo asks for, how much of everything, and where it is kept.

All that takes long is kept under one directory, each part in a place named after what decides it: stopped and started
again, the demo opens what is there and goes on.
"""

from dataclasses import dataclass, field
from pathlib import Path

from interp.artifacts import fingerprint_config
from interp.features.config import RolesConfig
from interp.grpo.config import GRPOConfig
from interp.policy.config import SampleConfig
from interp.tracking.config import AskConfig


@dataclass(frozen=True)
class Sizes:
    """How much of everything: enough to be sure of something, in minutes on two cores."""

    problems: int = 40
    """Of each bucket: what is measured of behaviour."""
    answers: int = 8
    """To each of them."""
    checkpoints: int = 4
    """Of a run, besides the base."""
    layer: int = 2
    """Of four, from 0."""
    tokens: int = 200_000
    """To fit the dictionary on."""
    held_out: int = 40_000
    """To measure it on."""
    documents: int = 256
    """Of those, to measure the loss recovered on."""
    width: int | None = None
    """Of the dictionary; 16 latents to a dimension if not given."""
    earning: RolesConfig = field(
        default_factory=lambda: RolesConfig(problems=64, most=20, random=12, matched=5, played=0)
    )
    asking: AskConfig = field(default_factory=lambda: AskConfig(problems=48, recovered=64))


SIZES = Sizes()


@dataclass(frozen=True)
class Plan:
    out: Path
    steps: int
    """Of GRPO, of every arm."""
    learn: int
    """Steps of fitting the dictionary."""
    seed: int
    sizes: Sizes = field(default_factory=lambda: SIZES)

    @property
    def training(self) -> GRPOConfig:
        sampling, every = SampleConfig(rows=1024, seed=self.seed), max(1, self.steps // self.sizes.checkpoints)
        return GRPOConfig(steps=self.steps, sampling=sampling, save_every=every, without_signal="go on")

    def arm(self, name: str, *decided_by: object) -> Path:
        """The run of an arm; `decided_by` is what decides it besides how all arms are trained."""
        key = fingerprint_config({"training": self.training, "more": decided_by})
        return self.out / f"{name.replace(', ', '-').replace(' ', '-')}-{key[:6]}"

    @property
    def inside(self) -> Path:
        """Everything that is made with the dictionary."""
        return self.out / f"inside-{self.key[:6]}"

    @property
    def key(self) -> str:
        """Of all that decides what is found inside."""
        return fingerprint_config({"training": self.training, "learn": self.learn, "sizes": self.sizes})
