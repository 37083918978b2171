"""Lazy exports: a room's public names are imported at first use, so that `import interp` and `--help` stay instant."""

import importlib
from collections.abc import Callable, Mapping


def lazy_exports(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """A `__getattr__` for `package`: `modules` gives, for each public name, the module that defines it."""

    def get(name: str) -> object:
        if name in modules:
            return getattr(importlib.import_module(modules[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
