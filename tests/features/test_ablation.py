"""One latent is edited, all else stays: its effect is the one worked out by hand, and that of a whole forward pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import FAMILIES, tiny_policy
from features_fixtures import constant_dictionary, label
from grpo_fixtures import make_rollout

from interp.device import eval_mode
from interp.features.ablation import (
    ABLATE,
    AMPLIFY,
    Edit,
    LatentEditor,
    OutcomeMasks,
    estimate_effect,
    scale_latent,
)
from interp.features.suffixes import log_odds
from interp.policy.residual import Layer, ResidualEdit, splice_residual
from interp.policy.site import ADDED, KINDS, Site, site_of
from interp.stats import Estimate, resampled_prompts
from interp.tsae import TSAE
from interp.tsae.sae_lens_forms import Form

LAST, D, TARGET = 2, 32, 7
LENGTHS = (3, 5, 4)
PROMPTS = ((9, 24, 10, 27), (8, 27), (5, 25, 6, 24, 11, 27))
ROLLOUTS = [
    make_rollout(length=n, problem=f"{n}", tokens=tuple((TARGET, 4 + i)[i % 2] for i in range(n)), prompt_ids=prompt)
    for n, prompt in zip(LENGTHS, PROMPTS, strict=True)
]
TOKENS = np.concatenate([rollout.tokens for rollout in ROLLOUTS])
ROLLOUT_OF_TOKEN = np.repeat(np.arange(3), LENGTHS)


def draws(prompts: int, n: int = 400) -> np.ndarray:
    return resampled_prompts(prompts, n, 0).numpy().astype(float)


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


@pytest.fixture(scope="module")
def cause(policy) -> torch.Tensor:
    """A direction that makes the target likelier, read off the head."""
    head = policy.model.lm_head.weight.detach() * policy.model.model.norm.weight.detach()
    return 2 * (head[TARGET] - head.mean(0))


# --- edits -----------------------------------------------------------------------------------------------------------


def test_log_odds_are_those_of_one_token_against_all_others():
    odds = log_odds(torch.tensor([[0.0, np.log(3.0), 0.0]] * 2), torch.tensor([1, 0]))
    assert odds.tolist() == pytest.approx([np.log(3 / 2), np.log(1 / 4)])
    certain = log_odds(torch.tensor([[0.0, 80.0, 0.0]]), torch.tensor([1]))
    assert float(certain[0]) == pytest.approx(80 - np.log(2)), "where the probability is 1 to the last bit"


def test_the_shift_is_the_one_worked_out_by_hand(policy, cause):
    """At the last layer: norm and head, applied to the residual less what the latent adds."""
    editor = LatentEditor(constant_dictionary(cause, layer=LAST), policy, LAST, ROLLOUTS)
    splits = np.cumsum(LENGTHS)[:-1]
    ablated, doubled = (np.split(editor.log_odds_shift(0, scale), splits) for scale in (ABLATE, AMPLIFY))
    for rollout, ablated_T, doubled_T in zip(ROLLOUTS, ablated, doubled, strict=True):
        ids = torch.tensor([[*rollout.prompt_ids, *rollout.tokens]])
        x_LD, start = policy.capture(ids, [LAST])[LAST][0], len(rollout.prompt_ids) - 1

        def odds(x_LD: torch.Tensor, rollout=rollout, start=start) -> torch.Tensor:
            logits_LV = policy.model.lm_head(policy.model.model.norm(x_LD))
            return log_odds(logits_LV[start:-1], torch.tensor(rollout.tokens))

        with torch.no_grad():
            assert ablated_T == pytest.approx((odds(x_LD - cause) - odds(x_LD)).numpy(), abs=1e-3)
            assert doubled_T == pytest.approx((odds(x_LD + cause) - odds(x_LD)).numpy(), abs=1e-3)


def shift_in_a_whole_forward(policy, edit: ResidualEdit, layer: Layer) -> np.ndarray:
    """Rollout by rollout, unpadded, with the edit from the prompt's last token on."""
    shifts = []
    for rollout in ROLLOUTS:
        ids, start = torch.tensor([[*rollout.prompt_ids, *rollout.tokens]]), len(rollout.prompt_ids) - 1
        mask_BL = torch.arange(ids.shape[1])[None] >= start

        def odds(ids=ids, start=start, rollout=rollout) -> torch.Tensor:
            return log_odds(policy.model(ids, use_cache=False).logits[0, start:-1], torch.tensor(rollout.tokens))

        with torch.no_grad(), eval_mode(policy.model):
            clean_T = odds()
            with splice_residual(policy.model, layer, edit, mask_BL=mask_BL):
                shifts.append((odds() - clean_T).numpy())
    return np.concatenate(shifts)


