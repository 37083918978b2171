"""First-order effects are those of a small part of the ablation, for all latents and contrasts at once."""

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from features_fixtures import make_contrast
from grpo_fixtures import make_rollout

from interp.features.ablation import LatentEditor
from interp.features.attribution import attribute
from interp.tsae import TSAE

D, F = 32, 6
ROLLOUTS = [
    make_rollout(length=n, problem=f"{n}", tokens=tuple((7, 4 + i)[i % 2] for i in range(n)), prompt_ids=(9, 24, 10))
    for n in (3, 5, 4)
]
TOKENS = np.concatenate([rollout.tokens for rollout in ROLLOUTS])
CONTRASTS = [
    make_contrast(TOKENS == 7, TOKENS != 7),
    make_contrast(np.arange(12) < 3, np.arange(12) > 8),
]


def random_dictionary(layer: int, threshold: float) -> TSAE:
    rng = torch.Generator().manual_seed(0)
    W_enc, W_dec = torch.randn(D, F, generator=rng), torch.randn(F, D, generator=rng)
    return TSAE(W_enc, torch.zeros(F), W_dec, torch.zeros(D), torch.full((F,), threshold), (F,), layer=layer)


def differences(shift_N: np.ndarray) -> list[float]:
    return [shift_N[contrast.target_N].mean() - shift_N[contrast.other_N].mean() for contrast in CONTRASTS]


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("micro_tokens", [8192, 8])
def test_the_first_order_effect_is_the_rate_of_a_small_part_of_the_ablation(layer, micro_tokens):
    """Also where what is differentiated at once is a row at most."""
    tsae = random_dictionary(layer, 0.1)
    editor = LatentEditor(tsae, tiny_policy(), layer, ROLLOUTS, micro_tokens=micro_tokens)
    effect_CF = attribute(editor, CONTRASTS)
    step = 2e-3
    for latent in range(F):
        less, more = (np.array(differences(editor.log_odds_shift(latent, 1 + sign * step))) for sign in (-1, 1))
        np.testing.assert_allclose(effect_CF[:, latent], (less - more) / (2 * step), atol=2e-2, rtol=2e-2)
    assert np.abs(effect_CF).max() > 0.1


def test_a_latent_that_is_never_active_has_no_effect_and_a_contrast_without_others_none_that_is_known():
    editor = LatentEditor(random_dictionary(1, 1e6), tiny_policy(), 1, ROLLOUTS)
    contrasts = [*CONTRASTS, make_contrast(TOKENS == 7, np.zeros(12, bool))]
    effect_CF = attribute(editor, contrasts)
    assert not effect_CF[:2].any() and np.isnan(effect_CF[2]).all()


def test_no_gradient_is_left_on_the_policy():
    policy = tiny_policy()
    attribute(LatentEditor(random_dictionary(1, 0.1), policy, 1, ROLLOUTS), CONTRASTS)
    assert all(parameter.grad is None for parameter in policy.model.parameters())
