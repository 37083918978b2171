"""Flags from dataclasses: the help of each ends with the range of its field, and what a config refuses is one line.

tyro makes flags of dataclasses by a rule. The rule here takes what that one makes, and adds both.
"""

import dataclasses
from typing import Any

from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

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
