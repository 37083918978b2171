"""Separation of two kinds of tokens by every latent, against a reference on dense activations, latent by latent."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.features.separation import Separation, measure_separation
from interp.tsae.codes import Codes


def separate(z: list[list[float]], positive: list[bool], stratum: list[int] | None = None) -> Separation:
    positive_N = np.array(positive)
    codes, stratum_N = Codes.from_dense(torch.tensor(z)), np.array(stratum or [0] * len(z))
    return measure_separation(codes, positive_N, ~positive_N, stratum_N)


def test_auroc_is_one_for_a_latent_of_positives_only_and_zero_for_one_of_negatives_only():
    separation = separate([[1, 0, 2, 0], [3, 0, 2, 0], [0, 1, 2, 0], [0, 5, 2, 0]], [True, True, False, False])
    assert separation.auroc_F.tolist() == [1, 0, 0.5, 0.5]
    assert separation.d_F[0] > 1 and separation.d_F[1] < -0.9 and separation.d_F[2] == separation.d_F[3] == 0
    assert (separation.positives, separation.negatives, separation.comparable_share) == (2, 2, 1)


activations = st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0])
tokens = st.lists(st.tuples(activations, st.booleans(), st.integers(0, 2)), min_size=2, max_size=30)


@given(tokens)
def test_auroc_is_the_share_of_pairs_that_the_positive_wins_within_strata_weighted_by_positives(tokens):
    values, positive, strata = (list(column) for column in zip(*tokens, strict=True))
    separation, total, weight = separate([[value, 0.0] for value in values], positive, strata), 0.0, 0
    for stratum in set(strata):
        ones, zeros = ([v for v, p, s in tokens if s == stratum and p == kind] for kind in (True, False))
        if ones and zeros:
            wins = [(a > b) + (a == b) / 2 for a in ones for b in zeros]
            total, weight = total + len(ones) * sum(wins) / len(wins), weight + len(ones)
    if not weight:
        assert np.isnan(separation.auroc_F).all() and separation.comparable_share == 0
    else:
        assert separation.auroc_F == pytest.approx([total / weight, 0.5])
        assert separation.comparable_share == pytest.approx(weight / sum(positive))


def test_the_effect_size_is_cohens_d():
    rng = np.random.default_rng(0)
    ones, zeros = rng.random(50) + 1.5, rng.random(70) + 1
    separation = separate([[float(v)] for v in [*ones, *zeros]], [True] * 50 + [False] * 70)
    pooled = ((ones.var() * 50 + zeros.var() * 70) / 120) ** 0.5
    assert separation.d_F[0] == pytest.approx((ones.mean() - zeros.mean()) / pooled, rel=1e-4)


def test_means_are_taken_within_strata_and_weighted_by_positives():
    """Three positives in stratum 0 and one in 1. Stratum 2 has no negative."""
    z = [[4.0], [6.0], [2.0], [1.0], [3.0], [9.0], [7.0], [50.0]]
    means = separate(z, [True] * 3 + [False] * 2 + [True, False, True], [0] * 5 + [1] * 2 + [2]).means(0)
    std_in_0 = ((8 / 3 * 3 + 1.0 * 2) / 5) ** 0.5
    assert (means.positive, means.negative) == pytest.approx(((4 * 3 + 9) / 4, (2 * 3 + 7) / 4))
    assert means.std == pytest.approx(std_in_0 * 3 / 4) and means.is_finite


def test_without_a_stratum_of_both_kinds_the_means_are_unknown():
    assert not separate([[1.0], [2.0]], [True, False], [0, 1]).means(0).is_finite


def test_a_latent_that_only_follows_the_mix_of_strata_separates_nothing_within_them():
    """Active at every token of stratum 1 and at none of 0; most positives are in 1."""
    z = [[1.0]] * 12 + [[0.0]] * 12
    separation = separate(z, [True] * 9 + [False] * 3 + [True] * 3 + [False] * 9, [1] * 12 + [0] * 12)
    assert separation.auroc_F[0] == 0.5 and separation.d_F[0] == 0


def test_a_token_of_both_kinds_is_refused():
    codes, both_N = Codes.from_dense(torch.ones(2, 1)), np.array([True, False])
    with pytest.raises(BadInput, match="positive or negative, got 1 that are both"):
        measure_separation(codes, both_N, both_N, np.zeros(2, int))


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_codes_of_some_tokens_are_those_rows(selected):
    z_NF = torch.rand(len(selected), 3).relu() * (torch.rand(len(selected), 3) > 0.5)
    codes, selected_N = Codes.from_dense(z_NF), torch.tensor(selected)
    part, expected = codes.select_tokens(selected_N), Codes.from_dense(z_NF[selected_N])
    assert part.tokens == expected.tokens
    assert all(torch.equal(getattr(part, name), getattr(expected, name)) for name in ("token_K", "latent_K", "value_K"))
    joined = Codes.concat([codes.select_tokens(selected_N), codes.select_tokens(~selected_N)])
    reordered = Codes.from_dense(torch.cat([z_NF[selected_N], z_NF[~selected_N]]))
    assert joined.tokens == reordered.tokens and torch.equal(joined.token_K, reordered.token_K)


rows = st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5]), min_size=3, max_size=3)


@given(st.lists(rows, min_size=1, max_size=8))
def test_the_activations_of_a_latent_are_its_column(z):
    codes = Codes.from_dense(torch.tensor(z))
    for latent in range(3):
        assert codes.latent_activations(latent).tolist() == [row[latent] for row in z]
