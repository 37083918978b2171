"""Roles earned from end to end: every latent in every contrast, candidates and chance through all gates."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from grpo_world import a_row

from interp.artifacts import BadInput, Mismatch
from interp.features import Roles, RolesConfig, earn_roles
from interp.features import earn as earning
from interp.features.ablation import ABLATE, AMPLIFY, Effect, Mean
from interp.features.contrasts import Contrast
from interp.features.earn import best_of_each, candidates, corrected, sums_of, tried
from interp.features.falsification import Falsified
from interp.features.labels import Scene
from interp.features.roles import Trial
from interp.features.sampling import Played
from interp.features.separation import Heights
from interp.organism import shipped, task_of
from interp.policy import Policy, SampleConfig
from interp.report.features import earned
from interp.rollouts import Rollouts, Series, roll_out
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


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(shipped(), device="cpu")


@pytest.fixture(scope="module")
def roles(policy) -> Roles:
    """What a few problems say of the axes of the organism's residual."""
    config = replace(SMALL, levels=(2, 8), problems=16, played=4)
    return earn_roles(axes(), policy, task_of(shipped()), config, bar=False)


def test_roles_are_earned_gate_by_gate_and_chance_goes_the_same_way(policy, roles):
    assert {"copy", "cue"} <= set(roles.missing), "none is planted here"
    assert roles.made_from["policy"] == policy.fingerprint() and (roles.width, roles.layer) == (2 * D, LAYER)
    families = {trial.family for trial in roles.trials}
    assert {"format", "shortcut", "computation"} <= families
    assert all(trial.tells_apart and trial.falsified and trial.ablated for trial in roles.trials)
    assert all(len(trial.matched) == 3 for trial in roles.trials)
    for kind in {trial.kind for trial in roles.trials}:
        assert sum(trial.kind == kind for trial in roles.trials) <= 2
    drawn = {trial.family for trial in roles.random}
    assert drawn == {"computation", "reasoning", "shortcut", "format"} and all(trial.ablated for trial in roles.random)
    counts = {(row["family"], row["of"]): row for row in roles.counts().to_dicts()}
    kinds = {(trial.family, trial.kind) for trial in roles.random}
    assert all(counts[name, "at random"]["latents"] == 2 * sum(f == name for f, _ in kinds) for name in drawn)
    assert roles.table().height == len(roles.trials)
    assert all(roles.of(latent) == family for family in families for latent in roles.latents(family))


def test_each_latent_with_a_role_is_played_without_and_doubled_and_so_is_its_nearest_match_that_has_none(roles):
    earned = list(dict.fromkeys(trial.latent for trial in roles.trials if trial.passed))
    assert earned, "or there is nothing to be seen here"
    for scale in (ABLATE, AMPLIFY):
        played = [one for one in roles.played if one.scale == scale]
        assert [one.latent for one in played if one.match_of is None] == earned
        matches = {one.match_of: one.latent for one in played if one.match_of is not None}
        assert list(matches) == earned and not set(matches.values()) & set(earned)
    assert all(one.correct.low <= one.correct.value <= one.correct.high for one in roles.played)


def test_what_comes_of_each_edit_is_told_whatever_the_contrast_and_beside_that_of_its_matches(roles):
    of_latent: dict[int, set[object]] = {}
    for trial in (*roles.trials, *roles.random):
        assert trial.without and trial.doubled and len(trial.without_matches) == 3
        of_latent.setdefault(trial.latent, set()).add((trial.without, trial.doubled))
    assert all(len(told) == 1 for told in of_latent.values()), "an edit is of a latent, not of a contrast"
    table = roles.table()
    first = roles.trials[0]
    assert table["without_at_once"][0] == first.without.at_once.value
    assert table["doubled_valid_low"][0] == first.doubled.valid.low
    assert table["without_matches_answer"][0] == first.without_matches[1]


def test_what_was_earned_can_be_kept_shown_and_drawn(roles, tmp_path):
    roles.save(tmp_path / "roles")
    found = Roles.load(tmp_path / "roles")
    assert found.fingerprint() == roles.fingerprint() and found.played == roles.played
    assert [trial.passed for trial in found.trials] == [trial.passed for trial in roles.trials]
    assert (
        found.table().select("latent", "contrast", "apart").equals(roles.table().select("latent", "contrast", "apart"))
    )
    told = earned(found)
    for said in ("How many latents passed each gate", "Without it, and with it doubled", "ablating its matches"):
        assert said in told
    assert len(roles.figure().data) == 3 * len({trial.family for trial in (*roles.trials, *roles.random)})


