"""Roles of latents, earned: told apart by what tokens do, held against their own tokens, and taken away."""

import importlib
from typing import TYPE_CHECKING

from interp.features.config import RolesConfig

if TYPE_CHECKING:
    from interp.features.earning import earn_roles
    from interp.features.roles import Roles, Trial

_HOMES = {"Roles": "roles", "Trial": "roles", "earn_roles": "earning"}
__all__ = ["Roles", "RolesConfig", "Trial", "earn_roles"]


def __getattr__(name: str) -> object:  # torch takes seconds to import, a command's --help must not
    if name in _HOMES:
        return getattr(importlib.import_module(f"interp.features.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
