"""Roles earned from end to end, and what the contrast gate does with every latent."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from features_fixtures import axes_dictionary, label_activations, make_contrast, make_trial
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput, Mismatch
from interp.features import Roles, RolesConfig, earn, earn_roles
from interp.features.ablation import ABLATE, AMPLIFY
from interp.features.earn import (
    best_trials,
    contrast_sums,
    contrast_text,
    contrast_trials,
    correct_trials,
    select_candidates,
)
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.rollouts import Rollouts, Series, roll_out
from interp.tasks import JsonlTask
from interp.tsae import TSAE

D, LAYER = 64, 2
FEW = RolesConfig(
    levels=(1, 2),
    problems=12,
    max_candidates=2,
    random_latents=2,
    matched_latents=3,
    injection_texts=8,
    sampling=SampleConfig(group=4, rows=256),
)
EMPTY = Rollouts([make_rollout(length=0, tokens=())])
"""The last thing that is refused before any work."""
ALL_EMPTY = "expected rollouts with completions, got 1 that are all empty"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(shipped_path(), device="cpu")


@pytest.fixture(scope="module")
def task():
    return load_task(shipped_path())


@pytest.fixture(scope="module")
def tsae() -> TSAE:
    return axes_dictionary(D, LAYER)


@pytest.fixture(scope="module")
def roles(policy, task, tsae) -> Roles:
    """Roles of the axes of the organism's residual, from a few problems."""
    config = replace(FEW, levels=(2, 8), problems=16, rollout_problems=4)
    return earn_roles(tsae, policy, task, config, progress=False)


# --- from end to end -------------------------------------------------------------------------------------------------


def test_candidates_and_random_latents_go_through_the_same_gates(policy, roles):
    assert {"copy", "cue"} <= set(roles.missing_contrasts), "no shortcut is planted"
    assert roles.made_from["policy"] == policy.fingerprint() and (roles.width, roles.layer) == (2 * D, LAYER)
    families = {trial.family for trial in roles.trials}
    assert {"format", "shortcut", "computation"} <= families
    assert all(trial.passes_contrast and trial.falsification and trial.ablation for trial in roles.trials)
    assert all(len(trial.matched_ablations) == 3 for trial in roles.trials)
    for kind in {trial.kind for trial in roles.trials}:
        assert sum(trial.kind == kind for trial in roles.trials) <= 2
    assert {trial.family for trial in roles.random_trials} >= {"computation", "reasoning", "shortcut", "format"}
    assert all(trial.ablation for trial in roles.random_trials)
    kinds = {trial.kind for trial in roles.random_trials}
    assert all(sum(trial.kind == kind for trial in roles.random_trials) == 2 for kind in kinds)
    assert all(roles.role_of(latent) == family for family in families for latent in roles.latents(family))


def test_each_role_latent_and_its_nearest_match_without_a_role_are_ablated_and_doubled_while_sampling(roles):
    role_latents = list(dict.fromkeys(trial.latent for trial in roles.trials if trial.passes_all))
    assert role_latents, "else nothing is tested"
    for scale in (ABLATE, AMPLIFY):
        effects = [effect for effect in roles.rollout_effects if effect.scale == scale]
        assert [effect.latent for effect in effects if effect.match_of is None] == role_latents
        matches = {effect.match_of: effect.latent for effect in effects if effect.match_of is not None}
        assert list(matches) == role_latents and not set(matches.values()) & set(role_latents)
    assert all(effect.correct.low <= effect.correct.value <= effect.correct.high for effect in roles.rollout_effects)


def test_behavior_effects_are_of_the_latent_whatever_the_contrast(roles):
    effects: dict[int, set[object]] = {}
    for trial in (*roles.trials, *roles.random_trials):
        assert trial.ablated_behavior and trial.amplified_behavior and len(trial.matched_behavior) == 3
        effects.setdefault(trial.latent, set()).add((trial.ablated_behavior, trial.amplified_behavior))
    assert all(len(of_latent) == 1 for of_latent in effects.values())