ACTIVATIONS = {
    "everywhere": [[2.0] * 7, [1.0] * 7, [3.0] * 10],
    "in one rollout": [[0.0] * 7, [0.0] * 7, [1.0] * 10],
    "at one token": [[0.0] * 7, [0.0] * 3 + [2.0] + [0.0] * 3, [0.0] * 10],
    "in prompts only": [[1.0] * 3 + [0.0] * 4, [1.0] + [0.0] * 6, [1.0] * 5 + [0.0] * 5],
    "nowhere": [[0.0] * 7, [0.0] * 7, [0.0] * 10],
}
CHANGED = {"everywhere": {0, 1, 2}, "in one rollout": {2}, "at one token": {1}}
"""Rollouts whose tokens change."""


def dictionary_with_activations(policy, layer: Layer) -> TSAE:
    """There are fewer tokens than dimensions, so any activations at all can be read off their residuals."""
    ids = [torch.tensor([[*rollout.prompt_ids, *rollout.tokens]]) for rollout in ROLLOUTS]
    x_ND = torch.cat([policy.capture(row, [layer])[layer][0] for row in ids]).double()
    z_NF = torch.tensor([sum(z, []) for z in ACTIVATIONS.values()]).double().T
    W_enc, F = torch.linalg.lstsq(x_ND, z_NF, driver="gelsd").solution.float(), len(ACTIVATIONS)
    W_dec = torch.randn(F, D, generator=torch.Generator().manual_seed(0))
    bounds = torch.full((F,), 0.5)
    return TSAE(W_enc, torch.zeros(F), W_dec, torch.zeros(D), bounds, block_widths=(F,), layer=site_of(layer).layer)


@pytest.mark.parametrize("layer", [0, 1, LAST])
@pytest.mark.parametrize("family", FAMILIES)
def test_reading_on_from_the_layer_gives_the_shift_of_a_whole_forward_pass(tiny, family, layer, monkeypatch):
    """For rollouts of several lengths in one batch or several, and latents that are active in some only."""
    policy, tsae = tiny[family], dictionary_with_activations(tiny[family], layer)
    for tokens in (8192, 4):
        monkeypatch.setattr("interp.features.ablation.MICRO_TOKENS", tokens)
        editor = LatentEditor(tsae, policy, layer, ROLLOUTS)
        for latent, name in enumerate(ACTIVATIONS):
            for scale in (ABLATE, AMPLIFY):
                shift_N = editor.log_odds_shift(latent, scale)
                expected_N = shift_in_a_whole_forward(policy, scale_latent(tsae, latent, scale), layer)
                np.testing.assert_allclose(shift_N, expected_N, atol=1e-3)
                changed = {i for i in range(3) if np.abs(shift_N[i == ROLLOUT_OF_TOKEN]).max() > 1e-3}
                assert changed == CHANGED.get(name, set())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ADDED])
