"""The trainer: schedules, thresholds, gradient clipping, revival, and the statistics it scales by."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close
from tsae_fixtures import WIDTH, K, noise_residuals, small_config, small_store, store_with_layout

from interp.activations import Store
from interp.tsae import TSAE, TSAEConfig, fit
from interp.tsae import statistics as statistics_module
from interp.tsae import trainer as trainer_module
from interp.tsae.batches import batches
from interp.tsae.pools import Pools
from interp.tsae.statistics import measure_statistics, sample_tokens
from interp.tsae.trainer import TSAETrainer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return small_store(tmp_path_factory.mktemp("trainer") / "store")


@pytest.fixture(scope="module")
def start(store: Store) -> TSAE:
    return fit(store, small_config(training={"steps": 60}), progress=False)


def trainer_of(store: Store, config: TSAEConfig) -> TSAETrainer:
    return TSAETrainer(config, 16, measure_statistics(sample_tokens(store, 0, config)), torch.device("cpu"))


# --- before training -----------------------------------------------------------------------------------------------


def test_statistics_hold_for_documents_of_one_length_and_pattern(tmp_path, monkeypatch):
    """Every fourth token is long. A sample of every n-th token, for n a multiple of four, would miss them."""

    def every_fourth_long(first: int, n: int, layer: int) -> torch.Tensor:
        factor_N = torch.where(torch.arange(first, first + n) % 4 == 1, 4.0, 1.0)
        return noise_residuals(first, n, layer) * factor_N[:, None]

    monkeypatch.setattr(statistics_module, "SAMPLE_TOKENS", 640)
    store = store_with_layout(tmp_path / "store", [[(128, 0)] * 20] * 2, d_model=16, fill=every_fourth_long)
    x_ND = torch.cat([store.read(shard, 0) for shard in range(2)])
    config = small_config(training={"steps": 120, "pool_gb": 1e-3})
    sampled, exact = measure_statistics(sample_tokens(store, 0, config)), measure_statistics(x_ND)
    assert (sampled.mean_norm, sampled.variance) == pytest.approx((exact.mean_norm, exact.variance), rel=0.15)
    tsae = fit(store, config, progress=False)
    assert (tsae.encode(x_ND) > 0).float().sum(1).mean().item() == pytest.approx(K, rel=0.1)


def test_every_option_reaches_the_architecture(store):
    contrast = {"similarity": "dot", "temperature": 0.7, "reduction": "sum", "same_sequence": True, "together": 33}
    config = small_config(contrast=contrast, slow_k=2, revival=0.4, revived=7, block_weights=(0.6, 0.9))
    cfg = trainer_of(store, config).sae.cfg
    assert {name: getattr(cfg, name) for name in contrast} == contrast
    assert (cfg.k, cfg.slow_k, cfg.aux_loss_coefficient, cfg.block_weights) == (4, 2, 0.4, (0.6, 0.9))
    assert (cfg.d_in, cfg.d_sae, cfg.matryoshka_widths, cfg.revived) == (16, 64, [16, 64], 7)


@pytest.mark.parametrize("scale", ["rms", "none"])
def test_alpha_is_in_units_of_the_variance_of_the_scaled_activations(scale, store):
    x_ND = torch.cat([store.read(shard, 0) for shard in range(4)])
    trainer = trainer_of(store, small_config(scale=scale, contrast={"alpha": 0.5}))
    x_ND = x_ND * (4 / x_ND.norm(dim=1).mean() if scale == "rms" else 1)
    assert trainer.sae.cfg.alpha == pytest.approx(0.5 * (x_ND - x_ND.mean(0)).pow(2).sum(1).mean().item(), rel=1e-4)
    assert_close(trainer.sae.b_dec.detach(), x_ND.mean(0), atol=1e-5, rtol=1e-4)


def test_the_seed_decides_the_initial_weights(store):
    first, same, other = (trainer_of(store, small_config(training={"seed": seed})).sae.W_enc for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.allclose(first, other)


# --- in training ---------------------------------------------------------------------------------------------------


def test_learning_rate_and_alpha_follow_their_schedules(store):
    """Of ten steps, the rate rises over two and falls from the sixth on, and alpha rises over four."""
    training = {"steps": 10, "warm_up": 0.2, "decay": 0.5, "lr": 0.01}
    contrast = {"alpha": 2.0, "alpha_in": "loss", "alpha_warm_up": 0.4}
    trainer = trainer_of(store, small_config(training=training, contrast=contrast))
    pool, rates, alphas = Pools(store, 0, prompts=False).read_shards(0, 1, 2, 3), [], []
    for batch in list(batches(pool, trainer.config, 0))[:10]:
        alphas.append(trainer._alpha())
        trainer.train_step(batch)
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.005, *[0.01] * 5, 0.008, 0.006, 0.004, 0.002])
    assert alphas == [0.5, 1.0, 1.5, *[2.0] * 7]


def test_gradients_are_clipped(store, monkeypatch):
    trainer, norms = trainer_of(store, small_config(training={"clip": 0.25})), list[float]()

    def record_norm() -> None:
        norms.append(sum(p.grad.pow(2).sum().item() for p in trainer.sae.parameters() if p.grad is not None) ** 0.5)

    monkeypatch.setattr(trainer.optimizer, "step", record_norm)
    for batch in batches(Pools(store, 0, prompts=False).read_shards(0), trainer.config, 0):
        trainer.train_step(batch)
    assert len(norms) == 9 and norms == pytest.approx([0.25] * 9, rel=1e-4), "unclipped, all would be longer"


def test_adam_on_transposed_parameters_equals_adam():
    column_major = torch.nn.Parameter(noise_residuals(0, 6, 0, 4).T)
    row_major = torch.nn.Parameter(column_major.detach().contiguous().clone())
    assert not column_major.is_contiguous()
    transposing, plain = (torch.optim.Adam([x], lr=0.1, fused=True) for x in (column_major, row_major))
    for step in range(3):
        for parameter in (column_major, row_major):
            parameter.grad = torch.empty_like(parameter).copy_(noise_residuals(step, 4, 1, 6))
        with trainer_module._row_major(transposing):
            transposing.step()
        plain.step()
        assert_close(column_major, row_major)
        assert_close(transposing.state[column_major]["exp_avg_sq"], plain.state[row_major]["exp_avg_sq"])
    assert column_major.shape == (4, 6) and not column_major.is_contiguous()


def test_dead_latents_are_revived(store, start):
    """Half the latents start so far below 0 that they never fire. Without revival none of them ever does."""
    dead_F = torch.arange(64) % 2 == 0
    with_dead = replace(start, b_enc=torch.where(dead_F, -1.0, start.b_enc))
    training = {"steps": 60, "dead_after": 1000}
    dead_share = {}
    for revival in (0.0, 1.0):
        config = small_config(training=training, revival=revival, promote_every=None)
        dead_share[revival] = fit(store, config, start=with_dead, progress=False).fit_metrics["dead"]
    assert dead_share[0.0] >= 0.5 and dead_share[1.0] < 0.3


# --- thresholds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slow_k", "budgets"), [(None, {(0, WIDTH): K}), (1, {(0, 16): 1, (16, WIDTH): K - 1})])
def test_calibrated_thresholds_leave_k_latents_active(slow_k, budgets, store, monkeypatch):
    monkeypatch.setattr(trainer_module, "CALIBRATION_CODES", 700 * WIDTH)
    trainer, x_ND = trainer_of(store, config := small_config(slow_k=slow_k)), sample_tokens(store, 0, config)
    trainer.calibrate_thresholds(x_ND)
    sae = trainer.sae
    hidden_NF = ((x_ND * trainer.scale - sae.b_dec) @ sae.W_enc + sae.b_enc) * sae.W_dec.norm(dim=1)
    thresholds = (sae.slow_threshold, sae.topk_threshold)[-len(budgets) :]
    for ((start, end), k), threshold in zip(budgets.items(), thresholds, strict=True):
        assert (hidden_NF[:, start:end] > threshold).sum().item() == pytest.approx(k * len(x_ND), abs=2)


def test_calibrated_thresholds_are_zero_if_too_few_codes_are_positive(store):
    trainer = trainer_of(store, small_config())
    with torch.no_grad():
        trainer.sae.b_enc.fill_(-100.0)[0] = 100.0
    trainer.calibrate_thresholds(sample_tokens(store, 0, small_config()))
    assert trainer.sae.topk_threshold == 0


# --- from another dictionary ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["rms", "none"])
def test_a_trainer_starts_from_the_function_of_its_start(scale, store, start):
    trainer = trainer_of(store, small_config(scale=scale))
    trainer.initialize_from(start)
    sae, x_ND = trainer.sae, small_store_residuals(store)
    assert (trainer.scale == 1) == (scale == "none")
    hidden_NF = (x_ND * trainer.scale - sae.b_dec) @ sae.W_enc + sae.b_enc
    assert_close(hidden_NF, (x_ND - start.b_dec) @ start.W_enc + start.b_enc, atol=1e-5, rtol=1e-4)
    z_NF = start.encode(x_ND)
    assert_close((z_NF @ sae.W_dec + sae.b_dec) / trainer.scale, start.decode(z_NF), atol=1e-5, rtol=1e-4)


def small_store_residuals(store: Store) -> torch.Tensor:
    return store.read(0, 0)[:480]
