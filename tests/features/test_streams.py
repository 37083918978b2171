"""Recorded draws: roles are repeated from their seeds, so no stream of random numbers may change unseen."""

import torch
from features_fixtures import label, label_activations, make_trial
from grpo_fixtures import make_rollout

from interp.features import RolesConfig
from interp.features.earn import select_random
from interp.features.falsification import inject, random_runs, shuffle_tokens
from interp.features.families import INJECTIONS

ROWS = [make_rollout(problem=problem, tokens=(4, 5, 6, 7, 8), length=5) for problem in "ab"]


def test_shuffled_texts_and_random_runs_are_those_recorded():
    assert [row.tokens for row in shuffle_tokens(ROWS, 0)] == [(7, 6, 4, 5, 8), (7, 6, 5, 8, 4)]
    assert [row.tokens for row in shuffle_tokens(ROWS, 1)] == [(6, 5, 8, 4, 7), (4, 6, 8, 7, 5)]
    labeled = label(ROWS)
    assert random_runs(labeled, 1, 0)[:3] == [(6,), (8,), (5,)] and len(random_runs(labeled, 1, 0)) == 10
    assert random_runs(labeled, 2, 0)[:3] == [(8, 7), (6, 7), (8, 8)]
    assert random_runs(labeled, 2, 1)[:3] == [(7, 4), (5, 7), (4, 5)]


def test_injections_are_those_recorded():
    runs = {1: [(90,), (91,), (92,)], 2: [(80, 81)], 3: [(70, 71, 72)]}
    assert {name: inject(ROWS[0], name, runs, 0).tokens for name in INJECTIONS} == {
        "one, thrice": (90, 90, 90, 4, 5, 6, 7, 8),
        "three, in front": (92, 92, 91, 4, 5, 6, 7, 8),
        "three, spread": (4, 92, 5, 6, 91, 7, 8, 90),
        "a pair, twice": (4, 5, 80, 81, 6, 7, 80, 81, 8),
        "a triple": (4, 5, 6, 7, 70, 71, 72, 8),
    }
    assert {name: inject(ROWS[0], name, runs, 0, front=False).tokens for name in INJECTIONS} == {
        "one, thrice": (4, 90, 90, 5, 6, 7, 8, 90),
        "three, in front": (92, 92, 91, 4, 5, 6, 7, 8),
        "three, spread": (4, 90, 92, 5, 6, 7, 91, 8),
        "a pair, twice": (4, 5, 6, 80, 80, 81, 81, 7, 8),
        "a triple": (4, 5, 6, 7, 8, 70, 71, 72),
    }


def test_random_latents_are_those_recorded():
    labeled = label_activations(torch.ones(4, 12))
    trials = [make_trial(latent, family) for family in ("computation", "format") for latent in range(12)]
    for seed, latents in ((0, [6, 7, 5, 2, 8, 6, 1, 2]), (1, [10, 5, 7, 9, 1, 6, 10, 11])):
        config = RolesConfig(random_latents=4, test_seed=seed)
        assert [trial.latent for trial in select_random(trials, labeled, config)] == latents
