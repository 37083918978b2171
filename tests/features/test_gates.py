"""What it takes to pass each gate, by hand; a planted cause through all of them; and the latents it is matched with."""

from dataclasses import replace
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
from interp.features import runner as runner_module
from interp.features.ablation import BehaviorEffects, Effect
from interp.features.falsification import Falsification
from interp.features.gates import MatchedLatents
from interp.features.runner import GateRunner, choose_finalists
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
    causal, beside = gates.evaluate_all([make_trial(latent, "computation", "x") for latent in (0, 1)])
    assert len(causal.matched_ablations) == len(beside.matched_ablations) == 4
    assert causal.passes_ablation and not beside.passes_ablation
    effects = [trial.ablation.target.value for trial in (causal, beside) if trial.ablation]
    assert effects[0] < -0.1 < effects[1]


def test_nothing_is_sampled_where_no_role_was_earned():
    gates = object.__new__(GateRunner)
    gates.config = RolesConfig(rollout_problems=9)
    assert gates.sample_edited([], Chain()) == []


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


class FixedEffects:
    """Effects that say whose they are: 10 for each latent, and the scale; and what was asked for."""

    def __init__(self) -> None:
        self.edits: list[tuple[int, float]] = []

    def measure(self, wanted: Any, on_tokens: Any = None) -> None:
        self.edits += [(one.latent, one.scale) for one in wanted]

    def count_tokens(self, wanted: Any) -> tuple[int, int]:
        return len(wanted), len(wanted)

    def nats(self, latent: int, scale: float) -> float:
        return -10.0 * latent - scale

    def effect(self, latent: int, scale: float, contrast: str) -> Effect:
        nats = self.nats(latent, scale)
        return Effect(around(nats), around(nats)) if contrast == "x" else Effect(around(99), around(99))

    def behavior(self, latent: int, scale: float) -> BehaviorEffects:
        nats = self.nats(latent, scale)
        return BehaviorEffects(*(Estimate(nats - n, nats - n - 1, nats - n + 1) for n in (1, 2, 3)))


def runner_of_fixed_effects(matches: list[int], monkeypatch, d: float = 0.1, **config: Any) -> tuple[Any, list[Any]]:
    """A runner whose effects are `FixedEffects`, and the calls that ask for matches."""
    calls = []

    def nearest(latent: int, count: int, *, exclude: Any) -> list[int]:
        calls.append((latent, count, tuple(exclude)))
        return matches

    gates: Any = object.__new__(GateRunner)
    gates.config, gates.passing = RolesConfig(matched_latents=2, **config), {"x": (3, 7), "y": (8,)}
    gates.contrasts, gates.injection_test, gates.progress = {"x": "the contrast x", "y": "y"}, "the test", False
    gates.matched, gates.measured = SimpleNamespace(nearest=nearest), FixedEffects()
    gates._attribution = {"x": -np.arange(9.0)}
    monkeypatch.setattr(GateRunner, "_say_cost", lambda *_, **__: None)
    falsification = Falsification(d, 0.001, "a triple", 1.0, 0.1)
    gates.falsified = []

    def falsify_all(test: Any, tried: list[Any], on_latents: Any) -> list[Falsification]:
        gates.falsified += [(test, *each) for each in tried]
        return [falsification] * len(tried)

    monkeypatch.setattr(runner_module, "falsify_all", falsify_all)
    return gates, calls


def test_a_trial_is_evaluated_with_its_own_effects_and_with_those_of_its_matches(monkeypatch):
    gates, calls = runner_of_fixed_effects([5, 6], monkeypatch)
    evaluated: Any = gates.evaluate_all([make_trial(3, "computation", "x", falsification=None, ablation=None)])[0]
    assert set(calls) == {(3, 2, (3, 7))}, "latents that passed the same contrast are no matches"
    assert gates.falsified == [("the test", 3, "the contrast x")] and evaluated.falsification.d == 0.1
    fixed = gates.measured
    assert evaluated.ablation == fixed.effect(3, 0.0, "x") and evaluated.ablated_behavior == fixed.behavior(3, 0.0)
    assert evaluated.amplification == fixed.effect(3, 2.0, "x")
    assert evaluated.amplified_behavior == fixed.behavior(3, 2.0)
    assert evaluated.matched_ablations == (-50.0, -60.0)
    assert evaluated.matched_behavior == (-56.0, -57.0, -58.0), "the mean of 5 and 6, for each behavior"
    assert not evaluated.passes_ablation, "its matches do more"
    assert set(fixed.edits) == {(3, 0.0), (3, 2.0), (5, 0.0), (6, 0.0)}, "all are measured at once"


