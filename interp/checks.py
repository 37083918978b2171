"""What a field of a config may be: each check refuses the one field that is wrong, by name, with what it is.

A field that may be None is chosen later where it is, and let through.
"""

import numbers
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


def expect_type(value: object, kind: type, remedy: str) -> None:
    if not isinstance(value, kind):
        raise BadInput(f"expected a {kind.__name__}, got {str(value)!r:.60} ({type(value).__name__}): {remedy}")


def _expect(config: object, names: Iterable[str], holds: Callable[[Any], bool], claim: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is None and _may_be_none(config, name):
            continue
        if int in _kinds(config, name) and not isinstance(value, numbers.Integral | None):
            raise BadInput(f"{name} must be a whole number; got {value!r}")
        if value is None or not _held(holds, value):
            raise BadInput(f"{name} must {claim}; got {value!r}")


def _held(holds: Callable[[Any], bool], value: Any) -> bool:
    """Comparing with NaN never holds, nor with what cannot be compared."""
    try:
        return holds(value)
    except TypeError:
        return False


def _may_be_none(config: object, name: str) -> bool:
    return type(None) in _kinds(config, name)


def _kinds(config: object, name: str) -> tuple[Any, ...]:
    hint = typing.get_type_hints(type(config))[name]
    return typing.get_args(hint) or (hint,)
