"""Where a rule begins to hold: exactly at its threshold, in numbers small enough to count; and what is counted as n."""

import math

import numpy as np
import pytest
import torch

from interp.artifacts import BadInput
from interp.stats import (
    ActiveSums,
    Estimate,
    PromptSums,
    bounded_share,
    clustered_share,
    estimate_active_changes,
    estimate_changes,
    exact_interval,
    exact_share,
    last_minus_first,
    paired_differences,
    paired_share_difference,
    rarest_detectable_mode,
    share_difference,
    slope_weights,
    smooth,
    time_to_half,
)
from interp.stats.bootstrap import compared_checkpoints, keep_common_strata
from interp.stats.percentiles import percentile_estimate, token_means
from interp.stats.simplex import first_beyond

# --- changes -------------------------------------------------------------------------------------------------------


def prompt_sums(prompts: int, strata: int = 1) -> PromptSums:
    """A latent at a rate of 0.1 to 0.2 at the first of two checkpoints, and twice as often at the second."""
    rate_P = 0.1 + 0.1 * torch.arange(prompts) / prompts
    tokens_TSP = torch.full((2, strata, prompts), 20.0)
    amount_TSPF = tokens_TSP[..., None] * torch.stack([rate_P, 2 * rate_P])[:, None, :, None]
    return PromptSums(amount_TSPF, tokens_TSP)


@pytest.mark.parametrize("by_cell", [False, True])
@pytest.mark.parametrize(("prompts", "has_interval"), [(8, True), (7, False)])
def test_eight_prompts_are_enough_for_an_interval(prompts, has_interval, by_cell):
    change = estimate_changes(prompt_sums(prompts), last_minus_first(2), by_cell=by_cell)
    assert change.prompts == prompts and np.isnan(change.low_F).any() != has_interval


@pytest.mark.parametrize(("prompts", "strata_compared"), [(8, 2), (7, 1)])
def test_a_stratum_is_compared_if_every_checkpoint_has_it_at_eight_prompts(prompts, strata_compared):
    sums = prompt_sums(10, strata=2)
    sums.tokens_TSP[1, 1, prompts:] = 0
    common_sums, common, fewest = keep_common_strata(sums, [0, 1])
    assert common_sums.tokens_TSP.shape[1] == strata_compared
    assert common == strata_compared / 2 and fewest == (prompts if strata_compared == 2 else 10)


def test_one_token_is_enough_for_a_prompt_to_count():
    sums = PromptSums(torch.ones(2, 2, 8, 1), torch.ones(2, 2, 8))
    _, common, fewest = keep_common_strata(sums, [0, 1])
    assert (common, fewest) == (1, 8)


def test_without_a_common_stratum_there_are_no_prompts_and_nothing_in_common():
    sums = PromptSums(torch.ones(2, 2, 9, 1), torch.ones(2, 2, 9))
    sums.tokens_TSP[0, 0] = sums.tokens_TSP[1, 1] = 0
    _, common, fewest = keep_common_strata(sums, [0, 1])
    assert (common, fewest) == (0, 0)


def test_half_of_the_tokens_in_common_are_enough_for_an_interval():
    """The first of two strata has 20 of the base's 40 tokens at each prompt, or 19 of 39."""
    for tokens, has_interval in ((20.0, True), (19.0, False)):
        sums = prompt_sums(9, strata=2)
        sums.tokens_TSP[0, 0] = tokens
        sums.tokens_TSP[1, 1] = 0
        change = estimate_changes(sums, last_minus_first(2))
        assert change.common == pytest.approx(tokens / (tokens + 20))
        assert np.isnan(change.p_F).any() != has_interval


def test_the_checkpoints_that_are_compared_are_the_base_those_with_a_weight_and_those_named():
    weights = np.array([0.0, 0, -1, 0, 1])
    assert compared_checkpoints(weights) == [0, 2, 4]
    assert compared_checkpoints(weights, (3, 2)) == [0, 2, 3, 4]


def test_a_slope_does_not_depend_on_where_steps_begin():
    for start in (0, 100):
        weights_T = slope_weights(np.array([start, start + 10, start + 20]))
        assert weights_T == pytest.approx([-1, 0, 1])


def test_other_seeds_take_other_draws_and_the_default_seed_is_zero():
    draws = [estimate_changes(prompt_sums(9), last_minus_first(2), **seed).low_F for seed in ({}, {"seed": 0})]
    assert draws[0] == draws[1] != estimate_changes(prompt_sums(9), last_minus_first(2), seed=1).low_F


# --- changes when active -------------------------------------------------------------------------------------------


