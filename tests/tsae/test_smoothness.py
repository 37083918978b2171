"""Smoothness: solvable by hand, free of scale where the paper's is not, and blind to what lies in other documents."""

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


def measured(z_NF, joined_N, *, x_ND=None, blocks=None, least=1):
    smoothness = Smoothness(blocks or (z_NF.shape[1],), least)
    smoothness.update(z_NF=z_NF, x_ND=steps(len(z_NF)) if x_ND is None else x_ND, joined_N=joined_N)
    return smoothness.compute()


def test_one_latent_by_hand():
    """Pairs (1, 1), (1, 0), (0, 0): means 2/3 and 1/3, covariance 1/9, both variances 2/9; one step of 1 over a mass
    of (2 + 1) / 2; one run of two."""
    told = measured(column(1, 1, 0, 0), joined(4)).total
    assert told.autocorrelation == pytest.approx(0.5)
    assert told.autocorrelation_by_variance == pytest.approx(0.5)
    assert told.total_variation == pytest.approx(2 / 3)
    assert told.run_tokens == 2
    assert told.paper == 1
    assert told.latents == 1


def test_pairs_and_runs_do_not_cross_documents():
    """Cut in the middle of the run: pairs (0, 1) and (1, 0), runs of one."""
    whole, cut = measured(column(0, 1, 1, 0), joined(4)), measured(column(0, 1, 1, 0), joined(2, 2))
    assert (whole.pairs, cut.pairs) == (3, 2)
    assert (whole.total.run_tokens, cut.total.run_tokens) == (2, 1)
    assert whole.total.autocorrelation == pytest.approx(-0.5)
    assert cut.total.autocorrelation == pytest.approx(-1)
    assert cut.total.total_variation == 2


def test_variation_runs_from_constant_to_lone_spikes():
    assert measured(column(3, 3, 3, 3), joined(4)).total.total_variation == 0
    assert measured(column(0, 3, 0, 3), joined(4)).total.total_variation == 2
    assert measured(column(0, 3, 0, 0), joined(4)).total.total_variation == 2


@pytest.mark.parametrize("n", [10, 100, 334])
def test_what_never_changes_has_no_autocorrelation_even_where_rounding_leaves_some(n):
    told = measured(torch.full((n, 1), 0.1, dtype=torch.float64), joined(n)).total
    assert (told.autocorrelation, told.autocorrelation_by_variance) == (None, None)
    assert told.run_tokens == n


def test_a_block_is_the_mean_of_its_latents_and_each_has_its_own_figures():
    z_NF = torch.cat([column(1, 1, 0, 0), column(0, 0, 9, 0), column(0, 2, 2, 0)], 1)
    told = measured(z_NF, joined(4), blocks=(1, 2))
    assert told.run_tokens_F.tolist() == [2, 1, 2]
    assert told.total_variation_F.tolist() == pytest.approx([2 / 3, 2, 1])
    assert [block.run_tokens for block in told.per_block] == [2, 1.5]
    assert told.total.run_tokens == pytest.approx(5 / 3)
    assert told.total.total_variation == pytest.approx((2 / 3 + 3) / 3)
    assert [block.latents for block in told.per_block] == [1, 2]


def test_weighted_by_variance_the_loud_latent_decides():
    loud = torch.cat([column(100, 100, 0, 0), column(0, 1, 1, 0)], 1)
    told = measured(loud, joined(4)).total
    assert told.autocorrelation == pytest.approx(0)
    assert told.autocorrelation_by_variance == pytest.approx(0.5, abs=1e-3)


