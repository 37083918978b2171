"""What a dictionary is to be: every choice survives a round trip, has a number where one is needed, or is refused."""

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


def test_presets_are_what_they_are_called():
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


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(BadInput, match="expected one of the presets interp, paper, released, .*; got 'papr'"):
        preset("papr")


def test_what_is_not_given_is_chosen_by_the_dimension():
    chosen = TSAEConfig().resolved(128)
    assert (chosen.width, chosen.k, chosen.revived, chosen.block_widths()) == (2048, 16, 64, (410, 1638))
    assert (chosen.training.steps, chosen.training.lr) == (round(4000 * 2**0.25), 2e-3 * 0.5**0.5)
    assert TSAEConfig().resolved(4096).k == round(math.sqrt(8192))
    given = TSAEConfig(width=300, k=7, revived=9, training=TrainingConfig(steps=5, lr=0.1)).resolved(128)
    assert (given.width, given.k, given.revived) == (300, 7, 9)
    assert (given.training.steps, given.training.lr) == (5, 0.1)


@pytest.mark.parametrize(
    ("d_model", "revived"), [(1, 1), (64, 32), (96, 48), (128, 64), (256, 64), (512, 64), (1024, 90), (2048, 128)]
)
def test_as_many_share_in_revival_as_in_saelens_until_that_is_much_of_a_step(d_model, revived):
    for name in ("interp", "matryoshka", "batchtopk"):
        assert replace(preset(name), width=max(80, 16 * d_model)).resolved(d_model).revived == revived


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(20, 3000))
def test_the_blocks_share_out_all_of_the_width(weights, width):
    shares = tuple(weight / sum(weights) for weight in weights)
    config = TSAEConfig(width=width, blocks=shares, block_weights=(1.0,) * len(shares), **PLAIN)
    assert sum(config.block_widths()) == width
    assert all(abs(held - width * share) <= 1 for held, share in zip(config.block_widths(), shares, strict=True))


