"""Behavior of checkpoints: rates over prompts (pass, valid, lucky, direct), and the difference between two of them.

Both checkpoints answer the same problems, so a difference is paired by prompt (`paired_share_difference`: Newcombe's
interval of clustered shares). It has a width even where something never happened: none of forty is not surely none. Its
p-value swaps the two at each prompt or not (`swapped_p_value`), and q corrects for all rates of all buckets.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int

from interp.rollouts.record import Rollout
from interp.rollouts.summary import MEASURES
from interp.stats.bootstrap import MIN_PROMPTS
from interp.stats.estimate import Estimate
from interp.stats.multiple_testing import benjamini_hochberg
from interp.stats.shares import clustered_share, paired_share_difference
from interp.stats.swaps import swapped_p_value
from interp.tracking.verdicts import LESS, MORE, TOO_FEW_PROMPTS, UNDECIDED

BEHAVIOR_MEASURES = ("pass_rate", "valid_rate", "lucky_rate", "direct_share")


@dataclass(frozen=True)
class PromptCounts:
    """Successes and trials of one measure in one bucket, by prompt."""

    successes_P: Int[np.ndarray, " P"]
    trials_P: Int[np.ndarray, " P"]

    @property
    def rate(self) -> Estimate:
        return clustered_share(self.successes_P.tolist(), self.trials_P.tolist())


@dataclass
class BehaviorCounts:
    """Successes and trials of every measure, by bucket and number of prompt. Two of them can be merged."""

    counts: dict[tuple[str, int], Int[np.ndarray, "M 2"]] = field(default_factory=dict)

    def update(self, rollouts: Iterable[tuple[str, int, Rollout]]) -> None:
        """Add rollouts, each with its bucket and the number of its prompt."""
        for bucket, prompt, rollout in rollouts:
            counts_M2 = self._counts_of((bucket, prompt))
            for row, (is_success, is_trial) in enumerate(MEASURES[name] for name in BEHAVIOR_MEASURES):
                if is_trial(rollout):
                    counts_M2[row] += (bool(is_success(rollout)), 1)

    def merge(self, other: "BehaviorCounts") -> None:
        for key, counts_M2 in other.counts.items():
            self._counts_of(key)[:] += counts_M2

    def _counts_of(self, key: tuple[str, int]) -> np.ndarray:
        return self.counts.setdefault(key, np.zeros((len(BEHAVIOR_MEASURES), 2), dtype=np.int64))

    def prompt_counts(self, bucket: str, measure: str, prompts: int) -> PromptCounts:
        counts_P2 = np.zeros((prompts, 2), dtype=np.int64)
        for (name, prompt), counts_M2 in self.counts.items():
            if name == bucket:
                counts_P2[prompt] = counts_M2[BEHAVIOR_MEASURES.index(measure)]
        return PromptCounts(counts_P2[:, 0], counts_P2[:, 1])

    def to_rows(self) -> list[list[Any]]:
        """Plain values to store."""
        return [[*key, counts_M2.tolist()] for key, counts_M2 in self.counts.items()]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]]) -> "BehaviorCounts":
        return cls({(bucket, prompt): np.array(counts) for bucket, prompt, counts in rows})


def rate_difference(first: PromptCounts, second: PromptCounts) -> Estimate:
    """The second rate less the first, paired by prompt. No interval if both have trials at fewer than 8 prompts."""
    difference = paired_share_difference(
        (first.successes_P.tolist(), first.trials_P.tolist()), (second.successes_P.tolist(), second.trials_P.tolist())
    )
    if difference.n < MIN_PROMPTS:
        return Estimate(difference.value, n=difference.n)
    return difference


def rate_p_value(first: PromptCounts, second: PromptCounts) -> float:
    """p-value of "the two rates do not differ", paired by prompt. NaN where `rate_difference` has no interval."""
    if int(((first.trials_P > 0) & (second.trials_P > 0)).sum()) < MIN_PROMPTS:
        return math.nan
    return swapped_p_value(
        (first.successes_P.tolist(), first.trials_P.tolist()), (second.successes_P.tolist(), second.trials_P.tolist())
    )


def rate_verdict(difference: Estimate) -> str:
    """more, less, undecided or too few prompts."""
    if difference.n < MIN_PROMPTS:
        return TOO_FEW_PROMPTS
    return MORE if difference.is_positive else LESS if difference.is_negative else UNDECIDED


def behavior_rows(counts: Mapping[str, BehaviorCounts], prompts: Mapping[str, int]) -> list[dict[str, Any]]:
    """A row for each bucket and measure: the rates of `a` and `b`, and b less a with its p-value and q over all rows.

    `counts` are those of `a` and `b`; of `base`, if there is one; and of `resampled`, a second set of a's rollouts, if
    there is one: resampled less a is the control. `prompts` is the number of prompts in each bucket."""
    rows = []
    for bucket, n_prompts in prompts.items():
        for measure in BEHAVIOR_MEASURES:
            by_name = {name: each.prompt_counts(bucket, measure, n_prompts) for name, each in counts.items()}
            difference = rate_difference(by_name["a"], by_name["b"])
            row = {"bucket": bucket, "measure": measure, "prompts": difference.n}
            for name in ("base", "a", "b"):
                if name in by_name:
                    rate = by_name[name].rate
                    row |= {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
            row |= {"difference": difference.value, "low": difference.low, "high": difference.high}
            row |= {"p": rate_p_value(by_name["a"], by_name["b"]), "q": math.nan}
            row["verdict"] = rate_verdict(difference)
            if "resampled" in by_name:
                control = rate_difference(by_name["a"], by_name["resampled"])
                row |= {"control": control.value, "control_low": control.low, "control_high": control.high}
            rows.append(row)
    for row, q in zip(rows, benjamini_hochberg(np.array([row["p"] for row in rows])).tolist(), strict=True):
        row["q"] = q
    return rows
