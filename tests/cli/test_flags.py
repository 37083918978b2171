"""Every number that a flag takes has a range; what lies outside is refused by the field's name, with its bound."""

import dataclasses
import math
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from commands import COMMANDS, refused

from interp import cli
from interp.activations.config import CollectConfig
from interp.artifacts import BadInput
from interp.checks import Length, Range, bounds_of
from interp.cli.flags import Refusal
from interp.credit import KTAE, InputGradient, PositionMatched, RandomTokens, RewardSubsample, StepValidity, TopEntropy
from interp.grpo.config import Objective
from interp.tracking.drift import TrustThresholds
from interp.tsae.config import ContrastConfig, TSAEConfig

CHOOSING = (ContrastConfig, TSAEConfig, CollectConfig)
"""Configs whose texts are each one of a list."""
OTHERS = (
    Objective, TrustThresholds, TopEntropy, RandomTokens, PositionMatched, StepValidity, RewardSubsample, KTAE,
    InputGradient,
)  # fmt: skip
"""Configs that no command has, but a notebook."""


def configs_in(config: type) -> Iterator[type]:
    """A config, and those inside it."""
    yield config
    for hint in typing.get_type_hints(config).values():
        if dataclasses.is_dataclass(hint):
            yield from configs_in(hint)  # pyright: ignore[reportArgumentType]


CONFIGS = list(dict.fromkeys(inner for config in (*COMMANDS.values(), *OTHERS) for inner in configs_in(config)))
"""Every config of every command."""
FIELDS = [
    pytest.param(config, name, hint, id=f"{config.__name__}.{name}")
    for config in CONFIGS
    for name, hint in typing.get_type_hints(config, include_extras=True).items()
    if typing.get_origin(hint) is not typing.ClassVar
]


