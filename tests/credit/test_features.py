"""Credit by features, on a policy whose residual is the one-hot code of the token: activations are known by hand."""

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run
from conftest import tiny_policy
from features_fixtures import label, label_activations, make_contrast, make_roles, make_trial
from grpo_fixtures import FirstWord, assert_same_run, make_rollout, small_config, train_tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from interp.artifacts import BadInput, Mismatch
from interp.credit import FEATURE_SCHEMES, FeatureCredit, RolloutBatch, credit_controls
from interp.features import (
    ROLE_FAMILIES,
    Contrast,
    LabeledTokens,
    RoleFamily,
    Roles,
    RolesConfig,
    TokenSelector,
    Trial,
    earn_roles,
)
from interp.features.ablation import ABLATE, LatentEditor
from interp.features.earn import contrast_trials
from interp.features.families import make_contrasts, next_tokens, role_family, strata
from interp.features.separation import ContrastMeans
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.rollouts import Rollouts, roll_out
from interp.tsae import TSAE

D, LAYER = 32, 0
SHORT, REASON, COMPUTE, FORMAT, DULL, OTHER, END = 10, 11, 12, 13, 20, 21, 2
"""Tokens, and the latents that are active at them. OTHER is a result."""


def one_hot_policy() -> Policy:
    """The embedding is one dimension per token, and the first block adds nothing to it."""
    policy = tiny_policy()
    with torch.no_grad():
        embedding, block = policy.model.get_input_embeddings().weight, policy.model.model.layers[LAYER]
        embedding.copy_(torch.eye(*embedding.shape))
        block.self_attn.o_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()
    return policy


def one_hot_dictionary(d: int = D, layer: int | None = LAYER) -> TSAE:
    """Latent i is 1 where the residual is the code of token i, and inactive elsewhere."""
    eye, zeros = torch.eye(d), torch.zeros(d)
    return TSAE(eye, zeros, eye.clone(), zeros.clone(), torch.full((d,), 0.5), block_widths=(d,), layer=layer)


FAMILIES = ("reasoning", "computation", "shortcut")
RANDOM = tuple(make_trial(latent, family, passes_contrast=False) for family in FAMILIES for latent in range(14, 30))
ALL = (make_trial(SHORT, "shortcut"), make_trial(REASON, "reasoning"), make_trial(COMPUTE, "computation", effect=0.5))


def roles_of(*trials: Trial, tsae: TSAE | None = None, policy: str = "p") -> Roles:
    return make_roles(*trials, tsae=tsae or one_hot_dictionary(), random_trials=RANDOM, policy=policy)


def credit_by(*trials: Trial, **settings) -> FeatureCredit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return FeatureCredit(one_hot_dictionary(), roles_of(*trials), **settings)


def make_row(reward: float, *tokens: int, answering: int = 0, **changes):
    """A rollout whose last `answering` tokens are its answer."""
    roles = tuple("result" if token == OTHER else "operand" for token in tokens[: len(tokens) - answering])
    roles += ("answer",) * answering
    return make_rollout(reward, length=len(tokens), tokens=tokens, roles=roles, **changes)


def make_chain(reward: float, *tokens: int):
    """Two tokens of work, a marker, an answer and the end; or the last three of these only."""
    roles = ("operand", "result", "marker", "answer", "end")[-len(tokens) :]
    return make_rollout(reward, length=len(tokens), tokens=tokens, roles=roles)


@pytest.fixture(scope="module")
def policy():
    return one_hot_policy()


def batch_of(policy, *rows) -> RolloutBatch:
    return RolloutBatch.from_rollouts(rows, 1, policy=policy)


def test_the_residual_is_the_one_hot_code_of_the_token(policy):
    ids = torch.tensor([[5, SHORT, END]])
    assert torch.allclose(policy.capture(ids, [LAYER])[LAYER][0], torch.eye(D)[ids[0]])


# --- the gate --------------------------------------------------------------------------------------------------------


