"""Changes by stratum, solved by hand; draws of prompts, and the spread of their ratios."""

import numpy as np
import pytest
import torch

from interp.stats.bootstrap import (
    PromptSums,
    estimate_changes,
    last_minus_first,
    ratios,
    resampled_prompts,
    stratum_mix,
)
from interp.stats.multiple_testing import benjamini_hochberg
from interp.stats.when_active import ActiveSums, estimate_active_changes


def one_stratum(amount_TPF: np.ndarray, tokens_TP: np.ndarray) -> PromptSums:
    return PromptSums(torch.from_numpy(amount_TPF).float()[:, None], torch.from_numpy(tokens_TP).float()[:, None])


def same_at_every_prompt(amounts: list, tokens: list, prompts: int = 10) -> PromptSums:
    """Sums of one latent, by checkpoint and stratum."""
    amount_TS, tokens_TS = torch.tensor(amounts).float(), torch.tensor(tokens).float()
    return PromptSums(amount_TS[..., None, None].repeat(1, 1, prompts, 1), tokens_TS[..., None].repeat(1, 1, prompts))


# --- by hand -------------------------------------------------------------------------------------------------------


def test_a_ratio_divides_sums_over_prompts():
    """Two prompts of 10 and 30 tokens: (5 + 3) / 40, then (5 + 15) / 40."""
    sums = PromptSums(torch.tensor([[[[5.0], [3]]], [[[5], [15]]]]), torch.tensor([[[10.0, 30]], [[10, 30]]]))
    change = estimate_changes(sums, last_minus_first(2))
    assert change.ratio_TF[:, 0] == pytest.approx([0.2, 0.5])
    assert change.value_F == pytest.approx([0.3]) and change.common == 1


def test_strata_are_weighted_as_the_base_has_them():
    """Two strata with ratios 0.1 and 0.5 at both checkpoints. Only their mix changes, from 3:1 to 1:3: pooled, that is
    a rise from 0.2 to 0.4; by stratum there is none."""
    by_stratum = same_at_every_prompt([[3, 5], [1, 15]], [[30, 10], [10, 30]])
    assert estimate_changes(by_stratum, last_minus_first(2)).value_F == pytest.approx([0], abs=1e-7)
    pooled = same_at_every_prompt([[8], [16]], [[40], [40]])
    assert estimate_changes(pooled, last_minus_first(2)).value_F == pytest.approx([0.2])


def test_a_stratum_that_a_checkpoint_lacks_is_left_out_and_its_share_reported():
    """The second stratum has a quarter of the base's tokens, and none later."""
    change = estimate_changes(same_at_every_prompt([[3, 5], [6, 0]], [[30, 10], [30, 0]]), last_minus_first(2))
    assert change.value_F == pytest.approx([0.1]) and change.common == pytest.approx(0.75)
    absent_between = same_at_every_prompt([[3, 5], [0, 0], [6, 10]], [[30, 10], [30, 0], [30, 10]])
    assert estimate_changes(absent_between, last_minus_first(3)).common == 1


def test_without_enough_in_common_there_is_no_interval():
    """Nothing in common; a third of the base's tokens; a stratum with a single prompt."""
    nothing = estimate_changes(same_at_every_prompt([[3, 0], [0, 9]], [[30, 0], [0, 30]]), last_minus_first(2))
    assert nothing.common == 0 and np.isnan(nothing.low_F).all()
    third = estimate_changes(same_at_every_prompt([[1, 2], [9, 0]], [[10, 20], [30, 0]]), last_minus_first(2))
    assert third.common == pytest.approx(1 / 3) and np.isnan(third.p_F).all()
    sums = same_at_every_prompt([[3, 5], [6, 20]], [[10, 30], [30, 40]])
    sums.tokens_TSP[1, 1, 1:] = 0
    sums.amount_TSPF[1, 1, 1:] = 0
    one_prompt = estimate_changes(sums, last_minus_first(2))
    assert one_prompt.common == pytest.approx(0.25) and np.isnan(one_prompt.p_F).all()


def test_a_stratum_that_becomes_frequent_brings_no_false_discoveries():
    """400 latents that do not change while valid rollouts go from 4 in 100 to 97, independently of the prompt."""
    rng, discoveries = np.random.default_rng(0), []
    for _ in range(6):
        is_valid = np.stack([rng.random((64, 4)) < share for share in (0.04, 0.97)])
        tokens_TSP = np.stack([(~is_valid).sum(2), is_valid.sum(2)], 1) * 12
        rate_SPF = rng.random((2, 64, 400)) * 0.2
        amount_TSPF = rng.poisson(tokens_TSP[..., None] * rate_SPF)
        sums = PromptSums(torch.from_numpy(amount_TSPF).float(), torch.from_numpy(tokens_TSP).float())
        change = estimate_changes(sums, last_minus_first(2))
        discoveries.append(0 if np.isnan(change.p_F).all() else int((benjamini_hochberg(change.p_F) <= 0.05).sum()))
    assert max(discoveries) <= 4


