"""The sizes of the demo, and where its parts are saved.

Everything that takes long is saved under one directory, each part in a place named for what decides it. A demo that is
stopped and started again opens what is there and continues.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from interp.artifacts import fingerprint_config
from interp.dashboard.config import DashboardConfig
from interp.features.config import RolesConfig
from interp.grpo.config import GRPOConfig
from interp.policy.config import SampleConfig
from interp.rollouts.buckets import SAMPLES_OF_LABEL, BucketConfig
from interp.tracking.config import CompareConfig

TITLE = "What training on easy, medium and hard problems changed"
"""Of the report."""
ROWS = 1024
"""Completions generated at once."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything. The defaults give significant results within minutes on two cores."""

    seed: int = 0
    """Seed of sampling, training, fitting and the choice of random latents."""
    measured: int = 400
    """Problems of each split that are put into buckets."""
    bucket_answers: int = 16
    """Answers of the base to each of them, which decide its bucket."""
    problems: int = 48
    """Held-out problems of each bucket to evaluate on, at most."""
    answers: int = 8
    """Answers to each held-out problem: other ones than decided its bucket."""
    steps: int = 30
    """GRPO steps of each arm. With 0 only the base is measured."""
    prompts: int = 32
    """Prompts of a GRPO step."""
    group: int = 8
    """Answers to each prompt of a GRPO step."""
    checkpoints: int = 3
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
    fit_steps: int = 1200
    """Steps of fitting the dictionary. With 0 there is no dictionary, and nothing that needs one."""
    roles: RolesConfig = field(
        default_factory=lambda: RolesConfig(
            problems=64, max_candidates=20, random_latents=12, matched_latents=5, rollout_problems=0
        )
    )
    tracking: CompareConfig = field(default_factory=lambda: CompareConfig(problems=32, loss_rollouts=64))
    dashboard: DashboardConfig = field(default_factory=lambda: DashboardConfig(title=TITLE, rollouts=6))


def sizes_of_studies() -> Sizes:
    """The sizes that the studies ran: difficulty for training, features for latents, words for buckets. One seed."""
    from interp.studies.difficulty import DifficultyConfig
    from interp.studies.features import FeaturesConfig
    from interp.studies.words import WordsConfig

    training, latents, buckets = DifficultyConfig(), FeaturesConfig(), WordsConfig()
    return Sizes(
        seed=training.first_seed,
        measured=1000,
        bucket_answers=buckets.bucket_samples,
        problems=latents.problems,
        answers=training.answers,
        steps=training.steps,
        prompts=training.prompts,
        group=training.group,
        checkpoints=4,
        layer=latents.layer,
        fit_tokens=latents.tokens,
        width=latents.width,
        fit_steps=latents.fit_steps,
        roles=RolesConfig(problems=latents.earn_problems, rollout_problems=0),
        tracking=CompareConfig(problems=latents.problems, sampling=SampleConfig(latents.answers, rows=ROWS)),
    )


def tiny_sizes() -> Sizes:
    """Little of everything, for tests: nothing that it finds means anything."""
    sampling = SampleConfig(group=2, rows=256)
    return Sizes(
        measured=20, bucket_answers=SAMPLES_OF_LABEL, problems=4, answers=2, steps=1, prompts=4, group=2, checkpoints=1,
        fit_tokens=4_000, held_out_tokens=1_000, documents=4, width=128, fit_steps=10,
        roles=RolesConfig(
            levels=(1, 2), problems=6, max_candidates=1, random_latents=1, matched_latents=2, injection_texts=4,
            rollout_problems=0, sampling=sampling,
        ),
        tracking=CompareConfig(problems=4, loss_rollouts=0, sampling=sampling),
        dashboard=DashboardConfig(TITLE, rollouts=1, questions=1, answers=2, probe=1),
    )  # fmt: skip


PRESETS = {"demo": Sizes, "full": sizes_of_studies, "tiny": tiny_sizes}
MINUTES = {"demo": 5, "full": 15, "tiny": 1}
"""Minutes of each preset on two cores that have nothing else to do, rounded up."""


@dataclass(frozen=True)
class Plan:
    out: Path
    preset: str = "demo"
    sizes: Sizes = field(default_factory=Sizes)

    @classmethod
    def of_preset(
        cls,
        preset: str,
        out: Path,
        *,
        steps: int | None = None,
        fit_steps: int | None = None,
        seed: int | None = None,
    ) -> "Plan":
        """The plan of a preset. Numbers other than None replace its own."""
        numbers = {"steps": steps, "fit_steps": fit_steps, "seed": seed}
        overrides = {name: value for name, value in numbers.items() if value is not None}
        return cls(out, preset, replace(PRESETS[preset](), **overrides))

    # --- settings ----------------------------------------------------------------------------------------------------

    @property
    def buckets(self) -> BucketConfig:
        return BucketConfig(n=self.sizes.bucket_answers, rows=ROWS, seed=self.sizes.seed)

    @property
    def answering(self) -> SampleConfig:
        """Sampling of the answers to held-out problems."""
        return SampleConfig(self.sizes.answers, rows=ROWS, seed=self.sizes.seed)

    @property
    def training(self) -> GRPOConfig:
        sizes = self.sizes
        return GRPOConfig(
            steps=sizes.steps,
            prompts=sizes.prompts,
            sampling=SampleConfig(sizes.group, rows=ROWS, seed=sizes.seed),
            save_every=max(1, sizes.steps // sizes.checkpoints),
            without_signal="go on",
        )

    @property
    def roles(self) -> RolesConfig:
        return replace(self.sizes.roles, test_seed=self.sizes.seed)

    # --- places ------------------------------------------------------------------------------------------------------

    @property
    def training_dir(self) -> Path:
        """Directory of the buckets, runs and answers."""
        sizes = self.sizes
        parts = {"buckets": self.buckets, "measured": sizes.measured, "answers": self.answering}
        parts |= {"problems": sizes.problems, "training": self.training if sizes.steps else None}
        return self.out / f"training-{fingerprint_config(parts)[:6]}"

    @property
    def dictionary_dir(self) -> Path:
        """Directory of the dictionary and of all that is made with it."""
        parts = {"training": self.training_dir.name, "sizes": replace(self.sizes, dashboard=DashboardConfig())}
        return self.out / f"dictionary-{fingerprint_config(parts)[:6]}"

    @property
    def report(self) -> Path:
        return self.out / "report.html"
