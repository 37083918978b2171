"""The command `readout`, and `grpo --readout`."""

import json

import pytest
from commands import refused, run

from interp.grpo import Run
from interp.readouts import Readout
from interp.tsae import TSAE

CHAINS = ("--task.depths", "1", "3", "--task.shallow", "1", "--task.middle", "2", "--task.deep", "3")
SMALL = (
    *("--levels", "2", "3", "--problems", "12", "--group", "4"),
    *("--test-problems", "12", "--test-group", "8", "--rows", "512"),
    *CHAINS,
)
TRAIN = ("--levels", "2", "--steps", "2", "--prompts", "4", "--group", "4", "--save-every", "2", "--scale", "none")


@pytest.fixture(scope="module")
def saved(tmp_path_factory, axes_tsae):
    """A readout of latents and likelihood, as the command saves it."""
    out = tmp_path_factory.mktemp("readout") / "readout"
    with pytest.MonkeyPatch.context() as patch:
        words = ("--read", "likelihood", "latents", "--tsae", axes_tsae)
        assert run(patch, "readout", *words, *SMALL, "--out", out) == 0
    return out


def test_it_is_fitted_tested_printed_and_saved(monkeypatch, capsys, tmp_path):
    out = tmp_path / "readout"
    assert run(monkeypatch, "readout", "--read", "likelihood", "completeness", *SMALL, "--out", out) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Readout(likelihood, completeness; ") and f"Saved in {out}" in printed
    assert "share of valid ones in the most likely tenth" in printed
    loaded = Readout.load(out)
    assert [test.level for test in loaded.tests] == ["all", "2", "3"] and loaded.config.levels == (2, 3)


def test_the_tests_are_printed_as_json(monkeypatch, capsys):
    assert run(monkeypatch, "readout", "--read", "text", *SMALL, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"out", "skipped", "tests"} and printed["out"] is None
    assert [row["level"] for row in printed["tests"]] == ["all", "2", "3"]
    assert 0 <= printed["tests"][0]["auroc"] <= 1


def test_it_is_fitted_for_a_measured_bucket(monkeypatch, capsys, tmp_path):
    measuring = ("--problems", "24", "--n", "8", *CHAINS)
    assert run(monkeypatch, "bucket", *measuring, "--out", tmp_path / "buckets") == 0
    capsys.readouterr()
    of_bucket = ("--buckets", tmp_path / "buckets", "--bucket", "medium", *SMALL[3:])
    assert run(monkeypatch, "readout", "--read", "text", *of_bucket, "--json") == 0
    assert json.loads(capsys.readouterr().out)["tests"][0]["level"] == "all"
    error = refused(monkeypatch, capsys, "readout", "--read", "text", *of_bucket, "--levels", "2")
    assert "expected one of --levels and --buckets, got both" in error


def test_what_it_needs_is_asked_for_before_a_policy_is_loaded(monkeypatch, capsys):
    monkeypatch.setattr("interp.policy.Policy.load", lambda *_, **__: pytest.fail("a policy was loaded"))
    error = refused(monkeypatch, capsys, "readout", "--read", "latents")
    assert "expected a dictionary to read latents, got none: --tsae" in error
    error = refused(monkeypatch, capsys, "readout", "--read", "residual")
    assert "expected the layer at which to read residual, got none: --layer" in error


def test_credit_begins_with_a_saved_readout(monkeypatch, capsys, tmp_path, saved, axes_tsae):
    out = tmp_path / "run"
    words = ("--readout", saved, "--tsae", axes_tsae, "--audits", "4", "--threshold", "0.25")
    assert run(monkeypatch, "grpo", *TRAIN, *words, "--out", out) == 0
    settings = Run.open(out).manifest["credit"]["settings"]
    loaded = Readout.load(saved, dictionaries=[TSAE.load(axes_tsae)])
    assert settings["labels"] == loaded.labels.fingerprint() and settings["audits"] == 4
    assert settings["threshold"] == 0.25 and settings["ridge"] == loaded.config.ridge
    assert [source["kind"] for source in settings["sources"]] == ["Likelihood", "Latents"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--credit", "entropy"), "--readout is a credit of its own: leave out --credit and --roles"),
        ((), "expected the dictionary that it reads"),
    ],
)
def test_what_does_not_go_with_a_readout_is_refused(monkeypatch, capsys, tmp_path, saved, words, message):
    error = refused(monkeypatch, capsys, "grpo", *TRAIN, "--readout", saved, *words, "--out", tmp_path / "run")
    assert message in error and not (tmp_path / "run").exists()


def test_its_options_without_it_are_refused(monkeypatch, capsys, tmp_path):
    for words in (("--audits", "4"), ("--threshold", "0.5")):
        error = refused(monkeypatch, capsys, "grpo", *TRAIN, *words, "--out", tmp_path / "run")
        assert "--audits and --threshold are for credit by a --readout" in error
