"""What a field of a config may be: each check refuses the one field that is wrong, by name, with what it is.

A field that may be None is chosen later where it is, and let through.
"""

import typing
from collections.abc import Callable, Collection, Iterable
from typing import Any

from interp.artifacts import BadInput


def expect_at_least(config: object, least: float, *names: str) -> None:
    _expect(config, names, lambda value: value >= least, f"be at least {least}" if least else "not be negative")


def expect_at_most(config: object, most: float, *names: str) -> None:
    _expect(config, names, lambda value: value <= most, f"be at most {most}")


def expect_positive(config: object, *names: str) -> None:
    _expect(config, names, lambda value: value > 0, "be positive")


def expect_between(config: object, low: float, high: float, *names: str) -> None:
    """Or at either end."""
    _expect(config, names, lambda value: low <= value <= high, f"lie between {low} and {high}")


def expect_one_of(config: object, known: Collection[str], *names: str) -> None:
    _expect(config, names, lambda value: value in known, f"be one of {', '.join(known)}")


def _expect(config: object, names: Iterable[str], holds: Callable[[Any], bool], claim: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is None and _may_be_none(config, name):
            continue
        if value is None or not holds(value):  # comparing with NaN never holds
            raise BadInput(f"{name} must {claim}; got {value!r}")


def _may_be_none(config: object, name: str) -> bool:
    return type(None) in typing.get_args(typing.get_type_hints(type(config))[name])
