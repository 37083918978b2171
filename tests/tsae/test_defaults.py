"""A dictionary that lacks a field is read with its default, and studies name presets: no default may change unseen."""

from dataclasses import fields
from typing import Any

import pytest
from option_fixtures import options_of

from interp.artifacts import to_json
from interp.tsae import PRESETS, TSAEConfig
from interp.tsae.metrics import ProbeConfig
from interp.tsae.sae_config import ContrastiveTemporalTrainingSAEConfig

CONTRAST = {
    "alpha": 0.03, "alpha_in": "variance", "alpha_warm_up": 0.1, "similarity": "cosine", "temperature": 0.1,
    "reduction": "mean", "pairing": "prev", "reach": 24, "run": 8, "same_sequence": False, "together": 256,
    "partner_mask": "own", "shuffled": False,
}  # fmt: skip
TRAINING = {
    "steps": None, "batch": 1024, "lr": None, "warm_up": 0.05, "decay": 0.3, "clip": 1.0, "dead_after": 256_000,
    "seed": 0, "prompts": False, "skip_first": None, "pool_gb": 0.5, "save_every": 1000,
}  # fmt: skip
OURS = {
    "width": None, "k": None, "blocks": [0.2, 0.8], "block_weights": [0.3, 1.0], "slow_k": None, "promote_every": 25,
    "scale": "rms", "revival": 1.0, "revived": None, "contrast": CONTRAST, "training": TRAINING,
}  # fmt: skip
ALONE = {
    "alpha_in": "loss",
    "alpha_warm_up": 0.0,
    "temperature": 1.0,
    "run": 1,
    "same_sequence": True,
    "together": None,
}
NO_CONTRAST = CONTRAST | {"alpha": 0.0}
CHANGES: dict[str, dict[str, Any]] = {
    "interp": {},
    "paper": {
        "block_weights": [1.0, 1.0], "promote_every": None, "scale": "none",
        "contrast": CONTRAST | ALONE | {"alpha": 1.0, "reduction": "sum"},
    },
    "released": {
        "block_weights": [0.1, 0.4], "promote_every": None, "scale": "none",
        "contrast": CONTRAST | ALONE
        | {"alpha": 0.1, "similarity": "dot", "pairing": "past", "partner_mask": "anchor"},
    },
    "matryoshka": {"block_weights": [1.0, 1.0], "promote_every": None, "contrast": NO_CONTRAST},
    "matryoshka-weighted": {"promote_every": None, "contrast": NO_CONTRAST},
    "batchtopk": {"blocks": [1.0], "block_weights": [1.0], "promote_every": None, "contrast": NO_CONTRAST},
    "shuffled": {"contrast": CONTRAST | {"shuffled": True}},
    "contrast-only": {"promote_every": None},
    "promotion-only": {"contrast": NO_CONTRAST},
}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_these_numbers(name):
    assert to_json(PRESETS[name]) == OURS | CHANGES[name]
    assert list(PRESETS) == list(CHANGES) and to_json(TSAEConfig()) == OURS


def test_the_training_class_of_saelens_has_these_defaults_beside_its_own():
    own = set(ContrastiveTemporalTrainingSAEConfig.__annotations__)
    defaults = {
        field.name: field.default for field in fields(ContrastiveTemporalTrainingSAEConfig) if field.name in own
    }
    assert defaults == {
        "block_weights": (1.0, 1.0), "slow_k": None, "revived": None, "alpha": 1.0, "alpha_warm_up_steps": 0,
        "similarity": "cosine", "temperature": 0.1, "reduction": "mean", "same_sequence": False, "together": None,
    }  # fmt: skip


def test_a_probe_has_these_defaults():
    assert to_json(ProbeConfig()) == {"ks": [1, 5, 20, None], "test_share": 0.3, "l2": 1e-3, "seed": 0}


OPTIONS = {
    "Match.recall": {"min_cosine": 0.7},
    "TSAE.save": {"overwrite": False},
    "compute_step": {"last_thresholds": (0.0, 0.0)},
    "evaluate": {"allow_unrelated_policies": False, "device": "auto"},
    "fit": {"device": "auto"},
    "fit_all": {"device": "auto"},
    "info_nce": {"reduction": "mean"},
    "largest_entries": {"guess": 0.0},
    "match_one_to_one": {"min_cosine": 0.7},
}


def test_a_call_without_options_does_what_it_did():
    options = options_of("tsae")
    assert {name: {option: options[name][option] for option in own} for name, own in OPTIONS.items()} == OPTIONS
