"""Config dataclasses to JSON and back, without loss.

`from_json(kind, to_json(config)) == config` for nested frozen dataclasses of numbers, strings, paths and tuples. JSON
has no NaN and no infinity: both are written as null. Unknown keys are refused by name. A dataclass whose fields were
renamed lists the old names, so that files written before still load:

    class EvaluateConfig:
        RENAMED_FIELDS: ClassVar[Mapping[str, str]] = {"old": "new"}
"""

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from interp.artifacts.errors import BadInput

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """A dataclass, or any nest of dataclasses, mappings and sequences, as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)  # json refuses numpy's integers
    return str(value) if isinstance(value, Path) else value


def from_json(kind: type[T], value: Mapping[str, Any]) -> T:
    """An instance of the dataclass `kind` from the JSON of `to_json`. Old field names are accepted."""
    hints, names = typing.get_type_hints(kind), {f.name for f in dataclasses.fields(typing.cast(Any, kind))}
    value = _with_current_names(kind, value)
    if unknown := sorted(set(value) - names):
        raise BadInput(f"{kind.__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(names))}")
    return kind(**{key: _parse(hints[key], item) for key, item in value.items()})


def _with_current_names(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
    renamed: Mapping[str, str] = getattr(kind, "RENAMED_FIELDS", {})
    if repeated := sorted(f"{old} and {renamed[old]}" for old in set(value) & set(renamed) if renamed[old] in value):
        raise BadInput(f"{kind.__name__}: expected each field under one name, got {'; '.join(repeated)}")
    return {renamed.get(key, key): item for key, item in value.items()}


def _parse(hint: Any, item: Any) -> Any:
    if item is None:
        return float("nan") if hint is float else None  # a float that cannot be None was NaN
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next((arm for arm in typing.get_args(hint) if arm is not type(None)), hint)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, item)  # pyright: ignore[reportArgumentType]
    if typing.get_origin(hint) is tuple:
        return tuple(_parse(typing.get_args(hint)[0], part) for part in item)
    return Path(item) if hint is Path else item
