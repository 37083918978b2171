"""The p-value of a difference of shares by swapping: by hand, and how often it is small where nothing differs."""

import math

import numpy as np
import pytest

from interp.stats import swapped_p_value


def test_ten_clusters_that_all_changed_leave_two_swaps_of_1024():
    none, all_of_them = ([0] * 10, [4] * 10), ([4] * 10, [4] * 10)
    assert swapped_p_value(none, all_of_them) == pytest.approx(2 / 1024, abs=1.5e-3)
    assert swapped_p_value(none, all_of_them) == swapped_p_value(all_of_them, none)


def test_equal_shares_and_a_single_cluster_say_nothing():
    same = ([1, 3, 2], [4, 4, 4])
    assert swapped_p_value(same, same) == 1
    assert swapped_p_value(([0], [8]), ([8], [8])) == 1


def test_a_side_without_trials_has_no_p_value():
    assert math.isnan(swapped_p_value(([0, 0], [0, 0]), ([1, 1], [2, 2])))


def test_where_nothing_differs_one_comparison_in_twenty_is_below_five_percent():
    rng, below = np.random.default_rng(0), 0
    for trial in range(200):
        rate_C = rng.beta(1, 2, 24)
        sides = [(rng.binomial(4, rate_C).tolist(), [4] * 24) for _ in range(2)]
        below += swapped_p_value(*sides, seed=trial) <= 0.05
    assert 2 <= below <= 20  # 10 expected, within three standard deviations
