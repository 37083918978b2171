"""Interchange: which latents carry what two texts differ in; and how well roles agree with it."""

import numpy as np
import pytest
import torch
from conftest import tiny_policy

from interp.artifacts import BadInput
from interp.features.interchange import Interchanged, Pair, interchange
from interp.policy.residual import splicing
from interp.studies.roles.truth import agreement, false_alarms, truth
from interp.tsae import TSAE

LAST, D = 2, 32
PAIRS = [Pair((5, 24, 6, 27), (5, 24, 9, 27), 11, 15), Pair((7, 8), (7, 10), 4, 5), Pair((7, 8), (9, 8), 12, 13)]


def axes(layer: int) -> TSAE:
    """Each axis of the residual by its two signs: all latents together are the residual."""
    eye = torch.eye(D)
    both = torch.cat([eye, -eye])
    return TSAE(both.T, torch.zeros(2 * D), both, torch.zeros(D), torch.zeros(2 * D), widths=(D, D), layer=layer)


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


def logits(policy, ids) -> torch.Tensor:
    with torch.no_grad():
        return policy.model(input_ids=torch.tensor([ids])).logits[0, -1].double()


def test_with_the_whole_residual_of_the_last_layer_the_other_text_is_read(policy):
    found = interchange(policy, axes(LAST), LAST, PAIRS)
    for pair, whole in zip(PAIRS, found.whole_P, strict=True):
        text, other = logits(policy, pair.text), logits(policy, pair.other)
        assert whole == pytest.approx(float((other - text)[pair.other_next] - (other - text)[pair.next]), abs=1e-4)


def test_a_latent_moves_what_its_own_share_of_the_difference_moves(policy):
    """One axis, taken from the other text by hand; deeper layers read it."""
    pair, layer = PAIRS[0], 1
    found = interchange(policy, axes(layer), layer, [pair])
    with torch.no_grad():
        seen = [
            policy.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0, -1]
            for ids in (pair.text, pair.other)
        ]
    axis = int((seen[0].sign() == seen[1].sign()).nonzero()[0])
    which = axis if seen[0][axis] > 0 else axis + D

    def by_hand(x_BLD: torch.Tensor) -> torch.Tensor:
        x_BLD[:, -1, axis] = seen[1][axis]
        return x_BLD

    with splicing(policy.model, layer, by_hand):
        change = logits(policy, pair.text)
    change = change - logits(policy, pair.text)
    assert found.moved_PF[0, which] == pytest.approx(float(change[15] - change[11]), abs=1e-4)
    assert found.moved_PF[0, (which + D) % (2 * D)] == 0, "the other sign is off in both texts"


def test_pairs_asked_together_are_what_they_are_alone(policy):
    together = interchange(policy, axes(0), 0, PAIRS)
    for at, pair in enumerate(PAIRS):
        alone = interchange(policy, axes(0), 0, [pair])
        np.testing.assert_allclose(together.moved_PF[at], alone.moved_PF[0], atol=1e-4)
    with pytest.raises(BadInput, match="texts of a pair must be of one length; got 1 and 2"):
        Pair((1,), (1, 2), 0, 1)


def test_carriers_are_told_value_by_value_and_surely():
    """Latent 0 carries value 4 alone, 1 carries 5 a little, 2 is loud by chance, 3 works the wrong way."""
    pairs = [Pair((1,), (2,), 4, 6)] * 20 + [Pair((1,), (2,), 5, 6)] * 20
    moved_PF = np.zeros((40, 4))
    moved_PF[:20, 0], moved_PF[20:, 1], moved_PF[:, 3] = 1.0, 0.01, -1.0
    moved_PF[:, 2] = np.where(np.arange(40) == 3, 5.0, 0.0)
    moved_PF[:20, 0] += np.tile([-0.1, 0.1], 10)
    known = truth(pairs, Interchanged(moved_PF, np.full(40, 4.0)))
    assert known.carriers == {0} and known.effect_F[0] == pytest.approx(0.25)


def test_agreement_counts_what_was_said_against_what_is_true():
    known = truth([Pair((1,), (2,), 4, 6)] * 4, Interchanged(np.array([[3.0, 1.0, 0.0]] * 4), np.full(4, 4.0)))
    assert known.carriers == {0, 1}
    told = agreement(known, [0, 2])
    assert (told["precision"], told["recall"], told["recall by effect"]) == (0.5, 0.5, 0.75)
    assert agreement(known, [])["precision"] is None
    assert false_alarms(known, {0: True, 2: True, 3: False}) == {"others": 2, "passed": 1, "rate": 0.5}
