"""Sparse codes hold the nonzero entries of dense codes, token by token."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from interp.tsae import TSAE, codes
from interp.tsae.codes import Codes

D = 32


@pytest.fixture(scope="module")
def tsae() -> TSAE:
    rng = torch.Generator().manual_seed(0)
    W_dec, b_dec = torch.randn(24, D, generator=rng), torch.randn(D, generator=rng)
    return TSAE(W_dec.T, torch.zeros(24), W_dec, b_dec, torch.full((24,), 2.0), block_widths=(24,))


def residuals(n: int = 50) -> torch.Tensor:
    return 2 * torch.randn(n, D, generator=torch.Generator().manual_seed(1))


def test_codes_by_hand():
    z_NF = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]])
    sparse = Codes.from_dense(z_NF)
    assert (sparse.token_K.tolist(), sparse.latent_K.tolist()) == ([0, 2, 2], [1, 0, 2])
    assert (sparse.value_K.tolist(), sparse.tokens, sparse.width) == ([2.0, 1.0, 3.0], 3, 3)
    assert sparse.latent_activations(2).tolist() == [0.0, 0.0, 3.0]
    selected = sparse.select_tokens(torch.tensor([False, True, True]))
    assert (selected.token_K.tolist(), selected.latent_K.tolist(), selected.tokens) == ([1, 1], [0, 2], 2)
    twice = Codes.concat([sparse, selected])
    assert (twice.token_K.tolist(), twice.tokens) == ([0, 2, 2, 4, 4], 5)


@pytest.mark.parametrize("threshold", [2.0, 0.0, -1.0])
def test_sparse_codes_equal_the_nonzero_dense_codes(tsae, threshold, monkeypatch):
    """A latent below zero is inactive, whatever its threshold."""
    tsae, x_ND = replace(tsae, threshold=torch.full((24,), threshold)), residuals()
    monkeypatch.setattr(codes, "IN_CACHE", 24 * 7)
    sparse, expected = Codes.encode(tsae, x_ND), Codes.from_dense(tsae.encode(x_ND))
    assert torch.equal(sparse.token_K, expected.token_K) and torch.equal(sparse.latent_K, expected.latent_K)
    assert_close(sparse.value_K, expected.value_K)
    assert (sparse.tokens, sparse.width) == (50, 24)


def test_decoding_sparse_codes_equals_decoding_dense_ones(tsae):
    z_NF = tsae.encode(residuals()) * (torch.arange(50) != 7)[:, None]  # token 7 has no active latent
    assert_close(Codes.from_dense(z_NF).decode(tsae), tsae.decode(z_NF), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(7,), (2, 5), ()])
def test_encode_latent_gives_the_column_of_encode(tsae, shape):
    x_BD = 2 * torch.randn(*shape, D, generator=torch.Generator().manual_seed(1))
    for latent in range(tsae.width):
        assert_close(tsae.encode_latent(x_BD, latent), tsae.encode(x_BD)[..., latent], atol=1e-4, rtol=1e-5)


def test_a_latent_is_inactive_at_its_threshold():
    axis = torch.zeros(24, D)
    axis[0, 0] = 1
    tsae = TSAE(axis.T, torch.zeros(24), axis, torch.zeros(D), torch.full((24,), 2.0), block_widths=(24,))
    assert tsae.encode_latent(2 * axis[0], 0) == 0 and tsae.encode_latent(3 * axis[0], 0) == 3
