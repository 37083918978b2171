"""Checks of config fields, by their annotations. Each refuses a wrong field by its name, with its value.

    @dataclass(frozen=True)
    class Config:
        steps: Count = 60
        share: Share | None = None

        def __post_init__(self) -> None:
            expect_plausible(self)

A field has the type that it says, and every number lies in its range, which `--help` shows too. A bound is where no
plausible wish lies beyond. NaN lies in no range. A field whose type allows None passes if it is None: its value is
chosen later.
"""

import dataclasses
import functools
import numbers
import re
import types
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from interp.artifacts import BadInput

KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((numbers.Integral,), "a whole number"),
    float: ((numbers.Real,), "a number"),
    str: ((str,), "text"),
    Path: ((Path, str), "a path"),
}
"""For each type of a field, which values it takes and what they are called. True and False are no numbers."""
_HALVES = re.compile("[\ud800-\udfff]")
"""Halves of a character, which no file can hold."""
SHOWN = 60
"""Characters of a refused value that a message shows."""


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included unless it says otherwise."""

    low: float
    high: float
    without_low: bool = False
    without_high: bool = False

    def __contains__(self, value: Any) -> bool:
        is_low = value > self.low if self.without_low else value >= self.low
        return bool(is_low and (value < self.high if self.without_high else value <= self.high))

    def __str__(self) -> str:
        low = f"above {_number(self.low)}" if self.without_low else _number(self.low)
        return f"{low}{', below' if self.without_high else ' to'} {_number(self.high)}"

    def expect(self, name: str, value: Any) -> None:
        """Refuse `value` unless it lies in the range. The message says which bound it missed."""
        if value not in self:
            raise BadInput(f"{name} must {self._claim(value)}; got {value!r}")

    def _claim(self, value: Any) -> str:
        low, high = _number(self.low), _number(self.high)
        if value != value:
            return f"be a number, {self}"
        if 0 <= self.low < self.high <= 1 and not (self.without_low or self.without_high):
            return f"lie between {low} and {high}"
        at_least = f"be above {low}" if self.without_low else f"be at least {low}"
        at_most = f"below {high}" if self.without_high else f"at most {high}"
        if 0 <= self.low < self.high <= 1:
            return f"{at_least} and {at_most}"
        if value > self.high or value == self.high:
            return f"be {at_most}"
        return at_least if self.low else "be positive" if self.without_low else "not be negative"


Count = Annotated[int, Range(1, 10**7)]
"""A number of steps, problems, prompts, latents, ..."""
CountOrZero = Annotated[int, Range(0, 10**7)]
Step = Annotated[int, Range(0, 10**9)]
"""A step of a training run, counted from 0."""
Tokens = Annotated[int, Range(1, 10**12)]
Layer = Annotated[int, Range(0, 1000)]
"""A layer of a model, counted from 0."""
Depth = Annotated[int, Range(0, 10_000)]
"""A depth or level of problems, where it is a number."""
Seed = Annotated[int, Range(0, 2**63 - 1)]
Threads = Annotated[int, Range(1, 1024)]
Processes = Annotated[int, Range(1, 256)]
Share = Annotated[float, Range(0, 1)]
Confidence = Annotated[float, Range(0, 1, without_low=True, without_high=True)]
LearningRate = Annotated[float, Range(0, 10, without_low=True)]
Weight = Annotated[float, Range(0, 10**6)]
"""A weight of a term in a sum, or another number that may be 0."""
Positive = Annotated[float, Range(0, 10**6, without_low=True)]


@dataclasses.dataclass(frozen=True)
class Length:
    """Texts of at most this many characters."""

    limit: int
    may_be_empty: bool = False
    may_have_lines: bool = False
    """Line ends and other signs that are not printed are allowed, as in a prompt."""

    def __str__(self) -> str:
        return f"up to {self.limit:,} characters"

    def expect(self, name: str, value: str) -> None:
        """Refuse a text that is empty, too long, or cannot be written to a file."""
        is_readable = not _HALVES.search(value) if self.may_have_lines else value.isprintable()
        if not (0 if self.may_be_empty else 1) <= len(value) <= self.limit or not is_readable:
            characters = "characters" if self.may_have_lines else "printable characters"
            least = 0 if self.may_be_empty else 1
            raise BadInput(f"{name} must be {least} to {self.limit:,} {characters}; got {value!r:.{SHOWN}}")


Name = Annotated[str, Length(200)]


def expect_plausible(config: Any, *names: str) -> None:
    """Refuse a dataclass unless each field has the type of its annotation, and lies in the annotation's range.

    `names` are the fields to check, all if none is named: a subclass of another package's config checks its own."""
    hints = _field_hints(type(config))
    for name in names or [field.name for field in dataclasses.fields(config)]:
        _expect_value(name, getattr(config, name), hints[name])


