"""The slow block against firing rate: AUROC, correlation, and shares by tenths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.tsae.metrics import block_membership


def test_auroc_is_one_if_the_rate_decides_the_block():
    rate_F = np.arange(20) / 20
    membership = block_membership(rate_F, rate_F >= 0.8)
    assert membership.auroc == 1
    assert membership.slow_share_by_decile == (0,) * 8 + (1, 1)
    assert membership.spearman == pytest.approx(np.corrcoef(np.arange(20), rate_F >= 0.8)[0, 1])
    inverse = block_membership(rate_F, rate_F < 0.2)
    assert inverse.auroc == 0 and inverse.spearman < 0


def test_auroc_is_a_half_if_the_rate_does_not_decide_the_block():
    membership = block_membership(np.arange(1000) / 1000, np.arange(1000) % 5 == 2)
    assert membership.auroc == pytest.approx(0.5, abs=0.01)
    assert membership.spearman == pytest.approx(0, abs=0.01)
    assert membership.slow_share_by_decile == pytest.approx((0.2,) * 10)


def test_latents_of_equal_rate_count_alike_in_any_order():
    """Half are dead, and the four slow latents come first among them."""
    rate_F = np.array([0.0] * 10 + list(np.arange(1, 11) / 10))
    slow_F = np.arange(20) < 4
    membership = block_membership(rate_F, slow_F)
    assert membership.slow_share_by_decile == pytest.approx((0.4,) * 5 + (0,) * 5)
    shuffled = np.random.default_rng(0).permutation(20)
    assert block_membership(rate_F[shuffled], slow_F[shuffled]).slow_share_by_decile == membership.slow_share_by_decile


def test_equal_rates_or_a_single_block_have_no_correlation():
    constant = block_membership(np.full(10, 0.3), np.arange(10) < 5)
    assert (constant.spearman, constant.auroc) == (None, 0.5)
    assert constant.slow_share_by_decile == pytest.approx((0.5,) * 10)
    one_kind = block_membership(np.arange(10) / 10, np.zeros(10, bool))
    assert (one_kind.spearman, one_kind.auroc) == (None, None)
    with pytest.raises(BadInput, match="at least one latent"):
        block_membership(np.zeros(0), np.zeros(0, bool))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_tenths_hold_all_slow_latents(latents):
    rate_F, slow_F = np.array([rate for rate, _ in latents]), np.array([slow for _, slow in latents])
    membership = block_membership(rate_F, slow_F)
    assert np.mean(membership.slow_share_by_decile) == pytest.approx(slow_F.mean())
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in membership.slow_share_by_decile)
