"""A field that is wrong is refused alone, whatever stands beside it."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

from interp.artifacts import BadInput, to_json
from interp.checks import expect_at_least, expect_at_most, expect_between, expect_one_of, expect_positive
from interp.grpo.config import UpdateConfig
from interp.studies.difficulty import DifficultyConfig
from interp.studies.features import FeaturesConfig
from interp.tsae import TSAEConfig


@dataclass(frozen=True)
class Held:
    few: float | None = 3
    many: float | None = 30
    kind: str | None = "good"


def test_what_is_no_number_or_no_whole_one_is_refused_by_the_same_name():
    told = {"k": "16", "width": 128.0, "revival": "much"}
    said = ["k must be a whole number; got '16'", "width must be a whole number; got 128.0"]
    said += ["revival must not be negative; got 'much'"]
    for (name, value), expected in zip(told.items(), said, strict=True):
        with pytest.raises(BadInput) as refused:
            TSAEConfig(**{name: value})
        assert str(refused.value) == expected
    assert json.dumps(to_json(TSAEConfig(width=np.int64(128)))) == json.dumps(to_json(TSAEConfig(width=128)))


@pytest.mark.parametrize(
    ("check", "held", "told"),
    [
        (lambda held: expect_at_least(held, 1, "few", "many"), Held(many=0), "many must be at least 1; got 0"),
        (lambda held: expect_at_least(held, 0, "few", "many"), Held(few=-0.5), "few must not be negative; got -0.5"),
        (lambda held: expect_at_most(held, 40, "few", "many"), Held(many=41), "many must be at most 40; got 41"),
        (lambda held: expect_positive(held, "few", "many"), Held(few=0.0), "few must be positive; got 0.0"),
        (lambda held: expect_between(held, 3, 30, "few", "many"), Held(few=2), "few must lie between 3 and 30; got 2"),
        (lambda held: expect_one_of(held, ("good", "fair"), "kind"), Held(kind="bad"),
         "kind must be one of good, fair; got 'bad'"),
    ],
)  # fmt: skip
def test_the_field_that_is_wrong_is_named_and_no_other(check, held, told):
    with pytest.raises(BadInput) as refused:
        check(held)
    assert str(refused.value) == told
    check(Held())
    check(Held(few=None, many=None, kind=None))


def test_none_is_let_through_only_where_a_field_may_be_none():
    with pytest.raises(BadInput, match="^scale must be one of .*; got None$"):
        TSAEConfig(scale=None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(BadInput, match="^lr must not be negative; got None$"):
        UpdateConfig(lr=None)  # pyright: ignore[reportArgumentType]
    assert TSAEConfig(width=None).width is None


@pytest.mark.parametrize("check", [expect_positive, lambda held, name: expect_between(held, 0, 1, name)])
def test_what_is_no_number_is_refused(check):
    with pytest.raises(BadInput, match=r"few must .*; got nan"):
        check(Held(few=math.nan), "few")


@pytest.mark.parametrize("config", [DifficultyConfig, FeaturesConfig])
@pytest.mark.parametrize(
    ("name", "value", "claim"),
    [("lr", 0.0, "be positive"), ("first_seed", -1, "not be negative"), ("problems", 0, "be at least 1")],
)
def test_a_study_names_the_one_setting_that_is_wrong(config, name, value, claim):
    with pytest.raises(BadInput, match=f"^{name} must {claim}; got {value}$"):
        config(**{name: value})
