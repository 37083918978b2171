"""Curves: where they cross zero, solved by hand; time to half; smoothing."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from interp.artifacts import BadInput
from interp.stats import bounded_p_value, crossing, smooth, student_p_value, time_to_half


def by_seed(*rows: list[float]) -> list[dict[int, float]]:
    """Values by dose and by seed, from a list of seeds' values for each dose."""
    return [dict(enumerate(row)) for row in rows]


NOISE = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])


def test_a_mean_curve_crosses_zero_where_the_line_between_doses_does():
    result = crossing([0, 1, 2], by_seed(*(list(mean + NOISE) for mean in (3, 1, -1))), falling=True)
    assert result.dose.value == pytest.approx(1.5) and result.dose.n == 5 and result.is_sure and not result.is_refuted
    assert result.dose.low < 1.5 < result.dose.high


def test_the_interval_of_a_crossing_is_fiellers():
    """Seeds y = 1 - x + e: the mean at x is 1 - x with the standard error of e, so the interval of the crossing is
    1 +- t s / sqrt(n)."""
    result = crossing([0, 2], by_seed(list(1 + NOISE), list(-1 + NOISE)), falling=True)
    reach = student.ppf(0.975, 4) * NOISE.std(ddof=1) / math.sqrt(5)
    assert (result.dose.low, result.dose.high) == pytest.approx((1 - reach, 1 + reach), abs=1e-6)


def test_a_crossing_p_value_is_the_larger_of_those_at_the_ends():
    rows = [list(1 + NOISE), list(-0.3 + NOISE)]
    result = crossing([0, 1], by_seed(*rows), falling=True)
    assert result.p_value == pytest.approx(student_p_value(rows[1])) and result.p_value > student_p_value(rows[0])
    bounded = crossing([0, 1], by_seed(*rows), falling=True, bounds=(-2, 2))
    assert bounded.p_value == pytest.approx(bounded_p_value(rows[1], -2, 2))


def test_a_curve_that_crosses_the_other_way_is_refuted_and_has_p_one():
    rising = by_seed(list(-1 + NOISE), list(1 + NOISE))
    wrong, right = crossing([0, 1], rising, falling=True), crossing([0, 1], rising, falling=False)
    assert math.isnan(wrong.dose.value) and wrong.is_refuted and wrong.p_value == 1
    assert right.is_sure and right.dose.value == pytest.approx(0.5) and right.dose.has_interval


def test_a_crossing_that_depends_on_one_seed_has_no_interval():
    """The mean falls to -0.2, but four seeds in five stay at 2."""
    result = crossing([0, 1], by_seed([1.0, 1.1, 0.9, 1.0, 1.0], [-9.0, 2.0, 2.1, 1.9, 2.0]), falling=True)
    assert 0 < result.dose.value < 1 and not result.dose.has_interval and not result.is_sure and not result.is_refuted


def test_a_crossing_that_is_sure_by_student_may_be_unsure_with_bounds():
    rows = by_seed(*(list(mean + NOISE / 10) for mean in (0.5, -0.1)))
    assert crossing([0, 1], rows, falling=True).is_sure
    assert not crossing([0, 1], rows, falling=True, bounds=(-0.3, 0.7)).is_sure


def test_a_bounded_crossing_has_an_interval_if_the_ends_are_far_from_zero():
    seeds = np.linspace(-0.02, 0.02, 8)
    rows = by_seed(list(0.9 + seeds), list(-0.9 + seeds))
    bounded, narrow = (crossing([0, 1], rows, falling=True, bounds=bounds) for bounds in ((-1, 1), None))
    assert bounded.is_sure and bounded.dose.low < narrow.dose.low < narrow.dose.high < bounded.dose.high


@settings(max_examples=25)
@given(st.floats(0.1, 0.9), st.floats(0.01, 0.05))
def test_the_interval_of_a_crossing_contains_the_crossing(where, noise):
    rows = by_seed(*(list(where - dose + noise * NOISE * 5) for dose in (0.0, 0.5, 1.0)))
    result = crossing([0.0, 0.5, 1.0], rows, falling=True)
    if result.dose.has_interval:
        assert result.dose.low <= where <= result.dose.high


def test_only_seeds_with_every_dose_are_used_and_unsorted_doses_are_refused():
    rows = [{1: 1.0, 2: 1.2, 3: 9.0}, {1: -1.0, 2: -1.2}]
    assert crossing([0, 1], rows, falling=True).dose.value == pytest.approx(0.5)
    for doses, values in (([1, 0], rows), ([0, 1], rows[:1]), ([0, 1], [{1: 1.0}, {2: -1.0}]), ([], [])):
        with pytest.raises(BadInput, match="expected two doses or more, in rising order"):
            crossing(doses, values, falling=True)


def test_time_to_half_is_when_a_curve_stays_beyond_the_middle():
    assert time_to_half([0, 10, 20], [0, 0.4, 1]) == pytest.approx(10 + 10 * 0.1 / 0.6)
    assert time_to_half([0, 10, 20, 30], [0, 0.8, 0.2, 1]) == pytest.approx(20 + 10 * 0.3 / 0.8)
    assert time_to_half([0, 10], [1, 0]) == 5
    assert math.isnan(time_to_half([0, 10, 20], [1, 3, 1]))


def test_windows_of_a_running_mean_narrow_towards_the_ends():
    assert smooth([1, 2, 6, 2, 1], 3) == [1, 3, 10 / 3, 3, 1]
    assert smooth([0, 1, 2, 3, 4], 5) == pytest.approx([0, 1, 2, 3, 4])