def test_a_latent_that_tokens_drive_is_stopped_by_the_second_gate(monkeypatch):
    """It passes the first and the third."""
    for d, passes in ((0.1, True), (2.0, False)):
        gates, _ = runner_of_fixed_effects([0], monkeypatch, d)
        (trial,) = gates.evaluate_all([make_trial(3, "computation", "x")])
        assert trial.passes_contrast and trial.passes_ablation
        assert trial.passes_falsification == trial.passes_all == passes


def test_a_latent_without_matches_is_stopped_by_the_third_gate(monkeypatch):
    for matches, passes in (([0], True), ([], False)):
        gates, _ = runner_of_fixed_effects(matches, monkeypatch)
        (trial,) = gates.evaluate_all([make_trial(3, "computation", "x")])
        assert trial.passes_falsification and trial.passes_ablation == trial.passes_all == passes
        assert len(trial.matched_behavior) == 3 * len(matches)


# --- finalists -------------------------------------------------------------------------------------------------------

UNTRIED: dict[str, Any] = {"falsification": None, "ablation": None, "amplification": None, "matched_ablations": ()}


def trial_of(latent: int, **changes: Any) -> Any:
    return make_trial(latent, "computation", "x", **(UNTRIED | changes))


def test_finalists_are_those_of_the_largest_first_order_effects_among_those_that_can_still_earn_a_role():
    trials = [
        trial_of(0, attribution=-0.1),
        trial_of(1, attribution=0.5),
        trial_of(2, attribution=-9.0, passes_contrast=False),
        trial_of(3, attribution=-9.0, other_surface_auroc=0.5),
        trial_of(4, attribution=-0.3),
        make_trial(5, "format", "y", attribution=-0.01),
    ]
    assert choose_finalists(trials, 1) == [1, 5], "one of each kind of contrast, whatever the sign"
    assert choose_finalists(trials, 2) == [1, 4, 5] and choose_finalists(trials, 9) == [0, 1, 4, 5]
    assert choose_finalists([], 3) == []


def test_each_group_has_its_own_finalists(monkeypatch):
    gates, _ = runner_of_fixed_effects([0], monkeypatch, finalists=1)
    candidates, random_trials = gates.evaluate([[trial_of(2), trial_of(5)], [trial_of(1), trial_of(4)]])
    assert [trial.attribution for trial in (*candidates, *random_trials)] == [-2, -5, -1, -4]
    assert [trial.ablation is None for trial in (*candidates, *random_trials)] == [True, False, True, False]
    assert [trial.passes_all for trial in (*candidates, *random_trials)] == [False, True, False, True]


def test_a_finalist_that_passes_holds_all_that_it_would_without_finalists(monkeypatch):
    gates, _ = runner_of_fixed_effects([1, 2], monkeypatch, finalists=9)
    ((finalist,),) = gates.evaluate([[trial_of(5)]])
    everything, _ = runner_of_fixed_effects([1, 2], monkeypatch)
    ((alone,),) = everything.evaluate([[trial_of(5)]])
    assert finalist.passes_all and replace(finalist, attribution=None) == alone


@pytest.mark.parametrize(
    ("latent", "matches", "d", "edits", "falsified"),
    [
        (0, [1, 2], 0.1, [(0, 0.0)], 0),  # no effect of its own
        (5, [1, 6, 2], 0.1, [(5, 0.0), (6, 0.0)], 0),  # stopped by the match with the largest first-order effect
        (5, [1, 2], 2.0, [(5, 0.0), (2, 0.0), (2, 0.0), (1, 0.0)], 1),  # compared with all; driven by tokens
    ],
)
def test_a_finalist_that_fails_a_gate_is_not_tried_in_the_next(monkeypatch, latent, matches, d, edits, falsified):
    gates, _ = runner_of_fixed_effects(matches, monkeypatch, d, finalists=9)
    ((trial,),) = gates.evaluate([[trial_of(latent)]])
    assert not trial.passes_all and trial.ablation is not None and trial.amplification is None
    assert gates.measured.edits == edits and len(gates.falsified) == falsified


def test_the_cost_is_said_before_it_is_paid(monkeypatch):
    """Two forwards a second were measured, of 10 tokens each, and a text takes no time."""
    said: list[tuple[str, float]] = []
    monkeypatch.setattr(runner_module, "say_time", lambda what, seconds: said.append((what, seconds)))
    gates: Any = object.__new__(GateRunner)
    gates.editor = SimpleNamespace(seconds=5.0, suffix_tokens=100, forwards=10)
    gates.measured = SimpleNamespace(count_tokens=lambda wanted: (36, 72_000))
    gates.injection_test = SimpleNamespace(random_token_peak=lambda *_, **__: None, texts=[None] * 48)
    gates._say_cost([trial_of(0), trial_of(1)], [])
    ((what, seconds),) = said
    assert seconds == pytest.approx(3600, rel=0.01)
    assert "2 latents (36 edits, in about 7,200 forwards" in what and "288 texts" in what and "finalists" in what
