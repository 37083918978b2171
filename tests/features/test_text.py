"""Roles from ordinary text: problems of one's own, verdicts from the trace that was written, depth unknown, validity
known of some. What can be held against something is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import WORDS, tiny_model, tiny_tokenizer

from interp.features import RolesConfig, earn_roles
from interp.features.contrasts import contrasts
from interp.features.labels import facts_of, scene
from interp.policy import Policy, SampleConfig
from interp.policy.sample import Samples
from interp.report.features import earned
from interp.rollouts import Rollouts
from interp.rollouts.roll_out import encode, judge
from interp.tasks import JsonlTask
from interp.tsae import TSAE

D, LAYER, END = 32, 1, 2
SMALL = RolesConfig(most=1, random=1, matched=2, texts=8, played=2, sampling=SampleConfig(group=2))
SUMS = (11, 12, 13)


@pytest.fixture(scope="module")
def policy() -> Policy:
    words = (*WORDS, "####")
    return Policy(tiny_model(vocab_size=len(words)), tiny_tokenizer(words))


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> JsonlTask:
    """`4 + 7 =`, and all others that come to eleven, twelve or thirteen."""
    path: Path = tmp_path_factory.mktemp("text") / "sums.jsonl"
    asked = [(a, total) for total in SUMS for a in range(2, total - 1)]
    rows = [{"id": f"{a} {n}", "prompt": f"{a} + {n - a} =", "answer": n, "split": "train"} for a, n in asked]
    path.write_text("\n".join(map(json.dumps, rows)))
    return JsonlTask(path)


ANSWERS = (
    "{a} + {b} = {sum} ; #### {sum}",
    "{a} + {b} = {sum} #### {sum}",
    "{a} + {b} = {wrong} ; #### {wrong}",
    "1 + {less} = {sum} ; #### {sum}",  # right by numbers that the problem does not name: nobody knows
    "#### {sum}",
    "{sum} ; ;",
)


@pytest.fixture(scope="module")
def rollouts(policy, task) -> Rollouts:
    problems = task.problems("train", None, task.size("train", None))
    texts = []
    for problem in problems:
        a, b, total = int(problem.prompt.split()[0]), int(problem.prompt.split()[2]), int(problem.answer)
        texts += [text.format(a=a, b=b, sum=total, wrong=total + 1, less=total - 1) for text in ANSWERS]
    rows = [[*policy.tokenizer(text)["input_ids"], END] for text in texts]
    tokens_BL = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for at, row in enumerate(rows):
        tokens_BL[at, : len(row)] = torch.tensor(row)
    lengths_B, nothing_BL = torch.tensor([len(row) for row in rows]), torch.zeros(tokens_BL.shape)
    samples = Samples(tokens_BL, nothing_BL, nothing_BL, lengths_B, torch.ones(len(rows), dtype=torch.bool))
    prompts = encode(policy, problems)
    judged = judge(policy, task, problems, prompts, samples, run="text", step=0, bar=False)
    return Rollouts(judged, made_from={"policy": policy.fingerprint(), "task": task.fingerprint()})


@pytest.fixture(scope="module")
def tsae() -> TSAE:
    eye = torch.eye(D)
    both = torch.cat([eye, -eye])
    bounds = torch.full((2 * D,), 0.5)
    return TSAE(both.T, torch.zeros(2 * D), both, torch.zeros(D), bounds, widths=(2 * D,), layer=LAYER)


def test_what_is_not_known_of_text_is_said_not_to_be(rollouts):
    assert [row.valid for row in rollouts[:6]] == [True, True, False, None, False, False]
    assert [row.format for row in rollouts[:6]] == ["steps"] * 4 + ["direct", "malformed"]
    facts = facts_of(rollouts.rows[:6])
    by_row = [int(facts["valid"][facts["document"] == at][0]) for at in range(6)]
    assert by_row == [1, 1, 0, -1, 0, 0] and set(facts["depth"]) == {-1}
    assert set(facts["copy"]) == set(facts["cue"]) == {-1}
    of_fourth = facts["right"][facts["document"] == 3]
    assert set(of_fourth) == {-1} and {0, 1, -1} == set(facts["right"])


def test_contrasts_are_made_of_what_is_known_and_halves_are_of_problems_where_depth_is_not(
    policy, task, tsae, rollouts
):
    seen = scene(policy, tsae, LAYER, rollouts.rows, decoys=getattr(task, "decoys", None))
    made, missing = contrasts(seen)
    named = {contrast.name: contrast for contrast in made}
    results = {f"result {WORDS.index(str(total))}" for total in SUMS if 2 * (total - 3) >= 20}
    assert results and set(named) == results | {"valid chain", "valid end", "valid answer", "direct", "arranging"}
    assert {"copy", "cue"} <= set(missing) and not set(named) & set(missing)
    chain = named["valid chain"]
    assert set(seen["valid"][chain.positive_N]) == {1} and set(seen["valid"][chain.negative_N]) == {0}
    assert not set(seen["format"][chain.positive_N | chain.negative_N]) & {"direct", "malformed"}
    for name in ("direct", "arranging"):
        even_N, odd_N = (which_N for which_N, _ in named[name].surfaces)
        assert set(seen["problem"][even_N] % 2) == {0} and (even_N ^ odd_N).all()


def test_roles_are_earned_on_text_too(policy, task, tsae, rollouts):
    roles = earn_roles(tsae, policy, task, SMALL, rollouts=rollouts, bar=False)
    assert {"copy", "cue"} <= set(roles.missing) and roles.random
    assert {trial.kind for trial in roles.random} == {"result", "valid", "direct", "arranging"}
    assert all(np.isfinite(trial.ablated.target.value) for trial in (*roles.trials, *roles.random) if trial.ablated)
    assert "How many latents passed each gate" in earned(roles)


def test_where_there_are_tokens_for_no_contrast_there_are_no_roles_and_that_is_told(policy, task, tsae, rollouts):
    few: Any = Rollouts(rollouts.rows[:6], made_from=rollouts.made_from)
    roles = earn_roles(tsae, policy, task, SMALL, rollouts=few, bar=False)
    assert (roles.trials, roles.random, roles.played) == ((), (), ())
    assert {"valid chain", "valid end", "valid answer", "direct", "arranging", "copy", "cue"} <= set(roles.missing)
    assert roles.counts().height == roles.table().height == 0 and not roles.figure().data
    assert "No latent has earned a role." in earned(roles) and "for want of tokens" in earned(roles)