def test_rollouts_that_are_given_are_used_and_the_roles_saved_where_out_says(policy, task, tsae, monkeypatch, tmp_path):
    config = replace(FEW, max_candidates=1, random_latents=0, rollout_problems=0)
    sampled = earn_roles(tsae, policy, task, config, progress=False)
    problems = [problem for depth in (1, 2) for problem in task.problems("train", depth, 12)]
    rollouts = roll_out(policy, task, problems, FEW.sampling, purpose="roles", progress=False)
    monkeypatch.setattr("interp.features.earn.roll_out", None)
    from_given = earn_roles(tsae, policy, task, config, rollouts=rollouts, out=tmp_path / "roles", progress=False)
    assert Roles.load(tmp_path / "roles").fingerprint() == from_given.fingerprint()
    with pytest.raises(BadInput, match="exists"):
        earn_roles(tsae, policy, task, config, out=tmp_path / "roles")
    assert from_given.fingerprint() == sampled.fingerprint() and from_given.rollout_effects == ()


def test_the_sampling_of_given_rollouts_is_recorded_and_used_where_the_policy_answers_again(
    policy, task, tsae, monkeypatch
):
    problems = [problem for depth in (1, 2) for problem in task.problems("train", depth, 12)]
    own = SampleConfig(group=3, temperature=0.7, max_new_tokens=24, rows=64)
    rollouts = roll_out(policy, task, problems, own, progress=False)
    config, asked = replace(FEW, max_candidates=1, random_latents=0, rollout_problems=2), []

    def sample_edited(gates: Any, latents: Any, task: Any) -> list[Any]:
        asked.append(gates.config.sampling)
        return []

    monkeypatch.setattr("interp.features.runner.GateRunner.sample_edited", sample_edited)
    roles = earn_roles(tsae, policy, task, config, rollouts=rollouts, progress=False)
    assert roles.config.sampling == own and asked == [own]
    unknown = Rollouts(rollouts.rows, made_from=rollouts.made_from)
    roles = earn_roles(tsae, policy, task, config, rollouts=unknown, progress=False)
    assert roles.config.sampling == config.sampling, "rollouts that do not say how they were sampled"


def test_finalists_earn_the_roles_that_they_would_earn_anyway(policy, task, tsae):
    """As many finalists as candidates: only the order of the gates differs."""
    config = replace(FEW, levels=(2, 8), problems=16, rollout_problems=0)
    every = earn_roles(tsae, policy, task, config, progress=False)
    finalists = earn_roles(tsae, policy, task, replace(config, finalists=9), progress=False)
    earned = [
        {trial.latent: trial.contrast for trial in roles.trials if trial.passes_all} for roles in (every, finalists)
    ]
    assert earned[0] == earned[1] and earned[0], "else nothing is tested"
    assert all(trial.attribution is not None for trial in (*finalists.trials, *finalists.random_trials))
    assert sum(trial.ablation is None for trial in finalists.random_trials) > 0, "most fail the contrast gate"


def test_the_token_of_a_contrast_is_shown_as_text_in_one_line(policy, roles):
    assert contrast_text(f"result {policy.tokenizer.convert_tokens_to_ids('3')}", policy) == "result '3'"
    assert contrast_text("cue 3", policy) == "cue 3" and contrast_text("valid chain", policy) == "valid chain"
    results = [trial for trial in roles.trials if trial.kind == "result"]
    assert results and all(re.fullmatch(r"result '\d+'", trial.contrast_text) for trial in results)
    assert all(trial.contrast_in_words in roles.table()["contrast"] for trial in results)


def test_a_problem_of_two_levels_is_answered_once(policy, task, tsae, monkeypatch):
    problems: list[str] = []

    class Answered(Exception):
        pass

    def roll_out(policy: Policy, task: object, to_answer: list, *_: object, **__: object) -> None:
        problems.extend(problem.id for problem in to_answer)
        raise Answered

    monkeypatch.setattr("interp.features.earn.roll_out", roll_out)
    with pytest.raises(Answered):
        earn_roles(tsae, policy, task, replace(FEW, levels=("shallow", 1)), progress=False)
    assert len(problems) == len(set(problems)) == 18, "every second shallow problem has depth 1"


