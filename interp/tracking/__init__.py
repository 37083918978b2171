"""Tracks of latents through a series of checkpoints: which of them each bucket strengthened, and how sure that is."""

import importlib
from typing import TYPE_CHECKING

from interp.tracking.config import TrackConfig

if TYPE_CHECKING:
    from interp.tracking.changes import Changes
    from interp.tracking.drift import Drift, Trust
    from interp.tracking.following import track
    from interp.tracking.refitting import Passage, continued, passage, refit
    from interp.tracking.tracks import Tracks

_HOMES = {
    "Changes": "changes",
    "Drift": "drift",
    "Passage": "refitting",
    "Tracks": "tracks",
    "Trust": "drift",
    "continued": "refitting",
    "passage": "refitting",
    "refit": "refitting",
    "track": "following",
}
__all__ = ["Changes", "Drift", "Passage", "TrackConfig", "Tracks", "Trust", "continued", "passage", "refit", "track"]


def __getattr__(name: str) -> object:  # torch takes seconds to import, a command's --help must not
    if name in _HOMES:
        return getattr(importlib.import_module(f"interp.tracking.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
