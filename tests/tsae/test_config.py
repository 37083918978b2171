"""Configs survive a round trip through JSON, resolve to numbers, and refuse what cannot be."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput, from_json, to_json
from interp.tsae import PRESETS, ContrastConfig, TrainingConfig, TSAEConfig, preset

PLAIN = {"contrast": ContrastConfig(alpha=0), "promote_every": None}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_a_round_trip_and_fits_any_width(name):
    config = preset(name)
    assert from_json(TSAEConfig, json.loads(json.dumps(to_json(config)))) == config
    for d_model in (16, 128, 4096):
        resolved = config.resolved(d_model)
        assert from_json(TSAEConfig, json.loads(json.dumps(to_json(resolved)))) == resolved
        assert resolved.resolved(d_model) == resolved
        assert None not in (resolved.width, resolved.k, resolved.revived, resolved.training.steps, resolved.training.lr)


def test_every_preset_differs_from_every_other():
    assert len(set(PRESETS.values())) == len(PRESETS)


def test_presets_have_the_options_they_are_named_for():
    paper, released = preset("paper"), preset("released")
    for config in (paper, released):
        contrast = config.contrast
        assert (contrast.alpha_in, contrast.temperature, contrast.run, contrast.together) == ("loss", 1, 1, None)
        assert (config.scale, config.promote_every, config.blocks) == ("none", None, (0.2, 0.8))
        assert contrast.same_sequence
    assert (paper.contrast.alpha, paper.contrast.similarity, paper.contrast.pairing) == (1, "cosine", "prev")
    assert (released.contrast.alpha, released.contrast.similarity, released.contrast.pairing) == (0.1, "dot", "past")
    assert (paper.contrast.reduction, paper.contrast.partner_mask) == ("sum", "own")
    assert (released.contrast.reduction, released.contrast.partner_mask) == ("mean", "anchor")
    assert preset("interp") == TSAEConfig() and not preset("interp").contrast.same_sequence
    assert preset("matryoshka").contrast.alpha == preset("batchtopk").contrast.alpha == 0
    assert preset("batchtopk").blocks == (1.0,)
    assert [name for name, config in PRESETS.items() if config.contrast.shuffled] == ["shuffled"]
    assert replace(preset("shuffled"), contrast=ContrastConfig()) == preset("interp")
    assert replace(preset("contrast-only"), promote_every=25) == preset("interp")
    assert replace(preset("promotion-only"), contrast=ContrastConfig()) == preset("interp")


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match="expected one of the presets interp, paper, released, .*; got 'papr'"):
        preset("papr")


def test_options_of_none_are_chosen_by_the_dimension():
    chosen = TSAEConfig().resolved(128)
    assert (chosen.width, chosen.k, chosen.revived, chosen.block_widths()) == (2048, 16, 64, (410, 1638))
    assert (chosen.training.steps, chosen.training.lr) == (round(4000 * 2**0.25), 2e-3 * 0.5**0.5)
    assert TSAEConfig().resolved(4096).k == round(math.sqrt(8192))
    explicit = TSAEConfig(width=300, k=7, revived=9, training=TrainingConfig(steps=5, lr=0.1)).resolved(128)
    assert (explicit.width, explicit.k, explicit.revived) == (300, 7, 9)
    assert (explicit.training.steps, explicit.training.lr) == (5, 0.1)


@pytest.mark.parametrize(
    ("d_model", "revived"), [(1, 1), (64, 32), (96, 48), (128, 64), (256, 64), (512, 64), (1024, 90), (2048, 128)]
)
def test_revival_is_as_large_as_in_saelens_until_that_would_slow_a_step(d_model, revived):
    for name in ("interp", "matryoshka", "batchtopk"):
        assert replace(preset(name), width=max(80, 16 * d_model)).resolved(d_model).revived == revived


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(20, 3000))
def test_the_block_widths_sum_to_the_width(weights, width):
    shares = tuple(weight / sum(weights) for weight in weights)
    config = TSAEConfig(width=width, blocks=shares, block_weights=(1.0,) * len(shares), **PLAIN)
    assert sum(config.block_widths()) == width
    assert all(abs(own - width * share) <= 1 for own, share in zip(config.block_widths(), shares, strict=True))


REFUSED = {
    "a negative alpha": (ContrastConfig, {"alpha": -0.1}, "alpha must not be negative; got -0.1"),
    "an alpha of NaN": (ContrastConfig, {"alpha": math.nan}, "alpha must be a number, "),
    "an unknown alpha_in": (ContrastConfig, {"alpha_in": "nats"}, "alpha_in must be one of variance, loss; got 'n"),
    "a warm-up longer than the fit": (ContrastConfig, {"alpha_warm_up": 1.5}, "alpha_warm_up must lie between 0 and 1"),
    "an unknown similarity": (ContrastConfig, {"similarity": "l2"}, "similarity must be one of cosine, dot; got 'l2'"),
    "a temperature of zero": (ContrastConfig, {"temperature": 0.0}, "temperature must be positive; got 0.0"),
    "an unknown reduction": (ContrastConfig, {"reduction": "max"}, "reduction must be one of mean, sum; got 'max'"),
    "unknown pairing": (ContrastConfig, {"pairing": "next"}, "pairing must be one of prev, window, past; got 'next'"),
    "an unknown mask": (ContrastConfig, {"partner_mask": "all"}, "partner_mask must be one of own, anchor; got 'all'"),
    "no reach": (ContrastConfig, {"reach": 0}, "^reach must be at least 1; got 0$"),
    "no run": (ContrastConfig, {"run": 0}, "^run must be at least 1; got 0$"),
    "runs with far partners": (ContrastConfig, {"pairing": "past"}, "expected run=1 with pairing=past, got 8"),
    "groups of one pair": (ContrastConfig, {"together": 1}, "together must be at least 2; got 1"),
    "no steps": (TrainingConfig, {"steps": 0}, "steps must be at least 1; got 0"),
    "no batch": (TrainingConfig, {"batch": 0}, "batch must be at least 1; got 0"),
    "dead after no tokens": (TrainingConfig, {"dead_after": 0}, "dead_after must be at least 1; got 0"),
    "saved every zero steps": (TrainingConfig, {"save_every": 0}, "save_every must be at least 1; got 0"),
    "a negative lr": (TrainingConfig, {"lr": -1e-3}, "lr must be positive; got -0.001"),
    "a gradient norm of zero": (TrainingConfig, {"clip": 0.0}, "^clip must be positive; got 0.0$"),
    "no memory": (TrainingConfig, {"pool_gb": 0.0}, "^pool_gb must be positive; got 0.0$"),
    "a long decay": (TrainingConfig, {"decay": 2.0}, "decay must lie between 0 and 1; got 2.0"),
    "blocks beyond the width": (TSAEConfig, {"blocks": (0.5, 0.6)}, r"shares that sum to 1; got \(0.5, 0.6\)"),
    "no blocks": (TSAEConfig, {"blocks": (), "block_weights": ()}, r"positive shares that sum to 1; got \(\)"),
    "an empty block": (TSAEConfig, {"blocks": (0.0, 1.0)}, r"positive shares that sum to 1; got \(0.0, 1.0\)"),
    "too few block weights": (TSAEConfig, {"block_weights": (1.0,)}, r"one for each of 2 blocks.*; got \(1.0,\)"),
    "a last block without weight": (TSAEConfig, {"block_weights": (1.0, 0.0)}, r"the last above 0; got \(1.0, 0.0\)"),
    "a negative weight": (TSAEConfig, {"block_weights": (-1.0, 1.0)}, "block_weights must not be negative; got -1.0"),
    "promotion every zero steps": (TSAEConfig, {"promote_every": 0}, "promote_every must be at least 1; got 0"),
    "promotion without pairs": (TSAEConfig, {"contrast": ContrastConfig(alpha=0, run=1)}, "promotion needs pairs"),
    "a contrast without a slow block": (
        TSAEConfig, {"blocks": (1.0,), "block_weights": (1.0,)}, "a contrast needs a slow block: .* got one block"
    ),
    "an unknown scale": (TSAEConfig, {"scale": "unit"}, "scale must be one of rms, none; got 'unit'"),
    "a negative revival": (TSAEConfig, {"revival": -1.0}, "revival must not be negative; got -1.0"),
    "no latent revived": (TSAEConfig, {"revived": 0}, "revived must be at least 1; got 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_impossible_option_is_refused(case):
    kind, options, message = REFUSED[case]
    with pytest.raises(BadInput, match=message):
        kind(**options)


UNFIT = {
    "narrower than the activations": ({"width": 16, "k": 4}, "at least as wide as d_model (32); got width 16"),
    "more active than the slow block has": ({"width": 64, "k": 14}, "between 1 and the 13 latents of the slow block"),
    "slow_k equal to k": ({"width": 64, "k": 4, "slow_k": 4}, "slow_k must lie between 1 and 3, less than k; got 4"),
    "slow_k of zero": ({"width": 64, "k": 4, "slow_k": 0}, "slow_k must lie between 1 and 3, less than k; got 0"),
    "a block of less than half a latent": (
        {"width": 64, "k": 4, "blocks": (0.5, 0.001, 0.499), "block_weights": (1.0,) * 3},
        "each block must have at least one latent; got (32, 0, 32)",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_does_not_fit_the_dimension_is_refused(case):
    options, message = UNFIT[case]
    with pytest.raises(BadInput) as error:
        TSAEConfig(**options).resolved(32)
    assert message in str(error.value)


def test_an_unknown_key_is_refused():
    with pytest.raises(BadInput, match="ContrastConfig has no temprature; it has alpha, alpha_in, "):
        from_json(TSAEConfig, {"contrast": {"temprature": 1.0}})


def test_configs_are_imported_without_torch():
    code = (
        "import sys, interp.tsae; interp.tsae.preset('paper'); sys.exit(bool({'torch', 'sae_lens'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_options_without_effect_are_refused():
    with pytest.raises(BadInput, match="slow_k needs two blocks or more; got one block and slow_k 4"):
        replace(PRESETS["batchtopk"], slow_k=4)
    with pytest.raises(BadInput, match="expected run=1 with partner_mask=anchor, got 8"):
        ContrastConfig(partner_mask="anchor", run=8)


@pytest.mark.parametrize("name", ["width", "k"])
def test_zero_latents_and_zero_active_latents_are_refused(name):
    with pytest.raises(BadInput, match=f"{name} must be at least 1; got 0"):
        TSAEConfig(**{name: 0})
