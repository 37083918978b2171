"""Changes in strength: solved by hand, held against references, and true as often as they say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, linregress

from interp.artifacts import BadInput
from interp.bootstrap import (
    Sums,
    benjamini_hochberg,
    change,
    end_less_start,
    mix,
    resampled,
    slope,
    strengths,
    students,
)
from interp.tracking.changes import RARE, STRENGTHENED, UNCHANGED, UNDECIDED, WEAKENED, judged


def sums(amounts: list, tokens: list) -> Sums:
    return Sums(torch.tensor(amounts).float(), torch.tensor(tokens).float())


def flat(amount_TPF: np.ndarray, tokens_TP: np.ndarray) -> Sums:
    """Of one stratum."""
    return Sums(torch.from_numpy(amount_TPF).float()[:, None], torch.from_numpy(tokens_TP).float()[:, None])


# --- by hand -------------------------------------------------------------------------------------------------------


def test_a_strength_is_a_ratio_of_sums_over_prompts():
    """Two prompts of 10 and 30 tokens: (5 + 3) of 40, then (5 + 15) of 40."""
    found = change(sums([[[[5], [3]]], [[[5], [15]]]], [[[10, 30]], [[10, 30]]]), end_less_start(2))
    assert found.strength_TF.tolist() == [[pytest.approx(0.2)], [pytest.approx(0.5)]]
    assert found.value_F.tolist() == [pytest.approx(0.3)] and found.common == 1


def stretched(amounts: list, tokens: list, prompts: int = 10) -> Sums:
    """The same sums (T, S) at every prompt, of one latent."""
    amount_TS, tokens_TS = torch.tensor(amounts).float(), torch.tensor(tokens).float()
    return Sums(amount_TS[..., None, None].repeat(1, 1, prompts, 1), tokens_TS[..., None].repeat(1, 1, prompts))


def test_matched_strengths_are_told_at_the_base_s_mix():
    """Two outcomes, of strength 0.1 and 0.5 at both checkpoints. Only the mix changes, from 3:1 to 1:3: unmatched that
    is a rise from 0.2 to 0.4, matched it is none."""
    held = stretched([[3, 5], [1, 15]], [[30, 10], [10, 30]])
    assert change(held, end_less_start(2)).value_F.tolist() == [pytest.approx(0, abs=1e-7)]
    together = stretched([[8], [16]], [[40], [40]])
    assert change(together, end_less_start(2)).value_F.tolist() == [pytest.approx(0.2)]


def test_a_stratum_that_a_checkpoint_lacks_is_left_out_and_told_of():
    """The second outcome, a quarter of the base's tokens, never comes again."""
    found = change(stretched([[3, 5], [6, 0]], [[30, 10], [30, 0]]), end_less_start(2))
    assert found.value_F.tolist() == [pytest.approx(0.1)] and found.common == pytest.approx(0.75)
    between = stretched([[3, 5], [0, 0], [6, 10]], [[30, 10], [30, 0], [30, 10]])
    assert change(between, end_less_start(3)).common == 1, "what is not weighed need not have it"


def test_where_nothing_can_be_compared_nothing_is_said_to_be_unchanged():
    """All wrong before, all valid later; or the one stratum in common is a third of the base, or stands on a prompt."""
    gone = change(stretched([[3, 0], [0, 9]], [[30, 0], [0, 30]]), end_less_start(2))
    assert gone.common == 0 and np.isnan(gone.low_F).all()
    assert judged(gone, np.array([10])).verdict_F.tolist() == ["too few prompts"]
    third = change(stretched([[1, 2], [9, 0]], [[10, 20], [30, 0]]), end_less_start(2))
    assert third.common == pytest.approx(1 / 3) and np.isnan(third.p_F).all()
    held = stretched([[3, 5], [6, 20]], [[10, 30], [30, 40]])
    held.tokens_TSP[1, 1, 1:] = 0
    held.amount_TSPF[1, 1, 1:] = 0
    lone = change(held, end_less_start(2))
    assert lone.common == pytest.approx(0.25) and judged(lone, np.array([10])).verdict_F.tolist() == ["too few prompts"]


def test_a_stratum_that_is_rare_before_and_common_later_makes_no_changes_out_of_nothing():
    """400 latents that do not change, told at a mix that does: 3 valid in 100 before, 97 later."""
    rng, found = np.random.default_rng(0), []
    for _ in range(6):
        valid = np.stack([rng.random((64, 4)) < share for share in (0.04, 0.97)])
        n_TSP = np.stack([(~valid).sum(2), valid.sum(2)], 1) * 12
        rate_SPF = rng.random((2, 64, 400)) * 0.2
        amount = rng.poisson(n_TSP[..., None] * rate_SPF)
        told = change(Sums(torch.from_numpy(amount).float(), torch.from_numpy(n_TSP).float()), end_less_start(2))
        found.append(0 if np.isnan(told.p_F).all() else int((benjamini_hochberg(told.p_F) <= 0.05).sum()))
    assert max(found) <= 4, "one in a hundred of 400"


def test_a_slope_is_the_least_squares_line_s_rise():
    steps, strength = np.array([0, 10, 40]), np.array([0.2, 0.1, 0.6])
    line = linregress(steps, strength)
    assert slope(steps) @ strength == pytest.approx(line.slope * 40)
    assert slope(np.array([0, 7])) @ strength[:2] == pytest.approx(end_less_start(2) @ strength[:2])