def active_sums(active_TSP: list[list[list[float]]]) -> ActiveSums:
    """One latent, with as many active tokens as said, by checkpoint, stratum and prompt, among 20 tokens at each. Its
    mean when active rises by prompt, and is twice as high at the second checkpoint."""
    active_TSPF = torch.tensor(active_TSP)[..., None]
    height_P = 1 + torch.arange(active_TSPF.shape[2]) / 10
    height_TSPF = torch.stack([height_P, 2 * height_P])[:, None, :, None]
    return ActiveSums(active_TSPF * height_TSPF, torch.full(active_TSPF.shape[:3], 20.0), active_TSPF)


def has_interval(sums: ActiveSums, *, by_cell: bool) -> bool:
    change = estimate_active_changes(sums, last_minus_first(2), by_cell=by_cell)
    return not np.isnan(change.low_F).any()


@pytest.mark.parametrize("by_cell", [False, True])
def test_a_latent_has_an_interval_if_it_is_active_at_five_prompts_at_both_checkpoints(by_cell):
    for active, expected in ((5, True), (4, False)):
        often, seldom = [2.0] * 10, [2.0] * active + [0.0] * (10 - active)
        for checkpoints in ([[often], [seldom]], [[seldom], [often]]):
            assert has_interval(active_sums(checkpoints), by_cell=by_cell) == expected


@pytest.mark.parametrize("by_cell", [False, True])
def test_half_of_the_base_s_active_tokens_have_to_be_comparable(by_cell):
    """Beside the first stratum, where all prompts are active, the base has a second that is absent later."""
    for elsewhere, expected in ((2.0, True), (2.5, False)):
        sums = active_sums([[[2.0] * 9, [elsewhere] * 9], [[3.0] * 9, [0.0] * 9]])
        assert has_interval(sums, by_cell=by_cell) == expected
    for elsewhere in (0.0, 50.0):
        sums = active_sums([[[2.0] * 9, [0.0] * 9], [[3.0] * 9, [elsewhere] * 9]])
        assert has_interval(sums, by_cell=by_cell), "what the other checkpoint has beside it does not matter"


def test_a_latent_is_compared_in_the_strata_where_it_is_active_at_eight_prompts():
    """The first stratum has 18 of the active tokens, and a mean that rises from 1 to 2; in the second it stays."""
    for prompts, expected in ((8, 18 / 26), (7, 1.0)):
        second = [1.0] * prompts + [0.0] * (9 - prompts)
        sums = active_sums([[[2.0] * 9, second], [[2.0] * 9, second]])
        sums.amount_TSPF[0], sums.amount_TSPF[1] = sums.active_TSPF[0], sums.active_TSPF[1]
        sums.amount_TSPF[1, 0] *= 2
        assert estimate_active_changes(sums, last_minus_first(2)).value_F == pytest.approx([expected])


# --- curves and counts ---------------------------------------------------------------------------------------------


def test_half_way_is_reached_at_the_point_itself_if_the_curve_is_there_exactly():
    assert time_to_half([0, 10, 20], [0, 2, 4]) == 10
    assert time_to_half([0, 10, 20], [4, 2, 0]) == 10
    assert time_to_half([5, 10, 20], [1.0, 9.0, 3.0]) == pytest.approx(5.625)


def test_a_running_mean_of_two_values_is_over_three_and_of_five_over_five():
    values = [0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0]
    assert smooth(values, 1) == values
    assert smooth(values, 2) == smooth(values, 3) == [0, 3, 3, 3, 0, 0, 0]
    assert smooth(values, 5) == [0, 3, 9 / 5, 9 / 5, 9 / 5, 0, 0]


def test_one_seed_shows_a_mode_that_nearly_all_seeds_have():
    assert rarest_detectable_mode(1) == pytest.approx(0.95) and rarest_detectable_mode(1, 0.5) == 0.5


def test_pairs_of_an_infinite_value_are_left_out():
    assert paired_differences({1: math.inf, 2: 3.0, 3: 1.0}, {1: math.inf, 2: 1.0, 3: -math.inf}) == [2.0]


# --- shares --------------------------------------------------------------------------------------------------------


def test_no_trials_are_refused_by_an_interval_and_no_data_for_a_share():
    with pytest.raises(BadInput, match="with trials > 0; got 0 of 0"):
        exact_interval(0, 0)
    for estimate in (exact_share(0, 0), clustered_share([0], [0]), bounded_share([0], [0])):
        assert math.isnan(estimate.value) and not estimate.has_interval and estimate.n == 0


def test_every_interval_of_a_share_has_the_level_that_it_is_asked_for():
    hits, trials = [3, 5, 6, 8], [10] * 4
    shares = [
        lambda level: exact_share(22, 40, level),
        lambda level: clustered_share(hits, trials, level),
        lambda level: bounded_share(hits, trials, level),
        lambda level: paired_share_difference((hits, trials), ([4, 5, 7, 9], trials), level),
    ]
    for share in shares:
        assert share(0.5).width < share(0.9).width < share(0.99).width
        assert share(0.95) == share(0.95)
    assert exact_share(22, 40) == exact_share(22, 40, 0.95)
    assert clustered_share(hits, trials) == clustered_share(hits, trials, 0.95)
    assert bounded_share(hits, trials) == bounded_share(hits, trials, 0.95)


