"""What the functions of a room do unless told otherwise."""

import importlib
import inspect
import pkgutil
import types
from typing import Any


def options_of(room: str) -> dict[str, dict[str, Any]]:
    """Plain defaults of the public functions and methods of a room, by their names."""
    package, options = importlib.import_module(f"interp.{room}"), {}
    for found in pkgutil.walk_packages(package.__path__, f"interp.{room}."):
        for name, value in vars(importlib.import_module(found.name)).items():
            if name.startswith("_") or getattr(value, "__module__", None) != found.name:
                continue
            members = {f"{name}.{key}": member for key, member in vars(value).items()} if inspect.isclass(value) else {}
            for path, member in {name: value, **members}.items():
                function = getattr(member, "__func__", member)
                if isinstance(function, types.FunctionType):
                    options[path] = _plain_defaults(function)
    return options


def _plain_defaults(function: Any) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    plain = (bool, int, float, str, tuple)
    return {each.name: each.default for each in parameters if isinstance(each.default, plain)}
