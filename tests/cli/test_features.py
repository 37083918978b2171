"""The commands that earn roles and that use them."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import run
from conftest import tiny_policy
from features_fixtures import axes_dictionary

from interp.features import Roles
from interp.rollouts import Rollouts
from interp.tsae import TSAEConfig

D = 64
SAE_LENS_CONFIG = {
    "architecture": "jumprelu",
    "d_in": D,
    "d_sae": 2 * D,
    "dtype": "float32",
    "device": "cpu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "metadata": {},
}
FEW_PROBLEMS = ("--levels", "1", "2", "--problems", "8", "--group", "4", "--rollout-problems", "2")
FEW_LATENTS = ("--max-candidates", "2", "--random-latents", "2", "--matched-latents", "3", "--injection-texts", "8")
FEW = (*FEW_PROBLEMS, *FEW_LATENTS)
TRACK_ONCE = ("--levels", "1", "--problems", "2", "--group", "2", "--loss-rollouts", "0")


@pytest.fixture(scope="module")
def tsae(tmp_path_factory) -> Path:
    """The axes of the organism's residual, saved like a dictionary fitted here."""
    path = tmp_path_factory.mktemp("dictionary") / "tsae"
    config = TSAEConfig(width=2 * D, k=8, blocks=(0.5, 0.5))
    replace(axes_dictionary(D, layer=2), config=config, sae_lens_cfg=SAE_LENS_CONFIG).save(path)
    return path


@pytest.fixture(scope="module")
def saved(tsae, tmp_path_factory) -> tuple[dict, Path]:
    """What the command printed as JSON, and the roles it saved."""
    out, printed = tmp_path_factory.mktemp("roles") / "roles", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        assert run(patch, "roles", "--tsae", tsae, *FEW, "--out", out, "--json") == 0
    return json.loads(printed.getvalue()), out


def expect_refusal(monkeypatch, capsys, *words: object) -> str:
    """The one line of error that a command ends with."""
    assert run(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("interp: ") and error.count("\n") == 1
    return error


def fail(*_: object, **__: object) -> None:
    raise AssertionError("work has begun")


# --- roles -----------------------------------------------------------------------------------------------------------


def test_roles_are_earned_printed_as_json_and_saved(saved):
    printed, out = saved
    assert set(printed) == {"out", "skipped", "missing_contrasts", "summary", "table"} and printed["out"] == str(out)
    roles = Roles.load(out)
    assert (roles.layer, roles.width) == (2, 2 * D)
    assert (roles.config.levels, roles.config.matched_latents) == ((1, 2), 3)
    latents = [trial.latent for trial in (*roles.trials, *roles.random_trials)]
    assert [row["latent"] for row in printed["table"]] == latents
    assert {"copy", "cue"} <= set(printed["missing_contrasts"])
    assert list(roles.missing_contrasts) == printed["missing_contrasts"]


def test_rollouts_that_are_given_are_not_sampled_again_and_the_result_is_printed(tsae, monkeypatch, capsys, tmp_path):
    """They answer other problems: the settings' levels and numbers are not used."""
    words = ("--split", "train", "--level", "shallow", "--problems", "10", "--group", "4")
    assert run(monkeypatch, "roll-out", *words, "--out", tmp_path / "rollouts") == 0
    capsys.readouterr()
    monkeypatch.setattr("interp.features.earn.roll_out", fail)
    assert run(monkeypatch, "roles", "--tsae", tsae, *FEW, "--rollouts", tmp_path / "rollouts") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Roles(layer 2, 128 latents: ")
    assert "passes_falsification" in printed.replace(" ", "_") and "cue" in printed


def test_roles_are_no_rollouts(tsae, saved, monkeypatch, capsys):
    error = expect_refusal(monkeypatch, capsys, "roles", "--tsae", tsae, "--rollouts", saved[1])
    assert "expected kind 'rollouts', got 'roles'" in error


def test_rollouts_and_policies_that_do_not_fit_are_refused_before_any_work(tsae, monkeypatch, capsys, tmp_path):
    tiny_policy().save(tmp_path / "other")
    Rollouts([], made_from={"policy": "another"}).save(tmp_path / "rollouts")
    for name in ("roll_out", "label_tokens"):
        monkeypatch.setattr(f"interp.features.earn.{name}", fail)
    words = ("roles", "--tsae", tsae, *FEW)
    error = expect_refusal(monkeypatch, capsys, *words, "--rollouts", tmp_path / "rollouts")
    assert "expected rollouts of this policy" in error and "got rollouts of another" in error
    error = expect_refusal(monkeypatch, capsys, *words, "--policy", tmp_path / "other")
    assert "expected a policy of d_model 64, as the dictionary's; got 32" in error
    assert "got one of layer 2" in expect_refusal(monkeypatch, capsys, *words, "--layer", "1")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--levels", "1", "1"), "levels must be named once each"),
        (("--matched-latents", "0"), "matched_latents must be at least 1; got 0"),
        (("--levels", "12"), "depth must lie between 1 and 10; got 12"),
    ],
)
def test_settings_out_of_range_are_refused_before_any_work(tsae, monkeypatch, capsys, words, problem):
    for name in ("roll_out", "label_tokens"):
        monkeypatch.setattr(f"interp.features.earn.{name}", fail)
    assert problem in expect_refusal(monkeypatch, capsys, "roles", "--tsae", tsae, *words)


def test_an_occupied_directory_is_refused_before_anything_is_loaded(tsae, saved, monkeypatch, capsys):
    monkeypatch.setattr("interp.tsae.TSAE.load", fail)
    assert "exists already" in expect_refusal(monkeypatch, capsys, "roles", "--tsae", tsae, *FEW, "--out", saved[1])


# --- tracking with roles ---------------------------------------------------------------------------------------------


def test_a_single_checkpoint_is_tracked_without_changes(tsae, monkeypatch, capsys, tmp_path):
    words = ("track", "--tsae", tsae, *TRACK_ONCE, "--out", tmp_path / "tracks")
    assert run(monkeypatch, *words, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["out"] == str(tmp_path / "tracks") and len(printed["drift"]) == 1
    assert printed["summary"] == printed["table"] == []
    assert run(monkeypatch, *words) == 0
    assert "There is one checkpoint, so there are no changes" in capsys.readouterr().out


def test_roles_that_do_not_belong_to_the_dictionary_are_refused_before_tracking(
    tsae, saved, monkeypatch, capsys, tmp_path
):
    other = shutil.copytree(saved[1], tmp_path / "roles")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["made_from"]["tsae"] = "another"
    (other / "manifest.json").write_text(json.dumps(manifest))
    for roles, problem in (
        (tmp_path / "nowhere", "kind 'roles', got no such directory: is the path right?"),
        (tsae, "expected kind 'roles', got 'tsae'"),
        (other, "another"),
    ):
        words = ("track", "--tsae", tsae, *TRACK_ONCE, "--out", tmp_path / "tracks", "--roles", roles)
        assert problem in expect_refusal(monkeypatch, capsys, *words)
        assert not (tmp_path / "tracks").exists()


@pytest.mark.parametrize("words", [["roles"], ["study", "roles"]])
def test_help_comes_without_heavy_imports(words):
    code = (
        f"import sys; sys.argv = ['interp', *{words}, '--help']\nfrom interp import cli\n"
        "try: cli.main()\nexcept SystemExit as stop: assert not stop.code\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'polars', 'transformers')))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "usage: interp" in result.stdout, result.stderr
