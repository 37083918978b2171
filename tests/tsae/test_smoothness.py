"""Smoothness by hand, within documents, and under rescaling of the code."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.tsae.metrics import Smoothness, blocks
from interp.tsae.metrics.smoothness import MIN_ACTIVE


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def joined(*lengths: int) -> torch.Tensor:
    """Documents of these lengths, one after another."""
    return torch.cat([torch.arange(n) > 0 for n in lengths])


def steps(n: int, size: float = 1.0) -> torch.Tensor:
    """An x that moves by `size` from row to row."""
    return torch.arange(n)[:, None] * torch.tensor([[size, 0.0]])


def smoothness_of(z_NF, joined_N, *, x_ND=None, blocks=None, min_active=1):
    smoothness = Smoothness(blocks or (z_NF.shape[1],), min_active)
    smoothness.update(z_NF=z_NF, x_ND=steps(len(z_NF)) if x_ND is None else x_ND, joined_N=joined_N)
    return smoothness.compute()


def test_one_latent_by_hand():
    """Pairs (1, 1), (1, 0), (0, 0): means 2/3 and 1/3, covariance 1/9, both variances 2/9; a total change of 1 over
    (2 + 1) / 2; one run of two."""
    result = smoothness_of(column(1, 1, 0, 0), joined(4)).total
    assert result.autocorrelation == pytest.approx(0.5)
    assert result.autocorrelation_by_variance == pytest.approx(0.5)
    assert result.total_variation == pytest.approx(2 / 3)
    assert result.run_tokens == 2
    assert result.paper == 1
    assert result.latents == 1


def test_pairs_and_runs_do_not_cross_documents():
    """Two documents, split in the middle of the run: pairs (0, 1) and (1, 0), runs of one."""
    one_document, two_documents = (
        smoothness_of(column(0, 1, 1, 0), joined(4)),
        smoothness_of(column(0, 1, 1, 0), joined(2, 2)),
    )
    assert (one_document.pairs, two_documents.pairs) == (3, 2)
    assert (one_document.total.run_tokens, two_documents.total.run_tokens) == (2, 1)
    assert one_document.total.autocorrelation == pytest.approx(-0.5)
    assert two_documents.total.autocorrelation == pytest.approx(-1)
    assert two_documents.total.total_variation == 2


def test_total_variation_is_zero_for_a_constant_and_two_for_isolated_spikes():
    assert smoothness_of(column(3, 3, 3, 3), joined(4)).total.total_variation == 0
    assert smoothness_of(column(0, 3, 0, 3), joined(4)).total.total_variation == 2
    assert smoothness_of(column(0, 3, 0, 0), joined(4)).total.total_variation == 2


@pytest.mark.parametrize("n", [10, 100, 334])
def test_a_constant_has_no_autocorrelation_in_spite_of_rounding(n):
    result = smoothness_of(torch.full((n, 1), 0.1, dtype=torch.float64), joined(n)).total
    assert (result.autocorrelation, result.autocorrelation_by_variance) == (None, None)
    assert result.run_tokens == n


def test_the_figure_of_a_block_is_the_mean_over_its_latents():
    z_NF = torch.cat([column(1, 1, 0, 0), column(0, 0, 9, 0), column(0, 2, 2, 0)], 1)
    result = smoothness_of(z_NF, joined(4), blocks=(1, 2))
    assert result.run_tokens_F.tolist() == [2, 1, 2]
    assert result.total_variation_F.tolist() == pytest.approx([2 / 3, 2, 1])
    assert [block.run_tokens for block in result.per_block] == [2, 1.5]
    assert result.total.run_tokens == pytest.approx(5 / 3)
    assert result.total.total_variation == pytest.approx((2 / 3 + 3) / 3)
    assert [block.latents for block in result.per_block] == [1, 2]


def test_weighted_by_variance_the_latent_of_large_activations_decides():
    z_NF = torch.cat([column(100, 100, 0, 0), column(0, 1, 1, 0)], 1)
    result = smoothness_of(z_NF, joined(4)).total
    assert result.autocorrelation == pytest.approx(0)
    assert result.autocorrelation_by_variance == pytest.approx(0.5, abs=1e-3)


def test_rare_latents_have_figures_but_are_left_out_of_the_means():
    frequent = column(*[1.0, 1, 0, 0] * (MIN_ACTIVE // 2))
    rare = torch.zeros_like(frequent)
    rare[3] = 1
    result = smoothness_of(torch.cat([frequent, rare], 1), joined(len(frequent)), min_active=MIN_ACTIVE)
    assert result.total.latents == 1
    assert result.total.run_tokens == 2
    assert result.run_tokens_F.tolist() == [2, 1]


def test_a_block_that_is_empty_or_never_active_has_none():
    silent = torch.cat([torch.zeros(4, 2), column(1, 1, 0, 0)], 1)
    for blocks_, z_NF in (((2, 1), silent), ((0, 1), silent[:, 2:])):
        result = smoothness_of(z_NF, joined(4), blocks=blocks_)
        empty, block = result.per_block
        assert (empty.autocorrelation, empty.total_variation, empty.run_tokens, empty.paper) == (None,) * 4
        assert empty.latents == 0
        assert block == result.total
    assert Smoothness((2, 1)).compute().total.autocorrelation is None
    assert math.isnan(Smoothness((2, 1)).compute().autocorrelation_F[0])


def test_documents_of_one_token_have_no_pairs():
    result = smoothness_of(column(1, 0, 1), joined(1, 1, 1))
    assert result.pairs == 0
    assert (result.total.autocorrelation, result.total.total_variation, result.total.paper) == (None, None, None)
    assert result.total.run_tokens == 1


def test_the_smoothness_of_the_paper_by_hand():
    """First document: steps of x 2 and 4; largest ratios 3/2 and 8/4, mean 1.75. Second: only latent 1 fires, 1/1. The
    third has one token."""
    z_NF = torch.tensor([[0.0, 0], [3, 0], [3, 8], [0, 1], [0, 0], [5, 5]])
    x_ND = torch.tensor([[0.0], [2], [6], [0], [1], [0]])
    result = smoothness_of(z_NF, joined(3, 2, 1), x_ND=x_ND, blocks=(1, 1))
    assert result.total.paper == pytest.approx((1.75 + 1) / 2)
    assert [block.paper for block in result.per_block] == [1.5, pytest.approx((2 + 1) / 2)]


def test_pairs_of_equal_x_are_left_out_of_the_smoothness_of_the_paper():
    result = smoothness_of(column(1, 2, 4), joined(3), x_ND=torch.tensor([[0.0], [0], [1]]))
    assert result.total.paper == 2
    assert smoothness_of(column(1, 2, 4), joined(3), x_ND=torch.zeros(3, 1)).total.paper is None


def random_stream(seed: int, lengths: list[int], width: int = 5):
    generator = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    return torch.randn(n, width, generator=generator).relu(), torch.randn(n, 3, generator=generator), joined(*lengths)


LENGTHS = st.lists(st.integers(1, 9), min_size=2, max_size=8)


@given(LENGTHS, st.integers(0, 99))
def test_halving_the_code_halves_the_measure_of_the_paper_and_no_other(lengths, seed):
    z_NF, x_ND, joined_N = random_stream(seed, lengths)
    full = smoothness_of(z_NF, joined_N, x_ND=x_ND, blocks=(2, 3))
    half = smoothness_of(z_NF / 2, joined_N, x_ND=x_ND, blocks=(2, 3))
    for halved, original in zip((half.total, *half.per_block), (full.total, *full.per_block), strict=True):
        assert halved.paper == (None if original.paper is None else pytest.approx(original.paper / 2))
        assert halved.autocorrelation == pytest.approx(original.autocorrelation)
        assert halved.autocorrelation_by_variance == pytest.approx(original.autocorrelation_by_variance)
        assert halved.total_variation == pytest.approx(original.total_variation)
        assert halved.run_tokens == pytest.approx(original.run_tokens)


@given(LENGTHS, st.integers(0, 99))
def test_rescaling_one_latent_changes_no_unweighted_mean(lengths, seed):
    z_NF, x_ND, joined_N = random_stream(seed, lengths)
    plain = smoothness_of(z_NF, joined_N, x_ND=x_ND).total
    scaled = smoothness_of(z_NF * torch.tensor([1, 1, 64, 1, 1]), joined_N, x_ND=x_ND).total
    assert scaled.autocorrelation == pytest.approx(plain.autocorrelation)
    assert scaled.total_variation == pytest.approx(plain.total_variation)


@given(LENGTHS, st.integers(0, 99))
def test_merged_parts_give_the_result_of_the_stream(lengths, seed):
    z_NF, x_ND, joined_N = random_stream(seed, lengths)
    whole = smoothness_of(z_NF, joined_N, x_ND=x_ND, blocks=(2, 3))
    parts = [Smoothness((2, 3), min_active=1) for _ in range(2)]
    ends = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    for i, (start, end) in enumerate(zip(ends, ends[1:], strict=False)):
        rows = slice(start, end)
        parts[i % 2].update(z_NF=z_NF[rows], x_ND=x_ND[rows], joined_N=joined_N[rows])
    parts[0].merge(parts[1])
    result = parts[0].compute()
    assert result.pairs == whole.pairs
    torch.testing.assert_close(result.autocorrelation_F, whole.autocorrelation_F, equal_nan=True)
    assert result.total.paper == pytest.approx(whole.total.paper)
    assert [b.total_variation for b in result.per_block] == pytest.approx([b.total_variation for b in whole.per_block])


def test_the_size_of_the_chunks_does_not_matter(monkeypatch):
    z_NF, x_ND, joined_N = random_stream(0, [9, 1, 30], width=7)
    in_one_chunk = smoothness_of(z_NF, joined_N, x_ND=x_ND, blocks=(3, 4))
    monkeypatch.setattr(blocks, "CHUNK", 1)
    one_by_one = smoothness_of(z_NF, joined_N, x_ND=x_ND, blocks=(3, 4))
    assert one_by_one.total == in_one_chunk.total and one_by_one.per_block == in_one_chunk.per_block


def test_without_memory_the_autocorrelation_is_zero_at_any_rate_but_runs_grow_with_it():
    """Two latents without memory, one rare and one frequent."""
    z_NF = (torch.rand(40_000, 2, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.1, 0.9])).float()
    result = smoothness_of(z_NF, joined(*[100] * 400))
    assert result.autocorrelation_F.tolist() == pytest.approx([0, 0], abs=0.02)
    assert result.run_tokens_F[0] == pytest.approx(1 / 0.9, rel=0.02)
    assert result.run_tokens_F[1] == pytest.approx(10, rel=0.1)  # a little less: documents end


def test_a_stream_that_starts_inside_a_document_is_refused():
    with pytest.raises(BadInput, match="expected the first row to start a document"):
        smoothness_of(column(1, 1), torch.tensor([True, True]))


def test_accumulators_of_different_settings_are_not_merged():
    with pytest.raises(BadInput, match="same blocks and min_active"):
        Smoothness((2, 3)).merge(Smoothness((2, 3), min_active=3))
