"""`evaluate` on dictionaries whose quality is known, and what a `Quality` shows."""

from dataclasses import replace

import pytest
import torch
from tsae_fixtures import (
    K,
    identity_tsae,
    noise_residuals,
    silent_tsae,
    small_config,
    small_store,
    store_with_layout,
)

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch
from interp.tsae import TrainingConfig, TSAEConfig, evaluate, fit

D = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """400 tokens of noise, 280 of them in completions."""
    path = tmp_path_factory.mktemp("quality") / "store"
    return store_with_layout(path, [[(10, 3)] * 20] * 2, d_model=D, fill=noise_residuals)


def test_a_dictionary_that_copies_its_input_explains_everything(store):
    quality = evaluate(identity_tsae(D), store, progress=False)
    assert quality.fve == pytest.approx(1) and quality.cosine == pytest.approx(1, abs=1e-6)
    assert quality.l0.total == pytest.approx(D), "each dimension has one sign"


def test_a_silent_dictionary_explains_nothing(store):
    quality = evaluate(silent_tsae(identity_tsae(D)), store, progress=False)
    assert quality.l0.total == 0 and quality.firing.dead_share == 1 and quality.membership_alive is None


def test_a_dictionary_that_predicts_the_mean_has_no_variance_explained(store):
    completions = torch.cat([store.read(i, 0)[store.tokens(i).completion] for i in range(len(store.shards))])
    mean_D = completions.double().mean(0).float()
    quality = evaluate(replace(silent_tsae(identity_tsae(D)), b_dec=mean_D), store, progress=False)
    assert quality.fve == pytest.approx(0, abs=1e-5)


def test_completion_tokens_are_measured_and_prompts_if_they_were_trained_on(store):
    tsae = identity_tsae(D)
    on_prompts = replace(tsae, config=TSAEConfig(training=TrainingConfig(prompts=True)))
    without, with_prompts = (evaluate(one, store, progress=False) for one in (tsae, on_prompts))
    assert (without.tokens, without.includes_prompts) == (280, False)
    assert (with_prompts.tokens, with_prompts.includes_prompts) == (400, True)


def test_it_is_known_whether_a_dictionary_was_fitted_on_the_store(store):
    for made_from, expected in (({}, None), ({"store": store.fingerprint()}, True), ({"store": "other"}, False)):
        quality = evaluate(replace(identity_tsae(D), made_from=made_from), store, progress=False)
        assert quality.is_training_store is expected


def test_a_store_that_unrelated_policies_read_is_refused_unless_they_are_allowed(store, monkeypatch):
    monkeypatch.setattr("interp.tsae.provenance.reader_fingerprints", lambda store: {"policy-0": "theirs"})
    tsae = replace(identity_tsae(D), made_from={"policy-0": "ours", "store": "theirs"})
    with pytest.raises(Mismatch, match="fitted on other weights: expected some of ours in the store, got theirs"):
        evaluate(tsae, store, progress=False)
    assert evaluate(tsae, store, allow_unrelated_policies=True, progress=False).fve == pytest.approx(1)
    assert evaluate(replace(tsae, made_from={"store": "other"}), store, progress=False).fve == pytest.approx(1)


def test_a_quality_has_a_headline_a_summary_by_block_and_a_table_by_latent(tmp_path):
    store = small_store(tmp_path / "store")
    tsae = fit(store, small_config(training={"steps": 60}), progress=False)
    quality = evaluate(tsae, store, progress=False)
    assert quality.headline()["fve"] == quality.fve and quality.headline()["l0"] == quality.l0.total
    summary, table = quality.summary(), quality.table()
    assert summary["block"].to_list() == ["all", "slow", "block 2"]
    assert summary["latents"].to_list() == [64, 16, 48]
    assert summary["l0"][0] == pytest.approx(summary["l0"][1] + summary["l0"][2]) == pytest.approx(K, rel=0.2)
    assert summary["fve"].to_list() == [quality.fve, quality.fve_slow, None]
    assert table["latent"].to_list() == [*range(64)] and table["block"].to_list() == ["slow"] * 16 + ["block 2"] * 48
    assert table["firing_rate"].sum() == pytest.approx(quality.l0.total)
    never = table.filter(table["active_tokens"] == 0)
    assert never["mean_when_active"].is_null().all() and table["active_tokens"].sum() > 0
    assert len(quality.figure().data) == 2
    assert repr(quality).startswith("Quality(4,800 tokens: variance explained 0.") and "slow" in quality._repr_html_()


def test_a_dictionary_of_one_block_has_one_row_in_its_summary(store):
    one_block = replace(identity_tsae(D), block_widths=(2 * D,))
    quality = evaluate(one_block, store, progress=False)
    assert quality.summary()["block"].to_list() == ["all"] == list(quality.block_names)
    assert quality.membership is None and len(quality.figure().data) == 1


def test_a_dictionary_of_another_layer_or_dimension_is_refused(store):
    with pytest.raises(Mismatch, match="expected activations of layer 1 and dimension 16"):
        evaluate(identity_tsae(D, layer=1), store, progress=False)
    with pytest.raises(Mismatch, match="dimension 8"):
        evaluate(identity_tsae(8), store, progress=False)


def test_a_dictionary_without_a_layer_needs_one(store):
    no_layer = identity_tsae(D, layer=None)
    with pytest.raises(BadInput, match="the dictionary does not say its layer: expected a layer, got none"):
        evaluate(no_layer, store, progress=False)
    assert evaluate(no_layer, store, layer=0, progress=False).fve == pytest.approx(1)
    with pytest.raises(Mismatch, match="expected a dictionary of layer 1, got one of layer 0"):
        evaluate(identity_tsae(D), store, layer=1, progress=False)


def test_a_store_of_prompts_alone_is_refused(tmp_path):
    store = store_with_layout(tmp_path / "store", [[(10, 10)] * 4], d_model=D, fill=noise_residuals)
    with pytest.raises(BadInput, match="expected tokens to measure on, got none: does it hold prompts alone"):
        evaluate(identity_tsae(D), store, progress=False)
