"""A dictionary of another site than the residual after a block: collected, fitted, measured and tracked there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_model, tiny_policy, tiny_tokenizer
from grpo_fixtures import FirstWord, make_rollout
from tracking_fixtures import SMALL

from interp.activations import CollectConfig, Store, collect
from interp.activations.reread import reread
from interp.artifacts import BadInput, Mismatch
from interp.encoding import encode_rollouts, latent_on_rollouts, loss_recovered
from interp.encoding.recovery import SpliceEvaluator
from interp.features.sampling import AblatedSampling
from interp.policy import Policy, SampleConfig
from interp.policy.residual import splice_residual
from interp.policy.site import Site
from interp.rollouts.series import Series
from interp.tracking import track
from interp.tracking.refitting import match_latents
from interp.tsae import TSAE, TrainingConfig, TSAEConfig, evaluate, fit

D, F, LAYER = 32, 96, 1
TASK, SAMPLING = FirstWord(), SampleConfig(group=2, max_new_tokens=8, rows=16)
ROLLOUTS = [make_rollout(length=5, prompt_ids=(8, 27)), make_rollout(length=3, prompt_ids=(5, 25, 6, 24))]
SMALL_FIT = TSAEConfig(width=64, k=4, training=TrainingConfig(steps=30, batch=64))


def relu_dictionary(path: Path, hook: str = f"blocks.{LAYER}.hook_mlp_out", **options: Any) -> tuple[TSAE, Any]:
    """A standard dictionary of SAELens with random weights: as it is read here, and as SAELens has it."""
    from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig

    sae = StandardSAE(StandardSAEConfig(d_in=D, d_sae=F, **options))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in sae.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    sae.cfg.metadata.hook_name = hook
    sae.save_model(str(path))
    return TSAE.load(path), sae


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Series:
    root = tmp_path_factory.mktemp("runs") / "mine"
    for step in (0, 10):
        tiny_policy("llama", seed=step).save(root / f"checkpoint-{step}")
    return Series.from_dir(root)


def collect_at(series: Series, out: Path, layer: Any = None, **settings: Any) -> Store:
    config = CollectConfig((LAYER,), tokens=1200, shard_tokens=300, micro_tokens=64, sampling=SAMPLING, **settings)
    return collect(series, TASK, layer=layer, config=config, out=out, progress=False)


@pytest.fixture(scope="module")
def store(series, tmp_path_factory) -> Store:
    return collect_at(series, tmp_path_factory.mktemp("stores") / "store", site="mlp_out")


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def policy(request) -> Policy:
    if request.param == "llama":
        return tiny_policy("llama")
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    llama = tiny_model("llama").config.to_dict()
    sizes = {
        name: llama[name] for name in llama if name.startswith(("num_", "hidden_size", "vocab", "inter", "head_d"))
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Gemma3TextConfig(**sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2, sliding_window=4)
        return Policy(Gemma3ForCausalLM(config).eval(), tiny_tokenizer())


# --- codes, splices and samples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", [f"blocks.{LAYER}.hook_mlp_out", f"blocks.{LAYER}.hook_resid_mid"])
def test_codes_of_rollouts_are_those_of_the_bridges_activations_through_saelens(policy, hook, tmp_path):
    tsae, sae = relu_dictionary(tmp_path, hook)
    (chunk,) = encode_rollouts(tsae, policy, LAYER, ROLLOUTS)
    expected = []
    for rollout in ROLLOUTS:
        _, cache = policy.bridge().run_with_cache(torch.tensor([[*rollout.prompt_ids, *rollout.tokens]]))
        expected.append(sae.encode(cache[hook][0, -len(rollout.tokens) :]))
    codes = torch.stack([torch.from_numpy(chunk.codes.latent_activations(f)) for f in range(F)], 1).float()
    torch.testing.assert_close(codes, torch.cat(expected), atol=1e-3, rtol=1e-3)
    one, rollout_N = latent_on_rollouts(tsae, policy, LAYER, ROLLOUTS, 3)
    torch.testing.assert_close(torch.from_numpy(one), codes[:, 3], atol=1e-4, rtol=1e-4)
    assert rollout_N.tolist() == [0] * 5 + [1] * 3


@pytest.mark.parametrize("normalization", ["none", "layer_norm"])
def test_the_loss_of_a_spliced_dictionary_is_that_of_the_bridge(policy, normalization, tmp_path):
    tsae, sae = relu_dictionary(tmp_path, normalize_activations=normalization)
    evaluator = SpliceEvaluator(tsae, LAYER, torch.zeros(D))
    row = ROLLOUTS[0]
    evaluator.update(policy, [row.prompt_ids], [row.tokens])
    ids, first = torch.tensor([[*row.prompt_ids, *row.tokens]]), len(row.prompt_ids)

    def splice(x: torch.Tensor, hook: Any) -> torch.Tensor:
        return torch.cat([x[:, :first], sae(x[:, first:])], 1)

    with torch.no_grad():
        hooks = [(f"blocks.{LAYER}.hook_mlp_out", splice)]
        logits = policy.bridge().run_with_hooks(ids, fwd_hooks=hooks, return_type="logits")[0]
    losses = torch.nn.functional.cross_entropy(logits[first:-1], ids[0, first + 1 :])
    assert evaluator.compute().from_mean.ce_spliced_nats_per_token == pytest.approx(losses.item(), abs=1e-3)


def test_a_latent_ablated_in_sampling_is_edited_at_the_site(tmp_path, monkeypatch):
    policy, (tsae, _) = tiny_policy("llama"), relu_dictionary(tmp_path)
    sampling = AblatedSampling.prepare(tsae, policy, LAYER, TASK, ROLLOUTS, 1, SAMPLING)
    spliced = []

    def recorded(model: Any, layer: Any, edit: Any) -> Any:
        spliced.append(layer)
        return splice_residual(model, layer, edit)

    monkeypatch.setattr("interp.features.sampling.splice_residual", recorded)
    sampling.run(0, 0.0)
    assert spliced == [Site(LAYER, "mlp_out")]


# --- stores --------------------------------------------------------------------------------------------------------


def test_a_store_holds_the_activations_of_its_site_and_says_so(store, series):
    assert (store.site_of(LAYER), store.config["site"]) == (Site(LAYER, "mlp_out"), "mlp_out")
    assert f"layer {LAYER} (mlp_out) of width {D}" in repr(store)
    policy, site = series.base.load(device="cpu"), Site(LAYER, "mlp_out")
    row = store.documents.filter(store.documents["reader"] == 0).row(0, named=True)
    rows = slice(row["first"], row["first"] + row["length"])
    ids = store.tokens(row["shard"]).ids[rows].long()[None]
    x_LD = store.read(row["shard"], LAYER)[rows]
    torch.testing.assert_close(x_LD, policy.capture(ids, [site])[site][0], atol=1e-5, rtol=1e-5)
    assert Store.open(store.path).layer_of(site) == LAYER and store.layer_of(Site(LAYER)) is None


def test_a_layer_and_a_site_are_a_hook_or_a_site_object(series, store, tmp_path):
    config = CollectConfig((LAYER,), site="mlp_out")
    assert config == CollectConfig(hook=f"blocks.{LAYER}.hook_mlp_out")
    assert CollectConfig((LAYER,)) == CollectConfig((LAYER,), site="resid_post") == CollectConfig(hook="model.layers.1")
    other = collect_at(series, tmp_path / "store", Site(LAYER, "mlp_out"))
    assert other.fingerprint() == store.fingerprint()


@pytest.mark.parametrize("settings", [{"layers": (2,)}, {"site": "mlp_out"}])
def test_a_hook_and_another_layer_or_site_are_refused(settings):
    with pytest.raises(BadInput, match="expected a hook alone, or layers and a site"):
        CollectConfig(hook=f"blocks.{LAYER}.hook_attn_out", **settings)


def test_a_site_that_does_not_exist_is_refused(series, tmp_path):
    with pytest.raises(BadInput, match="site must be one of resid_pre, .*got 'hook_z'"):
        collect_at(series, tmp_path / "store", site="hook_z")


def test_a_collection_of_another_site_is_another_collection(series, store):
    with pytest.raises(Mismatch, match="site"):
        collect_at(series, store.path)
    assert store.path.name == "store"


def test_a_store_read_again_holds_the_same_site(store, series, tmp_path):
    again = reread(store, series.base.load(device="cpu"), reader=0, out=tmp_path / "again", progress=False)
    assert again.stored_site == store.stored_site
    shard = next(i for i in range(len(store.shards)) if store.facts(i)["reader"] == 0)
    torch.testing.assert_close(again.read(shard, LAYER), store.read(shard, LAYER), atol=1e-5, rtol=1e-5)


# --- which dictionary fits which store -----------------------------------------------------------------------------


@pytest.mark.parametrize("hook", [f"blocks.{LAYER}.mlp.hook_out", f"model.layers.{LAYER}.mlp"])
def test_the_output_of_the_module_is_what_is_added_where_no_norm_follows(store, hook, tmp_path):
    tsae, _ = relu_dictionary(tmp_path, hook)
    assert evaluate(tsae, store, allow_unrelated_policies=True, device="cpu", progress=False).tokens > 100


def test_the_residual_before_a_block_is_measured_on_a_store_of_the_one_after_the_block_before(series, tmp_path):
    tsae, _ = relu_dictionary(tmp_path / "sae", f"blocks.{LAYER + 1}.hook_resid_pre")
    store = collect_at(series, tmp_path / "store")
    quality = evaluate(tsae, store, device="cpu", progress=False)
    same = evaluate(replace(tsae, layer=LAYER, site="resid_post"), store, device="cpu", progress=False)
    assert quality.fve == same.fve and quality.tokens > 100
    recoveries = [
        loss_recovered(each, store, series, documents=20, device="cpu", progress=False)
        for each in (tsae, replace(tsae, layer=LAYER, site="resid_post"))
    ]
    assert recoveries[0].from_mean.ce_recovered == pytest.approx(recoveries[1].from_mean.ce_recovered, abs=1e-5)


def test_a_store_of_another_site_is_refused_with_the_hook_to_collect(store, tmp_path):
    tsae, _ = relu_dictionary(tmp_path, f"blocks.{LAYER}.hook_attn_out")
    message = r"expected activations of layer 1 \(attn_out\) .* got layers 1 \(mlp_out\).*--hook blocks.1.hook_attn_out"
    with pytest.raises(Mismatch, match=message):
        evaluate(tsae, store, device="cpu", progress=False)


def test_a_layer_does_not_override_the_site(store, tmp_path):
    tsae, _ = relu_dictionary(tmp_path, f"blocks.{LAYER}.hook_attn_out")
    with pytest.raises(Mismatch, match=r"layer 1 \(attn_out\)"):
        evaluate(tsae, store, layer=LAYER, device="cpu", progress=False)
    with pytest.raises(Mismatch, match="expected a dictionary of layer 2, got one of layer 1"):
        evaluate(tsae, store, layer=2, device="cpu", progress=False)


def test_a_dictionary_fitted_on_a_site_says_its_hook(store, tmp_path):
    from sae_lens import SAE

    tsae = fit(store, SMALL_FIT, out=tmp_path / "tsae", device="cpu", progress=False)
    assert (tsae.layer, tsae.site, tsae.at(LAYER)) == (LAYER, "mlp_out", Site(LAYER, "mlp_out"))
    assert SAE.load_from_disk(str(tmp_path / "tsae")).cfg.metadata.hook_name == f"blocks.{LAYER}.hook_mlp_out"
    assert TSAE.load(tmp_path / "tsae").site == "mlp_out"
    with pytest.raises(Mismatch, match=r"expected a start of layer 1 \(mlp_out\), got a dictionary of layer 1: start"):
        fit(store, SMALL_FIT, start=replace(tsae, site="resid_post"), device="cpu", progress=False)


# --- the journey of a ReLU dictionary ------------------------------------------------------------------------------


def test_a_relu_dictionary_at_mlp_out_is_measured_and_tracked(series, store, tmp_path):
    tsae, sae = relu_dictionary(tmp_path / "sae")
    quality = evaluate(tsae, store, device="cpu", progress=False)
    x_ND = torch.cat([store.read(i, LAYER)[store.tokens(i).completion] for i in range(len(store.shards))])
    assert quality.l0.total == pytest.approx((sae.encode(x_ND) > 0).sum(1).float().mean().item(), abs=1e-3)
    recovery = loss_recovered(tsae, store, series, documents=20, device="cpu", progress=False)
    assert recovery.from_mean.ce_recovered is not None
    tracks = track(tsae, series, TASK, SMALL, out=tmp_path / "tracks", device="cpu", progress=False)
    assert not tracks.summary().is_empty()


def test_dictionaries_of_different_sites_are_not_matched(tmp_path):
    tsae, _ = relu_dictionary(tmp_path)
    with pytest.raises(Mismatch, match="layer 1 of 32 and layer 1 of 32, at mlp_out and resid_post"):
        match_latents(tsae, replace(tsae, site="resid_post"))
    assert match_latents(tsae, tsae) is not None
