"""A run is repeated from the name of its credit, so the settings behind each name stay as they are."""

from dataclasses import fields

from option_fixtures import options_of

from interp.credit import (
    FeatureCredit,
    FirstErrorReadout,
    MonteCarloValues,
    ProcessAdvantage,
    ReadoutCredit,
    RewardSubsample,
    StepValidity,
)
from interp.credit.names import FEATURE_SCHEME_NAMES, SCHEME_NAMES, TASK_SCHEME_NAMES
from interp.credit.registry import FEATURE_SCHEMES, SCHEMES, TASK_SCHEMES

BY_SHARE = {"share": 0.2}
BY_PROCESS = {"beta": 1.0, "floor": 0.003, "pool": "batch"}
BY_STEPS = {"gate": True, "weights": True, "rest_weight": 0.1}


def test_every_name_stands_for_these_settings():
    settings = {name: vars(scheme) | {} for name, scheme in SCHEMES.items()}
    assert vars(settings["process-step-validity"].pop("score")) == BY_STEPS | {"weights": False}
    assert {name: (type(scheme).__name__, settings[name]) for name, scheme in SCHEMES.items()} == {
        "uniform": ("Uniform", {}),
        "entropy": ("TopEntropy", BY_SHARE),
        "random": ("RandomTokens", BY_SHARE),
        "position-matched": ("PositionMatched", BY_SHARE),
        "first-error": ("FirstError", {}),
        "step-validity": ("StepValidity", BY_STEPS),
        "step-validity-gate": ("StepValidity", BY_STEPS | {"weights": False}),
        "step-validity-weights": ("StepValidity", BY_STEPS | {"gate": False}),
        "process-step-validity": ("ProcessAdvantage", BY_PROCESS),
        "ktae": ("KTAE", {"gain": 0.9}),
        "input-gradient": (
            "InputGradient",
            {"reader": "base", "min_weight": 0.1, "max_weight": 3.0, "micro_tokens": 1024},
        ),
    }
    assert TASK_SCHEMES == {"monte-carlo": {"n": 9}}
    assert FEATURE_SCHEMES == {
        "features": {},
        "features-gate": {"weights": False},
        "features-weights": {"gate": False},
        "features-control": {"control_seed": 0},
    }
    names = (tuple(SCHEMES), tuple(TASK_SCHEMES), tuple(FEATURE_SCHEMES))
    assert names == (SCHEME_NAMES, TASK_SCHEME_NAMES, FEATURE_SCHEME_NAMES)
    defaults = {field.name: field.default for field in fields(ReadoutCredit) if field.name not in ("sources", "labels")}
    assert defaults == {
        "reader": "base", "audits": 8, "refit_every": 2, "memory": 2048, "threshold": None, "penalty": 0.0,
        "pay": "graded", "select_share": 0.25, "bonus": 0.0, "bonus_steps": 20, "ridge": 0.1, "text_range": None,
        "error_range": None,
    }  # fmt: skip
    others = {
        field.name: field.default for field in fields(FirstErrorReadout) if field.name not in ("sources", "labels")
    }
    assert others == {
        "gate": None, "reader": "base", "audits": 8, "refit_every": 2, "memory": 8192, "limit": 0.5,
        "rest_weight": 0.0, "ridge": 0.1, "control_seed": None,
    }  # fmt: skip
    assert {field.name: field.default for field in fields(ProcessAdvantage) if field.name != "score"} == BY_PROCESS


def test_credit_has_these_defaults():
    assert {field.name: field.default for field in fields(FeatureCredit) if field.name not in ("tsae", "roles")} == {
        "gate": True, "weights": True, "gain": 0.5, "min_weight": 0.1, "max_weight": 3.0, "gate_threshold": 0.5,
        "control_seed": None,
    }  # fmt: skip
    assert vars(StepValidity()) == BY_STEPS
    defaults = {field.name: field.default for field in fields(MonteCarloValues)}
    assert (defaults["n"], defaults["rest_weight"]) == (9, 0.1)
    assert defaults["sampling"] is defaults["prompt_format"] is None, "as in the run"
    assert vars(RewardSubsample()) == {"lucky_paid": 1.0, "valid_paid": 1.0}


OPTIONS = {
    "RolloutBatch.from_rollouts": {"seed": 0},
}


def test_a_call_without_options_does_what_it_did():
    options = options_of("credit")
    assert {name: {option: options[name][option] for option in own} for name, own in OPTIONS.items()} == OPTIONS