def test_with_what_the_policy_wrote_at_hand_it_is_not_asked_again(policy, monkeypatch):
    task, config = task_of(shipped()), replace(SMALL, most=1, random=0, played=0)
    asked = earn_roles(axes(), policy, task, config, bar=False)
    problems = [problem for level in (1, 2) for problem in task.problems("train", level, 12)]
    rollouts = roll_out(policy, task, problems, SMALL.sampling, purpose="roles", bar=False)
    monkeypatch.setattr("interp.features.earn.roll_out", None)
    given = earn_roles(axes(), policy, task, config, rollouts=rollouts, bar=False)
    assert given.fingerprint() == asked.fingerprint() and given.played == ()


def test_a_problem_that_is_of_two_levels_is_asked_once(policy, monkeypatch):
    asked: list[list[str]] = []
    monkeypatch.setattr("interp.features.earn.roll_out", lambda *held, **_: asked.append([p.id for p in held[2]]))
    with pytest.raises(AttributeError):
        earn_roles(axes(), policy, task_of(shipped()), replace(SMALL, levels=("easy", 1)), bar=False)
    assert len(asked[0]) == len(set(asked[0])) == 18, "every second one of the easy is of depth 1"


@pytest.mark.parametrize("other", ["policy", "task"])
def test_what_another_policy_wrote_or_on_another_task_is_refused(policy, other):
    task = task_of(shipped())
    wrote = {"policy": policy.fingerprint(), "task": task.fingerprint()} | {other: "another"}
    with pytest.raises(Mismatch, match=r"expected .*, got rollouts of another: .*, or give none"):
        earn_roles(axes(), policy, task, SMALL, rollouts=Rollouts([a_row()], made_from=wrote))
    with pytest.raises(BadInput, match="in which something was written, got 1 in which nothing was"):
        earn_roles(axes(), policy, task, SMALL, rollouts=Rollouts([a_row(length=0, tokens=())]))


def test_roles_come_back_as_they_were_kept_and_know_what_they_were_made_from(tmp_path):
    nothing = float("nan")
    passed = replace(
        a_trial(3), tells_apart=True, falsified=Falsified(0.1, 0.5, "a triple", 0.2, nothing),
        ablated=Effect(Mean(-1.0, -1.5, -0.5), Mean(-0.8, -0.9, -0.7)), matched=(0.0, -0.1),
        amplified=Effect(Mean(0.5, 0.1, 0.9), Mean(nothing, nothing, nothing)), heights=Heights(2.0, 0.5, 0.25),
    )  # fmt: skip
    made_from = {"tsae": "a", "policy": "b", "task": "c"}
    shifts = Mean(nothing, nothing, nothing), Mean(-0.2, -0.3, -0.1), Mean(0.0, 0.0, 0.0)
    played = Played(3, None, 0.0, *shifts), Played(5, 3, 0.0, *shifts)
    kept = Roles((passed, a_trial(4)), (a_trial(5),), 8, ("cue",), made_from, SMALL, LAYER, played)
    kept.save(tmp_path / "roles")
    found = Roles.load(tmp_path / "roles", made_from={"tsae": "a"})
    assert found.trials[1:] == kept.trials[1:] and found.random == kept.random and found.config == SMALL
    assert found.trials[0].falsified and np.isnan(found.trials[0].falsified.void)
    assert (found.trials[0].ablated, found.trials[0].heights) == (passed.ablated, passed.heights)
    assert [(one.latent, one.match_of) for one in found.played] == [(3, None), (5, 3)]
    assert {one.correct for one in found.played} == {shifts[1]}
    assert np.isnan(found.played[0].valid.value)
    assert found.fingerprint() == kept.fingerprint() != replace(kept, width=9).fingerprint()
    assert found.latents("format") == [3] and repr(found) == "Roles(layer 2, 8 latents: 1 format)"
    with pytest.raises(Mismatch, match="made from another tsae"):
        Roles.load(tmp_path / "roles", made_from={"tsae": "z"})
    with pytest.raises(BadInput, match="exists already"):
        kept.save(tmp_path / "roles")
    kept.save(tmp_path / "roles", overwrite=True)


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
    contrast = Contrast("x", "format", positive, negative, np.array([0, 0, 1, 1, 1]), (), positive, negative)
    found, of_one = sums_of(seen, contrast, range(2)), sums_of(seen, contrast, range(1, 2))
    assert torch.equal(of_one.amount_TSPF, found.amount_TSPF[..., 1:])
    assert torch.equal(of_one.tokens_TSP, found.tokens_TSP)
    assert found.tokens_TSP.tolist() == [[[1, 0], [0, 1]], [[1, 0], [0, 1]]]
    assert found.amount_TSPF[..., 0].tolist() == [[[2, 0], [0, 0]], [[1, 0], [0, 4]]]
    assert found.amount_TSPF[..., 1].tolist() == [[[0, 0], [0, 3]], [[0, 0], [0, 0]]]


