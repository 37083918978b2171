"""The command `roles`."""

import pytest
from commands import refused, run
from features_fixtures import axes_dictionary, make_roles, make_trial

from interp.cli import features
from interp.features import Roles
from interp.features.ablation import BehaviorEffects
from interp.rollouts import Rollouts
from interp.stats import Estimate


def fail(*_: object, **__: object) -> None:
    raise AssertionError("work has begun")


def test_roles_are_earned_printed_as_json_and_saved(axes_roles):
    printed, out = axes_roles
    assert set(printed) == {"out", "skipped", "missing_contrasts", "summary", "table"} and printed["out"] == str(out)
    roles = Roles.load(out)
    assert (roles.layer, roles.width) == (2, 128)
    assert (roles.config.levels, roles.config.matched_latents) == ((1, 2), 3)
    latents = [trial.latent for trial in (*roles.trials, *roles.random_trials)]
    assert [row["latent"] for row in printed["table"]] == latents
    assert {"copy", "cue"} <= set(printed["missing_contrasts"])
    assert list(roles.missing_contrasts) == printed["missing_contrasts"]


def test_rollouts_that_are_given_are_not_sampled_again_and_the_result_is_printed(
    axes_tsae, roles_flags, monkeypatch, capsys, tmp_path
):
    """They answer other problems: the settings' levels and numbers are not used."""
    words = ("--split", "train", "--level", "shallow", "--problems", "10", "--group", "4")
    assert run(monkeypatch, "roll-out", *words, "--out", tmp_path / "rollouts") == 0
    capsys.readouterr()
    monkeypatch.setattr("interp.features.earn.roll_out", fail)
    assert run(monkeypatch, "roles", "--tsae", axes_tsae, *roles_flags, "--rollouts", tmp_path / "rollouts") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Roles(layer 2, 128 latents: ")
    assert "passes_falsification" in printed.replace(" ", "_") and "cue" in printed


def test_roles_are_no_rollouts(axes_tsae, axes_roles, monkeypatch, capsys):
    error = refused(monkeypatch, capsys, "roles", "--tsae", axes_tsae, "--rollouts", axes_roles[1])
    assert "expected kind 'rollouts', got 'roles'" in error


def test_rollouts_and_policies_that_do_not_fit_are_refused_before_any_work(
    new_policy, axes_tsae, roles_flags, monkeypatch, capsys, tmp_path
):
    new_policy().save(tmp_path / "other")
    Rollouts([], made_from={"policy": "another"}).save(tmp_path / "rollouts")
    for name in ("roll_out", "label_tokens"):
        monkeypatch.setattr(f"interp.features.earn.{name}", fail)
    words = ("roles", "--tsae", axes_tsae, *roles_flags)
    error = refused(monkeypatch, capsys, *words, "--rollouts", tmp_path / "rollouts")
    assert "expected rollouts of this policy" in error and "got rollouts of another" in error
    error = refused(monkeypatch, capsys, *words, "--policy", tmp_path / "other")
    assert "expected a policy of d_model 64, as the dictionary's; got 32" in error
    assert "got one of layer 2" in refused(monkeypatch, capsys, *words, "--layer", "1")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--levels", "1", "1"), "levels must be named once each"),
        (("--matched-latents", "0"), "matched_latents must be at least 1; got 0"),
        (("--levels", "12"), "depth must lie between 1 and 10; got 12"),
    ],
)
def test_settings_out_of_range_are_refused_before_any_work(axes_tsae, monkeypatch, capsys, words, problem):
    for name in ("roll_out", "label_tokens"):
        monkeypatch.setattr(f"interp.features.earn.{name}", fail)
    assert problem in refused(monkeypatch, capsys, "roles", "--tsae", axes_tsae, *words)


def test_an_occupied_directory_is_refused_before_anything_is_loaded(
    axes_tsae, roles_flags, axes_roles, monkeypatch, capsys
):
    monkeypatch.setattr("interp.tsae.TSAE.load", fail)
    assert "exists already" in refused(
        monkeypatch, capsys, "roles", "--tsae", axes_tsae, *roles_flags, "--out", axes_roles[1]
    )


def test_what_was_not_measured_is_said_and_tokens_are_shown_as_text(capsys):
    nothing = Estimate(float("nan"))
    behavior = BehaviorEffects(valid_chain=nothing, right_answer=Estimate(-0.5, -0.75, -0.25, 9), direct_answer=nothing)
    trial = make_trial(
        3, "computation", "result 236770", contrast_text="result '7'",
        ablated_behavior=behavior, matched_behavior=(float("nan"), 0.125, float("nan")),
    )  # fmt: skip
    features._say_roles(make_roles(trial, tsae=axes_dictionary(4, layer=2), missing_contrasts=("result '9'",)))
    printed = capsys.readouterr().out
    assert "nan" not in printed and printed.count("not measured") == 4 and "236770" not in printed
    assert "result '7'" in printed and "-0.50 [-0.75, -0.25]" in printed and "+0.12" in printed
    assert "too few tokens: result '9'" in printed
