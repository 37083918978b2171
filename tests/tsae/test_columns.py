"""The tables of a quality have a column for each measure, and each holds what its name says."""

from dataclasses import replace

import pytest
from tsae_fixtures import identity_tsae, noise_residuals, store_with_layout

from interp.tsae import evaluate
from interp.tsae.quality import Quality

D = 16


@pytest.fixture(scope="module")
def quality(tmp_path_factory: pytest.TempPathFactory) -> Quality:
    path = tmp_path_factory.mktemp("columns") / "store"
    store = store_with_layout(path, [[(10, 3)] * 10] * 2, d_model=D, fill=noise_residuals)
    return evaluate(identity_tsae(D), store, progress=False)


def test_the_headline_holds_each_figure_under_its_name(quality):
    smooth = quality.smoothness
    slow, fast = smooth.per_block
    assert quality.membership is not None and quality.membership_alive is not None
    assert quality.headline() == {
        "tokens": 140, "prompts": False, "fitted_on": None, "fve": quality.fve, "fve_slow": quality.fve_slow,
        "outlier_tokens": quality.norms.outliers, "outlier_share": quality.norms.outlier_share,
        "cosine": quality.cosine, "l0": quality.l0.total, "l0_slow": quality.l0.per_block[0],
        "dead_share": quality.firing.dead_share, "autocorrelation": smooth.total.autocorrelation,
        "autocorrelation_slow": slow.autocorrelation, "autocorrelation_fast": fast.autocorrelation,
        "total_variation": smooth.total.total_variation, "total_variation_slow": slow.total_variation,
        "run_tokens_slow": slow.run_tokens, "paper_smoothness": smooth.total.paper,
        "paper_smoothness_slow": slow.paper, "rate_auroc": quality.membership.auroc,
        "rate_auroc_living": quality.membership_alive.auroc,
    }  # fmt: skip
    assert len({value for name, value in quality.headline().items() if name.startswith("autocorrelation")}) == 3


def test_a_table_by_latent_holds_each_measure_under_its_name(quality):
    table, firing, smooth = quality.table(), quality.firing, quality.smoothness
    expected = {
        "latent": range(2 * D), "block": [name for name in ("slow", "block 2") for _ in range(D)],
        "active_tokens": firing.active_tokens_F.tolist(), "firing_rate": firing.firing_rate_F.tolist(),
        "mean_when_active": firing.mean_when_active_F.tolist(), "autocorrelation": smooth.autocorrelation_F.tolist(),
        "total_variation": smooth.total_variation_F.tolist(), "run_tokens": smooth.run_tokens_F.tolist(),
    }  # fmt: skip
    assert table.columns == list(expected)
    for name, values in expected.items():
        assert table[name].to_list() == list(values), name


def test_a_summary_by_block_holds_each_measure_under_its_name(quality):
    summary, smooth = quality.summary(), quality.smoothness
    blocks = [smooth.total, *smooth.per_block]
    expected = {
        "block": ["all", "slow", "block 2"], "latents": [2 * D, D, D], "fve": [quality.fve, quality.fve_slow, None],
        "l0": [quality.l0.total, *quality.l0.per_block],
        "dead_share": [quality.firing.dead_share, *quality.firing.dead_share_per_block],
        "autocorrelation": [block.autocorrelation for block in blocks],
        "total_variation": [block.total_variation for block in blocks],
        "run_tokens": [block.run_tokens for block in blocks], "paper_smoothness": [block.paper for block in blocks],
    }  # fmt: skip
    assert summary.columns == list(expected)
    for name, values in expected.items():
        assert summary[name].to_list() == values, name


def test_a_dictionary_shows_its_sizes_and_what_its_fit_measured_last():
    sizes = {"layer": 0, "d_model": D, "latents": 2 * D, "slow_latents": D}
    tsae = identity_tsae(D)
    assert tsae.summary().to_dicts() == [sizes | {"fve": None, "l0": None, "dead": None}]
    measured = replace(tsae, fit_metrics={"fve": 0.75, "l0": 4.0, "dead": 0.125, "loss": 9.0})
    assert measured.summary().to_dicts() == [sizes | {"fve": 0.75, "l0": 4.0, "dead": 0.125}]
