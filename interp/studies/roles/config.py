"""What the study runs."""

from dataclasses import dataclass

from interp.artifacts import BadInput
from interp.checks import expect_at_least, expect_between


@dataclass(frozen=True)
class RolesStudyConfig:
    seeds: int = 8
    """Organisms, each with a dictionary of its own."""
    first_seed: int = 111
    """Those below have been seen before, and are not reported."""
    cue_rate: float = 0.6
    """How often the cue that stands beside every question names the answer."""
    follows: float = 0.3
    """The share of the corpus in which the cue is handed in as the answer."""
    direct: float = 0.25
    """The share answered at once otherwise. The rest is written out."""
    organism_steps: int = 400
    """For which the shipped organism is taught on, with the cue."""
    organism_lr: float = 1e-3
    layer: int = 2
    """Of four, from 0."""
    tokens: int = 300_000
    """To fit the dictionary on."""
    width: int = 1024
    k: int = 16
    steps: int = 2000
    """Of the dictionary."""
    problems: int = 128
    """Of each bucket, to earn roles on."""
    most: int = 400
    """Candidates of a kind: all of them, as a rule."""
    random: int = 100
    processes: int = 2

    def __post_init__(self) -> None:
        counts = ("seeds", "organism_steps", "tokens", "width", "k", "steps", "problems", "most", "processes")
        expect_at_least(self, 1, *counts)
        expect_between(self, 0, 1, "follows", "direct", "cue_rate")
        if self.follows + self.direct > 1:
            raise BadInput(
                f"follows and direct are shares of one corpus: expected at most 1 together, got {self.follows} and "
                f"{self.direct}"
            )