def test_rare_latents_are_left_out_of_the_means_but_have_their_own_figures():
    often = column(*[1.0, 1, 0, 0] * (MIN_ACTIVE // 2))
    rare = torch.zeros_like(often)
    rare[3] = 1
    told = measured(torch.cat([often, rare], 1), joined(len(often)), least=MIN_ACTIVE)
    assert told.total.latents == 1
    assert told.total.run_tokens == 2
    assert told.run_tokens_F.tolist() == [2, 1]


def test_an_empty_or_silent_block_has_none_and_not_nan():
    silent = torch.cat([torch.zeros(4, 2), column(1, 1, 0, 0)], 1)
    for blocks_, z_NF in (((2, 1), silent), ((0, 1), silent[:, 2:])):
        told = measured(z_NF, joined(4), blocks=blocks_)
        empty, block = told.per_block
        assert (empty.autocorrelation, empty.total_variation, empty.run_tokens, empty.paper) == (None,) * 4
        assert empty.latents == 0
        assert block == told.total
    assert Smoothness((2, 1)).compute().total.autocorrelation is None
    assert math.isnan(Smoothness((2, 1)).compute().autocorrelation_F[0])


def test_documents_of_one_token_have_no_pairs():
    told = measured(column(1, 0, 1), joined(1, 1, 1))
    assert told.pairs == 0
    assert (told.total.autocorrelation, told.total.total_variation, told.total.paper) == (None, None, None)
    assert told.total.run_tokens == 1


def test_the_papers_measure_by_hand():
    """First document: steps of x 2 and 4; largest ratios 3/2 and 8/4, mean 1.75. Second: only latent 1 fires, 1/1. The
    third has one token."""
    z_NF = torch.tensor([[0.0, 0], [3, 0], [3, 8], [0, 1], [0, 0], [5, 5]])
    x_ND = torch.tensor([[0.0], [2], [6], [0], [1], [0]])
    told = measured(z_NF, joined(3, 2, 1), x_ND=x_ND, blocks=(1, 1))
    assert told.total.paper == pytest.approx((1.75 + 1) / 2)
    assert [block.paper for block in told.per_block] == [1.5, pytest.approx((2 + 1) / 2)]


def test_pairs_in_which_x_stands_still_are_left_out_of_the_papers():
    told = measured(column(1, 2, 4), joined(3), x_ND=torch.tensor([[0.0], [0], [1]]))
    assert told.total.paper == 2
    assert measured(column(1, 2, 4), joined(3), x_ND=torch.zeros(3, 1)).total.paper is None


def random_stream(seed: int, lengths: list[int], width: int = 5):
    generator = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    return torch.randn(n, width, generator=generator).relu(), torch.randn(n, 3, generator=generator), joined(*lengths)


LENGTHS = st.lists(st.integers(1, 9), min_size=2, max_size=8)


@given(LENGTHS, st.integers(0, 99))
def test_halving_the_code_halves_the_papers_measure_and_leaves_ours(lengths, seed):
    z_NF, x_ND, joined_N = random_stream(seed, lengths)
    whole = measured(z_NF, joined_N, x_ND=x_ND, blocks=(2, 3))
    half = measured(z_NF / 2, joined_N, x_ND=x_ND, blocks=(2, 3))
    for mine, theirs in zip((half.total, *half.per_block), (whole.total, *whole.per_block), strict=True):
        assert mine.paper == (None if theirs.paper is None else pytest.approx(theirs.paper / 2))
        assert mine.autocorrelation == pytest.approx(theirs.autocorrelation)
        assert mine.autocorrelation_by_variance == pytest.approx(theirs.autocorrelation_by_variance)
        assert mine.total_variation == pytest.approx(theirs.total_variation)
        assert mine.run_tokens == pytest.approx(theirs.run_tokens)


@given(LENGTHS, st.integers(0, 99))
def test_rescaling_one_latent_moves_only_what_is_weighted_by_variance(lengths, seed):
    z_NF, x_ND, joined_N = random_stream(seed, lengths)
    plain = measured(z_NF, joined_N, x_ND=x_ND).total
    scaled = measured(z_NF * torch.tensor([1, 1, 64, 1, 1]), joined_N, x_ND=x_ND).total
    assert scaled.autocorrelation == pytest.approx(plain.autocorrelation)
    assert scaled.total_variation == pytest.approx(plain.total_variation)


@given(LENGTHS, st.integers(0, 99))
def test_documents_given_in_parts_and_merged_are_the_stream(lengths, seed):
    z_NF, x_ND, joined_N = random_stream(seed, lengths)
    whole = measured(z_NF, joined_N, x_ND=x_ND, blocks=(2, 3))
    parts = [Smoothness((2, 3), min_active=1) for _ in range(2)]
    ends = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    for at, (start, end) in enumerate(zip(ends, ends[1:], strict=False)):
        rows = slice(start, end)
        parts[at % 2].update(z_NF=z_NF[rows], x_ND=x_ND[rows], joined_N=joined_N[rows])
    parts[0].merge(parts[1])
    told = parts[0].compute()
    assert told.pairs == whole.pairs
    torch.testing.assert_close(told.autocorrelation_F, whole.autocorrelation_F, equal_nan=True)
    assert told.total.paper == pytest.approx(whole.total.paper)
    assert [b.total_variation for b in told.per_block] == pytest.approx([b.total_variation for b in whole.per_block])


def test_a_latent_at_a_time_gives_the_same(monkeypatch):
    z_NF, x_ND, joined_N = random_stream(0, [9, 1, 30], width=7)
    together = measured(z_NF, joined_N, x_ND=x_ND, blocks=(3, 4))
    monkeypatch.setattr(blocks, "CHUNK", 1)
    alone = measured(z_NF, joined_N, x_ND=x_ND, blocks=(3, 4))
    assert alone.total == together.total and alone.per_block == together.per_block


def test_autocorrelation_is_that_of_the_memory_whatever_the_rate_but_runs_are_not():
    """Two latents without memory, one rare and one frequent."""
    z_NF = (torch.rand(40_000, 2, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.1, 0.9])).float()
    told = measured(z_NF, joined(*[100] * 400))
    assert told.autocorrelation_F.tolist() == pytest.approx([0, 0], abs=0.02)
    assert told.run_tokens_F[0] == pytest.approx(1 / 0.9, rel=0.02)
    assert told.run_tokens_F[1] == pytest.approx(10, rel=0.1)  # a little less: documents end


def test_a_stream_that_begins_inside_a_document_is_refused():
    with pytest.raises(BadInput, match="the first row must begin a document"):
        measured(column(1, 1), torch.tensor([True, True]))


def test_unlike_accumulators_are_not_merged():
    with pytest.raises(BadInput, match="same blocks and least"):
        Smoothness((2, 3)).merge(Smoothness((2, 3), min_active=3))
