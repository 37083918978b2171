"""Strengths of families that can be counted by hand."""

from dataclasses import replace

import numpy as np
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout

from interp.features import Roles, RolesConfig, Trial
from interp.features.ablation import ABLATE, Effect, LatentEditor
from interp.features.falsification import Falsification
from interp.features.labels import LabeledTokens
from interp.stats import Estimate
from interp.studies.family_strengths import behavior_by_level, find_families, mean_activation
from interp.tsae import TSAE
from interp.tsae.codes import Codes

D, LAST = 32, 2


def test_mean_activation_is_all_that_some_latents_have_over_all_tokens():
    tokens = LabeledTokens([], Codes.from_dense(torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 7.0]])), {})
    assert mean_activation(tokens, [0, 1]) == 3.0
    assert mean_activation(tokens, [2]) == 3.5 and mean_activation(tokens, []) == 0


def test_a_family_is_of_latents_that_passed_and_its_matches_of_latents_that_no_contrast_names():
    strong = Effect(Estimate(-1.0, -1.5, -0.5), Estimate(-1.0, -1.5, -0.5))
    passed = Trial(
        0,
        "computation",
        "result 7",
        0.9,
        1.0,
        0.0,
        0.9,
        True,
        Falsification(0.0, 1.0, "", 0.0, 0.0),
        strong,
        None,
        (0.0,),
    )
    failed = replace(passed, latent=1, passes_contrast=False)
    roles = Roles((passed, failed), (), 4, (), {}, RolesConfig(), 0)
    codes = Codes.from_dense(torch.tensor([[1.0, 1.0, 1.1, 9.0], [1.0, 1.0, 1.1, 0.0]]))
    families = find_families(roles, LabeledTokens([], codes, {}))
    assert set(families) == {"computation"} and families["computation"].latents == (0,)
    assert families["computation"].matches == (2,), "1 is like it, and was a candidate"


def test_ablating_several_latents_at_once_ablates_their_sum():
    """At the last layer one latent of the sum of two directions is the same as both."""
    rng, rows = torch.Generator().manual_seed(0), [make_rollout(length=n, problem=f"{n}") for n in (3, 5)]
    one, other = torch.randn(2, D, generator=rng)

    def dictionary(*directions: torch.Tensor) -> TSAE:
        W_dec, F = torch.stack(directions), len(directions)
        zeros = (torch.zeros(D), torch.zeros(F))
        return TSAE(torch.zeros(D, F), torch.ones(F), W_dec, *zeros, block_widths=(F,), layer=LAST)

    separate, together = (
        LatentEditor(tsae, tiny_policy(), LAST, rows) for tsae in (dictionary(one, other), dictionary(one + other))
    )
    np.testing.assert_allclose(separate.log_odds_shift((0, 1), ABLATE), together.log_odds_shift(0, ABLATE), atol=1e-4)


def test_behavior_is_counted_level_by_level():
    rows = [make_rollout(1, level="shallow", valid=True), make_rollout(0, level="shallow", format="direct")]
    rows += [make_rollout(0, level=level, valid=None) for level in ("middle", "deep")]
    shares = behavior_by_level(rows)
    assert shares["shallow"] == {"valid": 0.5, "correct": 0.5, "direct": 0.5} and shares["deep"]["valid"] == 0
