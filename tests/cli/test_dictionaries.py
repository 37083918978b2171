"""The commands of dictionaries say what they did, on what, and what to do next."""

import json
import re
import shutil
import sys
import warnings
from pathlib import Path

import pytest
from tsae_world import planted_store, small

from interp import cli
from interp.organism import shipped
from interp.report.dictionaries import measured, what_it_tells
from interp.tsae import evaluate, fit


def run(monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["interp", *map(str, words)])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # what main sets is taken back
    monkeypatch.setenv("TQDM_MININTERVAL", "10")
    cli.main()


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> Path:
    """Activations of the organism, called step 0, to fit on and to measure on."""
    root = tmp_path_factory.mktemp("dictionaries")
    with pytest.MonkeyPatch.context() as patch:
        for name, corpora in (("fitted", "on-policy"), ("held-out", "held-out")):
            words = ["--layers", "2", "--tokens", "3000", "--corpora", corpora, "--out", root / name]
            run(patch, "collect", "--policy", shipped(), *words)
    return root


@pytest.fixture
def fitted(stores, monkeypatch, capsys) -> Path:
    out = stores / "tsae"
    words = ["--width", "128", "--k", "8", "--steps", "5", "--batch", "256", "--preset", "matryoshka"]
    run(monkeypatch, "tsae", "--store", stores / "fitted", "--out", out, *words, "--device", "cpu")
    return out


def test_a_fit_says_in_words_what_its_last_batch_came_to(fitted, stores, monkeypatch, capsys):
    words = ["--width", "128", "--k", "8", "--steps", "5", "--batch", "256", "--preset", "matryoshka"]
    run(monkeypatch, "tsae", "--store", stores / "fitted", "--out", fitted, *words, "--device", "cpu")
    told = capsys.readouterr().out
    assert "of its last batch: variance explained" in told and "mse" not in told
    assert f"it is kept in {fitted}: measure it with interp tsae-eval" in told


@pytest.mark.parametrize(
    ("store", "said"), [("fitted", "the very ones it was fitted on"), ("held-out", "of another store")]
)
def test_measuring_says_whether_it_was_fitted_on_these_very_activations(
    fitted, stores, monkeypatch, capsys, store, said
):
    run(monkeypatch, "tsae-eval", "--tsae", fitted, "--store", stores / store)
    told = capsys.readouterr().out
    assert said in told and "variance explained" in told and "CE recovered" not in told
    assert "the loss recovered was not measured: name what reads (--series, --checkpoints or --policy)" in told
    run(monkeypatch, "tsae-eval", "--tsae", fitted, "--store", stores / store, "--json")
    assert json.loads(capsys.readouterr().out)["fitted_on"] == (store == "fitted")


def test_of_a_dictionary_that_does_not_say_on_what_it_was_fitted_neither_is_said(
    fitted, stores, tmp_path, monkeypatch, capsys
):
    bare = shutil.copytree(fitted, tmp_path / "bare")
    (bare / "manifest.json").unlink()
    run(monkeypatch, "tsae-eval", "--tsae", bare, "--store", stores / "fitted", "--layer", "2")
    told = capsys.readouterr().out
    assert "the dictionary does not say which it was fitted on" in told and "slow block" not in told
    run(monkeypatch, "tsae-eval", "--tsae", bare, "--store", stores / "fitted", "--layer", "2", "--json")
    assert json.loads(capsys.readouterr().out)["fitted_on"] is None


def test_measuring_the_loss_says_on_how_much_of_the_store(fitted, stores, monkeypatch, capsys):
    asked = ("--tsae", fitted, "--store", stores / "held-out", "--policy", shipped(), "--documents", "3")
    run(monkeypatch, "tsae-eval", *asked)
    told = capsys.readouterr().out
    said = re.search(r"the loss recovered on (\d+) of them, in (\d) documents? \(--documents\)", told)
    assert said and "CE recovered, against the mean" in told and "was not measured" not in told
    run(monkeypatch, "tsae-eval", *asked, "--json")
    row = json.loads(capsys.readouterr().out)
    assert (row["recovered_tokens"], row["recovered_documents"]) == (int(said[1]), int(said[2]))
    assert 1 <= row["recovered_documents"] <= 3


def test_measuring_tells_of_shards_that_are_left_out(fitted, monkeypatch, capsys, tmp_path):
    store, few = tmp_path / "store", ("--tokens", "2000", "--shard-tokens", "800", "--corpora", "held-out")
    run(monkeypatch, "collect", "--policy", shipped(), "--layers", "2", *few, "--out", store)
    shard = store / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:500])
    with pytest.raises(SystemExit):
        run(monkeypatch, "tsae-eval", "--tsae", fitted, "--store", store)
    assert "shards cannot be read: shard-00000.safetensors: expected" in capsys.readouterr().err
    run(monkeypatch, "tsae-eval", "--tsae", fitted, "--store", store, "--skip-bad")
    assert "interp: 1 shard left out: shard-00000: shard-00000.safetensors: expected" in capsys.readouterr().err


def test_a_series_without_the_checkpoints_that_read_the_store_is_refused_by_name(
    fitted, stores, monkeypatch, capsys, tmp_path
):
    shutil.copytree(shipped(), tmp_path / "run" / "checkpoint-30")
    with pytest.raises(SystemExit):
        run(
            monkeypatch, "tsae-eval", "--tsae", fitted, "--store", stores / "held-out", "--series", tmp_path / "run"
        )  # fmt: skip
    assert "was read by checkpoints 0: expected them in the series, got 30 without 0" in capsys.readouterr().err


def test_a_fit_too_short_to_promote_says_so_and_goes_on(tmp_path):
    store = planted_store(tmp_path / "store")
    with pytest.warns(UserWarning, match="a fit of 10 steps promotes nothing: the first promotion would be at step 8"):
        fit(store, small(training={"steps": 10}, promote_every=8), bar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(store, small(training={"steps": 10}, promote_every=5), bar=False)


def test_the_table_of_a_dictionary_says_which_way_is_slow(tmp_path):
    store = planted_store(tmp_path / "store")
    told = measured(evaluate(fit(store, small(), bar=False), store, bar=False))
    assert "Slow is: autocorrelation" in told and "the very ones it was fitted on" in told


def test_what_is_told_of_the_blocks_ends_in_a_sentence_with_the_means():
    told = {"format": {"slow block": 0.9, "other block": 0.7}, "depth": {"slow block": 0.5, "other block": None}}
    told["digit"] = {"slow block": 0.6, "other block": 0.8}
    said = what_it_tells(told, ("format", "depth"))
    assert "from the slow block: 0.70, and facts of one token 0.60" in said
    assert "from the other block: 0.70, and facts of one token 0.80" in said
