"""Telling two kinds of tokens apart: as a reference does it on dense codes, latent by latent."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.features.separation import separation
from interp.tsae.codes import Codes


def of(z: list[list[float]], positive: list[bool], stratum: list[int] | None = None):
    on = np.array(positive)
    return separation(Codes.of(torch.tensor(z)), on, ~on, np.array(stratum or [0] * len(z)))


def test_a_latent_that_is_on_at_positives_alone_is_at_one_and_at_negatives_alone_at_zero():
    found = of([[1, 0, 2, 0], [3, 0, 2, 0], [0, 1, 2, 0], [0, 5, 2, 0]], [True, True, False, False])
    assert found.auroc_F.tolist() == [1, 0, 0.5, 0.5]
    assert found.d_F[0] > 1 and found.d_F[1] < -0.9 and found.d_F[2] == found.d_F[3] == 0
    assert (found.positives, found.negatives, found.common) == (2, 2, 1)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0]), st.booleans(), st.integers(0, 2)), min_size=2, max_size=30
    )
)
def test_auroc_is_the_share_of_pairs_within_strata_weighed_by_positives(tokens):
    values, positive, stratum = (list(column) for column in zip(*tokens, strict=True))
    found, total, weight = of([[value, 0.0] for value in values], positive, stratum), 0.0, 0
    for which in set(stratum):
        ones, zeros = ([v for v, p, s in tokens if s == which and p == kind] for kind in (True, False))
        if ones and zeros:
            pairs = [(a > b) + (a == b) / 2 for a in ones for b in zeros]
            total, weight = total + len(ones) * sum(pairs) / len(pairs), weight + len(ones)
    if not weight:
        assert np.isnan(found.auroc_F).all() and found.common == 0
    else:
        assert found.auroc_F == pytest.approx([total / weight, 0.5])
        assert found.common == pytest.approx(weight / sum(positive))


def test_the_effect_is_cohens():
    rng = np.random.default_rng(0)
    ones, zeros = rng.random(50) + 1.5, rng.random(70) + 1
    found = of([[float(v)] for v in [*ones, *zeros]], [True] * 50 + [False] * 70)
    pooled = ((ones.var() * 50 + zeros.var() * 70) / 120) ** 0.5
    assert found.d_F[0] == pytest.approx((ones.mean() - zeros.mean()) / pooled, rel=1e-4)


def test_where_a_latent_stands_is_told_within_strata_weighed_by_their_positives():
    """Three positives of stratum 0 and one of 1; what is of stratum 2 has nothing to be held against."""
    z = [[4.0], [6.0], [2.0], [1.0], [3.0], [9.0], [7.0], [50.0]]
    found = of(z, [True] * 3 + [False] * 2 + [True, False, True], [0] * 5 + [1] * 2 + [2])
    within = ((8 / 3 * 3 + 1.0 * 2) / 5) ** 0.5
    heights = found.heights(0)
    assert (heights.high, heights.low) == pytest.approx(((4 * 3 + 9) / 4, (2 * 3 + 7) / 4))
    assert heights.spread == pytest.approx(within * 3 / 4) and heights.known
    assert not of([[1.0], [2.0]], [True, False], [0, 1]).heights(0).known


def test_what_only_the_mix_of_strata_tells_apart_is_not_told_apart_within_them():
    """On at every token of stratum 1 and none of 0; positives are mostly of 1."""
    z = [[1.0]] * 12 + [[0.0]] * 12
    found = of(z, [True] * 9 + [False] * 3 + [True] * 3 + [False] * 9, [1] * 12 + [0] * 12)
    assert found.auroc_F[0] == 0.5 and found.d_F[0] == 0


def test_a_token_cannot_be_both():
    codes, both = Codes.of(torch.ones(2, 1)), np.array([True, False])
    with pytest.raises(BadInput, match="positive or negative; got some that are both"):
        separation(codes, both, both, np.zeros(2, int))


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_codes_of_some_tokens_are_those_rows(kept):
    z_NF = torch.rand(len(kept), 3).relu() * (torch.rand(len(kept), 3) > 0.5)
    codes, kept_N = Codes.of(z_NF), torch.tensor(kept)
    part, wanted = codes.at(kept_N), Codes.of(z_NF[kept_N])
    assert part.tokens == wanted.tokens and all(
        torch.equal(getattr(part, name), getattr(wanted, name)) for name in ("token_K", "latent_K", "value_K")
    )
    joined = Codes.together([codes.at(kept_N), codes.at(~kept_N)])
    again = Codes.of(torch.cat([z_NF[kept_N], z_NF[~kept_N]]))
    assert joined.tokens == again.tokens and torch.equal(joined.token_K, again.token_K)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5]), min_size=3, max_size=3), min_size=1, max_size=8))
def test_a_latent_at_every_token_is_its_column(z):
    codes = Codes.of(torch.tensor(z))
    for latent in range(3):
        assert codes.of_latent(latent).tolist() == [row[latent] for row in z]
