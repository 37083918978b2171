"""The commands `collect`, `tsae` and `tsae-eval`."""

import json
import shutil
from pathlib import Path

import pytest
from commands import refused, run, run_json, run_text

from interp.organism import shipped_path

SMALL = ("--width", "128", "--k", "8", "--steps", "5", "--batch", "256", "--preset", "matryoshka", "--device", "cpu")


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> Path:
    """A directory with two stores of the organism's activations: `train` to fit on, `held-out` to measure on."""
    root = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        for name, corpus in (("train", "on-policy"), ("held-out", "held-out")):
            words = ("--layers", "2", "--tokens", "3000", "--corpora", corpus, "--out", root / name)
            assert run(patch, "collect", "--policy", shipped_path(), *words) == 0
    return root


@pytest.fixture(scope="module")
def tsae(stores) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        assert run(patch, "tsae", "--store", stores / "train", "--out", stores / "tsae", *SMALL) == 0
    return stores / "tsae"


def test_residuals_of_a_series_are_collected_and_counted_by_checkpoint_and_corpus(
    new_policy, monkeypatch, capsys, tmp_path
):
    for step in (0, 10):
        new_policy(seed=step).save(tmp_path / "run" / f"checkpoint-{step}")
    lines = [
        {"id": f"{split}{i}", "prompt": f"{i} {sign} 1 =", "answer": "1", "split": split}
        for split, sign in (("train", "+"), ("probe", "-"))
        for i in range(5)
    ]
    (tmp_path / "problems.jsonl").write_text("\n".join(map(json.dumps, lines)))
    words = ("collect", "--jsonl", tmp_path / "problems.jsonl", "--layers", "0", "2", "--group", "2")
    words = (*words, "--max-new-tokens", "4")
    text = run_text(monkeypatch, capsys, *words, "--series", tmp_path / "run")
    assert "layers 0, 2" in text and f"Saved in {tmp_path / 'run'}" in text
    result = run_json(monkeypatch, capsys, *words, "--series", tmp_path / "run")
    places = [(row["reader"], row["corpus"], row["documents"]) for row in result["summary"]]
    assert places == [(step, corpus, 10) for step in (0, 10) for corpus in ("on-policy", "probe")]
    assert result["layers"] == [0, 2] and result["tokens"] == sum(row["tokens"] for row in result["summary"])
    alone = ("--policy", tmp_path / "run" / "checkpoint-0", "--out", "/dev/null/store")
    assert "/dev/null" in refused(monkeypatch, capsys, *words, *alone)


def test_a_fit_reports_its_last_batch_and_is_opened_when_repeated(tsae, stores, monkeypatch, capsys):
    words = ("tsae", "--store", stores / "train", "--out", tsae, *SMALL)
    text = run_text(monkeypatch, capsys, *words)
    assert "On the last batch: variance explained" in text and f"Saved in {tsae}" in text
    result = run_json(monkeypatch, capsys, *words)
    assert {"fve", "l0", "dead"} <= set(result["last"]) and result["fingerprint"]


@pytest.mark.parametrize(
    ("store", "sentence"), [("train", "the very activations it was fitted on"), ("held-out", "other activations than")]
)
def test_measuring_says_whether_the_dictionary_was_fitted_on_the_store(
    tsae, stores, monkeypatch, capsys, store, sentence
):
    words = ("tsae-eval", "--tsae", tsae, "--store", stores / store)
    text = run_text(monkeypatch, capsys, *words)
    assert sentence in text.replace("\n", " ") and "Loss recovered: not measured" in text
    result = run_json(monkeypatch, capsys, *words)
    assert result["fitted_on"] == (store == "train") and "ce_recovered" not in result
    assert [row["block"] for row in result["summary"]] == ["all", "slow", "block 2"] and len(result["table"]) == 128


def test_a_dictionary_without_a_manifest_says_nothing_of_its_store(tsae, stores, tmp_path, monkeypatch, capsys):
    bare = shutil.copytree(tsae, tmp_path / "bare")
    (bare / "manifest.json").unlink()
    words = ("tsae-eval", "--tsae", bare, "--store", stores / "train", "--layer", "2")
    assert "does not say" in run_text(monkeypatch, capsys, *words).replace("\n", " ")
    assert run_json(monkeypatch, capsys, *words)["fitted_on"] is None


def test_the_loss_recovered_is_measured_where_the_policies_are_given(tsae, stores, monkeypatch, capsys):
    words = ("tsae-eval", "--tsae", tsae, "--store", stores / "held-out", "--policy", shipped_path())
    words = (*words, "--documents", "3")
    text = run_text(monkeypatch, capsys, *words)
    assert "ce recovered" in text and "not measured" not in text
    result = run_json(monkeypatch, capsys, *words)
    assert 1 <= result["recovered_documents"] <= 3 and result["recovered_tokens"] > 0


def test_shards_that_cannot_be_read_are_refused_or_left_out_and_named(tsae, monkeypatch, capsys, tmp_path):
    store, sizes = tmp_path / "store", ("--tokens", "2000", "--shard-tokens", "800", "--corpora", "held-out")
    assert run(monkeypatch, "collect", "--policy", shipped_path(), "--layers", "2", *sizes, "--out", store) == 0
    shard = store / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:500])
    words = ("tsae-eval", "--tsae", tsae, "--store", store)
    assert "shards cannot be read: shard-00000.safetensors: expected" in refused(monkeypatch, capsys, *words)
    assert run(monkeypatch, *words, "--skip-bad") == 0
    assert "interp: 1 shard left out: shard-00000: shard-00000.safetensors: expected" in capsys.readouterr().err


def test_a_series_without_a_checkpoint_that_read_the_store_is_refused(tsae, stores, monkeypatch, capsys, tmp_path):
    shutil.copytree(shipped_path(), tmp_path / "run" / "checkpoint-30")
    words = ("tsae-eval", "--tsae", tsae, "--store", stores / "held-out", "--series", tmp_path / "run")
    error = refused(monkeypatch, capsys, *words)
    assert "expected a series with the checkpoints that read it (0), got 30 without 0" in error
