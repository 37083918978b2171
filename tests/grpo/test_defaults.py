"""A field that an older run lacks is read with its default, and a command without flags trains with it: no default may
change unseen. Losses of the literature have the numbers of their papers."""

from dataclasses import asdict

import pytest
from option_fixtures import options_of

from interp.artifacts import to_json
from interp.grpo import OBJECTIVES, GRPOConfig, UpdateConfig
from interp.grpo.config import Objective

SAMPLING = {"group": 8, "max_new_tokens": 96, "temperature": 1.0, "rows": 1024, "seed": 0}
UPDATE = {
    "lr": None, "warm_up": 0, "weight_decay": 0.0, "max_norm": 1.0, "inner_epochs": 1, "beta": 0.0,
    "micro_tokens": 4096, "lora_rank": 0,
}  # fmt: skip
PROMPTS = {"chat": False, "system_prompt": "", "prefix": "", "suffix": "", "stop": []}
GRPO = {"scale": "group", "ratio": "token", "reduction": "rollout", "clip_low": 0.2, "clip_high": 0.2}
FILTERS = {"redraw": False, "mask_truncated": False, "overlong_from": 1.0}


def test_a_run_without_flags_trains_with_these_numbers():
    assert to_json(GRPOConfig()) == {
        "loss": "grpo", "steps": 60, "prompts": 32, "sampling": SAMPLING, "update": UPDATE, **PROMPTS,
        "scale": None, "clip_low": None, "clip_high": None, "redraw": None, "max_draws": 8, "save_every": 10,
        "kl_every": 10, "patience": 10, "without_signal": "stop",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "rank", "lr"),
    [
        (200_000, 0, 2e-4), (200_000, 4, 2e-4), (10**7, 0, 2e-4), (10**7 + 1, 0, 1e-5), (135_000_000, 8, 1e-4),
        (10**9, 0, 1e-5), (7 * 10**9, 0, 1e-6), (7 * 10**9, 8, 1e-5),
    ],
)  # fmt: skip
def test_the_learning_rate_suits_the_size_of_the_model(parameters, rank, lr):
    assert UpdateConfig(lora_rank=rank).with_lr(parameters).lr == lr
    assert UpdateConfig(lora_rank=rank, lr=0.5).with_lr(parameters).lr == 0.5


def test_every_loss_has_the_numbers_of_its_paper():
    changes = {
        "grpo": {},
        "dr-grpo": {"scale": "none", "reduction": "longest"},
        "bnpo": {"reduction": "token"},
        "dapo": {"reduction": "token", "clip_high": 0.28, "redraw": True, "mask_truncated": True, "overlong_from": 0.8},
        "gspo": {"ratio": "sequence", "clip_low": 3e-4, "clip_high": 4e-4},
        "cispo": {"ratio": "weight", "reduction": "token", "clip_high": 4.0},
        "lite-ppo": {"scale": "batch", "reduction": "token"},
    }
    assert asdict(Objective()) == GRPO | FILTERS
    assert {name: asdict(row) for name, row in OBJECTIVES.items()} == {
        name: GRPO | FILTERS | own for name, own in changes.items()
    }


OPTIONS = {
    "Run.policy": {"device": "auto", "dtype": "auto"},
    "train": {"sinks": ()},
    "wandb": {"mode": "offline"},
}


def test_a_call_without_options_does_what_it_did():
    options = options_of("grpo")
    assert {name: {option: options[name][option] for option in own} for name, own in OPTIONS.items()} == OPTIONS
