"""Flags from dataclasses. The help of each ends with the range of its field. What a config refuses is one line. What is
no number is refused in words.

tyro makes flags by rules. The rules here take what those make, and add to it.
"""

import dataclasses
import typing
from typing import Any

from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from interp.artifacts import BadInput
from interp.checks import Range, bounds_of

flag_rules = ConstructorRegistry()
_is_asking_tyro = False


class Refusal(Exception):
    """A BadInput that a config raised. tyro would put it into a box of its own: it catches every ValueError."""


@flag_rules.struct_rule
def _dataclass_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
    global _is_asking_tyro
    if _is_asking_tyro or not dataclasses.is_dataclass(info.type):
        return None  # the next rule, tyro's own, makes it
    _is_asking_tyro = True
    try:
        spec: Any = ConstructorRegistry.get_struct_spec(info)
    finally:
        _is_asking_tyro = False

    def instantiate(**values: Any) -> Any:
        try:
            return spec.instantiate(**values)
        except BadInput as error:
            raise Refusal(str(error)) from error

    return dataclasses.replace(spec, instantiate=instantiate, fields=tuple(map(_with_range, spec.fields)))


def _with_range(field: StructFieldSpec) -> StructFieldSpec:
    ranges = [bound for bound in bounds_of(field.type) if isinstance(bound, Range)]
    if not ranges:
        return field

    def text() -> str:
        own = field.helptext() if callable(field.helptext) else field.helptext
        return f"{own or ''} [{', '.join(map(str, ranges))}]"

    return dataclasses.replace(field, helptext=text)


@flag_rules.primitive_rule
def _number_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """A number, or nothing: what cannot be read as one is refused by what was expected, not by the type of a field."""
    global _is_asking_tyro
    parts = [part for part in typing.get_args(info.type) or (info.type,) if part is not type(None)]
    numbers = [typing.get_args(part)[0] if typing.get_origin(part) is typing.Annotated else part for part in parts]
    if _is_asking_tyro or len(numbers) != 1 or numbers[0] not in (int, float):
        return None
    _is_asking_tyro = True
    try:
        spec: Any = ConstructorRegistry.get_primitive_spec(info)
    finally:
        _is_asking_tyro = False
    expected = "a whole number" if numbers[0] is int else "a number"

    def read(words: list[str]) -> Any:
        try:
            return spec.instance_from_str(words)
        except ValueError as error:
            raise ValueError(f"expected {expected}; got {' '.join(words)!r:.80}") from error

    return dataclasses.replace(spec, instance_from_str=read)
