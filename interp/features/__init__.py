"""Roles of latents, earned: told apart by what tokens do, held against their own tokens, and taken away."""

from typing import TYPE_CHECKING

from interp.features.config import RolesConfig
from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.features.earn import earn_roles
    from interp.features.roles import Roles, Trial

__all__ = ["Roles", "RolesConfig", "Trial", "earn_roles"]
__getattr__ = lazy_exports(
    __name__,
    {
        "earn_roles": "interp.features.earn",
        "Roles": "interp.features.roles",
        "Trial": "interp.features.roles",
    },
)
