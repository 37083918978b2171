"""Which latents credit reads, what each counts for, and which latents replace them in the control."""

import warnings
from dataclasses import replace

import pytest
from features_fixtures import axes_dictionary, make_roles, make_trial

from interp.artifacts import BadInput
from interp.credit.role_latents import (
    MAX_STDS,
    RoleLatent,
    control_latents,
    credit_families,
    expect_role_latents,
    gate_families,
    group_latents,
    role_latents,
    warn_missing_families,
)
from interp.features import ROLE_FAMILIES, Roles, TokenSelector, Trial

TSAE = axes_dictionary(16, layer=0)
FAMILIES = ("reasoning", "computation", "shortcut")
ONE_OF_EACH = tuple(make_trial(latent, family) for latent, family in enumerate(FAMILIES))
RANDOM = [make_trial(latent, family, passes_contrast=False) for family in FAMILIES for latent in range(4, 20)]


def roles_of(*trials: Trial, random_trials: list[Trial] = RANDOM) -> Roles:
    return make_roles(*trials, tsae=TSAE, random_trials=random_trials)


# --- latents ---------------------------------------------------------------------------------------------------------


def test_families_with_a_sign_get_credit_and_those_that_gate_rewards_also_gate(monkeypatch):
    assert {"computation", "reasoning", "shortcut"} <= set(credit_families()) and "format" not in credit_families()
    assert {"reasoning", "shortcut"} <= set(gate_families()) and "computation" not in gate_families()
    monkeypatch.setitem(ROLE_FAMILIES, "reasoning", replace(ROLE_FAMILIES["reasoning"], credit_sign=0))
    assert "reasoning" not in {*credit_families(), *gate_families()}


def test_a_latent_counts_by_its_best_contrast_in_the_family_of_its_role():
    trials = (
        make_trial(1, "reasoning", "valid chain", auroc=0.7),
        make_trial(1, "reasoning", "valid end", auroc=0.8),
        make_trial(2, "shortcut", auroc=0.9),
        make_trial(2, "reasoning", auroc=0.8),
        make_trial(3, "format"),
        make_trial(4, "computation", passes_contrast=False),
    )
    latents = role_latents(roles_of(*trials))
    assert [(one.latent, one.family) for one in latents] == [(1, "reasoning"), (2, "shortcut")]
    assert latents[0].selector == TokenSelector(next_roles=("marker",)), "of the valid end"


def test_a_latent_weighs_by_its_effect_and_its_evidence_in_standard_deviations():
    shortcut = RoleLatent.from_trial(make_trial(0, "shortcut", positive=0.6, negative=0.2, std=0.4, effect=2.0))
    assert shortcut.effect_weight == -2.0 / 0.4 and shortcut.evidence_weight == pytest.approx(0.4 / 0.4**2)


def test_a_latent_that_hardly_varies_counts_as_separated_by_at_most_ten_standard_deviations():
    assert RoleLatent.from_trial(make_trial(0, std=0.0)).std == 1 / MAX_STDS
    constant = RoleLatent.from_trial(make_trial(0, "reasoning", positive=1.0, negative=1.0, std=0.0))
    assert constant.effect_weight == constant.evidence_weight == 0


def test_latents_of_one_family_and_selector_form_a_group():
    trials = (
        make_trial(1, "reasoning", "valid chain", positive=0.6, negative=0.2, std=0.4),
        make_trial(2, "reasoning", "valid chain", positive=0.5, negative=0.3, std=0.4),
        make_trial(3, "reasoning", "valid end"),
    )
    chain, end = group_latents(role_latents(roles_of(*trials)))
    assert [one.latent for one in chain.latents] == [1, 2] and [one.latent for one in end.latents] == [3]
    slopes = 0.4 / 0.4**2, 0.2 / 0.4**2
    assert chain.baseline_evidence == pytest.approx(slopes[0] * 0.2 + slopes[1] * 0.3)
    assert chain.evidence_range == pytest.approx(slopes[0] * 0.4 + slopes[1] * 0.2)
    assert chain.baseline_effect == pytest.approx((0.2 + 0.3) / 0.4)


