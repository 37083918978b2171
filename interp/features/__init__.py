"""Roles of a dictionary's latents, each earned in three gates: contrast, falsification and ablation."""

from typing import TYPE_CHECKING

from interp.features.config import RolesConfig
from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.features.earn import earn_roles
    from interp.features.families import ROLE_FAMILIES, Contrast, RoleFamily, TokenSelector
    from interp.features.gates import Trial
    from interp.features.interchange import InterchangeEffects, TextPair, interchange_latents
    from interp.features.labels import LabeledTokens, label_tokens
    from interp.features.notes import LatentNote, LatentSet, Notes
    from interp.features.roles import Roles

__all__ = [
    "ROLE_FAMILIES",
    "Contrast",
    "InterchangeEffects",
    "LabeledTokens",
    "LatentNote",
    "LatentSet",
    "Notes",
    "RoleFamily",
    "Roles",
    "RolesConfig",
    "TextPair",
    "TokenSelector",
    "Trial",
    "earn_roles",
    "interchange_latents",
    "label_tokens",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "ROLE_FAMILIES": "interp.features.families",
        "Contrast": "interp.features.families",
        "InterchangeEffects": "interp.features.interchange",
        "LabeledTokens": "interp.features.labels",
        "LatentNote": "interp.features.notes",
        "LatentSet": "interp.features.notes",
        "Notes": "interp.features.notes",
        "RoleFamily": "interp.features.families",
        "Roles": "interp.features.roles",
        "TextPair": "interp.features.interchange",
        "TokenSelector": "interp.features.families",
        "Trial": "interp.features.gates",
        "earn_roles": "interp.features.earn",
        "interchange_latents": "interp.features.interchange",
        "label_tokens": "interp.features.labels",
    },
)
