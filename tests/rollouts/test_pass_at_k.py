"""pass@k against the counting of subsets."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.rollouts import mean_pass_at_k, pass_at_k


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_sets_of_k_that_hold_a_correct_one(n):
    for c in range(n + 1):
        correct = [True] * c + [False] * (n - c)
        for k in range(1, n + 1):
            sets = list(combinations(correct, k))
            assert pass_at_k(n, c, k) == float(Fraction(sum(map(any, sets)), len(sets)))


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_starts_at_the_pass_rate_and_never_falls_with_k(counts):
    n, c = counts
    values = [pass_at_k(n, c, k) for k in range(1, n + 1)]
    assert values == sorted(values) and values[0] == c / n and values[-1] == float(c > 0)


def test_pass_at_k_neither_overflows_nor_cancels():
    assert pass_at_k(10**6, 1, 1) == 1e-6
    assert pass_at_k(20_000, 1, 10_000) == 0.5
    assert pass_at_k(20_000, 10_000, 10_000) == 1.0


@pytest.mark.parametrize(
    ("n", "c", "k", "message"),
    [
        (4, 2, 5, "pass@k needs k from 1 to the n = 4 rollouts of a problem; got k = 5: sample more, or lower k"),
        (4, 2, 0, "got k = 0"),
        (4, 5, 1, "expected 0 to n = 4 correct rollouts; got 5"),
        (0, 0, 1, "got k = 1"),
    ],
)
def test_impossible_counts_are_refused(n, c, k, message):
    with pytest.raises(BadInput, match=message):
        pass_at_k(n, c, k)


def test_mean_pass_at_k_is_the_mean_over_problems(verdict_row):
    rows = [*(verdict_row("a", correct) for correct in (True, True, False, False))]
    rows += [verdict_row("b", False) for _ in range(4)]
    estimate = mean_pass_at_k(rows, 2)
    assert estimate.value == pytest.approx((5 / 6 + 0) / 2) and estimate.n == 2
    assert estimate.low < estimate.value < estimate.high


def test_a_problem_with_a_rollout_of_unknown_validity_is_left_out(verdict_row):
    rows = [verdict_row("a", True, True), verdict_row("a", True, False)]
    rows += [verdict_row("b", True, None), verdict_row("b", True, True)]
    assert mean_pass_at_k(rows, 1).n == 2
    assert (mean_pass_at_k(rows, 1, "valid").value, mean_pass_at_k(rows, 1, "valid").n) == (0.5, 1)
    assert str(mean_pass_at_k(rows[2:], 1, "valid")) == "no data"


def test_another_criterion_is_refused(verdict_row):
    with pytest.raises(BadInput, match="criterion must be one of correct, valid; got 'lucky'"):
        mean_pass_at_k([verdict_row("a", True)], 1, "lucky")