@pytest.mark.parametrize("layer", [0, 1])
def test_at_any_site_the_shift_is_that_of_a_whole_forward_pass(policy, kind, layer):
    site = Site(layer, kind)
    tsae = replace(dictionary_with_activations(policy, site), site=kind)
    editor = LatentEditor(tsae, policy, layer, ROLLOUTS)
    for latent in range(len(ACTIVATIONS)):
        expected_N = shift_in_a_whole_forward(policy, scale_latent(tsae, latent, ABLATE), site)
        np.testing.assert_allclose(editor.log_odds_shift(latent, ABLATE), expected_N, atol=1e-3)


def test_distances_within_a_sliding_window_are_those_between_tokens():
    """Suffixes begin at different columns, behind prefixes of different lengths, and the window is of three tokens."""
    layer_types = ["sliding_attention", "full_attention"] * 2
    policy = tiny_policy("gemma2", num_hidden_layers=4, sliding_window=3, layer_types=layer_types)
    tsae = dictionary_with_activations(policy, 1)
    editor = LatentEditor(tsae, policy, 1, ROLLOUTS)
    for latent in range(len(ACTIVATIONS)):
        expected_N = shift_in_a_whole_forward(policy, scale_latent(tsae, latent, ABLATE), 1)
        np.testing.assert_allclose(editor.log_odds_shift(latent, ABLATE), expected_N, atol=1e-3)


def test_a_dictionary_that_normalizes_its_input_adds_in_the_unit_of_each_token(policy):
    tsae = replace(dictionary_with_activations(policy, 1), form=Form(normalization="constant_norm_rescale"))
    for latent in range(len(ACTIVATIONS)):
        shift_N = LatentEditor(tsae, policy, 1, ROLLOUTS).log_odds_shift(latent, ABLATE)
        edit = scale_latent(tsae, latent, ABLATE)
        np.testing.assert_allclose(shift_N, shift_in_a_whole_forward(policy, edit, 1), atol=1e-3)
        x_BLD = torch.randn(2, 3, D)
        z_BLF = tsae.encode(x_BLD)
        without = z_BLF.clone()
        without[..., latent] = 0
        removed = tsae.decode(z_BLF, x_BLD) - tsae.decode(without, x_BLD)
        torch.testing.assert_close(x_BLD - edit(x_BLD), removed, atol=1e-4, rtol=1e-4)


def test_many_edits_together_shift_as_each_alone_and_only_wanted_tokens_are_read(policy, monkeypatch):
    tsae = dictionary_with_activations(policy, 1)
    edits = [Edit((latent,), scale) for latent in range(len(ACTIVATIONS)) for scale in (ABLATE, AMPLIFY)]
    edits.append(Edit((0, 2), ABLATE))
    editor = LatentEditor(tsae, policy, 1, ROLLOUTS)
    alone = [editor.log_odds_shift(edit.latents, edit.scale) for edit in edits]
    before = editor.suffix_tokens
    np.testing.assert_allclose(editor.log_odds_shifts(edits), alone, atol=1e-4)
    assert editor.suffix_tokens - before == editor.count_tokens(edits, [None] * len(edits))
    wanted_N = np.isin(np.arange(len(TOKENS)), [1, 4, 9])
    some = editor.log_odds_shifts(edits, [wanted_N] * len(edits))
    np.testing.assert_allclose(some, np.where(wanted_N, alone, 0), atol=1e-4)
    at_one_token = [Edit((list(ACTIVATIONS).index("at one token"),), ABLATE)]
    third_N = np.arange(len(TOKENS)) == LENGTHS[0] + 2  # it is active at the second token of the second rollout
    assert editor.count_tokens(at_one_token, [third_N]) == 1 and editor.count_tokens(at_one_token, [~third_N]) > 1
    assert editor.count_tokens(at_one_token, [np.arange(len(TOKENS)) == LENGTHS[0]]) == 0, "what came before stays"
    assert editor.count_tokens([], []) == 0 and editor.log_odds_shifts([]).shape == (0, len(TOKENS))
    monkeypatch.setattr("interp.features.ablation.LOGITS", 1)
    np.testing.assert_allclose(editor.log_odds_shifts(edits), alone, atol=1e-4)


