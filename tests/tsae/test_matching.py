"""Planted directions are found by rows of their own, block membership is held against firing rate."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.tsae.metrics import match_best, block_membership, detection_auroc, match_one_to_one, block_slices
from interp.tsae.metrics.matching import NO_LATENT

EYE = torch.eye(4)
GROUPS = ["slow rare", "slow rare", "fast rare", "fast rare"]


def test_directions_are_found_whatever_the_length_of_rows():
    decoder_FD = torch.stack([5 * EYE[2], 0.1 * EYE[0], -EYE[1], EYE[3] + EYE[1], 0 * EYE[0]])
    match = match_best(EYE, decoder_FD)
    assert match.latent_P.tolist() == [1, 3, 0, 3]
    torch.testing.assert_close(match.cosine_P, torch.tensor([1, 0.5**0.5, 1, 0.5**0.5], dtype=torch.float64))
    assert match.recall(GROUPS) == {"slow rare": 1, "fast rare": 1}
    assert match.recall(GROUPS, min_cosine=0.8) == {"slow rare": 0.5, "fast rare": 0.5}


def test_a_row_that_points_the_other_way_has_not_found_it():
    assert match_best(EYE[:1], -EYE).cosine_P.tolist() == [0]
    assert match_best(EYE[:1], -EYE[:1]).cosine_P.tolist() == [-1]


def test_one_row_cannot_match_two_directions():
    mixed_FD = torch.stack([EYE[0] + EYE[1], EYE[2]])
    assert match_best(EYE[:3], mixed_FD).recall(["a", "a", "b"]) == {"a": 1, "b": 1}
    match = match_one_to_one(EYE[:3], mixed_FD)
    assert match.recall(["a", "a", "b"]) == {"a": 0.5, "b": 1}
    assert sorted(match.latent_P.tolist()) == [NO_LATENT, 0, 1]
    assert match.cosine_P[match.latent_P == NO_LATENT].tolist() == [0]


def test_rows_are_dealt_so_that_most_are_found():
    """The first row is the first direction itself, and 0.71 from the second; the second row is 0.71 from the first
    direction and 0.66 from the second. The greatest sum, 1 + 0.66, finds one; 0.71 + 0.71 finds both."""
    across, up = 0.5**0.5 - 0.01, (1 - (0.5**0.5 - 0.01) ** 2) ** 0.5
    planted_PD = torch.tensor([[0, 0, 1], [across * 0.3, across * (1 - 0.09) ** 0.5, up]])
    decoder_FD = torch.tensor([[0, 0, 1], [across, 0, up]])
    match = match_one_to_one(planted_PD, decoder_FD)
    assert match.latent_P.tolist() == [1, 0]
    assert match.recall(["a", "b"]) == {"a": 1, "b": 1}
    assert match_one_to_one(planted_PD, decoder_FD, min_cosine=0.9).latent_P.tolist() == [0, 1]
    assert match_one_to_one(planted_PD, decoder_FD, min_cosine=0.9).cosine_P[1] == pytest.approx(
        across**2 * 0.3 + up**2
    )


def test_rows_of_one_block_are_told_by_their_place_in_the_whole_decoder():
    decoder_FD = torch.stack([EYE[0], EYE[2], EYE[1], EYE[3], EYE[0] + EYE[1]])
    slow, fast = block_slices((2, 3))
    assert match_best(EYE, decoder_FD, rows=slow).recall(GROUPS) == {"slow rare": 0.5, "fast rare": 0.5}
    within = match_best(EYE, decoder_FD, rows=fast)
    assert within.latent_P.tolist()[1::2] == [2, 3]
    assert within.recall(GROUPS) == {"slow rare": 1, "fast rare": 0.5}
    assert match_one_to_one(EYE[1:], decoder_FD, rows=fast).latent_P.tolist() == [2, 4, 3]
    assert match_one_to_one(EYE, decoder_FD, rows=fast).latent_P.tolist().count(NO_LATENT) == 1
    empty = block_slices((0, 5))[0]
    assert match_best(EYE, decoder_FD, rows=empty).latent_P.tolist() == [NO_LATENT] * 4
    assert match_one_to_one(EYE, decoder_FD, rows=empty).recall(GROUPS) == {"slow rare": 0, "fast rare": 0}


@given(st.integers(0, 99), st.integers(1, 6), st.integers(1, 6))
def test_one_to_one_uses_no_row_twice_and_finds_no_more_than_the_best(seed, planted, latents):
    generator = torch.Generator().manual_seed(seed)
    planted_PD = torch.randn(planted, 3, generator=generator)
    decoder_FD = torch.randn(latents, 3, generator=generator)
    best, own = match_best(planted_PD, decoder_FD), match_one_to_one(planted_PD, decoder_FD)
    used = [latent for latent in own.latent_P.tolist() if latent != NO_LATENT]
    assert len(used) == len(set(used)) == min(planted, latents)
    assert own.recall(["all"] * planted)["all"] <= best.recall(["all"] * planted)["all"]
    assert (own.cosine_P[own.latent_P != NO_LATENT] <= best.cosine_P[own.latent_P != NO_LATENT]).all()


def test_the_matched_latent_is_asked_whether_it_fires_when_it_should():
    match = match_one_to_one(EYE[:3], torch.stack([EYE[1], EYE[0]]))
    z_NF = torch.tensor([[0.0, 2], [0, 1], [3, 0], [0, 0]])
    on_NP = torch.tensor([[True, False, True], [True, False, False], [False, True, False], [False, True, False]])
    assert detection_auroc(match, z_NF, on_NP) == (1.0, (2 + 2 / 2) / 4, None)
    assert detection_auroc(match, z_NF, torch.ones(4, 3).bool()) == (None, None, None)


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(BadInput, match="planted direction must not be zero"):
        match_best(torch.zeros(1, 4), EYE)
    with pytest.raises(BadInput, match="each of 4 directions, got 2 groups"):
        match_best(EYE, EYE).recall(["a", "b"])


# --- membership ----------------------------------------------------------------------------------------------------


def test_a_block_that_firing_rate_decides_is_told_by_it():
    rate_F = np.arange(20) / 20
    told = block_membership(rate_F, rate_F >= 0.8)
    assert told.auroc == 1
    assert told.slow_share_by_decile == (0,) * 8 + (1, 1)
    assert told.spearman == pytest.approx(np.corrcoef(np.arange(20), rate_F >= 0.8)[0, 1])
    rare = block_membership(rate_F, rate_F < 0.2)
    assert rare.auroc == 0 and rare.spearman < 0


def test_a_block_that_firing_rate_does_not_decide():
    told = block_membership(np.arange(1000) / 1000, np.arange(1000) % 5 == 2)
    assert told.auroc == pytest.approx(0.5, abs=0.01)
    assert told.spearman == pytest.approx(0, abs=0.01)
    assert told.slow_share_by_decile == pytest.approx((0.2,) * 10)


def test_latents_of_one_rate_share_alike_wherever_their_columns_are():
    """Half are dead, and the slow ones come first among them: four of ten."""
    rate_F = np.array([0.0] * 10 + list(np.arange(1, 11) / 10))
    slow_F = np.arange(20) < 4
    told = block_membership(rate_F, slow_F)
    assert told.slow_share_by_decile == pytest.approx((0.4,) * 5 + (0,) * 5)
    shuffled = np.random.default_rng(0).permutation(20)
    assert block_membership(rate_F[shuffled], slow_F[shuffled]).slow_share_by_decile == told.slow_share_by_decile


def test_where_rates_or_latents_are_all_alike_there_is_no_correlation():
    alike = block_membership(np.full(10, 0.3), np.arange(10) < 5)
    assert (alike.spearman, alike.auroc) == (None, 0.5)
    assert alike.slow_share_by_decile == pytest.approx((0.5,) * 10)
    one_kind = block_membership(np.arange(10) / 10, np.zeros(10, bool))
    assert (one_kind.spearman, one_kind.auroc) == (None, None)
    with pytest.raises(BadInput, match="one latent at least"):
        block_membership(np.zeros(0), np.zeros(0, bool))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_deciles_weigh_alike_and_hold_all_slow_latents(latents):
    rate_F, slow_F = np.array([rate for rate, _ in latents]), np.array([slow for _, slow in latents])
    told = block_membership(rate_F, slow_F)
    assert np.mean(told.slow_share_by_decile) == pytest.approx(slow_F.mean())
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in told.slow_share_by_decile)
