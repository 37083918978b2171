"""What the study runs."""

from dataclasses import dataclass

from interp.artifacts import BadInput
from interp.checks import expect_at_least, expect_positive

HANDLED = (1, 2, 3)
"""Depths at which the base has something to lose: at least one answer in seven is valid."""
PARTS = ("difficulty", "credit", "luck", "depth", "contrast", "valid")


@dataclass(frozen=True)
class DifficultyConfig:
    seeds: int = 8
    """Of the main arms; the others have at most `few`."""
    few: int = 5
    first_seed: int = 101
    """Seeds below were used to find settings, and are not reported."""
    steps: int = 40
    prompts: int = 32
    group: int = 8
    lr: float = 2e-4
    max_draws: int = 4
    """Where groups without contrast are drawn anew, at most this many batches a step."""
    problems: int = 40
    """Per depth, to evaluate on."""
    answers: int = 8
    """Per problem, to evaluate on."""
    processes: int = 2
    base_answers: int = 128
    """Per problem, of the base: every change is against it, so it must be known far better than any arm."""
    parts: tuple[str, ...] = PARTS
    """Which parts to run: all are needed for the verdict."""

    def __post_init__(self) -> None:
        if strange := sorted(set(self.parts) - set(PARTS)):
            raise BadInput(f"parts must be some of {', '.join(PARTS)}; got {', '.join(strange)}")
        expect_positive(self, "lr")
        expect_at_least(self, 0, "first_seed")
        counts = ("seeds", "few", "steps", "prompts", "max_draws", "problems", "answers", "base_answers", "processes")
        expect_at_least(self, 1, *counts)
