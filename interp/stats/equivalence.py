"""Equivalence: two quantities count as equal only if their difference is surely smaller than a margin."""

import math
from typing import Literal

from interp.artifacts import BadInput
from interp.stats.estimate import Estimate

DIFFERENT, EQUIVALENT, UNDECIDED = "different", "equivalent", "undecided"
Verdict = Literal["different", "equivalent", "undecided"]


def equivalence_verdict(difference: Estimate, margin: float) -> Verdict:
    """Whether a difference is surely smaller than `margin`, surely not zero, or neither.

    equivalent   the whole interval lies within [-margin, margin], even if it excludes zero: sure and small is small
    different    the whole interval lies on one side of zero, and is not within the margin
    undecided    any other interval, or none

    With a 95% interval this is two one-sided tests (TOST; Schuirmann, 1987) at 2.5% each."""
    _expect_margin(margin)
    if difference.is_within(-margin, margin):
        return EQUIVALENT
    return DIFFERENT if difference.excludes(0) else UNDECIDED


def equivalence_p_value(value: float, standard_error: float, degrees_of_freedom: float, margin: float) -> float:
    """p-value of "the difference is `margin` or more, on either side": the larger of the two one-sided tests (TOST).

    max(P(T > (value + margin) / se), P(T < (value - margin) / se)) with Student's T. NaN if the standard error is zero
    or NaN."""
    from scipy.special import stdtr

    _expect_margin(margin)
    if not standard_error > 0:
        return math.nan
    above = stdtr(degrees_of_freedom, -(value + margin) / standard_error)
    below = stdtr(degrees_of_freedom, (value - margin) / standard_error)
    return float(max(above, below))


def _expect_margin(margin: float) -> None:
    if not margin > 0:
        raise BadInput(f"expected a margin above zero, got {margin}: say which difference would be too small to matter")