def expect_one_of(config: object, choices: Collection[str], *names: str) -> None:
    """Refuse a config unless each named field is one of `choices`."""
    for name in names:
        if (value := getattr(config, name)) not in choices:
            raise BadInput(f"{name} must be one of {', '.join(choices)}; got {value!r:.{SHOWN}}")


def expect_once_each(config: object, *names: str) -> None:
    """Refuse a config if a named field names anything twice."""
    for name in names:
        if len(set(values := getattr(config, name))) < len(values):
            raise BadInput(f"{name} must be named once each; got {list(values)}")


def expect_type(value: object, kind: type, remedy: str) -> None:
    """Refuse `value` unless it is an instance of `kind`; `remedy` says what to pass instead."""
    if not isinstance(value, kind):
        raise BadInput(f"expected a {kind.__name__}, got {str(value)!r:.60} ({type(value).__name__}): {remedy}")


def bounds_of(hint: Any) -> list[Range | Length]:
    """The bounds in an annotation, wherever in it they stand."""
    own = [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Range | Length)]
    inner = [bound for part in typing.get_args(hint) for bound in bounds_of(part)]
    return list(dict.fromkeys([*own, *inner]))


@functools.cache
def _field_hints(config: type) -> dict[str, Any]:
    return typing.get_type_hints(config, include_extras=True)


def _expect_value(name: str, value: Any, hint: Any) -> None:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        _expect_value(name, value, parts[0])
        for bound in bounds_of(hint):
            bound.expect(name, value)
    elif origin in (typing.Union, types.UnionType):
        fitting = [part for part in parts if _has_type(value, part)]
        if not fitting:
            raise BadInput(f"{name} must be {' or '.join(map(_kind, parts))}; got {value!r:.{SHOWN}}")
        _expect_value(name, value, fitting[0])
    elif not _has_type(value, hint):
        raise BadInput(f"{name} must be {_kind(hint)}; got {value!r:.{SHOWN}}")
    elif origin is tuple:
        for item, part in zip(value, _item_hints(parts, len(value)), strict=True):
            _expect_value(name, item, part)


def _has_type(value: Any, hint: Any) -> bool:
    """Whether the outermost type of `value` is that of the annotation. Annotations that are no types take any value."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _has_type(value, parts[0])
    if origin is Literal:
        return value in parts
    if origin is tuple:
        return isinstance(value, tuple | list) and len(value) == len(_item_hints(parts, len(value)))
    if hint not in KINDS:
        return not isinstance(hint, type) or isinstance(value, hint)
    return isinstance(value, KINDS[hint][0]) and (hint is bool or not isinstance(value, bool))


def _item_hints(parts: tuple[Any, ...], length: int) -> tuple[Any, ...]:
    """The types of a tuple's items: `tuple[int, ...]` has as many as there are items."""
    return (parts[0],) * length if parts[1:] == (...,) else parts


def _kind(hint: Any) -> str:
    """What an annotation stands for, in words."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _kind(parts[0])
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is tuple:
        return "a tuple" if parts[1:] == (...,) else f"a tuple of {len(parts)}"
    return KINDS[hint][1] if hint in KINDS else "None" if hint is type(None) else f"of type {hint.__name__}"


def _number(value: float) -> str:
    """A bound as people write it: 0.5, 1,024, 10^7, 2^63 - 1."""
    if value >= 10**6 and value == 10 ** (zeros := len(str(int(value))) - 1):
        return f"10^{zeros}"
    return "2^63 - 1" if value == 2**63 - 1 else f"{value:,}"
