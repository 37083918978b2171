"""Rollouts through a dictionary: token by token what is on, all latents or one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout

from interp.activations.documents import STORED_ROLES
from interp.encoding import encode as encode_module
from interp.encoding.encode import encode_rollouts, latent_on_rollouts
from interp.tsae import TSAE, codes
from interp.tsae.codes import Codes

D, LAYER = 32, 1
ROWS = [
    make_rollout(length=3, roles=("marker", "answer", "end"), prompt_ids=(8, 27)),
    make_rollout(length=5, roles=("result",) * 5),
    make_rollout(length=1, prompt_ids=(5, 25, 6, 24, 11, 27)),
]


@pytest.fixture(scope="module")
def tsae() -> TSAE:
    rng = torch.Generator().manual_seed(0)
    W_dec, b_dec = torch.randn(24, D, generator=rng), torch.randn(D, generator=rng)
    return TSAE(W_dec.T, torch.zeros(24), W_dec, b_dec, torch.full((24,), 2.0), block_widths=(24,), layer=LAYER)


def by_hand(policy, tsae: TSAE) -> torch.Tensor:
    """Each row alone, and nothing of its prompt."""
    ids = [torch.tensor([[*row.prompt_ids, *row.tokens]]) for row in ROWS]
    x_rows = [policy.capture(row, [LAYER])[LAYER][0, -len(told.tokens) :] for row, told in zip(ids, ROWS, strict=True)]
    return tsae.encode(torch.cat(x_rows))


@pytest.mark.parametrize("shape", [(7,), (2, 5), ()])
def test_the_activation_of_one_latent_is_its_column_of_the_codes(tsae, shape):
    x_BD = 2 * torch.randn(*shape, D, generator=torch.Generator().manual_seed(1))
    for latent in range(tsae.width):
        torch.testing.assert_close(
            tsae.encode_latent(x_BD, latent), tsae.encode(x_BD)[..., latent], atol=1e-4, rtol=1e-5
        )
    unit, bound = torch.zeros(24, D), torch.full((24,), 2.0)
    unit[0, 0] = 1
    axis = TSAE(unit.T, torch.zeros(24), unit, torch.zeros(D), bound, block_widths=(24,))
    assert axis.encode_latent(2 * unit[0], 0) == 0 and axis.encode_latent(3 * unit[0], 0) == 3, (
        "at its threshold it is off"
    )


@pytest.mark.parametrize("bound", [2.0, 0.0, -1.0])
def test_what_is_on_is_found_without_dense_codes_too(tsae, bound, monkeypatch):
    """Below zero nothing is on, whatever the threshold."""
    x_ND = 2 * torch.randn(50, D, generator=torch.Generator().manual_seed(1))
    some = replace(tsae, threshold=torch.full((24,), bound))
    monkeypatch.setattr(codes, "IN_CACHE", 24 * 7)
    found, wanted = Codes.encode(some, x_ND), Codes.from_dense(some.encode(x_ND))
    assert torch.equal(found.token_K, wanted.token_K) and torch.equal(found.latent_K, wanted.latent_K)
    torch.testing.assert_close(found.value_K, wanted.value_K)
    assert (found.tokens, found.width) == (50, 24)


def test_what_is_on_is_told_of_what_was_written_token_by_token(policy, tsae):
    (part,) = encode_rollouts(policy, tsae, LAYER, ROWS)
    wanted = Codes.from_dense(by_hand(policy, tsae))
    assert torch.equal(part.codes.token_K, wanted.token_K) and torch.equal(part.codes.latent_K, wanted.latent_K)
    torch.testing.assert_close(part.codes.value_K, wanted.value_K, atol=1e-4, rtol=1e-4)
    assert part.rollout_N.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 2] and part.position_N.tolist() == [
        0,
        1,
        2,
        *range(5),
        0,
    ]
    assert [STORED_ROLES[at] for at in part.role_N] == [role for row in ROWS for role in row.roles]


def test_read_in_pieces_it_is_the_same(tsae, monkeypatch):
    policy = tiny_policy()
    (whole,) = encode_rollouts(policy, tsae, LAYER, ROWS)
    monkeypatch.setattr(encode_module, "CHUNK_TOKENS", 4)
    parts = list(encode_rollouts(policy, tsae, LAYER, ROWS, micro_tokens=4))
    assert [part.codes.tokens for part in parts] == [4, 4, 1]
    assert torch.equal(Codes.concat([part.codes for part in parts]).latent_K, whole.codes.latent_K)
    assert torch.cat([part.rollout_N for part in parts]).tolist() == whole.rollout_N.tolist()


def test_one_latent_alone_is_what_it_is_among_all(policy, tsae):
    (part,) = encode_rollouts(policy, tsae, LAYER, ROWS)
    for latent in range(tsae.width):
        z_N, document_N = latent_on_rollouts(policy, tsae, LAYER, ROWS, latent)
        np.testing.assert_allclose(z_N, part.codes.latent_activations(latent), atol=1e-4, rtol=1e-4)
        assert document_N.tolist() == part.rollout_N.tolist()