def test_keys_and_values_that_are_not_kept_are_computed_again(policy, monkeypatch):
    tsae = dictionary_with_activations(policy, 0)
    kept = LatentEditor(tsae, policy, 0, ROLLOUTS)
    monkeypatch.setattr("interp.features.ablation.KEPT_BYTES", 0)
    not_kept = LatentEditor(tsae, policy, 0, ROLLOUTS)
    assert kept.batches[0].read.keys_values is not None and not_kept.batches[0].read.keys_values is None
    np.testing.assert_allclose(not_kept.log_odds_shift(0, ABLATE), kept.log_odds_shift(0, ABLATE), atol=1e-4)


def test_an_edit_that_changes_nothing_shifts_nothing(policy, cause):
    """A latent scaled by 1, and one that is never active."""
    tsae = constant_dictionary(cause, layer=LAST)
    kept_N = LatentEditor(tsae, policy, LAST, ROLLOUTS).log_odds_shift(0, 1.0)
    assert len(kept_N) == len(TOKENS) and np.abs(kept_N).max() < 1e-5
    silent = replace(tsae, threshold=torch.tensor([2.0]))
    assert not LatentEditor(silent, policy, LAST, ROLLOUTS).log_odds_shift(0, ABLATE).any()


@pytest.mark.parametrize("layer", [0, LAST])
def test_an_edit_is_of_one_latent_from_the_last_token_of_the_prompt_on(policy, cause, layer):
    """That token predicts the first written one. The other latent, and what neither explains, stays."""
    tsae, x_BLD = constant_dictionary(cause, -cause, layer=layer), torch.randn(2, 3, D)
    torch.testing.assert_close(scale_latent(tsae, 0, ABLATE)(x_BLD), x_BLD - cause)
    torch.testing.assert_close(scale_latent(tsae, 1, AMPLIFY)(x_BLD), x_BLD - cause)
    shift_N = LatentEditor(tsae, policy, layer, ROLLOUTS).log_odds_shift(0, ABLATE)
    assert np.abs(shift_N[np.r_[0, np.cumsum(LENGTHS)[:-1]]]).min() > 1e-3


def test_empty_rollouts_are_passed_over(policy, cause):
    tsae, empty = constant_dictionary(cause, layer=LAST), make_rollout(length=0, tokens=(), problem="empty")
    with_empty = LatentEditor(tsae, policy, LAST, [ROLLOUTS[0], empty, *ROLLOUTS[1:]])
    without = LatentEditor(tsae, policy, LAST, ROLLOUTS)
    np.testing.assert_allclose(with_empty.log_odds_shift(0, ABLATE), without.log_odds_shift(0, ABLATE))


def test_several_latents_are_ablated_at_once_each_at_the_activation_it_had_before(policy):
    tsae, latents = dictionary_with_activations(policy, 1), [0, 2, 4]

    def without_latents(x_BLD: torch.Tensor) -> torch.Tensor:
        return x_BLD - tsae.encode(x_BLD)[..., latents] @ tsae.W_dec[latents]

    shift_N = LatentEditor(tsae, policy, 1, ROLLOUTS).log_odds_shift(latents, ABLATE)
    np.testing.assert_allclose(shift_N, shift_in_a_whole_forward(policy, without_latents, 1), atol=1e-3)


# --- effects ---------------------------------------------------------------------------------------------------------


def test_an_effect_is_a_mean_over_tokens_and_its_difference_from_others_with_intervals_over_prompts():
    shift_N, problem_N = np.array([-1.0, 5.0, -3.0, -2.0, 1.0]), np.array([0, 0, 1, 2, 1])
    target_N = np.array([True, False, True, True, False])
    effect = estimate_effect(shift_N, target_N, ~target_N, problem_N, draws(3))
    assert effect.target.value == pytest.approx(-2) and -3 <= effect.target.low < -2 < effect.target.high <= -1
    assert effect.difference.value == pytest.approx(-5) and effect.difference.low < -5 < effect.difference.high < 0
    one_prompt = estimate_effect(shift_N, target_N, ~target_N, np.zeros(5, int), np.full((5, 1), 1.0))
    assert one_prompt.target == Estimate(-2.0, -2.0, -2.0, 1) and one_prompt.difference == Estimate(-5.0, -5.0, -5.0, 1)


