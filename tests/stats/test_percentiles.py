"""Means over tokens in draws of prompts, and their percentiles."""

import math

import numpy as np
import pytest

from interp.stats import Estimate, percentile_estimate, resampled_prompts, token_means


def test_a_mean_over_tokens_counts_each_prompt_as_often_as_it_is_drawn():
    """Prompt 0 has 1 and 3, prompt 1 has 8, prompt 2 has none: (4 + 8) / 3; then 0 twice and 2;
    then 1 and 2 twice; then 2 alone."""
    draws = np.array([[1, 1, 1], [2, 0, 1], [0, 1, 2], [0, 0, 3]], float)
    result = token_means(np.array([1.0, 3, 8]), np.array([0, 0, 1]), draws)
    assert result[:3] == pytest.approx([4, 2, 8]) and math.isnan(result[3])


def test_percentiles_leave_out_draws_without_tokens():
    draws = np.array([*range(101), math.nan])
    result = percentile_estimate(50.0, draws, 7)
    assert (result.low, result.high, result.n) == pytest.approx((2.5, 97.5, 7))
    assert percentile_estimate(50.0, draws, 7, level=0.5).low == pytest.approx(25)


def test_without_tokens_there_is_no_estimate():
    assert percentile_estimate(math.nan, np.array([1.0]), 3) == Estimate(math.nan, n=3)
    assert not percentile_estimate(1.0, np.array([math.nan]), 3).has_interval


def test_percentile_intervals_over_many_prompts_are_calibrated():
    """64 prompts of 1 to 8 tokens; the values of a prompt's tokens are correlated."""
    rng, covered = np.random.default_rng(0), []
    counts_BP = resampled_prompts(64, 400, 0).double().numpy()
    counts_BP = np.concatenate([np.ones((1, 64)), counts_BP])
    for _ in range(300):
        prompt_N = np.repeat(np.arange(64), rng.integers(1, 9, 64))
        value_N = rng.normal(0.3, 1, 64)[prompt_N] + rng.normal(0, 1, len(prompt_N))
        value, *draws = token_means(value_N, prompt_N, counts_BP)
        covered.append(not percentile_estimate(value, np.array(draws), 64).excludes(0.3))
    assert 0.91 <= np.mean(covered) <= 0.97
