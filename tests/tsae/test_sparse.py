"""Sparse products and their gradients equal the dense ones, bit-reproducibly; patterns and selection by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from interp.device import deterministic
from interp.tsae import sparse
from interp.tsae.sparse import Pattern, entry_dots, largest_entries, sparse_matmul, sum_rows, transposed_matmul

SIZES = st.tuples(st.integers(1, 5), st.integers(1, 6))


@st.composite
def masks(draw: st.DrawFn) -> torch.Tensor:
    """The mask of a small matrix, possibly empty."""
    rows, columns = draw(SIZES)
    values = draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns))
    return torch.tensor(values).reshape(rows, columns)


def pattern_of(mask_RC: torch.Tensor) -> Pattern:
    return Pattern.from_flat(mask_RC.reshape(-1).nonzero()[:, 0], *mask_RC.shape)


def random_values(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def dense(values_N: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    blank = values_N.new_zeros(pattern.n_rows, pattern.n_columns)
    return blank.index_put((pattern.rows_N, pattern.columns_N), values_N)


# --- patterns ------------------------------------------------------------------------------------------------------


def test_a_pattern_by_hand():
    """. x .
    . . .
    x . x"""
    pattern = Pattern.from_flat(torch.tensor([1, 6, 8]), 3, 3)
    assert (pattern.rows_N.tolist(), pattern.columns_N.tolist()) == ([0, 2, 2], [1, 0, 2])
    assert pattern.row_starts.tolist() == [0, 1, 1, 3]
    order_N, starts = pattern.column_order
    assert (order_N.tolist(), starts.tolist()) == ([1, 0, 2], [0, 1, 2, 3])
    part, entries_N = pattern.select_columns(1, 3)
    assert (part.rows_N.tolist(), part.columns_N.tolist(), part.n_columns) == ([0, 2], [0, 1], 2)
    assert entries_N.tolist() == [0, 2]
    rows, entries_N = pattern.select_rows(torch.tensor([2, 1, 2, 0]))
    assert (rows.rows_N.tolist(), rows.columns_N.tolist()) == ([0, 0, 2, 2, 3], [0, 2, 0, 2, 1])
    assert entries_N.tolist() == [1, 2, 1, 2, 0]


@given(masks(), st.data())
def test_selected_rows_and_columns_are_those_of_the_matrix(mask_RC, data):
    pattern = pattern_of(mask_RC)
    values_N = random_values(len(pattern.rows_N))
    whole_RC = dense(values_N, pattern)
    start = data.draw(st.integers(0, mask_RC.shape[1]))
    end = data.draw(st.integers(start, mask_RC.shape[1]))
    part, entries_N = pattern.select_columns(start, end)
    assert torch.equal(dense(values_N[entries_N], part), whole_RC[:, start:end])
    rows_P = torch.tensor(data.draw(st.lists(st.integers(0, len(mask_RC) - 1), max_size=7)), dtype=torch.int64)
    picked, entries_N = pattern.select_rows(rows_P)
    assert torch.equal(dense(values_N[entries_N], picked), whole_RC[rows_P])
    for selected in (part, picked):  # still sorted by row, then by column
        flat_N = selected.rows_N * max(1, selected.n_columns) + selected.columns_N
        assert (flat_N.diff() > 0).all()


@given(masks(), st.data())
def test_stacked_blocks_are_one_below_the_other(mask_RC, data):
    pattern, width = pattern_of(mask_RC), mask_RC.shape[1]
    ends = sorted({*data.draw(st.lists(st.integers(1, width), max_size=3)), width})
    values_N = random_values(len(pattern.rows_N))
    stacked, order_N = pattern.stack_blocks(ends)
    places = stacked.rows_N * stacked.n_columns + stacked.columns_N
    assert (places.diff() > 0).all()
    column_C, whole_RC = torch.arange(width), dense(values_N, pattern)
    blocks = [whole_RC * ((column_C >= start) & (column_C < end)) for start, end in zip([0, *ends], ends, strict=False)]
    assert torch.equal(dense(values_N[order_N], stacked), torch.cat(blocks))


# --- products ------------------------------------------------------------------------------------------------------


@given(masks(), st.integers(1, 4))
def test_products_and_gradients_equal_the_dense_ones(mask_RC, width):
    pattern = pattern_of(mask_RC)
    values_N = random_values(len(pattern.rows_N)).requires_grad_()
    matrix_CD = random_values(mask_RC.shape[1], width, seed=1).requires_grad_()
    upstream_RD = random_values(len(mask_RC), width, seed=2)
    sparse_RD, dense_RD = sparse_matmul(values_N, matrix_CD, pattern), dense(values_N, pattern) @ matrix_CD
    assert_close(sparse_RD, dense_RD)
    sparse_grads, dense_grads = (
        torch.autograd.grad(out_RD, (values_N, matrix_CD), upstream_RD) for out_RD in (sparse_RD, dense_RD)
    )
    assert_close(sparse_grads, dense_grads)
    assert_close(transposed_matmul(upstream_RD, values_N.detach(), pattern), dense(values_N, pattern).T @ upstream_RD)
    expected_RC = upstream_RD @ matrix_CD.T
    assert_close(entry_dots(upstream_RD, matrix_CD.detach(), pattern), expected_RC[pattern.rows_N, pattern.columns_N])


@given(masks(), st.integers(1, 4))
def test_dot_products_with_a_matrix_larger_than_the_cache_are_the_same(mask_RC, width):
    pattern = pattern_of(mask_RC)
    left_RD, right_CD = random_values(len(mask_RC), width), random_values(mask_RC.shape[1], width, seed=1)
    expected_N = (left_RD @ right_CD.T)[pattern.rows_N, pattern.columns_N]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "IN_CACHE", 0)
        assert_close(entry_dots(left_RD, right_CD, pattern), expected_N)


def test_gradients_are_computed_for_the_inputs_that_need_them():
    pattern = pattern_of(torch.tensor([[True, False], [True, True]]))
    values_N, matrix_CD = random_values(3), random_values(2, 3, seed=1)
    for wanted in (values_N, matrix_CD):
        leaf = wanted.clone().requires_grad_()
        pair = (leaf, matrix_CD) if wanted is values_N else (values_N, leaf)
        sparse_matmul(*pair, pattern).sum().backward()
        expected = matrix_CD.sum(1)[pattern.columns_N] if wanted is values_N else dense(values_N, pattern).T.sum(1)
        assert_close(leaf.grad, expected if wanted is values_N else expected[:, None].expand(2, 3))


def test_an_empty_bag_sums_to_zero():
    rows_CD = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    out_RD = sum_rows(rows_CD, torch.tensor([1, 0, 1]), torch.tensor([0, 2, 2, 3]), torch.tensor([1.0, 10.0, -1.0]))
    assert out_RD.tolist() == [[13.0, 24.0], [0.0, 0.0], [-3.0, -4.0]]


@pytest.mark.parametrize("threads", [1, 2])
def test_products_are_bit_reproducible(threads):
    generator, before = torch.Generator().manual_seed(0), torch.get_num_threads()
    mask_RC = torch.rand(700, 300, generator=generator) < 0.05
    matrix_CD, upstream_RD = torch.randn(300, 64, generator=generator), torch.randn(700, 64, generator=generator)
    torch.set_num_threads(threads)
    try:
        with deterministic(torch.device("cpu")):
            outputs = set()
            for _ in range(5):
                pattern = pattern_of(mask_RC)
                values_N = torch.linspace(-1, 1, len(pattern.rows_N)).requires_grad_()
                leaf_CD = matrix_CD.clone().requires_grad_()
                out_RD = sparse_matmul(values_N, leaf_CD, pattern)
                results = [out_RD, *torch.autograd.grad(out_RD, (values_N, leaf_CD), upstream_RD)]
                outputs.add(b"".join(tensor.detach().numpy().tobytes() for tensor in results))
    finally:
        torch.set_num_threads(before)
    assert len(outputs) == 1


# --- selection ---------------------------------------------------------------------------------------------------

NUMBERS = st.lists(st.integers(-4, 9), min_size=6, max_size=30).map(lambda values: [value / 2 for value in values])


def test_the_largest_entries_by_hand():
    dense_MF = torch.tensor([[0.5, -1.0, 3.0], [0.0, 2.0, 1.0]])
    places_N, smallest = largest_entries(dense_MF, 2)
    assert (places_N.tolist(), smallest) == ([2, 4], 2.0)
    places_N, smallest = largest_entries(dense_MF, 5)  # only four are positive
    assert (places_N.tolist(), smallest) == ([0, 2, 4, 5], 0.5)
    places_N, smallest = largest_entries(-dense_MF.abs(), 2)
    assert (places_N.tolist(), smallest) == ([], 0.0)


@given(NUMBERS, st.integers(1, 40), st.floats(-2, 8))
def test_the_largest_entries_do_not_depend_on_the_guess(values, count, guess):
    """Of equal entries the first are selected, so there are never more than `count`."""
    flat = torch.tensor(values[: len(values) // 2 * 2])
    places_N, smallest = largest_entries(flat.reshape(2, -1), count, guess)
    ranked = sorted((-value, place) for place, value in enumerate(flat.tolist()) if value > 0)[:count]
    assert places_N.tolist() == sorted(place for _, place in ranked)
    assert smallest == (-ranked[-1][0] if ranked else 0)
    without_guess_N, without_guess = largest_entries(flat.reshape(2, -1), count)
    assert torch.equal(places_N, without_guess_N) and smallest == without_guess
