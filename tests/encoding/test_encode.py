"""Codes of rollouts equal those of each rollout alone, for all latents and for one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout

from interp.activations.documents import STORED_ROLES
from interp.encoding import encode as encode_module
from interp.encoding import encode_rollouts, latent_on_rollouts, peaks_on_rollouts
from interp.policy import Policy
from interp.tsae import TSAE
from interp.tsae.codes import Codes

D, LAYER = 32, 1
ROLLOUTS = [
    make_rollout(length=3, roles=("marker", "answer", "end"), prompt_ids=(8, 27)),
    make_rollout(length=5, roles=("result",) * 5),
    make_rollout(length=1, prompt_ids=(5, 25, 6, 24, 11, 27)),
]


@pytest.fixture(scope="module")
def tsae() -> TSAE:
    rng = torch.Generator().manual_seed(0)
    W_dec, b_dec = torch.randn(24, D, generator=rng), torch.randn(D, generator=rng)
    return TSAE(W_dec.T, torch.zeros(24), W_dec, b_dec, torch.full((24,), 2.0), block_widths=(24,), layer=LAYER)


def codes_one_by_one(policy: Policy, tsae: TSAE) -> torch.Tensor:
    """Each rollout in its own forward, completion tokens only."""
    residuals = []
    for rollout in ROLLOUTS:
        ids = torch.tensor([[*rollout.prompt_ids, *rollout.tokens]])
        residuals.append(policy.capture(ids, [LAYER])[LAYER][0, -len(rollout.tokens) :])
    return tsae.encode(torch.cat(residuals))


def test_rollouts_are_encoded_at_every_completion_token(policy, tsae):
    (chunk,) = encode_rollouts(tsae, policy, LAYER, ROLLOUTS)
    expected = Codes.from_dense(codes_one_by_one(policy, tsae))
    assert torch.equal(chunk.codes.token_K, expected.token_K) and torch.equal(chunk.codes.latent_K, expected.latent_K)
    torch.testing.assert_close(chunk.codes.value_K, expected.value_K, atol=1e-4, rtol=1e-4)
    assert chunk.rollout_N.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 2]
    assert chunk.position_N.tolist() == [0, 1, 2, *range(5), 0]
    assert [STORED_ROLES[role] for role in chunk.role_N] == [role for row in ROLLOUTS for role in row.roles]


def test_the_size_of_the_chunks_does_not_matter(tsae, monkeypatch):
    policy = tiny_policy()
    (whole,) = encode_rollouts(tsae, policy, LAYER, ROLLOUTS)
    monkeypatch.setattr(encode_module, "CHUNK_TOKENS", 4)
    chunks = list(encode_rollouts(tsae, policy, LAYER, ROLLOUTS, micro_tokens=4))
    assert [chunk.codes.tokens for chunk in chunks] == [4, 4, 1]
    assert torch.equal(Codes.concat([chunk.codes for chunk in chunks]).latent_K, whole.codes.latent_K)
    assert torch.cat([chunk.rollout_N for chunk in chunks]).tolist() == whole.rollout_N.tolist()


def test_latent_on_rollouts_equals_its_column_of_the_codes(policy, tsae):
    (chunk,) = encode_rollouts(tsae, policy, LAYER, ROLLOUTS)
    for latent in range(tsae.width):
        z_N, rollout_N = latent_on_rollouts(tsae, policy, LAYER, ROLLOUTS, latent)
        np.testing.assert_allclose(z_N, chunk.codes.latent_activations(latent), atol=1e-4, rtol=1e-4)
        assert rollout_N.tolist() == chunk.rollout_N.tolist()


@pytest.mark.parametrize("micro_tokens", [8192, 4, 1])
def test_peaks_are_the_highest_activations_in_each_rollout_however_many_are_read_at_once(policy, tsae, micro_tokens):
    (chunk,) = encode_rollouts(tsae, policy, LAYER, ROLLOUTS)
    latents = [tsae.width - 1, 0, 1]
    z_NU = np.stack([chunk.codes.latent_activations(latent) for latent in latents], 1)
    expected = [z_NU[chunk.rollout_N.numpy() == i].max(0) for i in range(len(ROLLOUTS))]
    peak_BU = peaks_on_rollouts(tsae, policy, LAYER, ROLLOUTS, latents, micro_tokens=micro_tokens)
    np.testing.assert_allclose(peak_BU, expected, atol=1e-4, rtol=1e-4)
    empty = replace(ROLLOUTS[0], tokens=())
    assert not peaks_on_rollouts(tsae, policy, LAYER, [empty], latents).any()