REFUSED = {
    "a negative alpha": (ContrastConfig, {"alpha": -0.1}, "alpha must not be negative; got -0.1"),
    "an alpha that is no number": (ContrastConfig, {"alpha": math.nan}, "alpha must not be negative; got nan"),
    "alpha in another unit": (ContrastConfig, {"alpha_in": "nats"}, "alpha_in must be one of variance, loss; got 'n"),
    "a warm-up longer than all": (ContrastConfig, {"alpha_warm_up": 1.5}, "alpha_warm_up must lie between 0 and 1"),
    "another similarity": (ContrastConfig, {"similarity": "l2"}, "similarity must be one of cosine, dot; got 'l2'"),
    "no temperature": (ContrastConfig, {"temperature": 0.0}, "temperature must be positive; got 0.0"),
    "another reduction": (ContrastConfig, {"reduction": "max"}, "reduction must be one of mean, sum; got 'max'"),
    "another pairing": (ContrastConfig, {"pairing": "next"}, "pairing must be one of prev, window, past; got 'next'"),
    "another mask": (ContrastConfig, {"partner_mask": "all"}, "partner_mask must be one of own, anchor; got 'all'"),
    "no reach": (ContrastConfig, {"reach": 0}, "^reach must be at least 1; got 0$"),
    "no run": (ContrastConfig, {"run": 0}, "^run must be at least 1; got 0$"),
    "runs of far partners": (ContrastConfig, {"pairing": "past"}, "pairing=prev lie side by side: expected run=1, got"),
    "alone together": (ContrastConfig, {"together": 1}, "together must be at least 2; got 1"),
    "no steps": (TrainingConfig, {"steps": 0}, "steps must be at least 1; got 0"),
    "no batch": (TrainingConfig, {"batch": 0}, "batch must be at least 1; got 0"),
    "dead at once": (TrainingConfig, {"dead_after": 0}, "dead_after must be at least 1; got 0"),
    "saved never": (TrainingConfig, {"save_every": 0}, "save_every must be at least 1; got 0"),
    "a negative lr": (TrainingConfig, {"lr": -1e-3}, "lr must be positive; got -0.001"),
    "no gradient": (TrainingConfig, {"clip": 0.0}, "^clip must be positive; got 0.0$"),
    "no memory": (TrainingConfig, {"pool_gb": 0.0}, "^pool_gb must be positive; got 0.0$"),
    "a long decay": (TrainingConfig, {"decay": 2.0}, "decay must lie between 0 and 1; got 2.0"),
    "blocks beyond the width": (TSAEConfig, {"blocks": (0.5, 0.6)}, r"shares that sum to 1; got \(0.5, 0.6\)"),
    "no blocks": (TSAEConfig, {"blocks": (), "block_weights": ()}, r"positive shares that sum to 1; got \(\)"),
    "an empty block": (TSAEConfig, {"blocks": (0.0, 1.0)}, r"positive shares that sum to 1; got \(0.0, 1.0\)"),
    "a weight too few": (TSAEConfig, {"block_weights": (1.0,)}, r"one for each of 2 blocks.*; got \(1.0,\)"),
    "a whole without weight": (TSAEConfig, {"block_weights": (1.0, 0.0)}, r"the last above 0; got \(1.0, 0.0\)"),
    "a negative weight": (TSAEConfig, {"block_weights": (-1.0, 1.0)}, r"none negative.*got \(-1.0, 1.0\)"),
    "promotion at no step": (TSAEConfig, {"promote_every": 0}, "promote_every must be at least 1; got 0"),
    "promotion without pairs": (TSAEConfig, {"contrast": ContrastConfig(alpha=0, run=1)}, "promotion goes by pairs"),
    "a contrast without a slow block": (
        TSAEConfig, {"blocks": (1.0,), "block_weights": (1.0,)}, "a contrast needs a slow block: .* got one block"
    ),
    "another scale": (TSAEConfig, {"scale": "unit"}, "scale must be one of rms, none; got 'unit'"),
    "a negative revival": (TSAEConfig, {"revival": -1.0}, "revival must not be negative; got -1.0"),
    "none revived": (TSAEConfig, {"revived": 0}, "revived must be at least 1; got 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_when_it_is_asked_for(case):
    kind, asked, told = REFUSED[case]
    with pytest.raises(BadInput, match=told):
        kind(**asked)


UNFIT = {
    "narrower than the activations": ({"width": 16, "k": 4}, "at least as wide as d_model (32); got width 16"),
    "more active than the slow block has": ({"width": 64, "k": 14}, "between 1 and the 13 latents of the slow block"),
    "all reserved": ({"width": 64, "k": 4, "slow_k": 4}, "slow_k must lie between 1 and 3, less than k; got 4"),
    "none reserved": ({"width": 64, "k": 4, "slow_k": 0}, "slow_k must lie between 1 and 3, less than k; got 0"),
    "a block of less than half a latent": (
        {"width": 64, "k": 4, "blocks": (0.5, 0.001, 0.499), "block_weights": (1.0,) * 3},
        "each block must have a latent at least; got (32, 0, 32)",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_refused_when_the_dimension_is_known(case):
    asked, told = UNFIT[case]
    with pytest.raises(BadInput) as refused:
        TSAEConfig(**asked).resolved(32)
    assert told in str(refused.value)


def test_a_key_it_does_not_know_is_refused():
    with pytest.raises(BadInput, match="ContrastConfig has no temprature; it has alpha, alpha_in, "):
        from_json(TSAEConfig, {"contrast": {"temprature": 1.0}})


def test_the_room_opens_without_torch():
    told = (
        "import sys, interp.tsae; interp.tsae.preset('paper'); sys.exit(bool({'torch', 'sae_lens'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", told]).returncode == 0


def test_what_would_be_taken_in_silence_and_not_done_is_refused():
    with pytest.raises(BadInput, match="slow_k is for a slow block among others"):
        replace(PRESETS["batchtopk"], slow_k=4)
    with pytest.raises(BadInput, match="expected run=1 with partner_mask=anchor, got 8"):
        ContrastConfig(partner_mask="anchor", run=8)


@pytest.mark.parametrize("name", ["width", "k"])
def test_no_latents_and_none_active_are_refused(name):
    with pytest.raises(BadInput, match=f"{name} must be at least 1; got 0"):
        TSAEConfig(**{name: 0})
