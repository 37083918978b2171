"""Verdicts on changes of latents: strengthened, weakened, unchanged, undecided, too rare, or too few prompts.

strengthened, weakened   q <= 0.05 (Benjamini-Hochberg over the latents of a bucket that are not too rare)
unchanged                the whole interval lies within 0.2 of the value at the reference checkpoint, even if it
                         excludes zero: a test of equivalence (`interp.stats.equivalence`), never a lack of evidence
undecided                none of these: the interval is too wide to say
too rare                 active at fewer than 5 prompts
too few prompts          too few prompts for an interval or, if strata are matched, too little in common to compare
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.stats.bootstrap import MIN_COMMON, MIN_PROMPTS, ChangeEstimates
from interp.stats.estimate import Estimate
from interp.stats.multiple_testing import benjamini_hochberg
from interp.stats.when_active import MIN_ACTIVE_PROMPTS

FALSE_DISCOVERY_RATE = 0.05
UNCHANGED_MARGIN = 0.2
"""Margin of equivalence, as a share of the value at the reference checkpoint."""
STRENGTHENED, WEAKENED, UNCHANGED, UNDECIDED = "strengthened", "weakened", "unchanged", "undecided"
TOO_RARE, TOO_FEW_PROMPTS = "too rare", "too few prompts"
VERDICTS = (STRENGTHENED, WEAKENED, UNCHANGED, UNDECIDED, TOO_RARE, TOO_FEW_PROMPTS)
MORE, LESS = "more", "less"
"""Verdicts on a difference of rates of behavior, beside undecided and too few prompts."""


@dataclass(frozen=True)
class LatentVerdicts:
    """Change, q-value and verdict of every latent in one bucket."""

    change: ChangeEstimates
    prompts_F: Int[np.ndarray, " F"]
    """Prompts at which each latent was active."""
    q_F: Float[np.ndarray, " F"]
    verdict_F: np.ndarray

    def counts(self) -> dict[str, int]:
        """Number of latents with each verdict."""
        return {verdict: int((self.verdict_F == verdict).sum()) for verdict in VERDICTS}

    def estimate(self, latent: int) -> Estimate:
        """The change of one latent."""
        change = self.change
        value, low, high = (float(part_F[latent]) for part_F in (change.value_F, change.low_F, change.high_F))
        return Estimate(value, low, high, int(self.prompts_F[latent]))

    def most_certain(self, n: int) -> list[int]:
        """Latents that changed, those of the smallest q first: at most `n` strengthened, then at most `n` weakened."""
        order_F = np.argsort(np.where(np.isnan(self.q_F), np.inf, self.q_F), kind="stable")
        selected: list[int] = []
        for verdict in (STRENGTHENED, WEAKENED):
            selected += [int(latent) for latent in order_F if self.verdict_F[latent] == verdict][:n]
        return selected


def latents_by_role(role_F: Sequence[str]) -> Iterator[tuple[str, Bool[np.ndarray, " F"]]]:
    """Each role and the latents that have it: roles in alphabetical order, `none` last."""
    for role in sorted(set(role_F), key=lambda role: (role == "none", role)):
        yield role, np.array(role_F) == role


def assign_verdicts(change: ChangeEstimates, prompts_F: Int[np.ndarray, " F"], *, reference: int = 0) -> LatentVerdicts:
    """The verdict on each latent of a bucket. The margin of equivalence is a share of the value at the checkpoint
    `reference`."""
    too_few_prompts = change.prompts < MIN_PROMPTS or change.common < MIN_COMMON
    too_rare_F = (prompts_F < MIN_ACTIVE_PROMPTS) | (np.abs(change.ratio_TF).max(0) == 0)
    q_F = benjamini_hochberg(np.where(too_rare_F, np.nan, change.p_F))
    margin_F = UNCHANGED_MARGIN * np.abs(change.ratio_TF[reference])
    is_equivalent_F = np.maximum(np.abs(change.low_F), np.abs(change.high_F)) <= margin_F
    is_changed_F = (q_F <= FALSE_DISCOVERY_RATE) & ~is_equivalent_F
    verdict_F = np.where(is_equivalent_F, UNCHANGED, UNDECIDED)
    verdict_F = np.where(is_changed_F & (change.value_F > 0), STRENGTHENED, verdict_F)
    verdict_F = np.where(is_changed_F & (change.value_F < 0), WEAKENED, verdict_F)
    verdict_F = np.where(too_rare_F, TOO_RARE, np.where(np.isnan(change.p_F), TOO_FEW_PROMPTS, verdict_F))
    if too_few_prompts:
        verdict_F = np.full(len(prompts_F), TOO_FEW_PROMPTS)
    return LatentVerdicts(change, prompts_F, q_F, verdict_F)
