"""One estimate: its interval against a bound, its text, its JSON."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput, from_json, to_json
from interp.stats import Estimate


def test_an_estimate_is_above_or_below_a_bound_only_with_its_whole_interval():
    assert Estimate(0.2, 0.1, 0.3, 5).is_positive and not Estimate(0.2, 0.1, 0.3, 5).is_negative
    assert Estimate(-0.2, -0.3, -0.1, 5).is_negative and not Estimate(0.2, -0.1, 0.5, 5).is_positive
    assert Estimate(0.9, 0.85, 0.95, 5).is_above(0.8) and not Estimate(0.9, 0.75, 0.95, 5).is_above(0.8)
    assert Estimate(0.1, 0.0, 0.15, 5).is_below(0.2) and not Estimate(0.1, 0.0, 0.2, 5).is_below(0.2)


def test_an_estimate_excludes_numbers_outside_its_interval_but_not_its_ends():
    estimate = Estimate(0.5, 0.25, 0.75, 4)
    assert estimate.excludes(0.2) and estimate.excludes(0.8)
    assert not estimate.excludes(0.25) and not estimate.excludes(0.75)


def test_an_interval_that_touches_the_bounds_lies_within_them():
    assert Estimate(0, -0.1, 0.1, 5).is_within(-0.1, 0.1) and not Estimate(0, -0.1, 0.11, 5).is_within(-0.1, 0.1)


def test_without_an_interval_every_comparison_is_false():
    alone = Estimate(0.5, n=1)
    assert not (
        alone.is_positive or alone.is_negative or alone.excludes(9) or alone.is_within(-9, 9) or alone.has_interval
    )


def test_none_and_nan_both_become_nan_and_estimates_without_data_are_equal():
    assert Estimate(None, None, None, 0) == Estimate(float("nan")) == Estimate(math.nan)  # pyright: ignore[reportArgumentType]
    assert math.isnan(Estimate(0.5).low)


@pytest.mark.parametrize("ends", [(0.5, math.nan), (math.nan, 0.5), (0.6, 0.4)])
def test_an_interval_with_one_end_or_with_swapped_ends_is_refused(ends):
    with pytest.raises(BadInput, match="expected an interval with low <= high, or NaN for both"):
        Estimate(0.5, *ends)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.42, 0.41, 0.44, 3), "0.42 [0.41, 0.44]"),
        (Estimate(0.0031, 0.0012, 0.0083, 3), "0.003 [0.001, 0.008]"),
        (Estimate(0.9994, 0.9992, 0.9997, 5), "0.9994 [0.9992, 0.9997]"),
        (Estimate(0.0039, -0.0026, 0.0104, 8), "0.004 [-0.003, 0.010]"),
        (Estimate(-1.98, -10.05, 6.09, 8), "-1.98 [-10.05, 6.09]"),
        (Estimate(1280.4, 1200, 1360, 5), "1280 [1200, 1360]"),
        (Estimate(0.5, n=1), "0.50"),
        (Estimate(0, 0, 0, 3), "0.000 [0.000, 0.000]"),
        (Estimate(math.nan), "no data"),
    ],
)
def test_an_estimate_is_written_with_more_digits_if_it_is_small_or_its_interval_narrow(estimate, text):
    assert str(estimate) == f"{estimate}" == text


def test_a_format_applies_to_every_number():
    assert f"{Estimate(0.42, 0.41, 0.44, 3):+.1f}" == "+0.4 [+0.4, +0.4]"
    assert f"{Estimate(math.nan):+.1f}" == "no data"


numbers = st.floats(-1e6, 1e6)


@given(numbers, st.none() | st.tuples(numbers, numbers), st.integers(0, 99))
def test_an_estimate_survives_json(value, ends, n):
    low, high = (math.nan, math.nan) if ends is None else (min(ends), max(ends))
    for estimate in (Estimate(value, low, high, n), Estimate(math.nan)):
        assert from_json(Estimate, json.loads(json.dumps(to_json(estimate), allow_nan=False))) == estimate
        assert str(estimate)