def test_a_few_latents_at_a_time_are_as_sure_as_all_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    positive, stratum = rng.random(400) < 0.5, rng.integers(0, 2, 400)
    z_NF = torch.from_numpy(rng.random((400, 7)) * (rng.random((400, 7)) < 0.3 + 0.2 * positive[:, None])).float()
    seen = Scene([], Codes.of(z_NF), {"problem": np.repeat(np.arange(20), 20)})
    surfaces = ((np.ones(400, bool), stratum),)
    contrast = Contrast("x", "format", positive, ~positive, stratum, surfaces, positive, ~positive)
    whole = [trial.q for trial in tried(seen, contrast, SMALL)]
    for some in (1, 3, 6):
        monkeypatch.setattr(earning, "AT_ONCE", some)
        assert [trial.q for trial in tried(seen, contrast, SMALL)] == pytest.approx(whole, rel=1e-4)
    assert len(set(whole)) == 7


def test_a_dictionary_that_does_not_fit_the_policy_is_refused_and_so_are_strange_settings(policy):
    task = task_of(shipped())
    with pytest.raises(BadInput, match="expected a task to ask"):
        earn_roles(axes(), policy)
    with pytest.raises(BadInput, match="does not say which layer"):
        earn_roles(replace(axes(), layer=None), policy, task, SMALL)
    with pytest.raises(Mismatch, match="expected a dictionary of layer 1, got one of layer 2"):
        earn_roles(axes(), policy, task, SMALL, layer=1)
    narrow = TSAE(torch.eye(8), torch.zeros(8), torch.eye(8), torch.zeros(8), torch.zeros(8), widths=(8,), layer=LAYER)
    with pytest.raises(Mismatch, match="expected a policy of d_model 8"):
        earn_roles(narrow, policy, task, SMALL)
    strange = replace(axes(), made_from={"policy-0": "another"})
    with pytest.raises(Mismatch, match=f"expected some of another in the policy, got {policy.fingerprint()}: fit one"):
        earn_roles(strange, policy, task, SMALL)
    with pytest.raises(BadInput, match="in which something was written"):  # it gets as far as the rollouts
        earn_roles(strange, policy, task, SMALL, any_policy=True, rollouts=Rollouts([a_row(length=0, tokens=())]))
    for name, value, told in (
        ("matched", 0, "must be at least 1; got 0"),
        ("played", -1, "must not be negative; got -1"),
        ("auroc", 0.3, "must lie between 0.5 and 1; got 0.3"),
        ("rate", 1.0, "must be above 0 and below 1; got 1.0"),
    ):
        with pytest.raises(BadInput, match=f"^{name} {told}$"):
            RolesConfig(**{name: value})
    for levels in ((), (1, 1)):
        with pytest.raises(BadInput, match=r"levels must be named once each, one at least; got \["):
            RolesConfig(levels=levels)


def test_a_base_read_in_half_precision_is_still_the_one_the_dictionary_was_fitted_on():
    """Its weights are others then, in memory; those on disk are what the dictionary names."""
    series = Series.from_dirs([shipped()])
    fitted = replace(axes(), made_from={"policy-0": series.base.fingerprint()})
    asked = {"rollouts": Rollouts([a_row(length=0, tokens=())]), "dtype": "bfloat16"}
    with pytest.raises(BadInput, match="in which something was written"):  # it gets as far as the rollouts
        earn_roles(fitted, series, task_of(shipped()), SMALL, **asked)
