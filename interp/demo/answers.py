"""Answers of one checkpoint to the held-out problems: rates by measured bucket, and changes paired by problem."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from interp.rollouts import Evaluation, Rollouts
from interp.rollouts.evaluate import measure_rollouts
from interp.stats import Estimate
from interp.tracking.behavior import BehaviorCounts, PromptCounts, rate_difference

ALL = "all"
"""All buckets together."""


@dataclass(frozen=True)
class Answers:
    rollouts: Rollouts
    """In each row the level is the problem's measured bucket."""

    @property
    def step(self) -> int:
        return self.rollouts.config["step"]

    @cached_property
    def evaluation(self) -> Evaluation:
        """Every measure by bucket, with intervals over problems."""
        estimates = measure_rollouts(self.rollouts.rows, (1,))
        return Evaluation(
            {(self.step, by, group): measures for (by, group), measures in estimates.items()},
            policies={self.step: self.rollouts.made_from["policy"]},
            config=self.rollouts.config,
            made_from=self.rollouts.made_from,
        )

    @property
    def buckets(self) -> tuple[str, ...]:
        """The buckets that have a problem."""
        return self.evaluation.groups("level")

    def n_problems(self, bucket: str) -> int:
        return len(self._numbers[bucket])

    def rate(self, bucket: str, measure: str) -> Estimate:
        by = ALL if bucket == ALL else "level"
        return self.evaluation.measures(self.step, by=by, group=bucket)[measure]

    def lucky_share(self, bucket: str) -> Estimate:
        """Of the right answers, the share that is not valid."""
        valid = self.rate(bucket, "valid_given_success")
        return Estimate(1 - valid.value, 1 - valid.high, 1 - valid.low, valid.n)

    def change_from(self, other: "Answers", bucket: str, measure: str) -> Estimate:
        """The rate less that of others' answers to the same problems, paired by problem."""
        return rate_difference(other.prompt_counts(bucket, measure), self.prompt_counts(bucket, measure))

    def prompt_counts(self, bucket: str, measure: str) -> PromptCounts:
        if bucket == ALL:
            parts = [self.prompt_counts(each, measure) for each in self.buckets]
            successes_P, trials_P = (
                np.concatenate([getattr(part, name) for part in parts]) for name in ("successes_P", "trials_P")
            )
            return PromptCounts(successes_P, trials_P)
        return self._counts.prompt_counts(bucket, measure, len(self._numbers[bucket]))

    @cached_property
    def _numbers(self) -> dict[str, dict[str, int]]:
        """For each bucket, its problems with their numbers, in order."""
        problems: dict[str, dict[str, int]] = {}
        for row in self.rollouts:
            of_bucket = problems.setdefault(str(row.level), {})
            of_bucket.setdefault(row.problem, len(of_bucket))
        return problems

    @cached_property
    def _counts(self) -> BehaviorCounts:
        counts = BehaviorCounts()
        counts.update((str(row.level), self._numbers[str(row.level)][row.problem], row) for row in self.rollouts)
        return counts
