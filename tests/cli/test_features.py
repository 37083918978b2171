"""The command that earns roles, as a person meets it."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import run
from conftest import tiny_policy

from interp.features import Roles
from interp.rollouts import Rollouts
from interp.tsae import TSAE, TSAEConfig

D = 64
TOLD = {
    "architecture": "jumprelu",
    "d_in": D,
    "d_sae": 2 * D,
    "dtype": "float32",
    "device": "cpu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "metadata": {},
}
LEVELS = ("--levels", "1", "2", "--problems", "8", "--group", "4")
FEW = (*LEVELS, "--most", "2", "--random", "2", "--matched", "3", "--texts", "8", "--played", "2")


@pytest.fixture(scope="module")
def tsae(tmp_path_factory) -> Path:
    """The axes of the organism's residual, as a dictionary fitted here would lie on a disk."""
    both, path = torch.cat([torch.eye(D), -torch.eye(D)]), tmp_path_factory.mktemp("dictionary") / "tsae"
    config, bounds = TSAEConfig(width=2 * D, k=8, blocks=(0.5, 0.5)), torch.full((2 * D,), 0.5)
    told = {"widths": (D, D), "layer": 2, "config": config, "cfg": TOLD}
    TSAE(both.T.contiguous(), torch.zeros(2 * D), both, torch.zeros(D), bounds, **told).save(path)
    return path


@pytest.fixture(scope="module")
def kept(tsae, tmp_path_factory) -> tuple[dict, Path]:
    """What was said as JSON, and where it lies."""
    out, said = tmp_path_factory.mktemp("roles") / "roles", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        assert run(patch, "roles", "--tsae", tsae, *FEW, "--out", out, "--json") == 0
    return json.loads(said.getvalue()), out


def test_roles_are_earned_and_told_as_json_and_kept_where_asked(kept):
    told, out = kept
    assert set(told) == {"out", "skipped", "counts", "missing", "trials"} and told["out"] == str(out)
    roles = Roles.load(out)
    assert (roles.layer, roles.width) == (2, 2 * D) and roles.config.levels == (1, 2) and roles.config.matched == 3
    assert [row["latent"] for row in told["trials"]] == [trial.latent for trial in roles.trials]
    assert {"copy", "cue"} <= set(told["missing"]) and list(roles.missing) == told["missing"]


def test_what_the_policy_wrote_already_is_not_asked_again_and_told_in_words(kept, tsae, monkeypatch, capsys, tmp_path):
    """Of other problems: levels and numbers of the settings are not heeded."""
    asked = ("--split", "train", "--level", "easy", "--problems", "10", "--group", "4", "--out", tmp_path / "wrote")
    assert run(monkeypatch, "roll-out", *asked) == 0
    capsys.readouterr()
    monkeypatch.setattr("interp.features.earn.roll_out", None)
    assert run(monkeypatch, "roles", "--tsae", tsae, *FEW, "--rollouts", tmp_path / "wrote") == 0
    told = capsys.readouterr().out
    assert told.startswith("Roles(layer 2, 128 latents: ") and "How many latents passed each gate:" in told
    assert "Contrasts that could not be made, for want of tokens: " in told and "cue" in told
    assert "the roles are" not in told
    assert run(monkeypatch, "roles", "--tsae", tsae, "--rollouts", kept[1]) == 2
    assert "expected kind 'rollouts', got 'roles'" in capsys.readouterr().err


def refused(monkeypatch, capsys, *words: object) -> str:
    assert run(monkeypatch, "roles", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("interp: ") and error.count("\n") == 1
    return error


def test_what_cannot_be_is_refused_before_any_work(kept, tsae, monkeypatch, capsys, tmp_path):
    def at_work(*_: object, **__: object) -> None:
        raise AssertionError("there is nothing to be worked on")

    tiny_policy().save(tmp_path / "other")
    Rollouts([], made_from={"policy": "another"}).save(tmp_path / "wrote")
    for name in ("roll_out", "scene"):
        monkeypatch.setattr(f"interp.features.earn.{name}", at_work)
    told = refused(monkeypatch, capsys, "--tsae", tsae, *FEW, "--rollouts", tmp_path / "wrote")
    assert "expected what the policy itself wrote" in told and "got rollouts of another" in told
    told = refused(monkeypatch, capsys, "--tsae", tsae, *FEW, "--policy", tmp_path / "other")
    assert "expected a policy of d_model 64, as the dictionary's; got 32" in told
    assert "got one of layer 2" in refused(monkeypatch, capsys, "--tsae", tsae, *FEW, "--layer", "1")
    for words, why in (
        (("--levels", "1", "1"), "levels must be named once each"),
        (("--matched", "0"), "matched must be at least 1; got 0"),
        (("--levels", "12"), "depth must lie between 1 and 10; got 12"),
    ):
        assert why in refused(monkeypatch, capsys, "--tsae", tsae, *words)
    monkeypatch.setattr("interp.tsae.TSAE.load", at_work)
    told = refused(monkeypatch, capsys, "--tsae", tsae, *FEW, "--out", kept[1])
    assert "exists already" in told and Roles.load(kept[1]).width == 2 * D


ONCE = ("--levels", "1", "--problems", "2", "--group", "2", "--recovered", "0")


def test_a_single_checkpoint_has_a_track_without_changes_in_words_and_as_json(tsae, monkeypatch, capsys, tmp_path):
    words = ("track", "--tsae", tsae, *ONCE, "--out", tmp_path / "tracks")
    assert run(monkeypatch, *words, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["out"] == str(tmp_path / "tracks") and list(told["drift"]) == ["0"] and told["not_fitted_on"] == []
    assert told["counts"] == told["latents"] == []
    assert run(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert f"the tracks are {tmp_path / 'tracks'}" in said and "one checkpoint has no changes" in said


def test_roles_that_do_not_belong_are_refused_before_anything_is_tracked(tsae, kept, monkeypatch, capsys, tmp_path):
    words = ("track", "--tsae", tsae, *ONCE, "--out", tmp_path / "tracks", "--roles")
    other = shutil.copytree(kept[1], tmp_path / "roles")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["made_from"]["tsae"] = "another"
    (other / "manifest.json").write_text(json.dumps(manifest))
    for roles, why in (
        (tmp_path / "nowhere", "kind 'roles', got no such directory: is the path right?"),
        (tsae, "expected kind 'roles', got 'tsae'"),
        (other, "expected roles of the latents of this dictionary"),
    ):
        assert run(monkeypatch, *words, roles) == 2
        assert why in capsys.readouterr().err and not (tmp_path / "tracks").exists()


@pytest.mark.parametrize("words", [["roles"], ["study", "roles"]])
def test_help_comes_without_torch(words):
    code = (
        f"import sys; sys.argv = ['interp', *{words}, '--help']\nfrom interp import cli\n"
        "try: cli.main()\nexcept SystemExit as stop: assert not stop.code\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'polars', 'transformers')))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.returncode == 0 and "usage: interp" in told.stdout, told.stderr
