"""Settings of sampling."""

from dataclasses import dataclass

from interp.artifacts import BadInput
from interp.checks import expect_at_least


@dataclass(frozen=True)
class SampleConfig:
    """How many completions to sample for each prompt, how long, at which temperature, from which seed."""

    group: int = 8
    """Completions per prompt."""
    max_new_tokens: int = 96
    """Longer completions are cut off, and marked as truncated."""
    temperature: float = 1.0
    """0 is greedy. There is no top-p or top-k: the distribution that is sampled is the one that is trained."""
    rows: int = 512
    """Completions generated at once; one group if that is more. Fewer take less memory."""
    seed: int = 0
    """The same seed gives the same completions."""

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "group", "max_new_tokens", "rows")
        expect_at_least(self, 0, "temperature")
        if not 0 <= self.seed < 2**63:
            raise BadInput(f"seed must lie in [0, 2^63); got {self.seed}")
