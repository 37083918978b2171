"""`fit`: good dictionaries, the same bits each time, bounded memory, warm starts, and errors before training."""

import weakref
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch.testing import assert_close
from tsae_fixtures import (
    K,
    expect_same_bits,
    held_out_documents,
    noise_residuals,
    small_config,
    small_store,
    store_with_layout,
    variance_explained,
)

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch
from interp.tsae import PRESETS, TSAE, TSAEConfig, evaluate, fit, fit_all
from interp.tsae.pools import Pools
from interp.tsae.trainer import TSAETrainer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """4800 tokens in four shards, two pools an epoch."""
    return small_store(tmp_path_factory.mktemp("fit") / "store")


@pytest.fixture(scope="module")
def start(store: Store) -> TSAE:
    return fit(store, small_config(training={"steps": 60}), progress=False)


def long_config(**changes: Any) -> TSAEConfig:
    return small_config(training={"steps": 120}, **changes)


# --- results -------------------------------------------------------------------------------------------------------

CONFIGS = {
    "ours": long_config(),
    "slow block with its own budget": long_config(slow_k=2),
    "partners from the past": long_config(contrast={"run": 1, "pairing": "past"}),
    "matryoshka": long_config(contrast={"alpha": 0.0}, promote_every=None),
    "one block": long_config(contrast={"alpha": 0.0}, promote_every=None, blocks=(1.0,), block_weights=(1.0,)),
    "unscaled": long_config(scale="none"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_fit_explains_held_out_documents_with_k_active_latents(name, store):
    config = CONFIGS[name]
    tsae, x_ND = fit(store, config, progress=False), held_out_documents().x_ND
    active_NF = tsae.encode(x_ND) > 0
    assert variance_explained(tsae, x_ND) > 0.9
    assert active_NF.float().sum(1).mean().item() == pytest.approx(K, rel=0.1)
    if config.slow_k:
        assert active_NF[:, : tsae.n_slow].float().sum(1).mean().item() == pytest.approx(config.slow_k, rel=0.1)
    assert tsae.fit_metrics["fve"] > 0.9 and tsae.fit_metrics["l0"] == pytest.approx(K, rel=0.01)
    assert (tsae.fit_metrics.get("contrast", 0) > 0) == (config.contrast.alpha > 0)


def test_a_fitted_dictionary_knows_its_sizes_layer_config_and_store(store):
    config = small_config()
    tsae = fit(store, config, progress=False)
    assert (tsae.d_model, tsae.width, tsae.block_widths, tsae.n_slow) == (16, 64, (16, 48), 16)
    assert (tsae.layer, tsae.path, tsae.config) == (0, None, config.resolved(16))
    assert tsae.made_from == {"store": store.fingerprint()}
    assert tsae.sae_lens_cfg["architecture"] == "jumprelu"
    assert tsae.sae_lens_cfg["metadata"]["hook_name"] == "blocks.0.hook_resid_post"
    assert_close(tsae.W_dec.norm(dim=1), torch.ones(64))


@pytest.mark.parametrize("name", [name for name, config in PRESETS.items() if config.contrast.alpha])
def test_every_step_of_a_preset_with_a_contrast_has_one(name, store, monkeypatch):
    losses: list[float] = []
    train_step = TSAETrainer.train_step

    def recording(self: TSAETrainer, batch: Any) -> Any:
        step = train_step(self, batch)
        losses.append(step.losses["contrast"].item())
        return step

    monkeypatch.setattr(TSAETrainer, "train_step", recording)
    fit(store, replace(PRESETS[name], width=64, k=4, training=small_config().training), progress=False)
    assert len(losses) == 20 and all(value > 0 for value in losses)


def test_the_progress_bar_shows_variance_explained_active_and_dead_latents(store, capsys, monkeypatch):
    monkeypatch.setattr("interp.tsae.fitting.bar_settings", lambda progress: {"disable": not progress})
    fit(store, small_config())
    output = capsys.readouterr().err
    assert "20/20" in output
    last = dict(part.strip().split("=") for part in output.rsplit("step/s", 1)[1].strip(" ,]\n").split(","))
    assert float(last["fve"]) > 0.3 and float(last["l0"]) == pytest.approx(K, rel=0.01) and last["dead"] == "0.000"


# --- randomness ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_another_seed_gives_others(store):
    first, torch_state = fit(store, small_config(), progress=False), torch.random.get_rng_state()
    torch.manual_seed(123)
    expect_same_bits(first, fit(store, small_config(), progress=False))
    assert first.fingerprint() != fit(store, small_config(training={"seed": 1}), progress=False).fingerprint()
    torch.random.set_rng_state(torch_state)
    fit(store, small_config(), progress=False)
    assert torch.equal(torch.random.get_rng_state(), torch_state), "torch's own generator is left alone"


def test_torch_is_deterministic_during_a_fit_and_not_after(store, monkeypatch):
    """Otherwise several threads would sum gradients in any order."""
    deterministic, train_step = set[bool](), TSAETrainer.train_step

    def recording(self: TSAETrainer, batch: Any) -> Any:
        deterministic.add(torch.are_deterministic_algorithms_enabled())
        return train_step(self, batch)

    monkeypatch.setattr(TSAETrainer, "train_step", recording)
    fit(store, small_config(), progress=False)
    assert deterministic == {True} and not torch.are_deterministic_algorithms_enabled()


def test_prompts_and_other_layers_do_not_change_the_weights(tmp_path):
    def loud_prompts(first: int, n: int, layer: int) -> torch.Tensor:
        return noise_residuals(first, n, layer) + 100 * (torch.arange(n) % 10 < 3)[:, None]

    fits: dict[str, list[TSAE]] = {}
    for fill, layers in ((noise_residuals, (0, 3)), (loud_prompts, (3,))):
        path = tmp_path / fill.__name__
        store = store_with_layout(path, [[(10, 3)] * 40] * 2, layers=layers, d_model=16, fill=fill)
        configs = [small_config(training={"prompts": prompts}) for prompts in (False, True)]
        fits[fill.__name__] = [fit(store, config, layer=3, progress=False) for config in configs]
    quiet, loud = fits.values()
    expect_same_bits(quiet[0], loud[0])
    assert quiet[1].fingerprint() != loud[1].fingerprint(), "trained on prompts, they matter"
    assert [tsae.layer for tsae in (*quiet, *loud)] == [3] * 4


# --- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_documents", [50, 10])
def test_one_pool_is_in_memory_at_a_time_whatever_the_size_of_the_store(shard_documents, tmp_path, monkeypatch):
    store = small_store(tmp_path / "store", shard_documents=shard_documents)
    config = small_config(training={"steps": 60, "batch": 256})
    pools: list[tuple[int, Any]] = []
    read = Pools.read

    def recording(self: Pools, slices: Any) -> Any:
        assert all(pool() is None for _, pool in pools), "the last pool is freed before the next is read"
        pool = read(self, slices)
        pools.append((pool.x_PD.numel() * 4, weakref.ref(pool)))
        return pool

    monkeypatch.setattr(Pools, "read", recording)
    fit(store, config, progress=False)
    slack = len(store.shards) * 24 * 16 * 4  # a document of each shard
    assert len(pools) >= 6 and max(size for size, _ in pools) <= config.training.pool_gb * 1e9 + slack
    assert config.training.pool_gb * 1e9 == 160_000 < 0.6 * len(store) * 16 * 4


def test_each_epoch_reads_every_document_once_from_pools_of_all_shards(store, monkeypatch):
    pools: list[Any] = []
    read = Pools.read

    def recording(self: Pools, slices: Any) -> Any:
        pools.append(slices)
        return read(self, slices)

    monkeypatch.setattr(Pools, "read", recording)
    fit(store, small_config(training={"steps": 4 * 4, "batch": 1100, "pool_gb": 8e-5}), progress=False)
    pools = pools[-16:]  # the first were read for the statistics
    all_documents = [(shard, document) for shard in range(4) for document in range(50)]
    epochs = [pools[i : i + 4] for i in range(0, 16, 4)]
    for epoch in epochs:
        documents = [(part.shard, i) for slices in epoch for part in slices for i in range(part.start, part.end)]
        assert sorted(documents) == all_documents
        assert all([part.shard for part in slices] == [0, 1, 2, 3] for slices in epoch)
    assert len({str(epoch) for epoch in epochs}) > 1


# --- from another dictionary ---------------------------------------------------------------------------------------


def test_without_learning_a_fit_returns_its_start(store, start):
    unchanged = fit(store, small_config(training={"steps": 1, "lr": 1e-12}), start=start, progress=False)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"):
        assert_close(getattr(unchanged, name), getattr(start, name), atol=1e-5, rtol=1e-4)


def test_a_warm_start_is_ahead_of_random_weights(store, start):
    config = small_config(training={"steps": 3})
    warm, cold = (fit(store, config, start=start_or_none, progress=False) for start_or_none in (start, None))
    assert variance_explained(warm, held_out_documents().x_ND) > 0.75
    assert variance_explained(cold, held_out_documents().x_ND) < 0.5


def test_a_start_of_another_size_is_refused(store, start):
    with pytest.raises(Mismatch, match="expected a start of d_model 16 and width 96, got 16 and 64: set width=64"):
        fit(store, small_config(width=96), start=start, progress=False)


def test_a_start_of_another_layer_or_of_other_blocks_is_refused(store):
    start = fit(store, small_config(training={"steps": 1}), progress=False)
    with pytest.raises(Mismatch, match="expected a start of layer 0, got a dictionary of layer 3"):
        fit(store, small_config(), start=replace(start, layer=3), progress=False)
    with pytest.raises(Mismatch, match="expected a start with blocks of"):
        fit(store, small_config(blocks=(0.5, 0.5)), start=start, progress=False)


def test_a_start_of_unknown_blocks_is_accepted(store):
    """As of a dictionary that SAELens saved."""
    start = fit(store, small_config(training={"steps": 1}), progress=False)
    one_block = replace(start, block_widths=(start.width,))
    tsae = fit(store, small_config(training={"steps": 1}), start=one_block, progress=False)
    assert tsae.block_widths == start.block_widths


# --- refused -------------------------------------------------------------------------------------------------------


def test_a_path_or_a_name_in_place_of_an_object_is_refused_with_how_to_open_it(store, start):
    text: Any = "runs/acts"
    for arguments, message in (
        ({"store": text}, r"expected a Store, got 'runs/acts' .str.: open it with Store.open"),
        ({"config": text}, r"expected a TSAEConfig, got 'runs/acts' .str.: preset.name. gives one by its name"),
        ({"start": text}, r"expected a TSAE, got 'runs/acts' .str.: load it with TSAE.load"),
    ):
        with pytest.raises(BadInput, match=message):
            fit(**{"store": store, "config": small_config(), "progress": False, **arguments})
    with pytest.raises(BadInput, match="expected a TSAEConfig, got 'interp'"):
        fit_all(store, {"a": cast(Any, "interp")}, progress=False)
    for tsae, other_store in ((text, store), (start, text)):
        with pytest.raises(BadInput, match="expected a (TSAE|Store), got 'runs/acts' .str.: (load|open) it"):
            evaluate(tsae, other_store, progress=False)


def test_a_dictionary_worse_than_the_mean_is_returned_with_a_warning(store):
    with pytest.warns(UserWarning, match=r"than the mean would \(variance explained -.*\): use more steps"):
        fit(store, small_config(training={"lr": 10.0}), progress=False)


def test_a_layer_that_the_store_lacks_is_refused(store, tmp_path):
    with pytest.raises(BadInput, match=r"expected one of its layers \(0\), got 7: choose one of these"):
        fit(store, small_config(), layer=7, progress=False)
    two_layers = store_with_layout(tmp_path / "two", [[(10, 0)] * 40], layers=(1, 2), d_model=16, fill=noise_residuals)
    with pytest.raises(BadInput, match="layers? .*1, 2"):
        fit(two_layers, small_config(), progress=False)


TOO_LITTLE = {
    "fewer tokens than a batch": ([[(10, 0)] * 12], {}, "at least one batch of 128 tokens, got 120: collect more, or"),
    "fewer completion tokens": ([[(10, 9)] * 120], {}, r"128 tokens, got 120 \(1,080 more are of prompts: train on"),
    "documents of one token": ([[(1, 0)] * 200], {}, "documents with two consecutive tokens that are trained on"),
    "completions of one token": ([[(10, 9)] * 200], {}, "for the contrast, got none: train on prompts too, or use"),
    "a single document": ([[(200, 0), (1, 0)]], {}, "expected two documents of at least two tokens, got one"),
    "no pairs": ([[(1, 0)] * 200], {"same_sequence": True}, "documents with two consecutive tokens"),
}


@pytest.mark.parametrize("case", TOO_LITTLE)
def test_a_store_too_small_for_the_config_is_refused_before_training(case, tmp_path, monkeypatch):
    layout, contrast, message = TOO_LITTLE[case]
    store = store_with_layout(tmp_path / "store", layout, d_model=16, fill=noise_residuals)
    monkeypatch.setattr(TSAETrainer, "train_step", lambda *_: pytest.fail("it trained"))
    with pytest.raises(BadInput, match=message):
        fit(store, small_config(contrast=contrast), progress=False)


ENOUGH = {
    "prompts": ([[(10, 9)] * 200], {}, {"prompts": True}),
    "partners in the prompts": ([[(10, 9)] * 200], {"run": 1, "partner_mask": "anchor"}, {}),
    "one document with same_sequence": ([[(200, 0)]], {"same_sequence": True}, {}),
    "no contrast": ([[(1, 0)] * 200], {"alpha": 0.0}, {}),
    "shards too small for a batch": ([[(10, 0)] * 3, [(10, 0)] * 20, [(10, 0)] * 3], {}, {"pool_gb": 1e-5}),
    "documents shorter than a run": ([[(2, 0)] * 200], {"run": 100}, {}),
}


@pytest.mark.parametrize("case", ENOUGH)
def test_a_store_that_is_just_large_enough_is_accepted(case, tmp_path):
    layout, contrast, training = ENOUGH[case]
    store = store_with_layout(tmp_path / "store", layout, d_model=16, fill=noise_residuals)
    tsae = fit(store, small_config(contrast=contrast, training=training), progress=False)
    assert tsae.fit_metrics["l0"] == pytest.approx(K, rel=0.1)


def test_batches_without_pairs_are_trained_on_without_a_contrast(tmp_path):
    layout = [[(1, 0)] * 600 + [(2, 0)] * 3]
    store = store_with_layout(tmp_path / "store", layout, d_model=16, fill=noise_residuals)
    with pytest.warns(UserWarning, match=r"in \d+ of 20 steps no pair had a negative of another document"):
        tsae = fit(store, small_config(), progress=False)
    assert tsae.fit_metrics["l0"] == pytest.approx(K, rel=0.1)


@pytest.mark.parametrize(("lengths", "warns"), [((600, 600), True), ((40,) * 30, False)])
def test_a_warning_is_given_if_the_contrast_has_no_negatives(lengths, warns, tmp_path, recwarn):
    """Of two documents, each pool holds one."""
    layout = [[(length, 0) for length in lengths]]
    store = store_with_layout(tmp_path / "store", layout, d_model=16, fill=noise_residuals)
    fit(store, small_config(training={"pool_gb": 600 * 64 / 1e9}), progress=False)
    messages = [str(warning.message) for warning in recwarn if "no pair had a negative" in str(warning.message)]
    assert len(messages) == warns and all("in 20 of 20 steps" in message for message in messages)


def test_activations_that_are_all_equal_are_refused(tmp_path):
    store = store_with_layout(tmp_path / "store", [[(10, 0)] * 30], d_model=16, fill=lambda _, n, __: torch.ones(n, 16))
    with pytest.raises(BadInput, match="expected activations that differ from one another, got 300 equal ones"):
        fit(store, small_config(), progress=False)


def test_pools_too_small_for_a_batch_are_refused(tmp_path):
    store = store_with_layout(tmp_path / "store", [[(10, 0)] * 12] * 2, d_model=16, fill=noise_residuals)
    with pytest.raises(
        BadInput, match=r"expected a batch of 128 tokens in each pool, got 10 on average: raise pool_gb"
    ):
        fit(store, small_config(training={"pool_gb": 1e-9}), progress=False)


def test_a_config_that_does_not_fit_the_dimension_is_refused(store):
    with pytest.raises(BadInput, match="k must lie between 1 and the 16 latents of the slow block; got 17"):
        fit(store, small_config(k=17), progress=False)
    with pytest.raises(BadInput, match=r"at least as wide as d_model \(16\); got width 15"):
        fit(store, small_config(width=15), progress=False)


@pytest.mark.parametrize(("save_every", "step"), [(1000, 15), (4, 4)])
def test_a_fit_that_diverges_is_named_and_not_saved(save_every, step, store, tmp_path, monkeypatch):
    lr_factor = TSAETrainer._lr_factor
    monkeypatch.setattr(
        TSAETrainer, "_lr_factor", lambda self: 1e29 if self.config.training.lr == 10 else lr_factor(self)
    )
    training = {"steps": 15, "save_every": save_every}
    wild = small_config(training=training | {"lr": 10.0})
    configs = {"tame": small_config(training=training), "wild": wild}
    with pytest.raises(FloatingPointError, match=f"dictionary 'wild' diverged at step {step}: use a lower lr or alpha"):
        fit_all(store, configs, out=tmp_path, progress=False)
    assert not (tmp_path / "wild").exists() and not (tmp_path / "wild.state").exists()
    with pytest.raises(FloatingPointError, match=f"^the dictionary diverged at step {step}: use a lower lr or alpha"):
        fit(store, wild, progress=False)
