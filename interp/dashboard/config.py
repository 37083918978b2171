"""What a report shows, and how much of it."""

from dataclasses import dataclass
from typing import Annotated

from interp.checks import Count, CountOrZero, Length, Range, Seed, Tokens, expect_plausible

EXPORTED = "exported-features"
"""Kind of the directory that features are exported into."""


@dataclass(frozen=True)
class DashboardConfig:
    title: Annotated[str, Length(200)] = "What training changed"
    """Title of the report. Notes that a reader writes are kept under it."""
    rollouts: CountOrZero = 8
    """Groups of rollouts of training to show for each checkpoint: a problem with all its answers. 0: none."""
    checkpoints: Annotated[int, Range(2, 1000)] = 5
    """Checkpoints of each run whose rollouts are shown, the first and the last among them."""
    questions: CountOrZero = 2
    """Problems of each level that every shown checkpoint answers anew, so that answers to one problem can be compared.
    0: none."""
    answers: Annotated[int, Range(1, 1000)] = 4
    """Answers of each checkpoint to each of these problems."""
    probe: CountOrZero = 6
    """Groups of the base's own rollouts that the base and the last checkpoint of each run read. 0: none."""
    latents: Count = 5000
    """Latents to show, at most."""
    codes: Annotated[int, Range(1, 1000)] = 16
    """Active latents to show at each token: the strongest."""
    examples: Annotated[int, Range(1, 100)] = 6
    """Rollouts to show for each latent where it is strongest, and half as many from each half of its range."""
    lens: Annotated[int, Range(0, 100)] = 8
    """Tokens that each latent raises and lowers the most. 0: none."""
    neighbors: Annotated[int, Range(0, 100)] = 8
    """Latents to name for each latent whose decoder rows are closest to its own. 0: none."""
    seed: Seed = 0
    """Seed of the choice of rollouts, and of the answers to questions."""
    micro_tokens: Tokens = 8_192
    """Tokens in one forward pass, padding included."""
    controls: tuple[Annotated[str, Length(400)], ...] = ()
    """Runs with their controls, as RUN:CONTROL: the overview shows the first less the second. Runs whose credit goes to
    random tokens or random latents are known as controls without it."""
    allow_unrelated_policies: bool = False
    """Allow results of several bases in one report, and a dictionary that was fitted on other policies."""

    def __post_init__(self) -> None:
        expect_plausible(self)