def test_the_default_levels_of_a_file_with_depths_and_no_levels_are_all_its_problems(
    policy, tsae, tmp_path, monkeypatch
):
    rows = [{"id": f"{d}", "prompt": f"3 + {d} =", "answer": str(3 + d), "depth": d, "split": "train"} for d in (1, 2)]
    (tmp_path / "deep.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    class Answered(Exception):
        pass

    def roll_out(policy: Policy, task: object, problems: list, *_: object, **__: object) -> None:
        raise Answered(*(problem.id for problem in problems))

    monkeypatch.setattr("interp.features.earn.roll_out", roll_out)
    with pytest.raises(Answered) as answered:
        earn_roles(tsae, policy, JsonlTask(tmp_path / "deep.jsonl"), RolesConfig(problems=2), progress=False)
    assert answered.value.args == ("1", "2")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["policy", "task"])
def test_rollouts_of_another_policy_or_task_are_refused(policy, task, tsae, other):
    made_from = {"policy": policy.fingerprint(), "task": task.fingerprint()} | {other: "another"}
    with pytest.raises(Mismatch, match=r"expected .*, got rollouts of another: .*, or give none"):
        earn_roles(tsae, policy, task, FEW, rollouts=Rollouts([make_rollout()], made_from=made_from))


def test_empty_rollouts_are_refused(policy, task, tsae):
    with pytest.raises(BadInput, match=ALL_EMPTY):
        earn_roles(tsae, policy, task, FEW, rollouts=EMPTY)


def test_a_policy_without_a_task_is_refused(policy, tsae):
    with pytest.raises(BadInput, match="expected a task with problems to answer, got none"):
        earn_roles(tsae, policy)


def test_a_dictionary_of_another_layer_width_or_policy_is_refused(policy, task, tsae):
    with pytest.raises(BadInput, match="layer"):
        earn_roles(replace(tsae, layer=None), policy, task, FEW)
    with pytest.raises(Mismatch, match="layer 1, got one of layer 2"):
        earn_roles(tsae, policy, task, FEW, layer=1)
    with pytest.raises(Mismatch, match="expected a policy of d_model 8, as the dictionary's; got 64"):
        earn_roles(axes_dictionary(8, LAYER), policy, task, FEW)
    unrelated = replace(tsae, made_from={"policy-0": "another"})
    with pytest.raises(Mismatch, match=re.escape(policy.fingerprint())):
        earn_roles(unrelated, policy, task, FEW)
    with pytest.raises(BadInput, match=ALL_EMPTY):
        earn_roles(unrelated, policy, task, FEW, allow_unrelated_policies=True, rollouts=EMPTY)


def test_a_base_loaded_in_half_precision_is_still_the_one_the_dictionary_was_fitted_on(task, tsae):
    """Its weights differ in memory; those on disk are what the dictionary names."""
    series = Series.from_dirs([shipped_path()])
    fitted = replace(tsae, made_from={"policy-0": series.base.fingerprint()})
    with pytest.raises(BadInput, match=ALL_EMPTY):
        earn_roles(fitted, series, task, FEW, rollouts=EMPTY, dtype="bfloat16")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("matched_latents", 0, "must be at least 1; got 0"),
        ("rollout_problems", -1, "must not be negative; got -1"),
        ("min_auroc", 0.3, "must lie between 0.5 and 1; got 0.3"),
        ("false_discovery_rate", 1.0, "must be above 0 and below 1; got 1.0"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name, value, problem):
    with pytest.raises(BadInput, match=f"^{name} {problem}$"):
        RolesConfig(**{name: value})


def test_a_level_named_twice_is_refused():
    with pytest.raises(BadInput, match=r"levels must be named once each; got \[1, 1\]"):
        RolesConfig(levels=(1, 1))


