"""Means over few seeds: by hand, against independent references, and properties for any values."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, ttest_1samp

from interp.artifacts import BadInput
from interp.stats import (
    Estimate,
    bounded_interval,
    bounded_p_value,
    exact_share,
    paired_differences,
    rarest_detectable_mode,
    sign_p_value,
    student_interval,
    student_p_value,
)
from interp.stats.simplex import simplex_cdf

shares = st.lists(st.floats(0, 1), min_size=1, max_size=8)


# --- bounded -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 9), st.data())
def test_for_zeros_and_ones_the_bounded_interval_is_clopper_pearson(n, data):
    k = data.draw(st.integers(0, n))
    result, exact = bounded_interval([1] * k + [0] * (n - k), 0, 1), exact_share(k, n)
    assert (result.value, result.low, result.high) == pytest.approx((exact.value, exact.low, exact.high), abs=1e-9)


def test_equal_values_leave_room_for_an_unseen_mode():
    """D = c (1 - w) with w ~ Beta(1, 5), so that P(D <= t) = (t / c)^5: the lower end is c 0.025^(1/5)."""
    result = bounded_interval([0.7] * 5, 0, 1)
    assert result.low == pytest.approx(0.7 * 0.025**0.2) and result.high == pytest.approx(1 - 0.3 * 0.025**0.2)


def test_one_value_has_a_bounded_interval_too():
    result = bounded_interval([0.5], 0, 1)
    assert (result.low, result.high, result.n) == pytest.approx((0.0125, 0.9875, 1))


def test_the_ends_of_the_bounded_interval_are_quantiles_of_dirichlet_weighted_means():
    rng, values = np.random.default_rng(0), np.array([0.1, 0.4, 0.4, 0.9])
    weights = rng.dirichlet(np.ones(5), 400_000)
    result = bounded_interval(values, 0, 1)
    assert result.low == pytest.approx(np.quantile(weights @ np.append(values, 0), 0.025), abs=0.002)
    assert result.high == pytest.approx(np.quantile(weights @ np.append(values, 1), 0.975), abs=0.002)


@given(shares, st.floats(-0.2, 1.2))
def test_the_simplex_cdf_is_the_divided_difference_of_powers(values, bound):
    """For distinct points, sum_i (bound - x_i)_+^(m-1) / prod_(j != i) (x_j - x_i); near points would cancel."""
    points = np.unique(np.round([*values, 0.05], 2))
    assume(len(points) > 1 and min(np.diff(points)) > 0.05 and len(points) < 6)
    m = len(points)
    direct = sum(max(bound - x, 0) ** (m - 1) / np.prod([y - x for y in points if y != x]) for x in points)
    assert simplex_cdf(points[None], np.array([bound]))[0] == pytest.approx(direct, abs=1e-6)


def test_the_simplex_cdf_takes_many_rows_and_tied_points():
    rows = np.array([[0.2, 0.2, 0.2], [0.2, 0.2, 0.2], [0, 0, 1], [1, 0, 0]])
    result = simplex_cdf(rows, np.array([0.2, 0.19, 0.5, 0.5]))
    assert result == pytest.approx([1, 0, beta.cdf(0.5, 1, 2), beta.cdf(0.5, 1, 2)])


@given(shares)
def test_a_bounded_interval_contains_its_mean_stays_in_the_range_and_moves_with_the_values(values):
    result = bounded_interval(values, 0, 1)
    assert 0 <= result.low <= result.value + 1e-12 and result.value - 1e-12 <= result.high <= 1
    mirrored = bounded_interval([1 - value for value in values], 0, 1)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - result.high, 1 - result.low), abs=1e-9)
    moved = bounded_interval([2 * value - 1 for value in values], -1, 1)
    assert (moved.low, moved.high) == pytest.approx((2 * result.low - 1, 2 * result.high - 1), abs=1e-9)
    wider, raised = bounded_interval(values, -0.5, 1.5), bounded_interval([min(1, v + 0.1) for v in values], 0, 1)
    assert wider.low <= result.low and wider.high >= result.high
    assert raised.low >= result.low - 1e-12 and raised.high >= result.high - 1e-12


@given(shares, st.floats(0.01, 0.99))
def test_the_bounded_p_value_is_the_interval_inverted(values, null):
    result, p = bounded_interval(values, 0, 1), bounded_p_value(values, 0, 1, null)
    assume(min(abs(null - result.low), abs(null - result.high)) > 1e-6)
    assert (p <= 0.05) == result.excludes(null)
    one_sided = bounded_p_value(values, 0, 1, null, "above"), bounded_p_value(values, 0, 1, null, "below")
    assert p == pytest.approx(min(1, 2 * min(one_sided)))


@pytest.mark.parametrize("level", [0.001, 0.2, 0.5, 0.9, 0.999])
def test_a_bounded_interval_narrows_with_its_level_and_contains_the_mean(level):
    result = bounded_interval([0.2, 0.3, 0.8], 0, 1, level)
    wider = bounded_interval([0.2, 0.3, 0.8], 0, 1, 1 - (1 - level) / 2)
    assert wider.low <= result.low <= result.value <= result.high <= wider.high


def test_for_zeros_and_ones_the_bounded_p_value_is_that_of_the_binomial_test():
    """Four of five above a share of 0.3: P(X >= 4) = 5 * 0.3^4 * 0.7 + 0.3^5."""
    p = bounded_p_value([1, 1, 1, 1, 0], 0, 1, 0.3, "above")
    assert p == pytest.approx(5 * 0.3**4 * 0.7 + 0.3**5) == binomtest(4, 5, 0.3, "greater").pvalue


def test_values_outside_the_range_are_refused_unless_it_is_rounding():
    with pytest.raises(BadInput, match=r"expected values within \[0, 1\], got \[0.2, 1.3\]"):
        bounded_interval([0.2, 1.3], 0, 1)
    with pytest.raises(BadInput, match=r"expected values within \[1, 0\]"):
        bounded_interval([0.2], 1, 0)
    assert bounded_interval([1 + 1e-12, 0.5], 0, 1).high <= 1


# --- Student -------------------------------------------------------------------------------------------------------


def test_the_student_interval_leaves_out_missing_values_and_counts_the_others():
    """t of two degrees of freedom is 4.30265, the deviation 1."""
    result = student_interval([1.0, 2.0, 3.0, None, math.nan])
    assert (result.value, result.n) == (2.0, 3) and result.low == pytest.approx(2 - 4.30265 / 3**0.5, abs=1e-4)


def test_one_seed_or_equal_seeds_have_no_student_interval_and_no_p_value():
    assert student_interval([0.5]) == Estimate(0.5, n=1) and student_interval([]) == Estimate(math.nan)
    assert student_interval([0.1] * 7) == Estimate(sum([0.1] * 7) / 7, n=7)
    for values in ([0.5], [0.1] * 7, []):
        assert math.isnan(student_p_value(values))


values = st.lists(st.floats(-10, 10), min_size=2, max_size=9)


@given(values, st.floats(-10, 10))
def test_the_student_p_value_equals_scipy_and_is_the_interval_inverted(x, null):
    assume(np.std(x) > 1e-3)
    for alternative, scipy_name in (("two-sided", "two-sided"), ("above", "greater"), ("below", "less")):
        assert student_p_value(x, null, alternative) == pytest.approx(
            ttest_1samp(x, null, alternative=scipy_name).pvalue
        )
    result = student_interval(x)
    assume(min(abs(null - result.low), abs(null - result.high)) > 1e-6)
    assert (student_p_value(x, null) <= 0.05) == result.excludes(null)


# --- signs and pairs -----------------------------------------------------------------------------------------------


def test_the_sign_test_of_n_equal_signs_is_2_to_the_power_1_minus_n():
    assert sign_p_value([0.1] * 8) == 2 / 2**8 and sign_p_value([-0.1] * 5) == 2 / 2**5
    assert sign_p_value([-0.1] * 5, alternative="below") == 1 / 2**5 and sign_p_value([0.0] * 5) == 1
    assert math.isnan(sign_p_value([None]))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_the_sign_test_is_a_binomial_test_of_the_values_that_are_not_tied(x):
    up, down = sum(v > 0 for v in x), sum(v < 0 for v in x)
    if up + down:
        for alternative, scipy_name in (("above", "greater"), ("below", "less"), ("two-sided", "two-sided")):
            assert sign_p_value(x, alternative=alternative) == pytest.approx(
                binomtest(up, up + down, 0.5, scipy_name).pvalue
            )


def test_an_unknown_alternative_is_refused():
    with pytest.raises(BadInput, match="alternative must be one of above, below, two-sided; got 'up'"):
        sign_p_value([1.0], alternative="up")  # pyright: ignore[reportArgumentType]


def test_paired_differences_use_the_seeds_that_both_arms_have():
    first, second = {1: 0.9, 2: 0.5, 3: None, 4: 0.7}, {2: 0.25, 1: 0.4, 3: 0.1, 5: 0.0, 4: math.nan}
    assert paired_differences(first, second) == [0.5, 0.25]


def test_n_seeds_show_the_rarest_detectable_mode_nineteen_times_in_twenty():
    for n in (3, 5, 8, 14):
        assert (1 - rarest_detectable_mode(n)) ** n == pytest.approx(0.05)
    assert rarest_detectable_mode(14) < 0.2 < rarest_detectable_mode(13)
    with pytest.raises(BadInput, match="expected one seed or more"):
        rarest_detectable_mode(0)
