"""What the study runs."""

from dataclasses import dataclass

from interp.checks import expect_at_least, expect_positive


@dataclass(frozen=True)
class FeaturesConfig:
    seeds: int = 5
    """GRPO runs of each arm. With each come dictionaries of its own."""
    first_seed: int = 211
    """Those below have been seen before, and are not reported."""
    dictionaries: int = 3
    """Of each seed: they differ in their own weights' seed alone, and their mean counts."""
    steps: int = 40
    """Of GRPO, as in the difficulty study."""
    prompts: int = 32
    group: int = 8
    lr: float = 2e-4
    layer: int = 2
    """Of four, from 0."""
    tokens: int = 400_000
    """To fit dictionaries on: of the base and of what easy, medium and hard training made of it."""
    width: int = 1024
    k: int = 16
    fit_steps: int = 2000
    earn_problems: int = 128
    """Of each bucket, to earn roles on."""
    problems: int = 96
    """Of each bucket, to measure strengths on: others than roles were earned on."""
    answers: int = 4
    """To each of them."""
    processes: int = 2

    def __post_init__(self) -> None:
        counts = (
            "seeds", "dictionaries", "steps", "prompts", "group", "tokens", "width", "k", "fit_steps", "earn_problems",
            "problems", "answers", "processes",
        )  # fmt: skip
        expect_at_least(self, 1, *counts)
        expect_at_least(self, 0, "layer", "first_seed")
        expect_positive(self, "lr")