def test_one_checkpoint_has_no_change():
    with pytest.raises(BadInput, match="expected two at least, got 1"):
        end_less_start(1)
    with pytest.raises(BadInput, match="expected two at least, got 1"):
        slope(np.array([3]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_discovery_rates_are_benjamini_and_hochberg_s(p):
    assert benjamini_hochberg(np.array(p)) == pytest.approx(false_discovery_control(p, method="bh"))


def test_what_is_not_tested_does_not_count_among_the_tests():
    q = benjamini_hochberg(np.array([0.02, np.nan, 0.5, np.nan]))
    assert np.isnan(q[[1, 3]]).all() and q[[0, 2]] == pytest.approx([0.04, 0.5])


def test_what_never_varies_is_surely_changed_or_surely_not():
    low, high, p = students(np.array([0.3, 0.0]), np.array([0.0, 0.0]), 9)
    assert p.tolist() == [0.0, 1.0] and low.tolist() == high.tolist() == [0.3, 0.0]


# --- drawing prompts -----------------------------------------------------------------------------------------------


def test_a_draw_of_all_prompts_once_is_the_strength_itself_and_a_draw_repeats_itself():
    held = flat(np.random.default_rng(0).random((2, 9, 4)), np.full((2, 9), 7.0))
    once = strengths(held, torch.ones(1, 9))
    assert torch.allclose(once[0][0], held.amount_TSPF[0, 0].sum(0) / 63)
    assert torch.equal(resampled(9, 20, 1), resampled(9, 20, 1)) and (resampled(9, 20, 1).sum(1) == 9).all()
    assert mix(held.tokens_TSP[0], torch.ones(1, 9)).tolist() == [[1.0]]


def test_the_spread_is_that_of_a_mean_over_prompts():
    """All prompts as long as each other: the bootstrap's spread of a mean is its standard error."""
    rng = np.random.default_rng(0)
    amount_TPF = rng.random((2, 60, 200)) * 10
    found = change(flat(amount_TPF, np.full((2, 60), 10.0)), end_less_start(2), draws=2000)
    apart_PF = (amount_TPF[1] - amount_TPF[0]) / 10
    error_F = apart_PF.std(0, ddof=1) / 60**0.5
    reach_F = (found.high_F - found.low_F) / 2
    assert (reach_F / error_F).mean() == pytest.approx(2.001, rel=0.02)  # Student's with 59


def test_what_prompts_do_to_both_checkpoints_cancels():
    rng = np.random.default_rng(0)
    own_PF = rng.random((40, 50)) * 5
    amount_TPF = np.stack([own_PF, own_PF + 0.01 * rng.random((40, 50))])
    found = change(flat(amount_TPF, np.full((2, 40), 10.0)), end_less_start(2))
    assert (found.low_F > 0).all() and (found.high_F - found.low_F).max() < 0.001


def test_intervals_hold_the_truth_as_often_as_they_say():
    """No change in 2,000 latents: about one in twenty is missed, and with the correction none is found."""
    rng = np.random.default_rng(1)
    tokens_TP = rng.integers(5, 20, (2, 48))
    rate_PF = rng.random((48, 2000)) * 0.3
    found = change(flat(rng.poisson(tokens_TP[..., None] * rate_PF), tokens_TP), end_less_start(2))
    missed = ((found.low_F > 0) | (found.high_F < 0)).mean()
    assert 0.03 < missed < 0.08
    assert (benjamini_hochberg(found.p_F) <= 0.05).mean() < 0.005


def test_with_too_few_prompts_there_is_no_interval_and_never_a_zero():
    found = change(flat(np.ones((2, 7, 3)), np.full((2, 7), 10.0)), end_less_start(2))
    assert np.isnan([found.low_F, found.high_F, found.p_F]).all() and found.prompts == 7
    verdicts = judged(found, np.full(3, 7)).counts()
    assert verdicts["too few prompts"] == 3 and sum(verdicts.values()) == 3


# --- verdicts ------------------------------------------------------------------------------------------------------


def test_a_verdict_says_what_was_shown_and_no_more():
    """Grown, shrunk, as it was, too noisy to tell, and on at too few prompts."""
    rng = np.random.default_rng(0)
    start_PF = np.full((64, 5), 5.0) + rng.normal(0, 0.1, (64, 5))
    end_PF = start_PF + np.array([3, -3, 0, 0, 3]) + rng.normal(0, [0.1, 0.1, 0.1, 20, 0.1], (64, 5))
    found = change(flat(np.stack([start_PF, end_PF]), np.full((2, 64), 10.0)), end_less_start(2))
    told = judged(found, np.array([64, 64, 64, 64, 4]))
    assert told.verdict_F.tolist() == [STRENGTHENED, WEAKENED, UNCHANGED, UNDECIDED, RARE]
    assert np.isnan(told.q_F[4])


def test_a_change_that_is_sure_and_small_counts_as_none():
    start_PF = np.full((64, 1), 5.0)
    noise = np.random.default_rng(0).normal(0, 0.01, (64, 1))
    found = change(flat(np.stack([start_PF, start_PF + 0.3 + noise]), np.full((2, 64), 10.0)), end_less_start(2))
    assert found.p_F[0] < 1e-6 and judged(found, np.array([64])).verdict_F.tolist() == [UNCHANGED]
