"""Roles earned from end to end: every latent in every contrast, candidates and chance through all gates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.artifacts import BadInput, Mismatch
from interp.features import Roles, RolesConfig, earn_roles
from interp.features.ablation import Effect
from interp.features.contrasts import Contrast
from interp.features.earning import best_of_each, candidates, corrected, sums_of
from interp.features.falsification import Falsified
from interp.features.roles import Trial
from interp.features.scene import Scene
from interp.organism import shipped, task_of
from interp.policy import Policy, SampleConfig
from interp.tsae import TSAE
from interp.tsae.codes import Codes

D, LAYER = 64, 2
SMALL = RolesConfig(
    levels=(1, 2), problems=12, most=2, random=2, matched=3, texts=8, sampling=SampleConfig(group=4, rows=256)
)


def axes() -> TSAE:
    eye = torch.eye(D)
    both = torch.cat([eye, -eye])
    return TSAE(both.T, torch.zeros(2 * D), both, torch.zeros(D), torch.full((2 * D,), 0.5), widths=(D, D), layer=LAYER)


def a_trial(
    latent: int, *, auroc: float = 0.9, q: float = 0.001, d: float = 1.0, family: str = "format", name: str = "x"
):
    return Trial(latent, family, name, auroc, d, q, 0.9, False)


def test_roles_are_earned_gate_by_gate_and_chance_goes_the_same_way():
    policy, task = Policy.load(shipped(), device="cpu"), task_of(shipped())
    roles = earn_roles(axes(), policy, task, SMALL, bar=False)
    assert {"copy", "cue"} <= set(roles.missing)
    assert roles.made_from["policy"] == policy.fingerprint() and roles.width == 2 * D
    families = {trial.family for trial in roles.trials}
    assert {"format", "reasoning"} <= families
    assert all(
        trial.tells_apart and trial.falsified and trial.ablated and len(trial.matched) == 3 for trial in roles.trials
    )
    for family in families:
        assert sum(trial.family == family for trial in roles.trials) <= 2
    assert len(roles.played) >= len({trial.latent for trial in roles.trials if trial.passed})
    drawn = {trial.family for trial in roles.random}
    assert drawn == {"computation", "reasoning", "shortcut", "format"} and all(trial.ablated for trial in roles.random)
    counts = {(row["family"], row["of"]): row for row in roles.counts().to_dicts()}
    assert all(counts[family, "at random"]["latents"] == 2 for family in drawn)
    assert roles.table().height == len(roles.trials)
    assert all(roles.of(latent) == family for family in families for latent in roles.latents(family))


def test_roles_come_back_as_they_were_kept_and_know_what_they_were_made_from(tmp_path):
    nothing = float("nan")
    passed = replace(
        a_trial(3), tells_apart=True, falsified=Falsified(0.1, 0.5, "a triple", 0.2, nothing),
        ablated=Effect(-1.0, -1.5, -0.5, 9), amplified=Effect(0.5, 0.1, 0.9, 9), matched=(0.0, -0.1),
    )  # fmt: skip
    made_from = {"tsae": "a", "policy": "b", "task": "c"}
    kept = Roles((passed, a_trial(4)), (a_trial(5),), 8, ("cue",), made_from, SMALL, LAYER)
    kept.save(tmp_path / "roles")
    found = Roles.open(tmp_path / "roles", made_from={"tsae": "a"})
    assert found.trials[1:] == kept.trials[1:] and found.random == kept.random and found.config == SMALL
    assert np.isnan(found.trials[0].falsified.void) and found.trials[0].ablated == passed.ablated
    assert found.fingerprint() == kept.fingerprint() != replace(kept, width=9).fingerprint()
    assert found.latents("format") == [3] and repr(found) == "Roles(layer 2, 8 latents: 1 format)"
    with pytest.raises(Mismatch, match="made from another tsae"):
        Roles.open(tmp_path / "roles", made_from={"tsae": "z"})
    with pytest.raises(BadInput, match="exists already"):
        kept.save(tmp_path / "roles")


def test_the_first_gate_asks_for_certainty_effect_and_auroc_together():
    trials = [a_trial(0), a_trial(1, auroc=0.55), a_trial(2, d=0.1), a_trial(3, q=0.5), a_trial(4, q=float("nan"))]
    told = corrected(trials, SMALL)
    assert [trial.tells_apart for trial in told] == [True, False, False, False, False]
    assert told[0].q == pytest.approx(0.001 * 4 / 3)


def test_of_each_kind_of_contrast_a_latent_has_its_best_contrast_and_the_best_go_on():
    told = corrected(
        [a_trial(at, auroc=0.7 + at / 100, name=name) for at in range(5) for name in ("x 1", "x 2", "y")], SMALL
    )
    told.append(replace(told[0], contrast="x 3", auroc=0.99))
    best = {(trial.latent, trial.contrast) for trial in best_of_each(told) if trial.latent == 0}
    assert best == {(0, "x 3"), (0, "y")}
    assert [(t.kind, t.latent) for t in candidates(told, SMALL)] == [("x", 0), ("x", 4), ("y", 4), ("y", 3)]


def test_a_contrast_is_a_change_from_negatives_to_positives_by_stratum_and_prompt():
    z_NF = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [4.0, 0.0], [9.0, 9.0]])
    facts = {"problem": np.array([0, 0, 1, 1, 1])}
    seen = Scene([], Codes.of(z_NF), facts)
    positive, negative = np.array([True, False, False, True, False]), np.array([False, True, True, False, False])
    rest = np.zeros(5, int), positive
    found = sums_of(seen, Contrast("x", "format", positive, negative, np.array([0, 0, 1, 1, 1]), *rest))
    assert found.tokens_TSP.tolist() == [[[1, 0], [0, 1]], [[1, 0], [0, 1]]]
    assert found.amount_TSPF[..., 0].tolist() == [[[2, 0], [0, 0]], [[1, 0], [0, 4]]]
    assert found.amount_TSPF[..., 1].tolist() == [[[0, 0], [0, 3]], [[0, 0], [0, 0]]]


def test_a_dictionary_that_does_not_fit_the_policy_is_refused_and_so_are_strange_settings():
    policy, task = Policy.load(shipped(), device="cpu"), task_of(shipped())
    with pytest.raises(BadInput, match="expected a task to ask"):
        earn_roles(axes(), policy)
    with pytest.raises(BadInput, match="does not say which layer"):
        earn_roles(replace(axes(), layer=None), policy, task, SMALL)
    narrow = TSAE(torch.eye(8), torch.zeros(8), torch.eye(8), torch.zeros(8), torch.zeros(8), widths=(8,), layer=LAYER)
    with pytest.raises(Mismatch, match="expected a policy of d_model 8"):
        earn_roles(narrow, policy, task, SMALL)
    with pytest.raises(BadInput, match="matched must be at least 1"):
        RolesConfig(matched=0)
    with pytest.raises(BadInput, match="auroc must lie between 0.5 and 1"):
        RolesConfig(auroc=0.3)
