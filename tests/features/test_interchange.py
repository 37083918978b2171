"""Interchange interventions, against the same edits made by hand."""

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from features_fixtures import axes_dictionary

from interp.artifacts import BadInput
from interp.features import TextPair, interchange_latents
from interp.policy.residual import splice_residual

LAST, D = 2, 32
PAIRS = [
    TextPair((5, 24, 6, 27), (5, 24, 9, 27), 11, 15),
    TextPair((7, 8), (7, 10), 4, 5),
    TextPair((7, 8), (9, 8), 12, 13),
]


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


def last_logits(policy, ids) -> torch.Tensor:
    with torch.no_grad():
        return policy.model(input_ids=torch.tensor([ids])).logits[0, -1].double()


def test_with_the_whole_residual_of_the_last_layer_the_policy_reads_the_other_text(policy):
    effects = interchange_latents(axes_dictionary(D, LAST, 0.0), policy, LAST, PAIRS)
    for pair, full_shift in zip(PAIRS, effects.full_shift_P, strict=True):
        change_V = last_logits(policy, pair.other_text) - last_logits(policy, pair.text)
        assert full_shift == pytest.approx(float(change_V[pair.other_next_token] - change_V[pair.next_token]), abs=1e-4)


def test_a_latent_shifts_what_its_own_share_of_the_difference_shifts(policy):
    """One axis is taken from the other text by hand; the layers above read it."""
    pair, layer = PAIRS[0], 1
    effects = interchange_latents(axes_dictionary(D, layer, 0.0), policy, layer, [pair])
    with torch.no_grad():
        states = [
            policy.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0, -1]
            for ids in (pair.text, pair.other_text)
        ]
    axis = int((states[0].sign() == states[1].sign()).nonzero()[0])
    latent = axis if states[0][axis] > 0 else axis + D

    def take_axis(x_BLD: torch.Tensor) -> torch.Tensor:
        x_BLD[:, -1, axis] = states[1][axis]
        return x_BLD

    with splice_residual(policy.model, layer, take_axis):
        edited_V = last_logits(policy, pair.text)
    change_V = edited_V - last_logits(policy, pair.text)
    assert effects.shift_PF[0, latent] == pytest.approx(float(change_V[15] - change_V[11]), abs=1e-4)
    assert effects.shift_PF[0, (latent + D) % (2 * D)] == 0, "the other sign is inactive in both texts"


def test_pairs_in_one_call_have_the_effects_they_have_alone(policy):
    tsae = axes_dictionary(D, 0, 0.0)
    together = interchange_latents(tsae, policy, 0, PAIRS)
    for i, pair in enumerate(PAIRS):
        alone = interchange_latents(tsae, policy, 0, [pair])
        np.testing.assert_allclose(together.shift_PF[i], alone.shift_PF[0], atol=1e-4)


def test_texts_of_two_lengths_are_refused():
    with pytest.raises(BadInput, match="expected two texts of one length, at least one token; got 1 and 2"):
        TextPair((1,), (1, 2), 0, 1)
