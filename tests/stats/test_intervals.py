"""Intervals: exact where rollouts are independent, honest where they are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from interp.rollouts import exact, share


def test_the_exact_interval_is_that_of_clopper_and_pearson():
    low, high = exact(7, 20)
    assert low == pytest.approx(beta.ppf(0.025, 7, 14))
    assert high == pytest.approx(beta.ppf(0.975, 8, 13))


def test_nothing_seen_is_not_nothing_there():
    assert exact(0, 64) == (0.0, pytest.approx(1 - 0.025 ** (1 / 64)))
    assert exact(64, 64)[1] == 1.0


@pytest.mark.parametrize("rate", [0.005, 0.02, 0.1, 0.3, 0.5, 0.77, 0.98])
@pytest.mark.parametrize("n", [8, 64])
def test_exact_intervals_cover_the_true_rate_at_least_93_times_in_100(rate, n):
    hits = np.random.default_rng(0).binomial(n, rate, 20_000)
    intervals = {k: exact(k, n) for k in np.unique(hits)}
    covered = np.mean([intervals[k][0] <= rate <= intervals[k][1] for k in hits])
    assert covered >= 0.93


@pytest.mark.parametrize("spread", [0.0, 0.15, 0.25])
@pytest.mark.parametrize("rate", [0.1, 0.35, 0.6])
@pytest.mark.parametrize("problems", [3, 5, 10, 40])
def test_shares_over_unlike_problems_are_covered_at_least_91_times_in_100(rate, spread, problems):
    """Each problem has a rate of its own (beta, of the given spread); the interval must cover the mean of them all."""
    draw, samples = np.random.default_rng(1), 16
    covered = 0
    for _ in range(1000):
        concentration = rate * (1 - rate) / spread**2 - 1 if spread else None
        rates = (
            np.full(problems, rate)
            if concentration is None
            else draw.beta(rate * concentration, (1 - rate) * concentration, problems)
        )
        found = share(draw.binomial(samples, rates).tolist(), [samples] * problems)
        covered += found.low <= rate <= found.high
    assert covered / 1000 >= 0.91


def test_problems_that_differ_widen_the_interval():
    alike = share([8] * 20, [16] * 20)
    unlike = share([16] * 10 + [0] * 10, [16] * 20)
    assert alike.value == unlike.value == 0.5
    assert unlike.high - unlike.low > 2 * (alike.high - alike.low)


def test_without_trials_a_share_says_so():
    nothing = share([0, 0], [0, 0])
    assert str(nothing) == "no trials" and (nothing.low, nothing.high, nothing.n) == (0, 1, 0)


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(1, 10)), min_size=1, max_size=12))
def test_an_interval_holds_its_own_estimate(pairs):
    hits = [min(k, n) for k, n in pairs]
    found = share(hits, [n for _, n in pairs])
    assert 0 <= found.low <= found.value <= found.high <= 1