def types_in(hint: Any) -> set[Any]:
    """The plain types in an annotation."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Literal, dict):
        return set()
    return set().union(*map(types_in, parts)) if parts else {hint}


@pytest.mark.parametrize(("config", "name", "hint"), FIELDS)
def test_every_number_has_a_range_and_every_text_a_length(config, name, hint):
    for bound_type, types in ((Range, {int, float}), (Length, set() if config in CHOOSING else {str})):
        if types_in(hint) & types:
            assert [bound for bound in bounds_of(hint) if isinstance(bound, bound_type)], hint


def without_required(config: type) -> dict[str, Any]:
    """Values for the fields that have no default."""
    missing = dataclasses.MISSING
    required = [f.name for f in dataclasses.fields(config) if f.default is missing and f.default_factory is missing]
    return {"layers": (0,)} if config is CollectConfig else dict.fromkeys(required, "a")


NUMBERS = [
    pytest.param(config.values[0], config.values[1], config.values[2], id=config.id)
    for config in FIELDS
    if any(isinstance(bound, Range) for bound in bounds_of(config.values[2]))
]


@pytest.mark.parametrize(("config", "name", "hint"), NUMBERS)
def test_nan_infinity_and_what_lies_beyond_a_bound_are_refused_by_name(config, name, hint):
    bound, types = next(bound for bound in bounds_of(hint) if isinstance(bound, Range)), types_in(hint)
    wrong = [math.inf, -math.inf, math.nan, 10**30, bound.low - 1, True, *([] if str in types else ["1", b"1"])]
    wrong += [bound.low + 0.5] if int in types else []
    for value in wrong:
        plausible = config(**without_required(config))
        object.__setattr__(plausible, name, _in_place(hint, value))  # past the suite's own checks of types
        with pytest.raises(BadInput, match=rf"^{name} must "):
            plausible.__post_init__()


def _in_place(hint: Any, value: Any) -> Any:
    """A value for a field: in a tuple, if that is what the field takes."""
    inner = next((part for part in typing.get_args(hint) if typing.get_origin(part) is tuple), hint)
    if typing.get_origin(inner) is not tuple:
        return value
    parts = typing.get_args(inner)
    return (value,) * (1 if parts[1:] == (...,) else len(parts))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("roll-out --temperature inf", "temperature must be at most 100; got inf"),
        ("roll-out --temperature nan", "temperature must be a number, "),
        ("roll-out --problems -1", "problems must be at least 1; got -1"),
        ("roll-out --step -1", "step must not be negative; got -1"),
        (f"roll-out --seed {2**63}", "seed must be at most 2^63 - 1"),
        (f"roll-out --run {'a' * 300}", "run must be 1 to 200 printable characters"),
        ("roll-out --task.modulus 1000000007", "modulus must be at most 10,000; got 1000000007"),
        ("roll-out --task.depths 1 1000000000", "depths must be at most 1,000"),
        ("roll-out --task.copy-rate nan", "copy_rate must be a number, "),
        ("roll-out --problems 10000000", "rollouts of up to 96 tokens take"),
        ("bucket --confidence nan", "confidence must be a number, "),
        ("bucket --confidence 1", "confidence must be above 0 and below 1; got 1.0"),
        ("bucket --easy nan", "easy must be a number, "),
        ("bucket --n 7", "n must be at least 8; got 7"),
        ("evaluate --k 1 0", "k must be at least 1; got 0"),
        ("evaluate --problems 1000000000", "problems must be at most 10^7"),
        ("grpo --out a --clip-high -1", "clip_high must not be negative; got -1.0"),
        ("grpo --out a --lr nan", "lr must be a number, "),
        ("grpo --out a --threads 100000", "threads must be at most 1,024; got 100000"),
        ("grpo --out a --lora-rank 100000", "lora_rank must be at most 16,384; got 100000"),
        ("grpo --out a --beta inf", "beta must be at most 10^6; got inf"),
        ("grpo --out /nowhere/a --steps 10000000 --save-every 1", "10,000,002 checkpoints of 0.00"),
        ("collect --layers -1", "layers must not be negative; got -1"),
        ("collect --layers 1 1", "layers must be named once each; got [1, 1]"),
        ("collect --layers 1 --gb inf", "gb must be at most 10^6; got inf"),
        ("tsae --store a --out b --width 1000000000", "width must be at most 10^7"),
        ("tsae --store a --out b --blocks nan 1", "blocks must be a number, "),
        ("tsae --store a --out b --pool-gb nan", "pool_gb must be a number, "),
        ("tsae-eval --tsae a --store b --documents 0", "documents must be at least 1; got 0"),
        ("roles --tsae a --false-discovery-rate 1", "false_discovery_rate must be above 0 and below 1; got 1.0"),
        ("track --tsae a --latents -1", "latents must not be negative; got -1"),
        ("compare a b --tsae c --layer 5000", "layer must be at most 1,000; got 5000"),
        ("demo --train-steps 1000000000", "train_steps must be at most 10^7"),
        ("organism build --out a --habits.skip nan", "skip must be a number, "),
        ("organism build --out a --shape.d-model 100000 --shape.d-mlp 100000 --shape.layers 99", "use a smaller shape"),
        ("organism build --out a --shape.kv-heads 3", "kv_heads must divide heads; got 4 heads and 3 kv_heads"),
        ("study roles --processes 100000", "processes must be at most 256; got 100000"),
        ("study features --width 32", "a dictionary must be at least as wide as d_model (64); got width 32"),
        ("study dictionary --planted.noise nan", "noise must be a number, "),
    ],
)  # fmt: skip
def test_hostile_values_are_refused_in_one_line(monkeypatch, capsys, words, message):
    assert message in refused(monkeypatch, capsys, *words.split())


@pytest.mark.parametrize(
    ("words", "flag"),
    [(("roll-out", "--run", ""), "--run"), (("grpo", "--out", ""), "--out"), (("", "--out", "a"), "interp")],
)
def test_an_empty_word_is_refused_where_a_path_would_be_the_working_directory(monkeypatch, capsys, words, flag):
    assert f"expected a value after {flag}, got an empty one" in refused(monkeypatch, capsys, *words)


def test_a_word_that_is_not_utf8_is_refused(monkeypatch, capsys):
    assert r"expected UTF-8, got b'\xff'" in refused(monkeypatch, capsys, "roll-out", "--out", "\udcff")


def test_a_refusal_of_a_config_leaves_tyro_as_it_was_raised():
    assert not issubclass(Refusal, ValueError)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("bucket --problems banana", "expected a whole number; got 'banana'"),
        ("grpo --out a --steps 1.5", "expected a whole number; got '1.5'"),
        ("grpo --out a --lr zwei", "expected a number; got 'zwei'"),
    ],
)
def test_what_is_no_number_is_refused_in_words(words, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["interp", *words.split()])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and "typing" not in error and "class" not in error
