"""What the study runs."""

from dataclasses import dataclass

from interp.artifacts import BadInput

HANDLED = (1, 2, 3)
"""Depths at which the base's written chains are valid more often than its direct answers are right by luck."""


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
    parts: tuple[str, ...] = ("difficulty", "credit", "luck", "depth", "contrast", "valid")
    """Which parts to run: all are needed for the verdict."""

    def __post_init__(self) -> None:
        for name in ("seeds", "few", "steps", "prompts", "problems", "answers", "processes"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1; got {getattr(self, name)}")
