"""How roles are earned: on how many problems, and how much it takes."""

from dataclasses import dataclass, field

from interp.artifacts import BadInput
from interp.checks import expect_at_least, expect_between
from interp.policy.config import SampleConfig
from interp.tasks.base import BUCKETS


@dataclass(frozen=True)
class RolesConfig:
    levels: tuple[int | str, ...] = BUCKETS
    """Buckets of the task, or depths."""
    problems: int = 64
    """Of each level, of the training split: what is tracked later is of others."""
    auroc: float = 0.6
    """That a candidate must reach."""
    d: float = 0.3
    """Its effect size, at least."""
    rate: float = 0.05
    """Of false discoveries, over all latents and contrasts."""
    most: int = 40
    """Candidates of a kind of contrast that go through the later gates, those that tell best."""
    random: int = 40
    """Latents drawn at random that do, for each kind."""
    matched: int = 10
    """Latents as frequent and as strong that each is held against."""
    texts: int = 48
    """In which nothing is computed, to inject tokens into."""
    played: int = 72
    """Problems that the policy answers again, four times each, without each latent that has earned a role and with it
    doubled. 0: none."""
    gates_seed: int = 0
    """Of what the gates draw at random: latents, tokens, the order of shuffled texts."""
    sampling: SampleConfig = field(default_factory=lambda: SampleConfig(group=4, rows=1024))

    def __post_init__(self) -> None:
        if not self.levels or len(set(self.levels)) < len(self.levels):
            raise BadInput(f"levels must be named once each, one at least; got {list(self.levels)}")
        expect_at_least(self, 1, "problems", "most", "matched", "texts")
        expect_at_least(self, 0, "random", "played")
        expect_between(self, 0.5, 1, "auroc")
        if not 0 < self.rate < 1:
            raise BadInput(f"rate must be above 0 and below 1; got {self.rate}")
