"""Planted directions matched with decoder rows, by the best cosine and one to one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.tsae.metrics import block_slices, detection_auroc, match_best, match_one_to_one
from interp.tsae.metrics.matching import NO_LATENT

EYE = torch.eye(4)
GROUPS = ["slow rare", "slow rare", "fast rare", "fast rare"]


def test_the_length_of_a_row_does_not_matter():
    decoder_FD = torch.stack([5 * EYE[2], 0.1 * EYE[0], -EYE[1], EYE[3] + EYE[1], 0 * EYE[0]])
    match = match_best(EYE, decoder_FD)
    assert match.latent_P.tolist() == [1, 3, 0, 3]
    torch.testing.assert_close(match.cosine_P, torch.tensor([1, 0.5**0.5, 1, 0.5**0.5], dtype=torch.float64))
    assert match.recall(GROUPS) == {"slow rare": 1, "fast rare": 1}
    assert match.recall(GROUPS, min_cosine=0.8) == {"slow rare": 0.5, "fast rare": 0.5}


def test_a_row_of_the_opposite_direction_is_no_match():
    assert match_best(EYE[:1], -EYE).cosine_P.tolist() == [0]
    assert match_best(EYE[:1], -EYE[:1]).cosine_P.tolist() == [-1]


def test_one_to_one_matches_a_row_with_one_direction():
    mixed_FD = torch.stack([EYE[0] + EYE[1], EYE[2]])
    assert match_best(EYE[:3], mixed_FD).recall(["a", "a", "b"]) == {"a": 1, "b": 1}
    match = match_one_to_one(EYE[:3], mixed_FD)
    assert match.recall(["a", "a", "b"]) == {"a": 0.5, "b": 1}
    assert sorted(match.latent_P.tolist()) == [NO_LATENT, 0, 1]
    assert match.cosine_P[match.latent_P == NO_LATENT].tolist() == [0]


def test_one_to_one_finds_as_many_directions_as_possible():
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


def test_latents_of_a_block_keep_their_index_in_the_whole_decoder():
    decoder_FD = torch.stack([EYE[0], EYE[2], EYE[1], EYE[3], EYE[0] + EYE[1]])
    slow, fast = block_slices((2, 3))
    assert match_best(EYE, decoder_FD, rows=slow).recall(GROUPS) == {"slow rare": 0.5, "fast rare": 0.5}
    in_fast_block = match_best(EYE, decoder_FD, rows=fast)
    assert in_fast_block.latent_P.tolist()[1::2] == [2, 3]
    assert in_fast_block.recall(GROUPS) == {"slow rare": 1, "fast rare": 0.5}
    assert match_one_to_one(EYE[1:], decoder_FD, rows=fast).latent_P.tolist() == [2, 4, 3]
    assert match_one_to_one(EYE, decoder_FD, rows=fast).latent_P.tolist().count(NO_LATENT) == 1
    empty = block_slices((0, 5))[0]
    assert match_best(EYE, decoder_FD, rows=empty).latent_P.tolist() == [NO_LATENT] * 4
    assert match_one_to_one(EYE, decoder_FD, rows=empty).recall(GROUPS) == {"slow rare": 0, "fast rare": 0}


@given(st.integers(0, 99), st.integers(1, 6), st.integers(1, 6))
def test_one_to_one_uses_no_row_twice_and_finds_no_more_than_the_best_match(seed, planted, rows):
    generator = torch.Generator().manual_seed(seed)
    planted_PD = torch.randn(planted, 3, generator=generator)
    decoder_FD = torch.randn(rows, 3, generator=generator)
    best, one_to_one = match_best(planted_PD, decoder_FD), match_one_to_one(planted_PD, decoder_FD)
    matched_P = one_to_one.latent_P != NO_LATENT
    latents = one_to_one.latent_P[matched_P].tolist()
    assert len(latents) == len(set(latents)) == min(planted, rows)
    assert one_to_one.recall(["all"] * planted)["all"] <= best.recall(["all"] * planted)["all"]
    assert (one_to_one.cosine_P[matched_P] <= best.cosine_P[matched_P]).all()


def test_detection_is_the_auroc_of_the_matched_latent():
    match = match_one_to_one(EYE[:3], torch.stack([EYE[1], EYE[0]]))
    z_NF = torch.tensor([[0.0, 2], [0, 1], [3, 0], [0, 0]])
    on_NP = torch.tensor([[True, False, True], [True, False, False], [False, True, False], [False, True, False]])
    assert detection_auroc(match, z_NF, on_NP) == (1.0, (2 + 2 / 2) / 4, None)
    assert detection_auroc(match, z_NF, torch.ones(4, 3).bool()) == (None, None, None)


def test_zero_directions_and_missing_groups_are_refused():
    with pytest.raises(BadInput, match="planted directions must not be zero"):
        match_best(torch.zeros(1, 4), EYE)
    with pytest.raises(BadInput, match="one group for each of 4 directions, got 2"):
        match_best(EYE, EYE).recall(["a", "b"])