def test_an_effect_without_target_tokens_or_without_others_is_nan():
    shift_N, problem_N, no_N, all_N = np.array([-1.0, 5.0]), np.array([0, 1]), np.zeros(2, bool), np.ones(2, bool)
    for target_N, other_N, has_target in ((no_N, all_N, False), (all_N, no_N, True)):
        effect = estimate_effect(shift_N, target_N, other_N, problem_N, draws(2))
        assert np.isnan([effect.difference.value, effect.difference.low, effect.difference.high]).all()
        assert (effect.target.value == 2) if has_target else np.isnan(effect.target.value)


def test_draws_without_the_one_or_the_other_kind_of_token_do_not_count():
    target_N = np.array([True, False])
    effect = estimate_effect(np.array([-1.0, 5.0]), target_N, ~target_N, np.array([0, 1]), draws(2))
    assert effect.difference == Estimate(-6.0, -6.0, -6.0, 2)


# --- effects on behavior ---------------------------------------------------------------------------------------------

CHAIN_ROLES, CHAIN_TOKENS = ("operand", "equals", "result", "answer"), (5, 6, 7, 8)


def chain(problem: str, *, valid: bool, correct: bool):
    fields = {"tokens": CHAIN_TOKENS, "length": 4, "roles": CHAIN_ROLES, "format": "steps"}
    return make_rollout(problem=problem, valid=valid, correct=correct, **fields)


def no_chain(problem: str, roles: tuple[str, ...], format: str, *, correct: bool):
    fields = {"tokens": CHAIN_TOKENS[: len(roles)], "length": len(roles), "roles": roles, "format": format}
    return make_rollout(problem=problem, valid=False, correct=correct, **fields)


BEHAVED = [
    chain("a", valid=True, correct=True),
    chain("a", valid=False, correct=True),
    chain("b", valid=False, correct=False),
    no_chain("b", ("marker", "answer"), "direct", correct=True),
    no_chain("c", ("text",), "malformed", correct=False),
]


def test_chains_answers_and_direct_starts_are_found_by_their_verdicts():
    masks = OutcomeMasks.from_labels(label(BEHAVED))
    assert np.flatnonzero(masks.valid_N).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(masks.not_valid_N).tolist() == [*range(4, 12)], "a direct answer is no chain"
    assert np.flatnonzero(masks.right_N).tolist() == [3, 7, 13] and np.flatnonzero(masks.wrong_N).tolist() == [11]
    assert np.flatnonzero(masks.direct_start_N).tolist() == [12], "its first token only"


def test_behavior_effects_are_differences_of_means_over_these_tokens():
    """Valid chains lose 1 per token but at the answer, others a half; right answers gain 2, the wrong one loses 1."""
    shift_N = np.zeros(15)
    shift_N[:4], shift_N[4:12] = -1.0, -0.5
    shift_N[[3, 7, 13]], shift_N[11], shift_N[12] = 2.0, -1.0, 3.0
    effects = OutcomeMasks.from_labels(label(BEHAVED)).effects(shift_N, draws(3, 50))
    chains = (-1 - 1 - 1 + 2) / 4 - (-3 * 0.5 + 2 - 3 * 0.5 - 1) / 8
    np.testing.assert_allclose(effects.values, (chains, 2.0 - -1.0, 3.0))
    assert effects.direct_answer.low == effects.direct_answer.high == 3.0, "there is only one"


def test_behavior_effects_without_such_tokens_are_nan():
    effects = OutcomeMasks.from_labels(label(BEHAVED[4:])).effects(np.ones(1), np.ones((2, 1)))
    assert np.isnan(effects.values).all()
