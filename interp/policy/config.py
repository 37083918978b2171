"""Settings of sampling."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from interp.checks import Range, Seed, expect_plausible
from interp.costs import expect_rollouts

Group = Annotated[int, Range(1, 100_000)]
NewTokens = Annotated[int, Range(1, 10**6)]
Temperature = Annotated[float, Range(0, 100)]
Rows = Annotated[int, Range(1, 10**6)]


@dataclass(frozen=True)
class SampleConfig:
    """How many completions to sample for each prompt, how long, at which temperature, from which seed."""

    group: Group = 8
    """Completions per prompt."""
    max_new_tokens: NewTokens = 96
    """Longer completions are cut off, and marked as truncated."""
    temperature: Temperature = 1.0
    """0 is greedy. There is no top-p or top-k: the distribution that is sampled is the one that is trained."""
    rows: Rows = 512
    """Completions generated at once; one group if that is more. Fewer take less memory."""
    seed: Seed = 0
    """The same seed gives the same completions."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    def warn_if_other(self, recorded: Mapping[str, Any] | None, *, of: str) -> None:
        """Warn of a temperature or length that differs from what a saved result states: its rates are then others."""
        for name in ("temperature", "max_new_tokens"):
            own, other = getattr(self, name), (recorded or {}).get(name)
            if other is not None and other != own:
                warnings.warn(f"{name} is {own} here and {other} in {of}", stacklevel=3)

    def expect_affordable(self, prompts: int) -> None:
        """Say what the completions of so many prompts take if it may be much; refuse what memory cannot hold."""
        expect_rollouts(prompts * self.group, self.max_new_tokens)
