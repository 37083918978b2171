"""Corrections for many tests: by hand, against scipy, and their guarantees."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from interp.stats import benjamini_hochberg, holm, joint_p_value

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(p_values)
def test_benjamini_hochberg_equals_scipy(p):
    assert benjamini_hochberg(np.array(p)) == pytest.approx(false_discovery_control(p, method="bh"))


def test_holm_multiplies_by_the_number_of_tests_left_and_never_falls():
    """0.01 * 4, 0.02 * 3, then 0.022 * 2 = 0.044, which must not be less than 0.06, and 0.9."""
    assert holm(np.array([0.02, 0.9, 0.01, 0.022])) == pytest.approx([0.06, 0.9, 0.04, 0.06])


@given(p_values)
def test_holm_rejects_step_by_step(p):
    """At every level a: reject the smallest while it is at most a / (those that are left), then stop."""
    adjusted = holm(np.array(p))
    for level in (0.01, 0.05, 0.2):
        rejected, left = set(), sorted(range(len(p)), key=lambda i: p[i])
        while left and p[left[0]] * len(left) <= level:
            rejected.add(left.pop(0))
        assert set(np.flatnonzero(adjusted <= level)) == rejected


@given(p_values)
def test_corrections_keep_the_order_never_lower_a_p_value_and_holm_is_the_stricter(p):
    p_F = np.array(p)
    for corrected in (benjamini_hochberg(p_F), holm(p_F)):
        assert (corrected >= p_F - 1e-12).all() and (corrected <= 1).all()
        order = np.argsort(p_F, kind="stable")
        assert (np.diff(corrected[order]) >= -1e-12).all()
    assert (holm(p_F) >= benjamini_hochberg(p_F) - 1e-12).all()


@pytest.mark.parametrize("correct", [benjamini_hochberg, holm])
def test_nan_stays_nan_and_is_not_counted_among_the_tests(correct):
    corrected = correct(np.array([0.02, np.nan, 0.5, np.nan]))
    assert np.isnan(corrected[[1, 3]]).all() and corrected[[0, 2]] == pytest.approx([0.04, 0.5])
    assert np.isnan(correct(np.array([np.nan]))).all() and correct(np.array([])).shape == (0,)


def test_under_the_null_holm_rejects_anything_one_time_in_twenty():
    p_XF = np.random.default_rng(0).random((2000, 20))
    assert 0.035 < np.mean([(holm(p_F) <= 0.05).any() for p_F in p_XF]) < 0.065


def test_a_joint_claim_has_the_largest_p_value_of_its_parts():
    assert joint_p_value([0.01, 0.04]) == 0.04
    assert math.isnan(joint_p_value([0.01, math.nan])) and math.isnan(joint_p_value([]))
