"""Claims judged in every reading, with p-values and Holm's correction over a study's claims.

The p-value of a claim is the smallest a at which its rule still says the same with intervals at level 1 - a. Where a
rule asks for several things at once this is the largest of their p-values (an intersection-union test), so that no
correction is due for their number. Where any one of several things refutes a claim, the smallest of their p-values is
multiplied by their number (Bonferroni). Holm's correction is over the claims of one study.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interp.stats.multiple_testing import holm
from interp.studies.base import INCONCLUSIVE, NO_EVIDENCE, NOT_SUPPORTED, Claim, Verdict
from interp.studies.readings import ANY_SHAPE, EXACT, LEVEL, READINGS, REGISTERED, Reading
from interp.studies.results import Results

ALPHA = 1 - LEVEL
SMALLEST_P = 1e-9
"""Smallest p-value that is reported."""


@dataclass(frozen=True)
class Judgement:
    """A claim, its verdict in each reading, and its p-values."""

    claim: Claim
    by_reading: Mapping[str, Verdict]
    p_values: Mapping[str, float]
    """By reading; 1 where nothing is shown at any level."""
    holm: Mapping[str, float]
    """The p-values after Holm's correction."""

    @property
    def registered(self) -> str:
        """By Student's t, each claim alone."""
        outcome = self.by_reading[REGISTERED.name].outcome
        return NOT_SUPPORTED if outcome == NO_EVIDENCE else outcome

    @property
    def verdict(self) -> str:
        """With exact shares, after Holm's correction, and never from a lack of evidence."""
        outcome = self.outcome(EXACT.name)
        return outcome if self.holm[EXACT.name] <= ALPHA else INCONCLUSIVE

    @property
    def any_shape(self) -> str:
        """For seeds of any shape, each claim alone, and never from a lack of evidence."""
        return self.outcome(ANY_SHAPE.name)

    def outcome(self, reading: str) -> str:
        outcome = self.by_reading[reading].outcome
        return INCONCLUSIVE if outcome == NO_EVIDENCE else outcome

    @property
    def verdicts(self) -> dict[str, str]:
        return {"as registered": self.registered, "corrected": self.verdict, "any shape": self.any_shape}

    @property
    def is_changed(self) -> bool:
        return len(set(self.verdicts.values())) > 1


def judge_claims(claims: Sequence[Claim], results: Results) -> list[Judgement]:
    """Every claim in every reading."""
    verdicts = [{one.name: claim.judge(results.with_reading(one)) for one in READINGS} for claim in claims]
    p_values = {
        reading.name: [
            min(1.0, verdict[reading.name].ways * _p_value(claim, results, reading))
            for claim, verdict in zip(claims, verdicts, strict=True)
        ]
        for reading in (EXACT, ANY_SHAPE)
    }
    corrected = {name: holm(np.array(values)).tolist() for name, values in p_values.items()}
    return [
        Judgement(
            claim,
            verdicts[place],
            {name: values[place] for name, values in p_values.items()},
            {name: values[place] for name, values in corrected.items()},
        )
        for place, claim in enumerate(claims)
    ]


def _p_value(claim: Claim, results: Results, reading: Reading) -> float:
    return claim_p_value(lambda level: claim.judge(results.with_reading(reading, level)).outcome)


def claim_p_value(outcome_at: Callable[[float], str]) -> float:
    """The smallest a at which a rule has the same outcome with intervals at level 1 - a as at 95%. For an inconclusive
    outcome, the smallest a at which it is conclusive; 1 if there is none."""
    plain = outcome_at(LEVEL)
    if plain in (INCONCLUSIVE, NO_EVIDENCE):
        holds, low, high = (lambda alpha: outcome_at(1 - alpha) not in (INCONCLUSIVE, NO_EVIDENCE)), ALPHA, 1 - 1e-6
        if not holds(high):
            return 1.0
    else:
        holds, low, high = (lambda alpha: outcome_at(1 - alpha) == plain), SMALLEST_P, ALPHA
        if holds(low):
            return low
    while high / low > 1.002:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def as_json(judgement: Judgement) -> dict[str, Any]:
    """The verdicts of one claim as plain values."""
    return {
        "verdict": judgement.verdict,
        **judgement.verdicts,
        "p": dict(judgement.p_values),
        "p after Holm": dict(judgement.holm),
    }
