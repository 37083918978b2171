"""Tracks of latents through a series of checkpoints: which of them each bucket strengthened, and how sure that is."""

import importlib
from typing import TYPE_CHECKING

from interp.tracking.config import TrackConfig

if TYPE_CHECKING:
    from interp.tracking.changes import Changes
    from interp.tracking.drift import Drift, Trust
    from interp.tracking.following import track
    from interp.tracking.tracks import Tracks

_HOMES = {"track": "following", "Tracks": "tracks", "Changes": "changes", "Drift": "drift", "Trust": "drift"}
__all__ = ["Changes", "Drift", "TrackConfig", "Tracks", "Trust", "track"]


def __getattr__(name: str) -> object:  # torch takes seconds to import, a command's --help must not
    if name in _HOMES:
        return getattr(importlib.import_module(f"interp.tracking.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