# --- the contrast gate -----------------------------------------------------------------------------------------------


def test_the_contrast_gate_needs_significance_effect_size_and_auroc_together():
    measures: tuple[dict[str, Any], ...] = ({}, {"auroc": 0.55}, {"d": 0.1}, {"q": 0.5}, {"q": float("nan")})
    trials = correct_trials([make_trial(i, **measure) for i, measure in enumerate(measures)], FEW)
    assert [trial.passes_contrast for trial in trials] == [True, False, False, False, False]
    assert trials[0].q == pytest.approx(0.001 * 4 / 3)


def test_the_best_latents_of_each_kind_of_contrast_are_candidates_in_their_best_contrast():
    names = ("x 1", "x 2", "y")
    trials = [make_trial(i, contrast=name, auroc=0.7 + i / 100) for i in range(5) for name in names]
    trials = [*correct_trials(trials, FEW), make_trial(0, contrast="x 3", auroc=0.99)]
    assert {(trial.latent, trial.contrast) for trial in best_trials(trials) if trial.latent == 0} == {
        (0, "x 3"),
        (0, "y"),
    }
    candidates = select_candidates(trials, FEW)
    assert [(trial.kind, trial.latent) for trial in candidates] == [("x", 0), ("x", 4), ("y", 4), ("y", 3)]


def test_activations_are_summed_by_stratum_and_prompt_at_negatives_and_at_positives():
    z_NF = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [4.0, 0.0], [9.0, 9.0]])
    labeled = label_activations(z_NF, {"problem": [0, 0, 1, 1, 1]})
    contrast = make_contrast(
        [True, False, False, True, False], [False, True, True, False, False], stratum=[0, 0, 1, 1, 1]
    )
    sums, second_only = contrast_sums(labeled, contrast, range(2)), contrast_sums(labeled, contrast, range(1, 2))
    assert sums.tokens_TSP.tolist() == [[[1, 0], [0, 1]], [[1, 0], [0, 1]]]
    assert sums.amount_TSPF[..., 0].tolist() == [[[2, 0], [0, 0]], [[1, 0], [0, 4]]]
    assert sums.amount_TSPF[..., 1].tolist() == [[[0, 0], [0, 3]], [[0, 0], [0, 0]]]
    assert torch.equal(second_only.amount_TSPF, sums.amount_TSPF[..., 1:])
    assert torch.equal(second_only.tokens_TSP, sums.tokens_TSP)


@pytest.mark.parametrize("block", [1, 3, 6])
def test_p_values_do_not_depend_on_how_many_latents_are_in_memory_at_once(monkeypatch, block):
    rng = np.random.default_rng(0)
    positive_N, stratum_N = rng.random(400) < 0.5, rng.integers(0, 2, 400)
    z_NF = torch.from_numpy(rng.random((400, 7)) * (rng.random((400, 7)) < 0.3 + 0.2 * positive_N[:, None])).float()
    labeled = label_activations(z_NF, {"problem": np.repeat(np.arange(20), 20)})
    surfaces = ((np.ones(400, bool), stratum_N),)
    contrast = make_contrast(positive_N, ~positive_N, stratum=stratum_N, surfaces=surfaces)
    together = [trial.q for trial in contrast_trials(labeled, contrast, FEW)]
    monkeypatch.setattr(earn, "LATENTS_PER_BLOCK", block)
    assert [trial.q for trial in contrast_trials(labeled, contrast, FEW)] == pytest.approx(together, rel=1e-4)
    assert len(set(together)) == 7


def test_levels_without_training_problems_are_refused(policy, task, tsae, monkeypatch):
    monkeypatch.setattr(earn, "problems_by_level", lambda *_: {"shallow": []})
    for levels, named in (((), ", ".join(map(str, task.levels))), (("deep", 3), "deep, 3")):
        message = re.escape(f"expected problems of the split train at levels {named}, got none")
        with pytest.raises(BadInput, match=message):
            earn_roles(tsae, policy, task, replace(FEW, levels=levels), progress=False)