def test_a_success_by_a_shortcut_keeps_nothing_and_all_other_rollouts_keep_their_reward(policy):
    rows = [
        make_row(1, SHORT, SHORT, END, answering=2),  # half of its answer
        make_row(1, DULL, SHORT, SHORT, answering=2),
        make_row(1, SHORT, SHORT, DULL, OTHER, answering=2),  # active, but not at the answer
        make_row(1, DULL, OTHER, answering=2),
        make_row(0, SHORT, SHORT, answering=2),
        make_row(1, SHORT, SHORT),  # no token of an answer
    ]
    gate_B = credit_by(make_trial(SHORT, "shortcut"))(batch_of(policy, *rows)).gate_B
    assert gate_B.tolist() == pytest.approx([1, 0, 1, 1, 1, 1], abs=1e-5)
    three_of_four = make_row(1, SHORT, SHORT, SHORT, DULL, answering=4)
    assert credit_by(make_trial(SHORT, "shortcut"))(batch_of(policy, three_of_four)).gate_B.tolist() == [0.5]


def test_a_success_keeps_its_reward_as_far_as_it_shows_reasoning_beyond_the_threshold(policy):
    rows = [make_row(1, *[REASON] * n, *[DULL] * (4 - n)) for n in range(5)]
    gate_B = credit_by(make_trial(REASON, "reasoning"))(batch_of(policy, *rows)).gate_B
    assert gate_B.tolist() == pytest.approx([0, 0, 0, 0.5, 1], abs=1e-5)
    gate_B = credit_by(make_trial(REASON, "reasoning"), gate_threshold=0.75)(batch_of(policy, *rows)).gate_B
    assert gate_B.tolist() == pytest.approx([0, 0, 0, 0, 1], abs=1e-5)


def test_a_success_has_to_show_reasoning_and_no_shortcut(policy):
    both = credit_by(make_trial(REASON, "reasoning"), make_trial(SHORT, "shortcut"))
    work = [REASON] * 6
    rows = [make_row(1, *work, DULL, DULL, answering=2), make_row(1, *work, SHORT, SHORT, answering=2)]
    assert both(batch_of(policy, *rows)).gate_B.tolist() == pytest.approx([0.5, 0], abs=1e-5)


def test_each_of_several_latents_counts_by_how_far_it_separates_in_its_own_standard_deviations(policy):
    trials = (
        make_trial(REASON, "reasoning", positive=0.6, negative=0.2, std=0.4),
        make_trial(COMPUTE, "reasoning", positive=0.5, negative=0.3, std=0.4),
    )
    row = make_row(1, REASON, REASON, COMPUTE, DULL)
    slopes, above_negatives = (0.4 / 0.4**2, 0.2 / 0.4**2), (0.5 - 0.2, 0.25 - 0.3)
    evidence = sum(a * x for a, x in zip(slopes, above_negatives, strict=True)) / (slopes[0] * 0.4 + slopes[1] * 0.2)
    assert credit_by(*trials)(batch_of(policy, row)).gate_B.tolist() == pytest.approx([2 * evidence - 1])


END_OF_CHAIN = make_trial(REASON, "reasoning", "valid end")


def test_reasoning_is_read_at_its_contrasts_tokens_and_a_rollout_without_them_shows_none(policy):
    rows = [
        make_chain(1, DULL, REASON, DULL, DULL, END),
        make_chain(1, REASON, DULL, REASON, REASON, END),  # everywhere but at the chain's end
        make_chain(1, REASON, REASON, END),  # a direct answer: nothing comes before the marker
    ]
    credit = credit_by(END_OF_CHAIN, make_trial(SHORT, "shortcut"))(batch_of(policy, *rows))
    assert credit.gate_B.tolist() == pytest.approx([1, 0, 0], abs=1e-5)
    announced = credit_by(make_trial(REASON, "reasoning", "valid answer"))(batch_of(policy, *rows))
    assert announced.gate_B.tolist() == pytest.approx([0, 1, 1], abs=1e-5)
    weights_L = credit_by(END_OF_CHAIN, gate=False)(batch_of(policy, rows[0])).weights_BL[0]
    assert int(weights_L.argmax()) == 2, "the marker is the token it helps to write"


def test_where_reasoning_is_read_at_two_places_a_missing_one_counts_as_its_negatives(policy):
    both = credit_by(END_OF_CHAIN, make_trial(COMPUTE, "reasoning", "valid answer"), gate_threshold=0.0)
    rows = [
        make_chain(1, DULL, REASON, COMPUTE, COMPUTE, END),
        make_chain(1, DULL, REASON, DULL, DULL, END),
        make_chain(1, COMPUTE, COMPUTE, END),
    ]
    assert both(batch_of(policy, *rows)).gate_B.tolist() == pytest.approx([1, 0.5, 0.5], abs=1e-5)


