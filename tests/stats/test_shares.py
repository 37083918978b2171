"""Shares: against published and independent numbers; intervals have a width and are calibrated."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from interp.artifacts import BadInput
from interp.stats import (
    Estimate,
    bounded_interval,
    bounded_share,
    clustered_share,
    exact_interval,
    exact_share,
    paired_share_difference,
    share_difference,
)

# --- exact ---------------------------------------------------------------------------------------------------------


def test_the_exact_interval_is_clopper_pearson():
    low, high = exact_interval(7, 20)
    assert low == pytest.approx(beta.ppf(0.025, 7, 14)) and high == pytest.approx(beta.ppf(0.975, 8, 13))


@given(st.integers(1, 60), st.data())
def test_at_each_end_of_the_exact_interval_the_tail_probability_is_0_025(n, data):
    k = data.draw(st.integers(0, n))
    low, high = exact_interval(k, n)
    if k > 0:
        assert binom.sf(k - 1, n, low) == pytest.approx(0.025)
    if k < n:
        assert binom.cdf(k, n, high) == pytest.approx(0.025)


def test_the_interval_of_no_success_or_all_successes_has_a_width():
    none = exact_share(0, 64)
    assert (none.value, none.low, none.n) == (0, 0, 64) and none.high == pytest.approx(1 - 0.025 ** (1 / 64))
    assert exact_share(51, 51).low == pytest.approx(0.930, abs=5e-4)


def test_a_share_of_no_trials_is_nan():
    assert exact_share(0, 0) == clustered_share([0, 0], [0, 0]) == Estimate(math.nan)


def test_more_successes_than_trials_are_refused():
    with pytest.raises(BadInput, match="expected 0 <= successes <= trials, with trials > 0; got 3 of 2"):
        exact_interval(3, 2)


# --- over clusters -------------------------------------------------------------------------------------------------


def test_if_all_or_none_succeed_every_cluster_counts_as_one_trial():
    """Eight organisms, 51 of 51 latents between them."""
    result = clustered_share([6, 7, 6, 6, 6, 7, 6, 7], [6, 7, 6, 6, 6, 7, 6, 7])
    assert (result.value, result.high, result.n) == (1, 1, 51) and result.low == pytest.approx(0.631, abs=5e-4)
    assert clustered_share([0] * 8, [6] * 8).high == pytest.approx(1 - result.low)


def test_the_effective_number_of_trials_is_that_of_korn_and_graubard():
    """Four clusters of 10 with 2, 4, 6 and 8: p = 1/2, v = 4/3 * 20 / 1600 = 1/60, so that p (1 - p) / v = 15, and
    times (t[39] / t[3])^2 = (2.02269 / 3.18245)^2 it is 6.0595."""
    result = clustered_share([2, 4, 6, 8], [10] * 4)
    effective = 15 * (2.02269 / 3.18245) ** 2
    assert result.low == pytest.approx(beta.ppf(0.025, effective / 2, effective / 2 + 1), abs=1e-4)
    assert result.high == pytest.approx(1 - result.low)


def test_different_clusters_widen_the_interval():
    alike, unlike = clustered_share([8] * 20, [16] * 20), clustered_share([16] * 10 + [0] * 10, [16] * 20)
    assert alike.value == unlike.value == 0.5 and unlike.width > 2 * alike.width


counts = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=12)


@given(counts)
def test_a_clustered_interval_contains_its_share_lies_in_0_to_1_and_has_a_width(pairs):
    hits, trials = [min(k, n) for k, n in pairs], [n for _, n in pairs]
    result = clustered_share(hits, trials)
    if sum(trials):
        assert 0 <= result.low <= result.value <= result.high <= 1 and result.width > 0.01
        mirrored = clustered_share([n - k for k, n in zip(hits, trials, strict=True)], trials)
        assert (mirrored.low, mirrored.high) == pytest.approx((1 - result.high, 1 - result.low), abs=1e-9)


def test_for_clusters_of_one_size_a_bounded_share_is_the_bounded_interval_of_their_shares():
    hits = [24, 20, 0, 23, 24]
    result, expected = bounded_share(hits, [24] * 5), bounded_interval([k / 24 for k in hits], 0, 1)
    assert (result.value, result.low, result.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-9
    )
    assert result.n == 120


@given(counts)
def test_a_bounded_share_lies_in_0_to_1_and_is_mirrored_for_failures(pairs):
    hits, trials = [min(k, n) for k, n in pairs], [n for _, n in pairs]
    result = bounded_share(hits, trials)
    if sum(trials):
        assert 0 <= result.low <= result.value <= result.high <= 1 and result.width > 0.1
        mirrored = bounded_share([n - k for k, n in zip(hits, trials, strict=True)], trials)
        assert (mirrored.low, mirrored.high) == pytest.approx((1 - result.high, 1 - result.low), abs=1e-9)
    else:
        assert result == Estimate(math.nan)


# --- differences ---------------------------------------------------------------------------------------------------


def wilson(k: int, n: int) -> Estimate:
    z, p = 1.959964, k / n
    centre, reach = (p + z * z / 2 / n) / (1 + z * z / n), z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    return Estimate(p, centre - reach / (1 + z * z / n), centre + reach / (1 + z * z / n), n)


def test_the_difference_of_two_shares_equals_newcombes_example():
    """Newcombe (1998), example (a): 56/70 less 48/80 by his method 10, on Wilson's intervals, is 0.0524 to 0.3339."""
    result = share_difference(wilson(48, 80), wilson(56, 70))
    assert (result.value, result.low, result.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_the_difference_of_two_zero_shares_has_an_interval():
    result = share_difference(exact_share(0, 40), exact_share(0, 40))
    assert result.value == 0 and result.low == -result.high and result.high == pytest.approx(1 - 0.025 ** (1 / 40))


def test_a_difference_from_a_share_without_data_has_no_interval():
    assert not share_difference(exact_share(0, 0), exact_share(3, 4)).has_interval


def test_the_effect_of_clusters_on_both_shares_cancels():
    """Ten easy and ten hard problems, each solved once more afterwards."""
    before, after = [1] * 10 + [7] * 10, [2] * 10 + [8] * 10
    result = paired_share_difference((before, [8] * 20), (after, [8] * 20))
    unpaired = share_difference(clustered_share(before, [8] * 20), clustered_share(after, [8] * 20))
    assert result.value == unpaired.value == 0.125 and result.n == 20
    assert result.width < unpaired.width / 3 and result.is_positive and not unpaired.is_positive


def test_clusters_without_trials_on_one_side_are_not_counted_as_pairs():
    assert paired_share_difference(([1, 1, 2], [2, 2, 2]), ([1, 0, 1], [2, 0, 2])).n == 2


def test_shares_over_different_numbers_of_clusters_are_refused():
    with pytest.raises(BadInput, match="expected successes and trials of the same clusters"):
        paired_share_difference(([1, 1], [2, 2]), ([1], [2]))


def test_intervals_of_paired_share_differences_are_calibrated():
    """32 problems of different pass rates (0.1 to 0.7, or 0 to 0.02), 8 rollouts each, twice; the second time the pass
    rates are the same, or higher by 0.1."""
    rng, missed_shares = np.random.default_rng(0), []
    for low, high, rise in ((0.1, 0.7, 0.1), (0.1, 0.7, 0.0), (0.0, 0.02, 0.0), (0.0, 0.02, 0.1)):
        wrong = 0
        for _ in range(400):
            rates = rng.uniform(low, high, 32)
            before, after = rng.binomial(8, rates), rng.binomial(8, rates + rise)
            wrong += paired_share_difference((before.tolist(), [8] * 32), (after.tolist(), [8] * 32)).excludes(rise)
        missed_shares.append(wrong / 400)
    assert max(missed_shares) <= 0.07, missed_shares
