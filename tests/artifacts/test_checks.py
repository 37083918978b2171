"""Checks of config fields: the field that is wrong is refused alone, by name, with its value and its bound."""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

from interp.artifacts import BadInput, to_json
from interp.checks import (
    Confidence,
    Count,
    Name,
    Positive,
    Range,
    Seed,
    Share,
    Weight,
    bounds_of,
    expect_once_each,
    expect_one_of,
    expect_plausible,
    expect_type,
)


@dataclass(frozen=True)
class Inner:
    share: Share = 0.5


@dataclass(frozen=True)
class Config:
    steps: Count = 10
    limit: Count | None = None
    share: Share = 0.5
    confidence: Confidence = 0.95
    weight: Weight = 1.0
    scale: Positive = 1.0
    seed: Seed = 0
    layers: tuple[Count, ...] = (1, 2)
    pair: tuple[Count, Count] = (1, 2)
    levels: tuple[Count | Name, ...] = (1, "deep")
    kind: Literal["good", "fair"] = "good"
    name: Name = "base"
    is_quiet: bool = False
    out: Path | None = None
    inner: Inner = field(default_factory=Inner)
    free: float = 0.0

    def __post_init__(self) -> None:
        expect_plausible(self)


REFUSED = [
    ("steps", 0, "steps must be at least 1; got 0"),
    ("steps", 10**30, f"steps must be at most 10^7; got {10**30}"),
    ("steps", "16", "steps must be a whole number; got '16'"),
    ("steps", 128.0, "steps must be a whole number; got 128.0"),
    ("steps", True, "steps must be a whole number; got True"),
    ("steps", None, "steps must be a whole number; got None"),
    ("limit", 0, "limit must be at least 1; got 0"),
    ("limit", "few", "limit must be a whole number or None; got 'few'"),
    ("share", -0.1, "share must lie between 0 and 1; got -0.1"),
    ("share", math.nan, "share must be a number, 0 to 1; got nan"),
    ("confidence", 1.0, "confidence must be above 0 and below 1; got 1.0"),
    ("confidence", math.nan, "confidence must be a number, above 0, below 1; got nan"),
    ("weight", -1, "weight must not be negative; got -1"),
    ("weight", math.inf, "weight must be at most 10^6; got inf"),
    ("weight", -math.inf, "weight must not be negative; got -inf"),
    ("weight", math.nan, "weight must be a number, 0 to 10^6; got nan"),
    ("weight", "much", "weight must be a number; got 'much'"),
    ("scale", 0.0, "scale must be positive; got 0.0"),
    ("scale", math.nan, "scale must be a number, above 0 to 10^6; got nan"),
    ("seed", 2**63, f"seed must be at most 2^63 - 1; got {2**63}"),
    ("layers", (1, 0), "layers must be at least 1; got 0"),
    ("layers", 3, "layers must be a tuple; got 3"),
    ("layers", "12", "layers must be a tuple; got '12'"),
    ("pair", (1, 2, 3), "pair must be a tuple of 2; got (1, 2, 3)"),
    ("pair", (1, 0), "pair must be at least 1; got 0"),
    ("levels", (0,), "levels must be at least 1; got 0"),
    ("levels", (None,), "levels must be a whole number or text; got None"),
    ("kind", "bad", "kind must be one of good, fair; got 'bad'"),
    ("name", "", "name must be 1 to 200 printable characters; got ''"),
    ("name", "a\nb", r"name must be 1 to 200 printable characters; got 'a\nb'"),
    ("name", 3, "name must be text; got 3"),
    ("is_quiet", 1, "is_quiet must be True or False; got 1"),
    ("out", 3, "out must be a path or None; got 3"),
    ("inner", 0.5, "inner must be of type Inner; got 0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "message"), REFUSED)
def test_a_wrong_field_is_refused_by_name_value_and_bound(name, value, message):
    with pytest.raises(BadInput) as refused:
        replace(Config(), **{name: value})
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "fields",
    [
        {"limit": None, "out": None},
        {"limit": 3, "out": "runs"},
        {"steps": 10**7, "share": 1, "weight": 0, "seed": 2**63 - 1},
        {"share": 0, "scale": 1e-300, "confidence": 1e-9, "layers": ()},
        {"layers": [1, 2], "weight": np.float32(0.5), "levels": ("deep", 3)},
    ],
)
def test_whatever_lies_in_its_range_passes(fields):
    assert to_json(replace(Config(), **fields))["kind"] == "good"


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(BadInput) as refused:
        Config(name="a" * 10_000)
    assert len(str(refused.value)) < 150


def test_numpy_integers_count_and_are_written_as_integers():
    config = Config(steps=np.int64(128))  # pyright: ignore[reportArgumentType]
    assert json.dumps(to_json(config)) == json.dumps(to_json(Config(steps=128)))


def test_no_range_holds_a_nan_or_what_lies_beyond_an_end_it_leaves_out():
    half_open = Range(0, 2, without_low=True, without_high=True)
    assert [value in half_open for value in (0, 1e-9, 1.9, 2, math.nan)] == [False, True, True, False, False]
    assert 0 in Range(0, 2) and 2 in Range(0, 2) and math.nan not in Range(-math.inf, math.inf)


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (Range(0, 1), "0 to 1"),
        (Range(1, 1024), "1 to 1,024"),
        (Range(0, 10**7, without_low=True), "above 0 to 10^7"),
        (Range(0, 1, without_high=True), "0, below 1"),
        (Range(0, 2**63 - 1), "0 to 2^63 - 1"),
        (Range(-100, 1.5), "-100 to 1.5"),
    ],
)
def test_a_range_is_written_as_people_write_it(bound, text):
    assert str(bound) == text


def test_bounds_are_read_from_anywhere_in_an_annotation():
    one, other = Range(0, 1), Range(2, 3)
    assert bounds_of(tuple[Annotated[int, one] | Annotated[str, other] | None, ...]) == [one, other]
    assert bounds_of(int) == []


def test_names_alone_are_checked_where_they_are_given():
    wrong = Config()
    object.__setattr__(wrong, "steps", 0)
    expect_plausible(wrong, "share", "seed")
    with pytest.raises(BadInput, match="steps must be at least 1"):
        expect_plausible(wrong, "share", "steps")


def test_a_choice_that_is_none_of_those_listed_is_refused():
    expect_one_of(Config(), ("base", "run"), "name")
    with pytest.raises(BadInput, match="name must be one of fair, run; got 'base'"):
        expect_one_of(Config(), ("fair", "run"), "name")


def test_what_is_named_twice_is_refused():
    expect_once_each(Config(), "layers", "levels")
    with pytest.raises(BadInput, match=r"layers must be named once each; got \[2, 2\]"):
        expect_once_each(Config(layers=(2, 2)), "levels", "layers")


def test_a_value_of_another_type_is_refused_with_a_remedy():
    with pytest.raises(BadInput, match=r"expected a Config, got '3' \(int\): pass a Config"):
        expect_type(3, Config, "pass a Config")