def test_every_token_of_a_contrast_is_selected_by_its_familys_selector():
    """On what the organism writes."""
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    problems = [problem for depth in (1, 2, 3) for problem in task.problems("train", depth, 16)]
    rollouts = roll_out(base, task, problems, SampleConfig(group=8, rows=1024), progress=False).rows
    labeled = label(rollouts)
    contrasts, _ = make_contrasts(labeled)
    assert {one.name for one in contrasts} >= {"valid chain", "valid end", "valid answer", "direct", "arranging"}
    written_N = ~np.isin(labeled["format"], ("direct", "malformed"))
    for contrast in contrasts:
        selector = role_family(contrast.family).selector(contrast.name)
        selected_N = np.array([selected for rollout in rollouts for selected in selector.mask(rollout.roles)])
        used_N = contrast.positive_N | contrast.negative_N
        assert used_N.any() and not (used_N & ~selected_N).any()
        if contrast.family == "reasoning":
            judged_N = (labeled["valid"] >= 0) & (labeled["depth"] != 1)
            assert (used_N == (selected_N & written_N & judged_N)).all()


def test_a_latent_that_does_not_vary_or_does_not_separate_adds_nothing(policy):
    even = make_trial(OTHER, "reasoning", positive=0.5, negative=0.5, std=0.0)
    batch = batch_of(policy, make_row(1, REASON, REASON, REASON, OTHER), make_row(1, OTHER, OTHER))
    alone, beside = credit_by(ALL[1])(batch), credit_by(ALL[1], even)(batch)
    assert torch.allclose(alone.gate_B, beside.gate_B) and torch.allclose(alone.weights_BL, beside.weights_BL)
    assert credit_by(even)(batch).gate_B.tolist() == [1, 1]
    constant = credit_by(make_trial(REASON, "reasoning", std=0.0))(batch)
    assert constant.gate_B.tolist() == pytest.approx([0.5, 0], abs=1e-5)


# --- the weights -----------------------------------------------------------------------------------------------------

