"""How a readout is fitted: on which problems, with how many answers, and to which share of valid ones."""

from dataclasses import dataclass
from typing import Annotated

from interp.checks import Count, Depth, Name, Range, Seed, Share, expect_once_each, expect_plausible
from interp.policy.config import NewTokens, Rows, SampleConfig, Temperature
from interp.policy.prompts import PromptFormat


@dataclass(frozen=True)
class ReadoutConfig(PromptFormat):
    """How a readout is fitted, calibrated and tested."""

    levels: tuple[Depth | Name, ...] = ()
    """Depths, or names of levels, on which it is to be used: it is calibrated to the share of valid successes there,
    and tested there. Default: every depth of a task that has depths, else all problems."""
    problems: Count = 40
    """Problems of each depth whose answers are labels, from the training split. For an intention, the answers to every
    other problem go into its lens instead."""
    group: Count = 4
    """Answers to each."""
    edits: bool = True
    """Also valid answers that are changed in one place, so that they are rewarded and not valid, if the task can make
    them."""
    rate: Share | None = None
    """The share of valid ones that all labels together count as. Default: what was measured on `levels`."""
    weight: Annotated[float, Range(0, 10**6, without_low=True)] = 32.0
    """How many audits in training all labels together count as."""
    ridge: Annotated[float, Range(0, 10**6, without_low=True)] = 0.1
    """Ridge penalty of the regression."""
    text_range: bool = False
    """Pay nothing for texts that are less like the policy's own than 99% of these, by what is read in them."""
    error_range: bool = False
    """The same for texts that the dictionary explains worse than 99% of the policy's own."""
    test_problems: Count = 40
    """Held-out problems of each of `levels` to test it on."""
    test_group: Count = 16
    """Answers to each."""
    max_new_tokens: NewTokens = 96
    """Longer completions are cut off, and marked as truncated."""
    temperature: Temperature = 1.0
    """Temperature of sampling."""
    rows: Rows = 1024
    """Completions generated at once; less takes less memory."""
    seed: Seed = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_plausible(self)
        expect_once_each(self, "levels")

    def sampling(self, group: int) -> SampleConfig:
        """Settings of sampling."""
        return SampleConfig(group, self.max_new_tokens, self.temperature, self.rows, self.seed)
