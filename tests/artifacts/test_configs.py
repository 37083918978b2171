"""Config dataclasses go to JSON and come back unchanged, old field names included."""

import json
import math
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput, from_json, to_json


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    words: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Outer:
    depth: int
    inner: Inner = Inner()
    spare: Inner | None = None
    many: tuple[Inner, ...] = ()
    grid: tuple[tuple[int, ...], ...] = ()
    place: Path = Path("runs")
    verbose: bool = False


text = st.text(string.printable, max_size=8)
inners = st.builds(
    Inner,
    share=st.floats(allow_nan=False, allow_infinity=False),
    words=st.lists(text, max_size=3).map(tuple),
    note=st.none() | text,
)
outers = st.builds(
    Outer,
    depth=st.integers(),
    inner=inners,
    spare=st.none() | inners,
    many=st.lists(inners, max_size=2).map(tuple),
    grid=st.lists(st.lists(st.integers(), max_size=2).map(tuple), max_size=2).map(tuple),
    place=text.map(Path),
    verbose=st.booleans(),
)


@given(outers)
def test_a_config_is_read_back_from_json_unchanged(config):
    assert from_json(Outer, json.loads(json.dumps(to_json(config)))) == config


def test_unknown_keys_are_refused_by_name_at_any_depth():
    with pytest.raises(
        BadInput, match=r"Outer has no deph, widht; it has depth, grid, inner, many, place, spare, verbose"
    ):
        from_json(Outer, {"depth": 1, "widht": 2, "deph": 3})
    with pytest.raises(BadInput, match=r"Inner has no shaer; it has note, share, words"):
        from_json(Outer, {"depth": 1, "inner": {"shaer": 0.1}})


@dataclass(frozen=True)
class Measured:
    value: float
    spare: float | None = None
    many: tuple[float, ...] = ()


def test_nan_is_read_back_as_none_if_the_type_allows_none_and_otherwise_as_nan():
    nan, inf = float("nan"), float("inf")
    text = json.dumps(to_json(Measured(nan, nan, (1.0, nan, inf))), allow_nan=False)
    read = from_json(Measured, json.loads(text))
    assert math.isnan(read.value) and read.spare is None
    assert read.many[0] == 1.0 and math.isnan(read.many[1]) and math.isnan(read.many[2])
    assert from_json(Measured, to_json(Measured(0.5, 0.0))) == Measured(0.5, 0.0)


def test_missing_keys_take_their_defaults():
    assert from_json(Outer, {"depth": 3}) == Outer(3)


@dataclass(frozen=True)
class Renamed:
    RENAMED_FIELDS: ClassVar[Mapping[str, str]] = {"at8": "label_at_8", "old_inner": "inner"}
    label_at_8: str = "hard@8"
    inner: Inner = Inner()


def test_a_file_written_before_a_field_was_renamed_is_still_read():
    stored = {"at8": "easy@8", "old_inner": {"share": 0.25}}
    assert from_json(Renamed, stored) == Renamed("easy@8", Inner(0.25))
    assert from_json(Renamed, to_json(Renamed("easy@8"))) == Renamed("easy@8")
    assert set(to_json(Renamed())) == {"label_at_8", "inner"}, "it is written under the new name"


def test_a_field_under_its_old_and_its_new_name_at_once_is_refused():
    with pytest.raises(BadInput, match="Renamed: expected each field under one name, got at8 and label_at_8"):
        from_json(Renamed, {"at8": "easy@8", "label_at_8": "hard@8"})