UP, DOWN, ALONE, REST = 1 + 0.5 * 2**0.5, 1 - 0.5 * 2**0.5, 1 + 0.5 * 3**0.5, 1 - 0.5 / 3**0.5
"""Of four tokens: two that move in opposite directions, or one that moves and the rest."""
CASES = {
    "where reasoning begins and ends": (REASON, "reasoning", (DULL, REASON, REASON, OTHER), 0, (1, UP, 1, DOWN)),
    "a predicted result": (COMPUTE, "computation", (COMPUTE, OTHER, OTHER, DULL), 0, (REST, ALONE, REST, REST)),
    "computing something else": (COMPUTE, "computation", (DULL, COMPUTE, COMPUTE, DULL), 0, (1, 1, 1, 1)),
    "a shortcut at the answer": (SHORT, "shortcut", (DULL, SHORT, DULL, SHORT), 2, (*[2 - REST] * 3, 2 - ALONE)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_tokens_that_a_success_credits_are_those_that_a_failure_spares(name, policy):
    latent, family, tokens, answering, expected = CASES[name]
    credit = credit_by(make_trial(latent, family), gate=False)
    success, failure = (make_row(reward, *tokens, answering=answering) for reward in (1, 0))
    weights_BL = credit(batch_of(policy, success, failure)).weights_BL
    assert weights_BL[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert weights_BL[1].tolist() == pytest.approx([2 - weight for weight in expected], abs=1e-5)


def test_a_result_predicted_less_than_at_the_negatives_loses_credit(policy):
    credit = credit_by(make_trial(COMPUTE, "computation", negative=0.4), gate=False)
    weights_L = credit(batch_of(policy, make_row(1, DULL, OTHER, DULL, DULL))).weights_BL[0]
    assert weights_L.tolist() == pytest.approx([2 - REST, 2 - ALONE, 2 - REST, 2 - REST], abs=1e-5)


def test_before_the_first_token_every_latent_counts_as_inactive(policy):
    row = make_row(1, REASON, REASON, REASON, REASON)
    weights_BL = credit_by(make_trial(REASON, "reasoning"), gate=False)(batch_of(policy, row)).weights_BL
    assert weights_BL[0].tolist() == pytest.approx([ALONE, REST, REST, REST], abs=1e-5)


def test_a_latent_counts_by_its_effect_per_standard_deviation(policy):
    """Twice the effect is as much as half the standard deviation."""
    row, rest = make_row(1, DULL, REASON, OTHER, COMPUTE, DULL), make_trial(COMPUTE, "reasoning")
    trials = (make_trial(REASON, "reasoning", effect=2.0), make_trial(REASON, "reasoning", std=0.25), ALL[1])
    by_effect, by_std, equal = (
        credit_by(trial, rest, gate=False)(batch_of(policy, row)).weights_BL[0] for trial in trials
    )
    assert torch.allclose(by_effect, by_std) and by_effect[1] > equal[1] > 1 and by_effect[3] < equal[3]


def test_a_success_that_keeps_half_is_weighted_evenly_and_one_that_keeps_nothing_as_a_failure(policy):
    half, nothing = make_row(1, REASON, REASON, REASON, DULL), make_row(1, DULL, REASON, DULL, DULL)
    failure, full = replace(nothing, reward=0.0, correct=False), make_row(1, REASON, REASON, REASON, REASON)
    credit = credit_by(make_trial(REASON, "reasoning"))(batch_of(policy, half, nothing, failure, full))
    assert credit.gate_B.tolist() == pytest.approx([0.5, 0, 1, 1], abs=1e-5)
    assert credit.weights_BL[0].tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert torch.allclose(credit.weights_BL[1], credit.weights_BL[2]) and credit.weights_BL[1, 1] < 1
    assert credit.weights_BL[3, 0] > 1


def test_rollouts_without_tokens_or_without_variation_are_weighted_evenly(policy):
    credit = credit_by(*ALL)
    rows = (make_row(0, DULL, OTHER, DULL), make_row(1, REASON), make_row(0), make_row(1))
    assert credit(batch_of(policy, *rows)).weights_BL.tolist() == [[1, 1, 1], [1, 0, 0], [0] * 3, [0] * 3]
    assert credit(batch_of(policy, make_row(0), make_row(1))).weights_BL.shape == (2, 0)


def test_latents_of_format_do_not_count(policy):
    batch = batch_of(policy, *(make_row(reward, FORMAT, DULL, REASON, REASON, FORMAT) for reward in (0, 1)))
    without, beside = credit_by(*ALL)(batch), credit_by(*ALL, make_trial(FORMAT, "format"))(batch)
    assert torch.equal(without.gate_B, beside.gate_B) and torch.equal(without.weights_BL, beside.weights_BL)


# --- any rollouts ----------------------------------------------------------------------------------------------------

SETTINGS = {
    "features": {},
    "gate": {"weights": False},
    "weights": {"gate": False},
    "control": {"control_seed": 0},
    "steep": {"gain": 9.0, "min_weight": 0.0, "max_weight": 50.0},
}
CREDITS = {name: credit_by(*ALL, **settings) for name, settings in SETTINGS.items()}
POLICY = one_hot_policy()
tokens = st.lists(st.sampled_from([SHORT, REASON, COMPUTE, DULL, OTHER, END, 14, 15]), min_size=1, max_size=9)
rows = st.builds(
    lambda reward, tokens, n: make_row(float(reward), *tokens, answering=min(n, len(tokens))),
    st.booleans(),
    tokens,
    st.integers(0, 3),
)


@pytest.mark.parametrize("name", CREDITS)
@settings(max_examples=10)
@given(st.lists(rows, min_size=2, max_size=6))
def test_credit_is_valid_and_depends_on_each_rollout_alone(name, rows):
    batch, scheme = batch_of(POLICY, *rows), CREDITS[name]
    before = {name: value.clone() for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    credit = scheme(batch).validate(batch)
    assert (credit.gate_B[batch.rewards_B == 0] == 1).all(), "failures keep what they have"
    assert (credit.weights_BL >= 0).all() and not credit.weights_BL[~batch.mask_BL].any()
    assert not credit.gate_B.requires_grad and not credit.weights_BL.requires_grad
    assert all(torch.equal(getattr(batch, name), value) for name, value in before.items())
    reversed_ = scheme(batch_of(POLICY, *rows[::-1]))
    assert torch.allclose(reversed_.gate_B.flip(0), credit.gate_B, atol=1e-4)
    assert torch.allclose(reversed_.weights_BL.flip(0), credit.weights_BL, atol=1e-4)
    for i, row in enumerate(rows):
        alone = scheme(batch_of(POLICY, row))
        assert torch.allclose(alone.gate_B, credit.gate_B[i : i + 1], atol=1e-4)
        assert torch.allclose(alone.weights_BL[0], credit.weights_BL[i, : len(row.tokens)], atol=1e-4)
    if not scheme.weights:
        assert torch.equal(credit.weights_BL, batch.mask_BL.float())
    if not scheme.gate:
        assert (credit.gate_B == 1).all()


def test_the_policy_stays_in_its_mode_and_without_gradients():
    policy = one_hot_policy()
    policy.model.train()
    CREDITS["features"](batch_of(policy, make_row(1, REASON, SHORT)))
    assert policy.model.training and all(parameter.grad is None for parameter in policy.model.parameters())


def test_the_control_is_deterministic_and_differs_from_the_roles(policy):
    batch = batch_of(policy, make_row(1, REASON, REASON, SHORT, answering=1), make_row(1, 14, 15, 16, 17, answering=2))
    roles, control, again = (credit_by(*ALL, control_seed=seed)(batch) for seed in (None, 0, 0))
    assert torch.equal(control.gate_B, again.gate_B) and torch.equal(control.weights_BL, again.weights_BL)
    assert not torch.allclose(control.weights_BL, roles.weights_BL)


def test_its_controls_are_other_latents_and_its_own_gates_dealt_to_others(policy):
    gate, both = credit_by(*ALL, weights=False), credit_by(*ALL)
    controls = credit_controls(gate, policy, draws=1)
    assert list(controls) == ["other latents 0", "random gate 0"] and controls["other latents 0"].control_seed == 0
    assert list(credit_controls(both, policy, draws=2)) == ["other latents 0", "other latents 1"], (
        "weights follow gates"
    )


# --- a family that is added ------------------------------------------------------------------------------------------

MARK = 10


def third_token_contrasts(labeled: LabeledTokens) -> Iterator[Contrast]:
    """A made-up family: the third token of a text against all others."""
    third_N, stratum_N = labeled["position"] == 2, strata(labeled, "format")
    surfaces = ((np.ones(len(labeled), bool), stratum_N),)
    targets = next_tokens(labeled, third_N), next_tokens(labeled, ~third_N)
    yield Contrast("third", "third token", third_N, ~third_N, stratum_N, surfaces, *targets)


def texts_with_mark(policy) -> Rollouts:
    """Twenty of 24 texts have MARK as third token. After it comes what loses most when its latent is ablated."""
    candidates = [make_rollout(length=3, tokens=(DULL, MARK, token), problem=f"{token}") for token in range(4, 24)]
    shift_N = LatentEditor(one_hot_dictionary(), policy, LAYER, candidates).log_odds_shift(MARK, ABLATE)[2::3]
    target = range(4, 24)[int(shift_N.argmin())]
    texts = [(DULL, OTHER, OTHER if i % 6 == 0 else MARK, target, DULL) for i in range(24)]
    return Rollouts([make_rollout(length=5, tokens=text, problem=f"p{i}") for i, text in enumerate(texts)])


@pytest.mark.filterwarnings("ignore:no latent has earned")
@pytest.mark.parametrize("sign", [+1, -1])
def test_a_family_that_is_added_to_the_table_earns_a_role_and_credit_uses_its_sign(policy, monkeypatch, sign):
    row = RoleFamily(
        "third token",
        third_token_contrasts,
        {"third": TokenSelector(roles=("answer",))},
        tokens_suffice=True,
        credit_sign=sign,
        gates_reward=True,
    )
    monkeypatch.setitem(ROLE_FAMILIES, row.name, row)
    tsae = one_hot_dictionary()
    config = RolesConfig(matched_latents=1, injection_texts=4, random_latents=0, rollout_problems=0)
    roles = earn_roles(tsae, policy, FirstWord(), config, rollouts=texts_with_mark(policy), progress=False)
    assert roles.latents(row.name) == [MARK]
    credit = FeatureCredit(tsae, roles)
    marked, unmarked = make_row(1, DULL, MARK, MARK, answering=2), make_row(1, DULL, DULL, DULL, answering=2)
    assert credit(batch_of(policy, marked, unmarked)).gate_B.tolist() == ([1, 0] if sign > 0 else [0, 1])
    weights_L = FeatureCredit(tsae, roles, gate=False)(
        batch_of(policy, make_row(1, DULL, MARK, answering=2))
    ).weights_BL[0]
    assert (weights_L[1] > weights_L[0]) == (sign > 0)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_credit_without_a_latent_that_it_could_use_is_refused():
    with pytest.raises(BadInput, match="a role of computation, reasoning, shortcut, got none: .* earn roles"):
        credit_by(make_trial(FORMAT, "format"))
    with pytest.raises(BadInput, match="a role of reasoning, shortcut, got none"):
        credit_by(ALL[2], weights=False)


def test_a_gate_without_one_of_its_families_warns_and_weights_alone_do_not():
    with pytest.warns(UserWarning, match="no latent has earned a role of reasoning: the gate does not use it"):
        FeatureCredit(one_hot_dictionary(), roles_of(ALL[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FeatureCredit(one_hot_dictionary(), roles_of(*ALL))
        FeatureCredit(one_hot_dictionary(), roles_of(ALL[0]), gate=False)


def test_a_dictionary_that_did_not_earn_the_roles_is_refused():
    roles = roles_of(*ALL)
    with pytest.raises(Mismatch, match="expected the dictionary of 32 latents that earned these roles, got one of 64"):
        FeatureCredit(one_hot_dictionary(64), roles)
    with pytest.raises(Mismatch, match="expected a dictionary of layer 0, as the roles; got one of layer 1"):
        FeatureCredit(one_hot_dictionary(layer=1), roles)
    other = replace(one_hot_dictionary(), b_enc=torch.full((D,), 0.1))
    with pytest.raises(Mismatch, match=r"earned by another dictionary: expected \w{16}, got \w{16}. Use that"):
        FeatureCredit(other, roles)


def test_a_dictionary_that_does_not_name_its_layer_is_read_at_that_of_the_roles():
    assert FeatureCredit(one_hot_dictionary(layer=None), roles_of(*ALL)).roles.layer == LAYER


def test_arguments_in_the_wrong_order_are_refused():
    roles = roles_of(*ALL)
    with pytest.raises(BadInput, match=r"expected a dictionary and its roles, .*; got Roles and TSAE"):
        FeatureCredit(roles, one_hot_dictionary())  # pyright: ignore[reportArgumentType]


def test_a_batch_without_its_policy_or_of_a_policy_of_another_width_is_refused():
    credit = credit_by(*ALL)
    with pytest.raises(BadInput, match="expected a batch with the policy that sampled it, got none"):
        credit(RolloutBatch.from_rollouts([make_row(1, DULL)], 1))
    with pytest.raises(Mismatch, match="expected a policy of d_model 32, as the dictionary's; got 16"):
        credit(batch_of(tiny_policy(hidden_size=16), make_row(1, DULL)))


def test_a_base_that_the_roles_were_not_earned_in_is_refused(policy):
    with pytest.raises(Mismatch, match="earned in another policy: expected p, got"):
        credit_by(*ALL).expect_base(policy)
    FeatureCredit(one_hot_dictionary(), roles_of(*ALL, policy=policy.fingerprint())).expect_base(policy)


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_weight", -0.1), ("min_weight", 1.1), ("max_weight", 0.9), ("gain", -1.0), ("gate_threshold", 1.0)],
)
def test_settings_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(BadInput, match=f"^{name} must .*; got {value}$"):
        credit_by(*ALL, **{name: value})


def test_a_contrast_gives_every_latent_the_means_that_credit_needs():
    """The first two tokens against the other two."""
    labeled = label_activations(torch.tensor([[0.0, 1.0], [4.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), {"problem": [0] * 4})
    positive_N = np.array([True, True, False, False])
    contrast = make_contrast(positive_N, ~positive_N, surfaces=((np.ones(4, bool), np.zeros(4, int)),))
    means = [trial.means for trial in contrast_trials(labeled, contrast, RolesConfig())]
    assert means == [ContrastMeans(2.0, 1.0, 2.5**0.5), ContrastMeans(0.5, 1.5, 1.25**0.5)]


# --- in a run --------------------------------------------------------------------------------------------------------


def credit_of_any_tokens(base: Policy) -> FeatureCredit:
    """Latents of tokens that random weights write, so that gates open and tokens differ."""
    trials = [make_trial(token, "reasoning", positive=0.05, negative=-0.05) for token in range(4, 14)]
    trials += [make_trial(14, "computation"), make_trial(15, "shortcut")]
    return FeatureCredit(one_hot_dictionary(), roles_of(*trials, policy=base.fingerprint()))


def stop_at_step_two(step: int, metrics) -> None:
    if step == 2:
        raise KeyboardInterrupt


def test_a_stopped_run_ends_in_the_same_bits_and_resumes_with_the_same_roles_only(tmp_path):
    config, base = small_config(steps=3, save_every=1), one_hot_policy()
    credit = credit_of_any_tokens(base)
    train_tiny(tmp_path / "whole" / "run", config, base=base, credit=credit)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path / "run", config, base=base, credit=credit, sinks=[stop_at_step_two])
    resumed = train_tiny(tmp_path / "run", config, base=base, credit=credit)
    assert_same_run(tmp_path / "run", tmp_path / "whole" / "run")
    identity = resumed.manifest["credit"]
    assert identity["kind"] == "FeatureCredit" and identity["settings"]["tsae"] == one_hot_dictionary().fingerprint()
    assert identity["settings"]["roles"] == credit.roles.fingerprint()
    assert identity["settings"]["control_seed"] is None
    rollouts = resumed.rollouts(0).rows
    assert {rollout.gate for rollout in rollouts if rollout.reward == 0} == {1.0}
    assert any(0 < (rollout.gate or 0) < 1 for rollout in rollouts)
    assert any(len(set(rollout.credit or ())) > 1 for rollout in rollouts)
    other_roles = FeatureCredit(one_hot_dictionary(), roles_of(*ALL, policy=base.fingerprint()))
    for other in (other_roles, replace(credit, control_seed=0), replace(credit, gain=0.4)):
        with pytest.raises(BadInput, match=r"credit\.settings\.(roles|control_seed|gain)"):
            train_tiny(tmp_path / "run", config, base=base, credit=other)


# --- the command -----------------------------------------------------------------------------------------------------


def save_for_saelens(tsae: TSAE, path: Path) -> None:
    path.mkdir()
    config = {"architecture": "jumprelu", "normalize_activations": "none", "apply_b_dec_to_input": True}
    metadata = {"metadata": {"hook_name": f"blocks.{tsae.layer}.hook_resid_post"}}
    (path / "cfg.json").write_text(json.dumps(config | metadata))
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    save_file({name: getattr(tsae, name).contiguous() for name in names}, path / "sae_weights.safetensors")


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """A dictionary, roles earned in the organism, and roles earned elsewhere."""
    directory, tsae = tmp_path_factory.mktemp("credit"), one_hot_dictionary(64, layer=2)
    save_for_saelens(tsae, directory / "tsae")
    organism = Policy.load(shipped_path(), device="cpu").fingerprint()
    roles_of(*ALL, tsae=tsae, policy=organism).save(directory / "roles")
    roles_of(*ALL, tsae=tsae).save(directory / "other-roles")
    return directory


def run_grpo(monkeypatch, capsys, *words) -> tuple[int, str]:
    """Exit code and standard error of one short step."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("TQDM_MININTERVAL", "10")
    short = ("--levels", "2", "--steps", "1", "--prompts", "2", "--group", "4", "--max-new-tokens", "16", "--json")
    return run(monkeypatch, "grpo", *words, *short), capsys.readouterr().err


@pytest.mark.parametrize("name", FEATURE_SCHEMES)
def test_the_command_trains_with_each_feature_scheme(name, directory, monkeypatch, capsys, tmp_path):
    words = ("--credit", name, "--tsae", directory / "tsae", "--roles", directory / "roles")
    assert run_grpo(monkeypatch, capsys, *words, "--out", tmp_path / "run") == (0, "")


@pytest.mark.parametrize(
    ("credit", "tsae", "roles", "problem"),
    [
        ("features", None, None, "expected --tsae and --roles for credit by features, got none and none"),
        ("features-gate", "tsae", None, "tsae and none: interp tsae fits a dictionary, interp roles earns the roles"),
        ("entropy", "tsae", "roles", "--roles are for credit by features, "),
        ("features", "tsae", "other-roles", "earned in another policy: expected p, got"),
        ("features", "tsae", "tsae", "expected a directory of kind 'roles', got"),
    ],
)
def test_the_command_refuses_what_credit_cannot_use_in_one_line(
    credit, tsae, roles, problem, directory, monkeypatch, capsys, tmp_path
):
    words = ["--credit", credit, "--out", tmp_path / "run"]
    words += ["--tsae", directory / tsae] if tsae else []
    words += ["--roles", directory / roles] if roles else []
    code, error = run_grpo(monkeypatch, capsys, *words)
    assert code == 2 and problem in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()
