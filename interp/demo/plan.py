"""The sizes of the demo, and where its parts are saved.

Everything that takes long is saved under one directory, each part in a place named for what decides it. A demo that is
stopped and started again opens what is there and continues.
"""

from dataclasses import dataclass, field
from pathlib import Path

from interp.artifacts import fingerprint_config
from interp.features.config import RolesConfig
from interp.grpo.config import GRPOConfig
from interp.policy.config import SampleConfig
from interp.rollouts import EvaluateConfig
from interp.tracking.config import CompareConfig


@dataclass(frozen=True)
class Sizes:
    """How much of everything: enough for significant results, in minutes on two cores."""

    problems: int = 40
    """Problems of each depth group in an evaluation."""
    answers: int = 8
    """Answers to each problem in an evaluation."""
    checkpoints: int = 4
    """Checkpoints of a run, besides the base."""
    layer: int = 2
    """The layer of the dictionary, of four, counted from 0."""
    fit_tokens: int = 200_000
    """Tokens to fit the dictionary on."""
    held_out_tokens: int = 40_000
    """Tokens to measure the dictionary on."""
    documents: int = 256
    """Held-out documents to measure the loss recovered on."""
    width: int | None = None
    """Latents of the dictionary. Default: 16 for each dimension of the residual stream."""
    roles: RolesConfig = field(
        default_factory=lambda: RolesConfig(
            problems=64, max_candidates=20, random_latents=12, matched_latents=5, rollout_problems=0
        )
    )
    tracking: CompareConfig = field(default_factory=lambda: CompareConfig(problems=48, loss_rollouts=64))


SIZES = Sizes()


@dataclass(frozen=True)
class Plan:
    out: Path
    train_steps: int
    """GRPO steps of each arm. With 0 only the base is measured."""
    fit_steps: int
    """Steps of fitting the dictionary. With 0 there is no dictionary, and nothing that needs one."""
    seed: int = 0
    sizes: Sizes = field(default_factory=lambda: SIZES)

    @property
    def training(self) -> GRPOConfig:
        save_every = max(1, self.train_steps // self.sizes.checkpoints)
        sampling = SampleConfig(rows=1024, seed=self.seed)
        return GRPOConfig(steps=self.train_steps, sampling=sampling, save_every=save_every, without_signal="go on")

    def evaluation(self, levels: tuple[str, ...]) -> EvaluateConfig:
        sizes = self.sizes
        return EvaluateConfig(problems=sizes.problems, levels=levels, group=sizes.answers, k=(1,), seed=self.seed)

    @property
    def key(self) -> str:
        """Fingerprint of all that decides what is made with the dictionary."""
        return fingerprint_config({"training": self.training, "fit_steps": self.fit_steps, "sizes": self.sizes})

    def run_dir(self, arm: str, *inputs: object) -> Path:
        """Directory of an arm's run. `inputs` are what decides it besides the settings that all arms share."""
        return self.out / self._named(arm, self.training, *inputs)

    def evaluation_dir(self, arm: str, *inputs: object) -> Path:
        """Directory of the evaluation of an arm's last checkpoint, or of the base."""
        return self.out / "evaluations" / self._named(arm, *inputs)

    @staticmethod
    def _named(arm: str, *inputs: object) -> str:
        return f"{arm.replace(', ', '-').replace(' ', '-')}-{fingerprint_config({'inputs': inputs})[:6]}"

    @property
    def dictionary_dir(self) -> Path:
        """Directory of the dictionary and of all that is made with it."""
        return self.out / f"dictionary-{self.key[:6]}"
