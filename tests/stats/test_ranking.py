"""The AUROC by hand, and its interval over clusters."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.stats import auroc, clustered_auroc

POSITIVE = np.array([True, False, True, False])


def test_it_is_the_share_of_pairs_in_order_ties_by_half():
    assert auroc(np.array([3.0, 1, 1, 2]), POSITIVE) == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert auroc(np.array([0.0, 9, 0, 9]), POSITIVE) == 0 and auroc(np.zeros(4), POSITIVE) == 0.5


def test_without_both_kinds_there_is_none():
    assert math.isnan(auroc(np.arange(3.0), np.ones(3, dtype=bool)))
    assert math.isnan(clustered_auroc(np.arange(3.0), np.zeros(3, dtype=bool), np.arange(3)).value)
    assert clustered_auroc(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=int)).n == 0


def test_one_positive_has_no_interval():
    one = clustered_auroc(np.arange(30.0), np.arange(30) == 29, np.arange(30))
    assert one.value == 1 and not one.has_interval and one.n == 30


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_thing_of_weight_two_counts_as_two(rows):
    score, positive, weight = (np.array(column) for column in zip(*rows, strict=True))
    repeated = auroc(np.repeat(score, weight), np.repeat(positive, weight))
    assert auroc(score, positive, weight) == pytest.approx(repeated, nan_ok=True)


def test_the_interval_is_over_clusters_and_so_does_not_shrink_by_repeating_their_answers():
    rng = np.random.default_rng(0)
    positive = rng.random(80) < 0.4
    score = positive + rng.normal(0, 1.5, 80)
    alone = clustered_auroc(score, positive, np.arange(80))
    repeated = clustered_auroc(np.repeat(score, 9), np.repeat(positive, 9), np.repeat(np.arange(80), 9))
    assert repeated.value == pytest.approx(alone.value) and repeated.n == alone.n == 80
    assert (repeated.low, repeated.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    as_if_apart = clustered_auroc(np.repeat(score, 9), np.repeat(positive, 9), np.arange(720))
    assert as_if_apart.high - as_if_apart.low < 0.5 * (alone.high - alone.low)


def test_the_interval_covers_as_often_as_it_says():
    """A hundred samples of 60 clusters: the AUROC of two normals a standard deviation apart is 0.760."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(100):
        positive = rng.random(60) < 0.5
        estimate = clustered_auroc(positive + rng.normal(size=60), positive, np.arange(60), draws=150)
        covered += estimate.low <= 0.7602 <= estimate.high
    assert 0.88 <= covered / 100 <= 0.99
