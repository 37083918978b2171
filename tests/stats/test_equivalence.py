"""Equivalence is shown by an interval within a margin, never by a difference that is not significant."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from interp.artifacts import BadInput
from interp.stats import Estimate, equivalence_p_value, equivalence_verdict, student_interval


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.05, 0.08, "equivalent"),
        (0.01, 0.08, "equivalent"),  # sure, and too small to matter
        (0.01, 0.3, "different"),
        (-0.4, -0.2, "different"),
        (-0.05, 0.3, "undecided"),
        (-0.1, 0.1, "equivalent"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_a_difference_is_different_equivalent_or_undecided(low, high, verdict):
    middle = 0.0 if math.isnan(low) else (low + high) / 2
    assert equivalence_verdict(Estimate(middle, low, high, 5), 0.1) == verdict


def test_a_margin_that_is_not_above_zero_is_refused():
    for margin in (0, -1, math.nan):
        with pytest.raises(BadInput, match="expected a margin above zero"):
            equivalence_verdict(Estimate(0, -1, 1, 5), margin)


def test_the_p_value_is_the_larger_of_two_one_sided_tests():
    p = equivalence_p_value(0.02, 0.03, 9, 0.1)
    assert p == pytest.approx(max(student.sf((0.02 + 0.1) / 0.03, 9), student.cdf((0.02 - 0.1) / 0.03, 9)))
    assert math.isnan(equivalence_p_value(0.0, 0.0, 9, 0.1)) and math.isnan(equivalence_p_value(0.0, math.nan, 9, 0.1))


def test_the_verdict_and_the_p_value_agree_at_0_025():
    rng = np.random.default_rng(0)
    for _ in range(200):
        values = rng.normal(0.03, 0.05, 6)
        estimate, error = student_interval(values), values.std(ddof=1) / math.sqrt(6)
        p = equivalence_p_value(estimate.value, error, 5, 0.1)
        assert (equivalence_verdict(estimate, 0.1) == "equivalent") == (p <= 0.025)


def test_a_difference_of_the_margin_is_called_equivalent_one_time_in_forty_at_most():
    """With little noise, a difference of zero is called equivalent nearly always."""
    rng = np.random.default_rng(1)
    at_margin, same = rng.normal(0.1, 0.03, (2000, 6)), rng.normal(0, 0.03, (500, 6))
    wrong = np.mean([equivalence_verdict(student_interval(v), 0.1) == "equivalent" for v in at_margin])
    right = np.mean([equivalence_verdict(student_interval(v), 0.1) == "equivalent" for v in same])
    assert wrong <= 0.035 and right > 0.97
