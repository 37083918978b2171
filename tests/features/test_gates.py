"""What it takes to pass each gate, by hand; a planted cause through all of them; and the latents it is matched with."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from features_fixtures import constant_dictionary, label, label_activations, make_contrast, make_roles, make_trial
from grpo_fixtures import make_rollout
from hypothesis import assume, given
from hypothesis import strategies as st

from interp.features import LabeledTokens, RolesConfig
from interp.features import gates as gates_module
from interp.features.ablation import BehaviorEffects, Effect
from interp.features.falsification import Falsification
from interp.features.gates import EditEffects, GateRunner, MatchedLatents
from interp.stats import Estimate
from interp.stats.bootstrap import DRAWS
from interp.tasks import Chain

LAST, TARGET, NAN = 2, 7, float("nan")


# --- thresholds ------------------------------------------------------------------------------------------------------


def around(value: float) -> Estimate:
    return Estimate(value, value - 0.05, value + 0.05)


@pytest.mark.parametrize(
    ("target", "difference", "matched", "passes"),
    [
        (-0.5, -0.4, (0.0, -0.2), True),
        (-0.5, -0.04, (0.0,), False),  # other tokens may lose as much
        (-0.04, -0.5, (0.0,), False),  # it is the other tokens that gain
        (-0.5, -0.09, (0.0, -0.01), False),  # significant, but less than a tenth of a nat
        (-0.5, -0.11, (0.0, -0.01), True),
        (-0.5, -0.4, (0.0, -0.6), False),  # a matched latent does as much
        (-0.5, -0.4, (), False),  # there is nothing to compare with
        (NAN, NAN, (0.0,), False),
        (-0.5, NAN, (0.0,), False),
    ],
)
def test_ablation_is_passed_if_the_tokens_lose_significantly_and_more_than_others_and_than_without_any_match(
    target, difference, matched, passes
):
    effect = Effect(around(target), around(difference))
    assert make_trial(0, ablation=effect, matched_ablations=matched).passes_ablation == passes


@pytest.mark.parametrize(
    ("driven", "shuffled_share", "surface", "family", "passes"),
    [
        (False, 0.1, 0.9, "computation", True),
        (True, 0.1, 0.9, "computation", False),
        (False, 0.9, 0.9, "computation", False),
        (False, 0.1, 0.59, "computation", False),
        (True, 0.9, 0.9, "format", True),  # its tokens are what it is about
        (True, 0.9, 0.59, "format", False),
    ],
)
def test_falsification_is_passed_if_tokens_do_not_drive_it_order_matters_and_every_surface_is_separated(
    driven, shuffled_share, surface, family, passes
):
    result = Falsification(1.0 if driven else 0.0, 0.001, "a triple", 1.0, shuffled_share)
    trial = make_trial(0, family, falsification=result, other_surface_auroc=surface)
    assert trial.passes_falsification == passes == trial.passes_all


def test_a_gate_that_was_not_run_is_not_passed():
    trial = make_trial(0, falsification=None, ablation=None)
    assert not trial.passes_falsification and not trial.passes_ablation and not trial.passes_all


# --- the runner ------------------------------------------------------------------------------------------------------


def test_a_planted_cause_passes_ablation_and_a_latent_that_only_fires_beside_it_does_not():
    """Both are active at the very same tokens, so no contrast could separate them."""
    policy, rng = tiny_policy(), torch.Generator().manual_seed(0)
    head = policy.model.lm_head.weight.detach() * policy.model.model.norm.weight.detach()
    cause = 2 * (head[TARGET] - head.mean(0))
    beside = torch.linalg.svd(head.double()).Vh[len(head) :][0].float() * 1e-2  # no logit depends on it
    weak = [1e-3 * torch.randn(len(cause), generator=rng) for _ in range(4)]
    tsae = constant_dictionary(cause, beside, *weak, layer=LAST)
    rollouts = [
        make_rollout(length=n, problem=f"{n}", tokens=tuple((TARGET, 4 + i)[i % 2] for i in range(n)))
        for n in (3, 5, 4)
    ]
    labeled = label(rollouts, torch.ones(12, tsae.width))
    is_target_N = labeled["token"] == TARGET
    contrast = make_contrast(is_target_N, ~is_target_N, "computation")
    config = RolesConfig(matched_latents=4, injection_texts=2)
    gates = GateRunner(tsae, policy, LAST, labeled, [contrast], config, {"x": (0, 1)})
    assert gates.counts_BP.shape == (DRAWS, len(rollouts)), "prompts are drawn, as many as there are"
    causal, beside = (gates.evaluate(make_trial(latent, "computation", "x")) for latent in (0, 1))
    assert len(causal.matched_ablations) == len(beside.matched_ablations) == 4
    assert causal.passes_ablation and not beside.passes_ablation
    effects = [trial.ablation.target.value for trial in (causal, beside) if trial.ablation]
    assert effects[0] < -0.1 < effects[1]


def test_nothing_is_sampled_where_no_role_was_earned():
    gates = object.__new__(GateRunner)
    gates.config = RolesConfig(rollout_problems=9)
    assert gates.sample_edited([], Chain(), progress=False) == []


def test_a_role_is_earned_by_all_gates_together():
    roles = make_roles(
        make_trial(0, "computation"),
        make_trial(1, "computation", passes_contrast=False),
        tsae=constant_dictionary(*torch.ones(3, 4), layer=LAST),
    )
    assert [roles.role_of(latent) for latent in range(3)] == ["computation", "none", "none"]


# --- matched latents -------------------------------------------------------------------------------------------------


def with_frequencies(*latents: tuple[int, float]) -> LabeledTokens:
    """Latents by the number of 16 tokens at which they are active, and by their activation there."""
    return label_activations(torch.stack([value * (torch.arange(16) < count) for count, value in latents], 1))


def test_the_nearest_latents_have_a_similar_firing_rate_and_activation():
    """In logarithms, latent 0 fires at 4 tokens with 1; 1 twice as often; 2 with 1.1; 3 always, with 8; 4 as 0; 5
    never."""
    matched = MatchedLatents(with_frequencies((4, 1.0), (8, 1.0), (4, 1.1), (16, 8.0), (4, 1.0), (0, 0.0)))
    assert matched.nearest(0, 9) == [4, 2, 1, 3]
    assert matched.nearest(0, 2) == [4, 2] and matched.nearest(0, 0) == []
    assert matched.nearest(3, 1) == [1]


def test_firing_rate_and_activation_are_measured_in_their_own_standard_deviations():
    """Firing rates differ by a factor of 16, activations by 2%: the far end of either is equally far."""
    matched = MatchedLatents(with_frequencies((1, 1.0), (16, 1.0), (1, 1.02), (16, 1.02), (2, 1.0)))
    nearest = matched.nearest(0, 9)
    assert nearest[0] == 4 and set(nearest[1:3]) == {1, 2} and nearest[3] == 3


def test_no_latent_matches_itself_an_excluded_latent_or_a_dead_one():
    matched = MatchedLatents(with_frequencies((4, 1.0), (4, 1.0), (4, 1.0), (0, 0.0)))
    assert matched.nearest(1, 9) == [0, 2] and matched.nearest(1, 9, exclude=[0]) == [2]
    assert matched.nearest(1, 9, exclude=[0, 1, 2]) == []
    assert matched.nearest(3, 9) == [] and matched.nearest(0, 9, exclude={3}) == [1, 2]


def test_a_dictionary_of_dead_latents_has_no_matches():
    matched = MatchedLatents(with_frequencies((0, 0.0), (0, 0.0)))
    assert matched.nearest(0, 9) == matched.nearest(1, 1) == []


@given(st.lists(st.tuples(st.integers(0, 16), st.floats(0.1, 9)), min_size=1, max_size=8), st.data())
def test_matches_come_nearest_first_and_in_the_number_asked_for(latents, data):
    alive = [i for i, (count, _) in enumerate(latents) if count]
    assume(alive)
    matched = MatchedLatents(with_frequencies(*latents))
    latent, count = data.draw(st.integers(0, len(latents) - 1)), data.draw(st.integers(0, 9))
    excluded = data.draw(st.sets(st.integers(0, len(latents) - 1)))
    nearest = matched.nearest(latent, count, exclude=excluded)
    if latent not in alive:
        assert nearest == []
        return
    place_AX = np.log([(count, np.float32(value)) for count, value in latents if count])
    distance_A = (((place_AX - place_AX[alive.index(latent)]) / matched.std_X) ** 2).sum(1)
    distance = dict(zip(alive, distance_A, strict=True))
    rest = set(alive) - excluded - {latent, *nearest}
    assert len(nearest) == min(count, len(set(alive) - excluded - {latent}))
    assert [distance[match] for match in nearest] == sorted(distance[match] for match in nearest)
    assert all(distance[match] <= distance[other] + 1e-9 for match in nearest for other in rest)


# --- each gate alone --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("d", "p", "reached", "shuffled", "driven", "survives"),
    [
        (0.8, 0.01, 0.5, 0.5, True, True),  # each exactly on its threshold
        (0.79, 0.01, 0.5, 0.49, False, False),
        (0.8, 0.011, 0.5, NAN, False, False),
        (0.8, 0.01, 0.49, 0.49, False, False),
    ],
)
def test_tokens_drive_a_latent_if_effect_p_value_and_reach_all_say_so(d, p, reached, shuffled, driven, survives):
    result = Falsification(d, p, "a triple", reached, shuffled)
    assert (result.driven_by_tokens, result.survives_shuffling) == (driven, survives)
    trial = make_trial(0, "computation", falsification=result)
    assert trial.passes_falsification == trial.passes_all == (not driven and not survives)


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"passes_contrast": False}, False),
        ({"other_surface_auroc": 0.6}, True),
        ({"other_surface_auroc": 0.599}, False),
        ({"matched_ablations": (-0.999,)}, True),  # ablating the latent itself loses 1 nat
        ({"matched_ablations": (-1.0,)}, False),
        ({"matched_ablations": (0.5, -1.0)}, False),  # every match counts, not their mean nor the weakest
        ({"matched_ablations": ()}, False),
        ({"ablation": Effect(Estimate(-1.0, -1.2, -0.8), Estimate(-1.0, -1.9, 0.0))}, False),  # as good as nothing
        ({"ablation": Effect(Estimate(-1.0, -1.2, 0.0), Estimate(-1.0, -1.9, -0.1))}, False),
    ],
)
def test_a_latent_that_fails_one_gate_alone_passes_all_no_longer(changes, passes):
    assert make_trial(0, "computation", **changes).passes_all == passes


def effects_of_edit(latent: int, scale: float) -> EditEffects:
    """Effects that say whose they are: 10 for each latent, and the scale."""
    nats = -10.0 * latent - scale
    rates = tuple(Estimate(nats - n, nats - n - 1, nats - n + 1) for n in (1, 2, 3))
    return EditEffects(
        {"x": Effect(around(nats), around(nats)), "y": Effect(around(99), around(99))}, BehaviorEffects(*rates)
    )


def runner_of_fixed_effects(matches: list[int]) -> tuple[Any, list[Any]]:
    """A runner whose effects are `effects_of_edit`, and the calls that ask for matches."""
    calls = []

    def nearest(latent: int, count: int, *, exclude: Any) -> list[int]:
        calls.append((latent, count, tuple(exclude)))
        return matches

    gates: Any = object.__new__(GateRunner)
    gates.config, gates.passing = RolesConfig(matched_latents=2), {"x": (3, 7), "y": (8,)}
    gates.contrasts, gates.injection_test = {"x": "the contrast x", "y": "the contrast y"}, "the test"
    gates.matched, gates.edit_effects = SimpleNamespace(nearest=nearest), effects_of_edit
    return gates, calls


def test_a_trial_is_evaluated_with_its_own_effects_and_with_those_of_its_matches(monkeypatch):
    gates, calls = runner_of_fixed_effects([5, 6])
    monkeypatch.setattr(gates_module, "falsify", lambda *arguments: arguments)
    evaluated: Any = gates.evaluate(make_trial(3, "computation", "x", falsification=None, ablation=None))
    assert calls == [(3, 2, (3, 7))], "latents that passed the same contrast are no matches"
    assert evaluated.falsification == ("the test", 3, "the contrast x")
    own, doubled = effects_of_edit(3, 0.0), effects_of_edit(3, 2.0)
    assert evaluated.ablation == own.by_contrast["x"] and evaluated.ablated_behavior == own.behavior
    assert evaluated.amplification == doubled.by_contrast["x"] and evaluated.amplified_behavior == doubled.behavior
    assert evaluated.matched_ablations == (-50.0, -60.0)
    assert evaluated.matched_behavior == (-56.0, -57.0, -58.0), "the mean of 5 and 6, for each behavior"
    assert not evaluated.passes_ablation, "its matches do more"


def test_a_latent_that_tokens_drive_is_stopped_by_the_second_gate(monkeypatch):
    """It passes the first and the third."""
    for d, passes in ((0.1, True), (2.0, False)):
        gates, _ = runner_of_fixed_effects([0])
        monkeypatch.setattr(gates_module, "falsify", lambda *_, d=d: Falsification(d, 0.001, "a triple", 1.0, 0.1))
        trial = gates.evaluate(make_trial(3, "computation", "x"))
        assert trial.passes_contrast and trial.passes_ablation
        assert trial.passes_falsification == trial.passes_all == passes


def test_a_latent_without_matches_is_stopped_by_the_third_gate(monkeypatch):
    monkeypatch.setattr(gates_module, "falsify", lambda *_: Falsification(0.1, 0.5, "a triple", 0.2, 0.1))
    for matches, passes in (([0], True), ([], False)):
        gates, _ = runner_of_fixed_effects(matches)
        trial = gates.evaluate(make_trial(3, "computation", "x"))
        assert trial.passes_falsification and trial.passes_ablation == trial.passes_all == passes
        assert len(trial.matched_behavior) == 3 * len(matches)
