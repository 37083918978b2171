"""Checks of config fields: the field that is wrong is refused alone, by name, with its value."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

from interp.artifacts import BadInput, to_json
from interp.checks import (
    expect_at_least,
    expect_at_most,
    expect_between,
    expect_one_of,
    expect_positive,
    expect_type,
)


@dataclass(frozen=True)
class Config:
    rate: float | None = 3
    limit: float | None = 30
    kind: str | None = "good"
    steps: int = 10
    scale: float = 1.0


@pytest.mark.parametrize(
    ("check", "config", "message"),
    [
        (lambda c: expect_at_least(c, 1, "rate", "limit"), Config(limit=0), "limit must be at least 1; got 0"),
        (lambda c: expect_at_least(c, 0, "rate", "limit"), Config(rate=-0.5), "rate must not be negative; got -0.5"),
        (lambda c: expect_at_most(c, 40, "rate", "limit"), Config(limit=41), "limit must be at most 40; got 41"),
        (lambda c: expect_positive(c, "rate", "limit"), Config(rate=0.0), "rate must be positive; got 0.0"),
        (lambda c: expect_between(c, 3, 30, "rate", "limit"), Config(rate=2), "rate must lie between 3 and 30; got 2"),
        (lambda c: expect_one_of(c, ("good", "fair"), "kind"), Config(kind="bad"),
         "kind must be one of good, fair; got 'bad'"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_by_name_and_value(check, config, message):
    with pytest.raises(BadInput) as refused:
        check(config)
    assert str(refused.value) == message
    check(Config())
    check(Config(rate=None, limit=None, kind=None))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", "16", "steps must be a whole number; got '16'"),
        ("steps", 128.0, "steps must be a whole number; got 128.0"),
        ("scale", "much", "scale must not be negative; got 'much'"),
        ("scale", None, "scale must not be negative; got None"),
        ("scale", math.nan, "scale must not be negative; got nan"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_by_name_and_value(field, value, message):
    with pytest.raises(BadInput) as refused:
        expect_at_least(Config(**{field: value}), 0, "steps", "scale")
    assert str(refused.value) == message


def test_numpy_integers_count_and_are_written_as_integers():
    config = Config(steps=np.int64(128))  # pyright: ignore[reportArgumentType]
    expect_at_least(config, 1, "steps")
    assert json.dumps(to_json(config)) == json.dumps(to_json(Config(steps=128)))


@pytest.mark.parametrize("check", [expect_positive, lambda config, name: expect_between(config, 0, 1, name)])
def test_nan_is_refused(check):
    with pytest.raises(BadInput, match=r"rate must .*; got nan"):
        check(Config(rate=math.nan), "rate")


def test_a_value_of_another_type_is_refused_with_a_remedy():
    with pytest.raises(BadInput, match=r"expected a Config, got '3' \(int\): pass a Config"):
        expect_type(3, Config, "pass a Config")
