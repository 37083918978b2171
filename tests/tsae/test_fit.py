"""Dictionaries are fitted: well, the same each time, within their memory, from one another; or refused."""

import weakref
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch.testing import assert_close
from tsae_fixtures import (
    WIDTH,
    K,
    expect_same_bits,
    fve,
    held_out,
    noise,
    planted_store,
    small,
    store_of_layout,
)

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch
from interp.tsae import PRESETS, TSAE, TSAEConfig, evaluate, fit, fit_all
from interp.tsae import trainer as trainer_module
from interp.tsae.batches import Pools, batches
from interp.tsae.trainer import TSAETrainer, measure_statistics, sample_tokens

Config = TSAEConfig


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """4800 tokens in four shards, two of them to a pool."""
    return planted_store(tmp_path_factory.mktemp("fit") / "store")


@pytest.fixture(scope="module")
def start(store: Store) -> TSAE:
    return fit(store, small(training={"steps": 60}), progress=False)


def long(**changes: Any) -> Config:
    return small(training={"steps": 120}, **changes)


# --- how well ------------------------------------------------------------------------------------------------------

WAYS = {
    "ours": long(),
    "slow block with a budget of its own": long(slow_k=2),
    "partners from the past": long(contrast={"run": 1, "pairing": "past"}),
    "matryoshka": long(contrast={"alpha": 0.0}, promote_every=None),
    "one block": long(contrast={"alpha": 0.0}, promote_every=None, blocks=(1.0,), block_weights=(1.0,)),
    "as they are": long(scale="none"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_fit_explains_what_it_has_not_seen_with_as_many_latents_as_asked(way, store):
    dictionary, x_ND = fit(store, WAYS[way], progress=False), held_out().x_ND
    on_NF = dictionary.encode(x_ND) > 0
    assert fve(dictionary, x_ND) > 0.9
    assert on_NF.float().sum(1).mean().item() == pytest.approx(K, rel=0.1)
    if slow_k := WAYS[way].slow_k:
        assert on_NF[:, : dictionary.n_slow].float().sum(1).mean().item() == pytest.approx(slow_k, rel=0.1)
    assert dictionary.fit_metrics["fve"] > 0.9 and dictionary.fit_metrics["l0"] == pytest.approx(K, rel=0.01)
    assert (dictionary.fit_metrics.get("contrast", 0) > 0) == (WAYS[way].contrast.alpha > 0)


def test_a_dictionary_says_what_it_is(store):
    config = small()
    dictionary = fit(store, config, progress=False)
    assert (dictionary.d_model, dictionary.width, dictionary.block_widths, dictionary.n_slow) == (16, 64, (16, 48), 16)
    assert (dictionary.layer, dictionary.path, dictionary.config) == (0, None, config.resolved(16))
    assert dictionary.made_from == {"store": store.fingerprint()}
    assert dictionary.sae_lens_cfg["architecture"] == "jumprelu"
    assert dictionary.sae_lens_cfg["metadata"]["hook_name"] == "blocks.0.hook_resid_post"
    assert_close(dictionary.W_dec.norm(dim=1), torch.ones(64))


@pytest.mark.parametrize("name", [name for name, config in PRESETS.items() if config.contrast.alpha])
def test_a_contrast_that_is_asked_for_is_there_at_every_step(name, store, monkeypatch):
    seen: list[float] = []
    learn = TSAETrainer.train_step

    def watched(self: TSAETrainer, batch: Any) -> Any:
        step = learn(self, batch)
        seen.append(step.losses["contrast"].item())
        return step

    monkeypatch.setattr(TSAETrainer, "train_step", watched)
    config = replace(PRESETS[name], width=64, k=4, training=small().training)
    fit(store, config, progress=False)
    assert len(seen) == 20 and all(value > 0 for value in seen)


def test_documents_that_are_alike_place_by_place_leave_as_many_latents_on_as_asked(tmp_path, monkeypatch):
    """Every fourth token of theirs is long. To take every n-th, for n a multiple of four, would be to miss them."""

    def every_fourth_long(first: int, n: int, layer: int) -> torch.Tensor:
        return noise(first, n, layer) * torch.where(torch.arange(first, first + n) % 4 == 1, 4.0, 1.0)[:, None]

    monkeypatch.setattr(trainer_module, "SAMPLE_TOKENS", 640)
    held = store_of_layout(tmp_path / "store", [[(128, 0)] * 20] * 2, d_model=16, fill=every_fourth_long)
    x_ND = torch.cat([held.read(shard, 0) for shard in range(2)])
    config = small(training={"steps": 120, "pool_gb": 1e-3})
    found, true = measure_statistics(sample_tokens(held, 0, config)), measure_statistics(x_ND)
    assert (found.norm, found.variance) == pytest.approx((true.norm, true.variance), rel=0.15)
    dictionary = fit(held, config, progress=False)
    assert (dictionary.encode(x_ND) > 0).float().sum(1).mean().item() == pytest.approx(K, rel=0.1)


def test_the_bar_tells_what_is_explained_how_many_are_on_and_how_many_are_dead(store, capsys):
    fit(store, small())
    shown = capsys.readouterr().err
    assert "20/20" in shown
    last = dict(part.strip().split("=") for part in shown.rsplit("step/s", 1)[1].strip(" ,]\n").split(","))
    assert float(last["fve"]) > 0.3 and float(last["l0"]) == pytest.approx(K, rel=0.01) and last["dead"] == "0.000"


def trainee_of(store: Store, config: Config) -> TSAETrainer:
    return TSAETrainer(config, 16, measure_statistics(sample_tokens(store, 0, config)), torch.device("cpu"))


def test_rate_and_alpha_grow_and_the_rate_falls_as_asked(store):
    """Of ten steps: the rate over two and then from the sixth on, alpha over four."""
    training = {"steps": 10, "warm_up": 0.2, "decay": 0.5, "lr": 0.01}
    trainee = trainee_of(
        store, small(training=training, contrast={"alpha": 2.0, "alpha_in": "loss", "alpha_warm_up": 0.4})
    )
    pool, rates, alphas = Pools(store, 0, prompts=False).read_shards(0, 1, 2, 3), [], []
    for batch in list(batches(pool, trainee.config, 0))[:10]:
        alphas.append(trainee._alpha())
        trainee.train_step(batch)
        rates.append(trainee.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.005, *[0.01] * 5, 0.008, 0.006, 0.004, 0.002])
    assert alphas == [0.5, 1.0, 1.5, *[2.0] * 7]


@pytest.mark.parametrize(("slow_k", "shares"), [(None, {(0, WIDTH): K}), (1, {(0, 16): 1, (16, WIDTH): K - 1})])
def test_thresholds_leave_on_as_many_as_asked_of_the_tokens_they_are_set_on(slow_k, shares, store, monkeypatch):
    monkeypatch.setattr(trainer_module, "CODES", 700 * WIDTH)
    trainee, x_ND = trainee_of(store, config := small(slow_k=slow_k)), sample_tokens(store, 0, config)
    trainee.calibrate_thresholds(x_ND)
    sae = trainee.sae
    hidden_NF = ((x_ND * trainee.scale - sae.b_dec) @ sae.W_enc + sae.b_enc) * sae.W_dec.norm(dim=1)
    held = (sae.slow_threshold, sae.topk_threshold)
    for ((start, end), share), threshold in zip(shares.items(), held[-len(shares) :], strict=True):
        assert (hidden_NF[:, start:end] > threshold).sum().item() == pytest.approx(share * len(x_ND), abs=2)


def test_thresholds_are_nought_where_fewer_codes_than_asked_are_above_it(store):
    trainee = trainee_of(store, small())
    with torch.no_grad():
        trainee.sae.b_enc.fill_(-100.0)[0] = 100.0
    trainee.calibrate_thresholds(sample_tokens(store, 0, small()))
    assert trainee.sae.topk_threshold == 0


@pytest.mark.parametrize("scale", ["rms", "none"])
def test_alpha_is_counted_in_the_variance_of_what_is_trained_on(scale, store):
    x_ND = torch.cat([store.read(shard, 0) for shard in range(4)])
    trainee = trainee_of(store, small(scale=scale, contrast={"alpha": 0.5}))
    x_ND = x_ND * (4 / x_ND.norm(dim=1).mean() if scale == "rms" else 1)
    assert trainee.sae.cfg.alpha == pytest.approx(0.5 * (x_ND - x_ND.mean(0)).pow(2).sum(1).mean().item(), rel=1e-4)
    assert_close(trainee.sae.b_dec.detach(), x_ND.mean(0), atol=1e-5, rtol=1e-4)


def test_an_encoder_that_is_shown_row_by_row_is_moved_as_adam_moves_it():
    columns = torch.nn.Parameter(noise(0, 6, 0, 4).T)
    plain = torch.nn.Parameter(columns.detach().contiguous().clone())
    assert not columns.is_contiguous()
    shown, usual = (torch.optim.Adam([one], lr=0.1, fused=True) for one in (columns, plain))
    for step in range(3):
        for one in (columns, plain):
            one.grad = torch.empty_like(one).copy_(noise(step, 4, 1, 6))
        with trainer_module._row_by_row(shown):
            shown.step()
        usual.step()
        assert_close(columns, plain)
        assert_close(shown.state[columns]["exp_avg_sq"], usual.state[plain]["exp_avg_sq"])
    assert columns.shape == (4, 6) and not columns.is_contiguous()


def test_no_gradient_is_longer_than_asked(store, monkeypatch):
    trainee, norms = trainee_of(store, small(training={"clip": 0.25})), list[float]()

    def watched() -> None:
        norms.append(sum(p.grad.pow(2).sum().item() for p in trainee.sae.parameters() if p.grad is not None) ** 0.5)

    monkeypatch.setattr(trainee.optimiser, "step", watched)
    for batch in batches(Pools(store, 0, prompts=False).read_shards(0), trainee.config, 0):
        trainee.train_step(batch)
    assert len(norms) == 9 and norms == pytest.approx([0.25] * 9, rel=1e-4), "they would all be longer"


def test_every_choice_reaches_the_architecture(store):
    told = {"similarity": "dot", "temperature": 0.7, "reduction": "sum", "same_sequence": True, "together": 33}
    config = small(contrast=told, slow_k=2, revival=0.4, revived=7, block_weights=(0.6, 0.9))
    cfg = trainee_of(store, config).sae.cfg
    assert {name: getattr(cfg, name) for name in told} == told
    assert (cfg.k, cfg.slow_k, cfg.aux_loss_coefficient, cfg.block_weights) == (4, 2, 0.4, (0.6, 0.9))
    assert (cfg.d_in, cfg.d_sae, cfg.matryoshka_widths, cfg.revived) == (16, 64, [16, 64], 7)


def test_dead_latents_are_revived(store, start):
    """Half the latents begin so far below 0 that they never fire. Left alone, none of them ever does."""
    dead_F = torch.arange(64) % 2 == 0
    patient = replace(start, b_enc=torch.where(dead_F, -1.0, start.b_enc))
    training = {"steps": 60, "dead_after": 1000}
    dead = [
        fit(store, small(training=training, revival=revival, promote_every=None), start=patient, progress=False).fit_metrics[
            "dead"
        ]
        for revival in (0.0, 1.0)
    ]
    assert dead[0] >= 0.5 and dead[1] < 0.3


# --- chance --------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(store):
    first, torch_state = fit(store, small(), progress=False), torch.random.get_rng_state()
    torch.manual_seed(123)
    expect_same_bits(first, fit(store, small(), progress=False))
    assert first.fingerprint() != fit(store, small(training={"seed": 1}), progress=False).fingerprint()
    weights = [trainee_of(store, small(training={"seed": seed})).sae.W_enc for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.allclose(weights[0], weights[2]), (
        "from the first weights on"
    )
    torch.random.set_rng_state(torch_state)
    fit(store, small(), progress=False)
    assert torch.equal(torch.random.get_rng_state(), torch_state), "it draws from its own numbers alone"


def test_torch_is_held_to_the_same_bits_while_it_fits_and_no_longer(store, monkeypatch):
    """With several threads, gradients would be summed in whatever order they come."""
    held, learn = set[bool](), TSAETrainer.train_step

    def watched(self: TSAETrainer, batch: Any) -> Any:
        held.add(torch.are_deterministic_algorithms_enabled())
        return learn(self, batch)

    monkeypatch.setattr(TSAETrainer, "train_step", watched)
    fit(store, small(), progress=False)
    assert held == {True} and not torch.are_deterministic_algorithms_enabled()


def test_what_is_not_trained_on_has_no_say(tmp_path):
    """Prompts of any content; and other layers."""

    def loud(first: int, n: int, layer: int) -> torch.Tensor:
        return noise(first, n, layer) + 100 * (torch.arange(n) % 10 < 3)[:, None]

    found = []
    for fill, layers in ((noise, (0, 3)), (loud, (3,))):
        place = tmp_path / fill.__name__
        held = store_of_layout(place, [[(10, 3)] * 40] * 2, layers=layers, d_model=16, fill=fill)
        found.append([fit(held, small(training={"prompts": p}), layer=3, progress=False) for p in (False, True)])
    expect_same_bits(found[0][0], found[1][0])
    assert found[0][1].fingerprint() != found[1][1].fingerprint()
    assert [dictionary.layer for pair in found for dictionary in pair] == [3] * 4


# --- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_documents", [50, 10])
def test_memory_holds_one_pool_however_large_the_store(shard_documents, tmp_path, monkeypatch):
    held = planted_store(tmp_path / "store", shard_documents=shard_documents)
    config = small(training={"steps": 60, "batch": 256})
    pools: list[tuple[int, Any]] = []
    read = Pools.read

    def watched(self: Pools, slices: Any) -> Any:
        assert all(alive() is None for _, alive in pools), "the last is gone before the next is read"
        pool = read(self, slices)
        pools.append((pool.x_PD.numel() * 4, weakref.ref(pool)))
        return pool

    monkeypatch.setattr(Pools, "read", watched)
    fit(held, config, progress=False)
    slack = len(held.shards) * 24 * 16 * 4  # a document of each
    assert len(pools) >= 6 and max(size for size, _ in pools) <= config.training.pool_gb * 1e9 + slack
    assert config.training.pool_gb * 1e9 == 160_000 < 0.6 * len(held) * 16 * 4


def test_each_epoch_reads_every_document_once_and_every_pool_is_of_all_shards(store, monkeypatch):
    seen: list[Any] = []
    read = Pools.read

    def watched(self: Pools, slices: Any) -> Any:
        seen.append(slices)
        return read(self, slices)

    monkeypatch.setattr(Pools, "read", watched)
    fit(store, small(training={"steps": 4 * 4, "batch": 1100, "pool_gb": 8e-5}), progress=False)
    seen = seen[-16:]  # those before were looked at for the scale
    every = [(shard, document) for shard in range(4) for document in range(50)]
    epochs = [seen[at : at + 4] for at in range(0, 16, 4)]
    for epoch in epochs:
        held = [(one.shard, document) for pool in epoch for one in pool for document in range(one.start, one.end)]
        assert sorted(held) == every
        assert all([one.shard for one in pool] == [0, 1, 2, 3] for pool in epoch)
    assert len({str(epoch) for epoch in epochs}) > 1


# --- from another ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["rms", "none"])
def test_it_begins_from_the_function_of_the_dictionary_it_is_given(scale, store, start):
    trainee = trainee_of(store, small(scale=scale))
    trainee.initialize_from(start)
    sae, x_ND = trainee.sae, held_out(tokens=480).x_ND
    assert (trainee.scale == 1) == (scale == "none")
    hidden_NF = (x_ND * trainee.scale - sae.b_dec) @ sae.W_enc + sae.b_enc
    assert_close(hidden_NF, (x_ND - start.b_dec) @ start.W_enc + start.b_enc, atol=1e-5, rtol=1e-4)
    z_NF = start.encode(x_ND)
    assert_close((z_NF @ sae.W_dec + sae.b_dec) / trainee.scale, start.decode(z_NF), atol=1e-5, rtol=1e-4)


def test_it_stays_what_it_began_from_if_it_does_not_learn(store, start):
    still = fit(store, small(training={"steps": 1, "lr": 1e-12}), start=start, progress=False)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"):
        assert_close(getattr(still, name), getattr(start, name), atol=1e-5, rtol=1e-4)


def test_it_is_ahead_of_one_that_begins_from_nothing(store, start):
    few = small(training={"steps": 3})
    warm, cold = (fit(store, few, start=given, progress=False) for given in (start, None))
    assert fve(warm, held_out().x_ND) > 0.75 > 0.5 > fve(cold, held_out().x_ND)


def test_a_start_of_another_size_is_refused(store, start):
    with pytest.raises(Mismatch, match="expected a dictionary of d_model 16 and width 96 to begin from, got 16 and 64"):
        fit(store, small(width=96), start=start, progress=False)


# --- refused -------------------------------------------------------------------------------------------------------


def test_a_path_or_a_name_where_the_thing_itself_is_wanted_is_refused_saying_how_to_get_it(store, start):
    anything: Any = "runs/acts"
    for given, told in (
        ({"store": anything}, r"expected a Store, got 'runs/acts' .str.: open it with Store.open"),
        ({"config": anything}, r"expected a TSAEConfig, got 'runs/acts' .str.: preset.name. gives one by its name"),
        ({"start": anything}, r"expected a TSAE, got 'runs/acts' .str.: load it with TSAE.load"),
    ):
        with pytest.raises(BadInput, match=told):
            fit(**{"store": store, "config": small(), "progress": False, **given})
    with pytest.raises(BadInput, match="expected a TSAEConfig, got 'interp'"):
        fit_all(store, {"a": cast(Any, "interp")}, progress=False)
    for tsae, where in ((anything, store), (start, anything)):
        with pytest.raises(BadInput, match="expected a (TSAE|Store), got 'runs/acts' .str.: (load|open) it"):
            evaluate(tsae, where, progress=False)


def test_one_that_explains_less_than_the_mean_is_kept_but_not_in_silence(store):
    with pytest.warns(UserWarning, match=r"less than the mean would \(variance explained -.*\): ask for more steps"):
        fit(store, small(training={"lr": 30.0}), progress=False)


def test_a_layer_that_is_not_there_is_refused(store, tmp_path):
    with pytest.raises(BadInput, match=r"expected a layer that it holds \(0\), got 7: ask for one of these"):
        fit(store, small(), layer=7, progress=False)
    two = store_of_layout(tmp_path / "two", [[(10, 0)] * 40], layers=(1, 2), d_model=16, fill=noise)
    with pytest.raises(BadInput, match="holds layers 1, 2: say which one"):
        fit(two, small(), progress=False)


LACKING = {
    "fewer tokens than a batch": ([[(10, 0)] * 12], {}, "at least one batch of 128 tokens, got 120: collect more, or"),
    "fewer of its own": ([[(10, 9)] * 120], {}, "at least one batch of 128 tokens, got 120: collect more, or"),
    "documents of one token": ([[(1, 0)] * 200], {}, "a contrast needs two tokens in a row, and no document has two"),
    "completions of one token": ([[(10, 9)] * 200], {}, "no document has two that are trained on: ask for prompts too"),
    "a single document": ([[(200, 0), (1, 0)]], {}, "expected two documents of two tokens at least, got one: without"),
    "no documents to tell apart": ([[(1, 0)] * 200], {"same_sequence": True}, "a contrast needs two tokens in a row"),
}


@pytest.mark.parametrize("case", LACKING)
def test_a_store_that_does_not_have_what_it_takes_is_refused_before_training(case, tmp_path, monkeypatch):
    layout, contrast, told = LACKING[case]
    held = store_of_layout(tmp_path / "store", layout, d_model=16, fill=noise)
    monkeypatch.setattr(TSAETrainer, "train_step", lambda *_: pytest.fail("it trained"))
    with pytest.raises(BadInput, match=told):
        fit(held, small(contrast=contrast), progress=False)


SUFFICING = {
    "prompts": ([[(10, 9)] * 200], {}, {"prompts": True}),
    "partners among the prompts": ([[(10, 9)] * 200], {"run": 1, "partner_mask": "anchor"}, {}),
    "a document among whose own tokens are negatives": ([[(200, 0)]], {"same_sequence": True}, {}),
    "no contrast": ([[(1, 0)] * 200], {"alpha": 0.0}, {}),
    "shards too small for a batch": ([[(10, 0)] * 3, [(10, 0)] * 20, [(10, 0)] * 3], {}, {"pool_gb": 1e-5}),
    "no document longer than its runs": ([[(2, 0)] * 200], {"run": 100}, {}),
}


@pytest.mark.parametrize("case", SUFFICING)
def test_and_one_that_does_is_not(case, tmp_path):
    layout, contrast, training = SUFFICING[case]
    held = store_of_layout(tmp_path / "store", layout, d_model=16, fill=noise)
    dictionary = fit(held, small(contrast=contrast, training=training), progress=False)
    assert dictionary.fit_metrics["l0"] == pytest.approx(K, rel=0.1)


def test_batches_in_which_hardly_any_tokens_are_neighbours_are_learned_from_without_a_contrast(tmp_path):
    layout = [[(1, 0)] * 600 + [(2, 0)] * 3]
    held = store_of_layout(tmp_path / "store", layout, d_model=16, fill=noise)
    with pytest.warns(UserWarning, match=r"in \d+ of 20 steps no pair had a token of another document"):
        dictionary = fit(held, small(), progress=False)
    assert dictionary.fit_metrics["l0"] == pytest.approx(K, rel=0.1)


@pytest.mark.parametrize(("lengths", "without"), [((600, 600), True), ((40,) * 30, False)])
def test_it_is_said_if_the_contrast_has_nothing_to_tell_apart(lengths, without, tmp_path, recwarn):
    """Of two documents each pool holds one."""
    held = store_of_layout(tmp_path / "store", [[(length, 0) for length in lengths]], d_model=16, fill=noise)
    fit(held, small(training={"pool_gb": 600 * 64 / 1e9}), progress=False)
    said = [str(warning.message) for warning in recwarn if "no pair had a token" in str(warning.message)]
    assert len(said) == without and all("in 20 of 20 steps" in told for told in said)


def test_activations_that_are_all_alike_are_refused(tmp_path):
    held = store_of_layout(tmp_path / "store", [[(10, 0)] * 30], d_model=16, fill=lambda _, n, __: torch.ones(n, 16))
    with pytest.raises(BadInput, match="expected activations that differ from one another, got 300 that are all alike"):
        fit(held, small(), progress=False)


def test_pools_that_never_hold_a_batch_are_refused_rather_than_gone_through_for_ever(tmp_path):
    held = store_of_layout(tmp_path / "store", [[(10, 0)] * 12] * 2, d_model=16, fill=noise)
    with pytest.raises(
        BadInput, match=r"expected a batch of 128 tokens in .* memory together, got 10 in the mean: raise pool_gb"
    ):
        fit(held, small(training={"pool_gb": 1e-9}), progress=False)


def test_what_does_not_fit_the_dimension_is_refused(store):
    with pytest.raises(BadInput, match="k must lie between 1 and the 16 latents of the slow block; got 17"):
        fit(store, small(k=17), progress=False)
    with pytest.raises(BadInput, match=r"at least as wide as d_model \(16\); got width 15"):
        fit(store, small(width=15), progress=False)


@pytest.mark.parametrize(("save_every", "step"), [(1000, 15), (4, 4)])
def test_one_that_diverges_is_named_and_nothing_of_it_is_kept(save_every, step, store, tmp_path):
    training = {"steps": 15, "save_every": save_every}
    configs = {"tame": small(training=training), "wild": small(training=training | {"lr": 1e30})}
    with pytest.raises(FloatingPointError, match=f"dictionary 'wild' diverged at step {step}: try a lower lr or alpha"):
        fit_all(store, configs, out=tmp_path, progress=False)
    assert not (tmp_path / "wild").exists() and not (tmp_path / "wild.state").exists()
    with pytest.raises(FloatingPointError, match=f"^the dictionary diverged at step {step}: try a lower lr or alpha"):
        fit(store, configs["wild"], progress=False)


def test_a_dictionary_of_another_layer_or_of_other_blocks_is_no_start(store):
    given = fit(store, small(training={"steps": 1}), progress=False)
    with pytest.raises(Mismatch, match="expected a dictionary of layer 0 to begin from, got one of layer 3"):
        fit(store, small(), start=replace(given, layer=3), progress=False)
    with pytest.raises(Mismatch, match="expected a dictionary with blocks of"):
        fit(store, small(blocks=(0.5, 0.5)), start=given, progress=False)
    whole = replace(given, block_widths=(given.width,))  # one that SAELens saved: its blocks are not known
    assert fit(store, small(training={"steps": 1}), start=whole, progress=False).block_widths == given.block_widths