# --- draws of prompts ----------------------------------------------------------------------------------------------


def test_draws_have_as_many_prompts_and_repeat_with_their_seed():
    assert torch.equal(resampled_prompts(9, 20, 1), resampled_prompts(9, 20, 1))
    assert (resampled_prompts(9, 20, 1).sum(1) == 9).all()


def test_a_draw_of_every_prompt_once_is_the_ratio_itself():
    sums = one_stratum(np.random.default_rng(0).random((2, 9, 4)), np.full((2, 9), 7.0))
    once = ratios(sums, torch.ones(1, 9))
    assert torch.allclose(once[0][0], sums.amount_TSPF[0, 0].sum(0) / 63)
    assert stratum_mix(sums.tokens_TSP[0], torch.ones(1, 9)).tolist() == [[1.0]]


def test_the_spread_of_a_mean_over_prompts_is_its_standard_error():
    """All prompts have the same length."""
    amount_TPF = np.random.default_rng(0).random((2, 60, 200)) * 10
    change = estimate_changes(one_stratum(amount_TPF, np.full((2, 60), 10.0)), last_minus_first(2), draws=2000)
    difference_PF = (amount_TPF[1] - amount_TPF[0]) / 10
    error_F = difference_PF.std(0, ddof=1) / 60**0.5
    half_width_F = (change.high_F - change.low_F) / 2
    assert (half_width_F / error_F).mean() == pytest.approx(2.001, rel=0.02), "Student's t with 59 degrees of freedom"


def test_the_effect_of_a_prompt_on_both_checkpoints_cancels():
    rng = np.random.default_rng(0)
    shared_PF = rng.random((40, 50)) * 5
    amount_TPF = np.stack([shared_PF, shared_PF + 0.01 * rng.random((40, 50))])
    change = estimate_changes(one_stratum(amount_TPF, np.full((2, 40), 10.0)), last_minus_first(2))
    assert (change.low_F > 0).all() and (change.high_F - change.low_F).max() < 0.001


# --- the mix of strata in a draw -----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [[0.0, -1.0, 1.0], [0.0, 0.0, 1.0]])
def test_draws_weigh_strata_as_the_base_has_them_also_if_the_base_has_no_weight(weights):
    """The second stratum has a tenth of the base's tokens, and nine tenths of those of the other checkpoints. It alone
    varies by prompt, so the whole varies a tenth as much as the stratum by itself."""
    rng = np.random.default_rng(0)
    tokens_TS = torch.tensor([[90.0, 10], [10, 90], [10, 90]])
    tokens_TSP = tokens_TS[..., None].repeat(1, 1, 20)
    rate_TSP = torch.from_numpy(np.stack([np.full((3, 20), 0.5), rng.random((3, 20))], 1)).float()
    active_TSPF = (tokens_TSP * rate_TSP)[..., None]
    both = PromptSums(active_TSPF, tokens_TSP)
    second = PromptSums(active_TSPF[:, 1:], tokens_TSP[:, 1:])
    whole, alone = (estimate_changes(sums, np.array(weights)) for sums in (both, second))
    assert whole.high_F - whole.low_F == pytest.approx(0.1 * (alone.high_F - alone.low_F), rel=1e-3)
    mass_TSPF = (tokens_TSP * rate_TSP)[..., None]
    counts_TSPF = tokens_TSP[..., None]
    both_active = ActiveSums(mass_TSPF, tokens_TSP, counts_TSPF)
    second_active = ActiveSums(mass_TSPF[:, 1:], tokens_TSP[:, 1:], counts_TSPF[:, 1:])
    whole, alone = (estimate_active_changes(sums, np.array(weights)) for sums in (both_active, second_active))
    assert whole.high_F - whole.low_F == pytest.approx(0.1 * (alone.high_F - alone.low_F), rel=1e-3)


def test_resampled_prompts_are_those_recorded():
    assert resampled_prompts(5, 2, 0).tolist() == [[1, 1, 1, 1, 1], [0, 1, 0, 2, 2]]
    assert resampled_prompts(5, 2, 1).tolist() == [[1, 2, 1, 0, 1], [1, 0, 1, 2, 1]]
