"""Roles from ordinary text: a user's own problems, verdicts read off the written trace, unknown depth, validity known
of some rollouts only. Contrasts are made of what is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import WORDS, tiny_model, tiny_tokenizer
from features_fixtures import axes_dictionary

from interp.features import RolesConfig, earn_roles, label_tokens
from interp.features.families import contrast_kind, make_contrasts
from interp.features.labels import token_facts
from interp.policy import Policy, SampleConfig
from interp.policy.sample import Samples
from interp.rollouts import Rollouts
from interp.rollouts.roll_out import encode_problems, verify_samples
from interp.tasks import JsonlTask
from interp.tsae import TSAE

D, LAYER, END = 32, 1, 2
FEW = RolesConfig(
    max_candidates=1,
    random_latents=1,
    matched_latents=2,
    injection_texts=8,
    rollout_problems=2,
    sampling=SampleConfig(group=2),
)
TOTALS = (11, 12, 13)
ANSWERS = (
    "{a} + {b} = {sum} ; #### {sum}",
    "{a} + {b} = {sum} #### {sum}",
    "{a} + {b} = {wrong} ; #### {wrong}",
    "1 + {less} = {sum} ; #### {sum}",  # right, by numbers that the problem does not name: not judged
    "#### {sum}",
    "{sum} ; ;",
)


@pytest.fixture(scope="module")
def policy() -> Policy:
    words = (*WORDS, "####")
    return Policy(tiny_model(vocab_size=len(words)), tiny_tokenizer(words))


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> JsonlTask:
    """`4 + 7 =`, and all other sums that come to eleven, twelve or thirteen."""
    path: Path = tmp_path_factory.mktemp("text") / "sums.jsonl"
    sums = [(a, total) for total in TOTALS for a in range(2, total - 1)]
    rows = [{"id": f"{a} {n}", "prompt": f"{a} + {n - a} =", "answer": n, "split": "train"} for a, n in sums]
    path.write_text("\n".join(map(json.dumps, rows)))
    return JsonlTask(path)


@pytest.fixture(scope="module")
def rollouts(policy, task) -> Rollouts:
    """Every problem with every kind of answer."""
    problems = task.problems("train", None, task.size("train", None))
    texts = []
    for problem in problems:
        a, b, total = int(problem.prompt.split()[0]), int(problem.prompt.split()[2]), int(problem.answer)
        texts += [text.format(a=a, b=b, sum=total, wrong=total + 1, less=total - 1) for text in ANSWERS]
    rows = [[*policy.tokenizer(text)["input_ids"], END] for text in texts]
    tokens_BL = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        tokens_BL[i, : len(row)] = torch.tensor(row)
    lengths_B, zeros_BL = torch.tensor([len(row) for row in rows]), torch.zeros(tokens_BL.shape)
    samples = Samples(tokens_BL, zeros_BL, zeros_BL, lengths_B, torch.ones(len(rows), dtype=torch.bool))
    prompts = encode_problems(policy, problems)
    verified = verify_samples(policy, task, problems, prompts, samples, run="text", step=0, progress=False)
    return Rollouts(verified, made_from={"policy": policy.fingerprint(), "task": task.fingerprint()})


@pytest.fixture(scope="module")
def tsae() -> TSAE:
    return axes_dictionary(D, LAYER)


def test_what_is_not_known_of_text_is_labeled_unknown(rollouts):
    assert [rollout.valid for rollout in rollouts[:6]] == [True, True, False, None, False, False]
    assert [rollout.format for rollout in rollouts[:6]] == ["steps"] * 4 + ["direct", "unannounced"]
    facts = token_facts(rollouts.rows[:6])
    assert [int(facts["valid"][facts["rollout"] == i][0]) for i in range(6)] == [1, 1, 0, -1, 0, 0]
    assert set(facts["depth"]) == set(facts["copy"]) == set(facts["cue"]) == {-1}
    assert set(facts["next_right"][facts["rollout"] == 3]) == {-1} and {0, 1, -1} == set(facts["next_right"])


def test_contrasts_are_made_of_what_is_known_and_surfaces_of_problems_where_depth_is_not(policy, task, tsae, rollouts):
    labeled = label_tokens(tsae, policy, LAYER, rollouts.rows, decoys=task.decoys)
    contrasts, missing = make_contrasts(labeled)
    by_name = {contrast.name: contrast for contrast in contrasts}
    results = {f"result {WORDS.index(str(total))}" for total in TOTALS if 2 * (total - 3) >= 20}
    assert results == {name for name in by_name if contrast_kind(name) == "result"} != set()
    assert {"valid chain", "valid end", "valid answer", "direct", "arranging"} <= set(by_name)
    assert {"copy", "cue"} <= set(missing) and not set(by_name) & set(missing)
    chain = by_name["valid chain"]
    assert set(labeled["valid"][chain.positive_N]) == {1} and set(labeled["valid"][chain.negative_N]) == {0}
    assert not set(labeled["format"][chain.positive_N | chain.negative_N]) & {"direct", "malformed"}
    for name in ("direct", "arranging"):
        even_N, odd_N = (surface_N for surface_N, _ in by_name[name].surfaces)
        assert set(labeled["problem"][even_N] % 2) == {0} and (even_N ^ odd_N).all()


def test_roles_are_earned_on_ordinary_text_too(policy, task, tsae, rollouts):
    roles = earn_roles(tsae, policy, task, FEW, rollouts=rollouts, progress=False)
    assert {"copy", "cue"} <= set(roles.missing_contrasts)
    assert {trial.kind for trial in roles.random_trials} >= {"result", "valid", "direct", "arranging"}
    trials = (*roles.trials, *roles.random_trials)
    assert all(np.isfinite(trial.ablation.target.value) for trial in trials if trial.ablation)


def test_without_tokens_for_any_contrast_there_are_no_roles_and_the_contrasts_are_named(policy, task, tsae, rollouts):
    few = Rollouts(rollouts.rows[:6], made_from=rollouts.made_from)
    roles = earn_roles(tsae, policy, task, FEW, rollouts=few, progress=False)
    assert (roles.trials, roles.random_trials, roles.rollout_effects) == ((), (), ())
    names = {"valid chain", "valid end", "valid answer", "direct", "arranging", "copy", "cue"}
    assert names <= set(roles.missing_contrasts)