def test_a_role_of_a_family_that_is_not_in_the_table_is_refused(monkeypatch):
    roles = roles_of(*ONE_OF_EACH)
    monkeypatch.delitem(ROLE_FAMILIES, "shortcut")
    with pytest.raises(BadInput, match="expected a role family of computation, reasoning, format, got 'shortcut'"):
        role_latents(roles)


def test_roles_without_the_means_of_their_latents_are_refused():
    with pytest.raises(
        BadInput, match="mean activations of their latents, got none for latent 11: earn the roles again"
    ):
        role_latents(roles_of(make_trial(11, "reasoning", means=None)))


# --- what is refused, and warned of ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trials", "figures"),
    [
        ((), "no candidate was tried"),
        ((make_trial(1, "format"),), "no candidate was tried"),
        (
            (make_trial(1, "reasoning", matched_ablations=(-9.0,)), make_trial(2, "format")),
            "1 candidates, of which pass contrast 1, falsification 1, ablation 0, all 0",
        ),
    ],
)
def test_roles_that_no_credit_can_use_are_refused_with_the_figures_of_the_gates(trials, figures):
    roles = roles_of(*trials)
    message = f"a role of computation, reasoning, shortcut, got none: {figures}. .* earn roles"
    with pytest.raises(BadInput, match=message):
        expect_role_latents(roles, role_latents(roles), credit_families())


@pytest.mark.parametrize(
    ("families", "missing"),
    [(("shortcut",), ["reasoning"]), (("reasoning",), ["shortcut"]), (("computation",), ["reasoning", "shortcut"])],
)
def test_a_gate_without_one_of_its_families_is_warned_of(families, missing):
    with pytest.warns(UserWarning) as caught:
        warn_missing_families([RoleLatent.from_trial(make_trial(0, family)) for family in families])
    messages = [f"no latent has earned a role of {family}: the gate does not use it" for family in missing]
    assert [str(warning.message) for warning in caught] == messages


def test_a_gate_with_all_its_families_is_not_warned_of():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_missing_families(role_latents(roles_of(*ONE_OF_EACH)))
    assert caught == []


# --- the control -----------------------------------------------------------------------------------------------------


def test_control_latents_have_no_role_and_the_effects_of_those_they_replace():
    roles = roles_of(*ONE_OF_EACH, make_trial(3, "computation", effect=2.0))
    latents = role_latents(roles)
    for seed in range(5):
        controls = control_latents(roles, latents, seed)
        assert len({one.latent for one in controls} - {0, 1, 2, 3}) == 4, "no latent has a role, none is drawn twice"
        effects = (sorted((one.family, one.effect) for one in some) for some in (controls, latents))
        assert next(effects) == next(effects)


def test_control_latents_are_drawn_by_the_seed_only():
    roles = roles_of(*ONE_OF_EACH)
    draws = [[one.latent for one in control_latents(roles, role_latents(roles), seed)] for seed in (*range(5), 0)]
    assert draws[0] == draws[-1] and len(set(map(tuple, draws))) > 1


@pytest.mark.parametrize(
    "random_trials",
    [
        [],
        [make_trial(0, "reasoning", passes_contrast=False)],  # it has a role
        [make_trial(15, "reasoning", passes_contrast=False, positive=float("nan"))],
        [make_trial(15, "shortcut", passes_contrast=False)],  # it was tested in another kind of contrast
    ],
)
def test_a_control_without_enough_random_latents_is_refused_with_what_to_do(random_trials):
    roles = roles_of(ONE_OF_EACH[0], random_trials=random_trials)
    with pytest.raises(BadInput, match=r"at least 1 random latents .* kind valid, .* got 0: .* --random-latents"):
        control_latents(roles, role_latents(roles), 0)


def test_a_latent_that_was_a_candidate_and_earned_no_role_may_stand_in_for_one_that_did():
    """Only latent 7 was drawn at random; it was a candidate of another contrast too."""
    failed = make_trial(7, "shortcut", passes_contrast=False)
    roles = roles_of(ONE_OF_EACH[0], failed, random_trials=[make_trial(7, "reasoning", passes_contrast=False)])
    assert [one.latent for one in control_latents(roles, role_latents(roles), 0)] == [7]
