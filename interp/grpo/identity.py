"""What a credit scheme or a task says of itself in a run's manifest, so that a run goes on only with the very same."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any

from interp.artifacts import fingerprint, fingerprint_tensors, to_json


def identity_of(value: Any) -> Any:
    """Its kind and its settings: the fields of a dataclass, the attributes of an object, the code of a function."""
    if value is None:
        return None
    if isinstance(value, types.FunctionType):
        return {"kind": value.__qualname__, "settings": {"code": _code(value.__code__), **_enclosed(value)}}
    held = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)} if _is_config(value) else _vars(value)
    return {"kind": type(value).__name__, "settings": {name: _told(item) for name, item in held.items()}}


def _told(value: Any) -> Any:
    """Plain values as they are; whatever has a fingerprint, by that; the rest by what it says of itself."""
    import torch

    if isinstance(value, torch.Tensor):
        return fingerprint_tensors(["tensor"], lambda _: value)
    if callable(own := getattr(value, "fingerprint", None)):
        return own()
    if isinstance(value, Mapping):
        return {str(key): _told(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    plain = value is None or isinstance(value, str | int | float | bool)
    return to_json(value) if plain else identity_of(value)


def _is_config(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _vars(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))


def _code(code: types.CodeType) -> str:
    consts = [_code(const) if isinstance(const, types.CodeType) else repr(const) for const in code.co_consts]
    return fingerprint(code.co_code, *code.co_names, *consts)


def _enclosed(function: types.FunctionType) -> dict[str, Any]:
    """What a function has closed over decides what it does too."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: _told(cell.cell_contents) for name, cell in cells}
