"""Checks of config fields. Each refuses a wrong field by its name, with its value.

A field whose type allows None passes if it is None: its value is chosen later.
"""

import numbers
import typing
from collections.abc import Callable, Collection, Iterable
from typing import Any

from interp.artifacts import BadInput


def expect_at_least(config: object, minimum: float, *names: str) -> None:
    """Refuse a config unless each named field is `minimum` or more."""
    claim = f"be at least {minimum}" if minimum else "not be negative"
    _expect(config, names, lambda value: value >= minimum, claim)


def expect_at_most(config: object, maximum: float, *names: str) -> None:
    """Refuse a config unless each named field is `maximum` or less."""
    _expect(config, names, lambda value: value <= maximum, f"be at most {maximum}")


def expect_positive(config: object, *names: str) -> None:
    """Refuse a config unless each named field is greater than zero."""
    _expect(config, names, lambda value: value > 0, "be positive")


def expect_between(config: object, low: float, high: float, *names: str) -> None:
    """Refuse a config unless each named field lies between `low` and `high`, both allowed."""
    _expect(config, names, lambda value: low <= value <= high, f"lie between {low} and {high}")


def expect_one_of(config: object, choices: Collection[str], *names: str) -> None:
    """Refuse a config unless each named field is one of `choices`."""
    _expect(config, names, lambda value: value in choices, f"be one of {', '.join(choices)}")


def expect_type(value: object, kind: type, remedy: str) -> None:
    """Refuse `value` unless it is an instance of `kind`; `remedy` says what to pass instead."""
    if not isinstance(value, kind):
        raise BadInput(f"expected a {kind.__name__}, got {str(value)!r:.60} ({type(value).__name__}): {remedy}")


def _expect(config: object, names: Iterable[str], is_allowed: Callable[[Any], bool], claim: str) -> None:
    for name in names:
        value, types = getattr(config, name), _field_types(config, name)
        if value is None and type(None) in types:
            continue
        if int in types and not isinstance(value, numbers.Integral | None):
            raise BadInput(f"{name} must be a whole number; got {value!r}")
        if value is None or not _is_true(is_allowed, value):
            raise BadInput(f"{name} must {claim}; got {value!r}")


def _is_true(is_allowed: Callable[[Any], bool], value: Any) -> bool:
    """Whether the check passes. False for NaN, and for a value that cannot be compared."""
    try:
        return is_allowed(value)
    except TypeError:
        return False


def _field_types(config: object, name: str) -> tuple[Any, ...]:
    hint = typing.get_type_hints(type(config))[name]
    return typing.get_args(hint) or (hint,)