def test_the_interval_of_a_pair_uses_the_level_for_both_shares():
    """The first share never varies and the second does, and the other way round."""
    sure, unsure, trials = [10] * 4, [2, 4, 6, 8], [10] * 4
    for pair in ((sure, unsure), (unsure, sure)):
        for level in (0.5, 0.99):
            first, second = (clustered_share(hits, trials, level) for hits in pair)
            expected = share_difference(first, second)
            result = paired_share_difference(*((hits, trials) for hits in pair), level)
            assert (result.low, result.high) == pytest.approx((expected.low, expected.high)), "no correlation"


def test_clusters_that_differ_as_much_as_they_can_count_as_one_trial_at_least():
    """Two clusters, one all and one nothing: p (1 - p) / v = 0.25 / 0.5 = 0.5, and t makes it less."""
    result, one = clustered_share([10, 0], [10, 10]), exact_interval(0.5, 1)
    assert (result.low, result.high) == pytest.approx(one) and result.n == 20


def test_the_difference_of_two_shares_has_the_value_and_the_smaller_n_with_and_without_an_interval():
    shares = Estimate(0.5, 0.4, 0.6, 9), Estimate(0.75, 0.7, 0.8, 4)
    difference = share_difference(*shares)
    assert (difference.value, difference.n) == (0.25, 4) and difference.has_interval
    for pair in (
        (Estimate(0.5, n=9), shares[1]),
        (shares[0], Estimate(0.75, n=4)),
        (Estimate(0.5, n=9), Estimate(0.75, n=4)),
    ):
        assert share_difference(*pair) == Estimate(0.25, n=4)


def test_shares_that_vary_together_narrow_their_difference_and_against_each_other_widen_it():
    """With r = 1 the squares become those of a difference: low = 0.25 - |0.05 - 0.1|."""
    first, second = Estimate(0.5, 0.4, 0.6, 9), Estimate(0.75, 0.7, 0.8, 4)
    for correlation, reach in ((1.0, 0.05), (-1.0, 0.15), (0.0, math.hypot(0.05, 0.1))):
        result = share_difference(first, second, correlation)
        assert (result.low, result.high) == pytest.approx((0.25 - reach, 0.25 + reach))


def test_a_cluster_counts_as_a_pair_if_both_sides_have_a_trial():
    assert paired_share_difference(([1, 1, 0, 0], [1, 1, 0, 1]), ([1, 0, 1, 0], [1, 1, 1, 0])).n == 2


# --- percentiles and searches --------------------------------------------------------------------------------------


def test_a_draw_without_tokens_has_no_mean_and_one_with_a_token_has():
    means_B = token_means(np.array([4.0, 2.0]), np.array([0, 1]), np.array([[1.0, 1], [0, 1], [0, 0], [3, 1]]))
    assert means_B.tolist()[:2] == [3, 2] and math.isnan(means_B[2]) and means_B[3] == 3.5


def test_a_percentile_estimate_has_its_value_its_n_and_the_percentiles_of_the_draws_that_are_known():
    draws_B = np.array([*np.arange(101.0), math.nan])
    assert percentile_estimate(40.0, draws_B, 7) == Estimate(40, 2.5, 97.5, 7)
    assert percentile_estimate(40.0, draws_B, 7, 0.5) == Estimate(40, 25, 75, 7)
    assert percentile_estimate(40.0, np.full(3, math.nan), 7) == Estimate(40, n=7)
    assert percentile_estimate(math.nan, draws_B, 7) == Estimate(math.nan, n=7)


def test_the_first_point_beyond_is_where_a_rising_function_passes_and_the_end_if_it_never_does():
    for where in (0.0, 0.3, 1.9):
        assert first_beyond(lambda x_G, where=where: x_G - where, 0.0, 0, 2) == pytest.approx(where, abs=1e-9)
    assert first_beyond(lambda x_G: x_G - 5, 0.0, 0, 2) == 2
    assert first_beyond(lambda x_G: x_G + 1, 0.0, 0, 2) == 0


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(100, 50, 100.0, 3), "100 [50, 100]"),
        (Estimate(99.5, 50, 99.5, 3), "99.50 [50.00, 99.50]"),
        (Estimate(0.1, 0.0, 0.1, 3), "0.10 [0.00, 0.10]"),
        (Estimate(0.09, n=3), "0.090"),
        (Estimate(0.004, n=3), "0.0040"),
        (Estimate(0.5, 0.5 - 1e-9, 0.5 + 1e-9, 3), "0.500000 [0.500000, 0.500000]"),
    ],
)
def test_digits_begin_and_end_where_they_should(estimate, text):
    assert str(estimate) == text
