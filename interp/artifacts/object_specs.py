"""The spec of an object, such as a credit scheme, a task or a source of a readout: its class and settings, as JSON.

A run's manifest holds the spec of scheme and task, so that a run resumes only with the very same ones.
"""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any

from interp.artifacts.configs import to_json
from interp.artifacts.fingerprints import fingerprint, fingerprint_tensors


def spec_of(value: Any) -> Any:
    """{"kind": class name, "settings": ...}; None for None.

    Settings are the fields of a dataclass, the attributes of another object, or the code and the enclosed variables of
    a function."""
    if value is None:
        return None
    if isinstance(value, types.FunctionType):
        settings = {"code": _code_fingerprint(value.__code__), **_closure(value)}
        return {"kind": value.__qualname__, "settings": settings}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        attributes = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    else:
        attributes = dict(getattr(value, "__dict__", {}))
    return {"kind": type(value).__name__, "settings": {name: _setting(item) for name, item in attributes.items()}}


def _setting(value: Any) -> Any:
    """A plain value as it is, a tensor or an object with `fingerprint()` by its fingerprint, another by its spec."""
    import torch

    if isinstance(value, torch.Tensor):
        return fingerprint_tensors(["tensor"], lambda _: value)
    if callable(own_fingerprint := getattr(value, "fingerprint", None)):
        return own_fingerprint()
    if isinstance(value, Mapping):
        return {str(key): _setting(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_setting(item) for item in value]
    plain = value is None or isinstance(value, str | int | float | bool)
    return to_json(value) if plain else spec_of(value)


def _code_fingerprint(code: types.CodeType) -> str:
    constants = [_code_fingerprint(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return fingerprint(code.co_code, *code.co_names, *constants)


def _closure(function: types.FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: _setting(cell.cell_contents) for name, cell in cells}
