"""Tracks of latents through a series of checkpoints: which of them each bucket strengthened, and how sure that is; and
two checkpoints, or two runs, side by side."""

import importlib
from typing import TYPE_CHECKING

from interp.tracking.config import AskConfig, TrackConfig

if TYPE_CHECKING:
    from interp.tracking.changes import Changes
    from interp.tracking.comparing import compare
    from interp.tracking.comparison import Comparison
    from interp.tracking.drift import Drift, Trust
    from interp.tracking.following import track
    from interp.tracking.refitting import Passage, continued, passage, refit
    from interp.tracking.sides import Compared
    from interp.tracking.tracks import Tracks

_HOMES = {
    "Changes": "changes",
    "Compared": "sides",
    "Comparison": "comparison",
    "Drift": "drift",
    "Passage": "refitting",
    "Tracks": "tracks",
    "Trust": "drift",
    "compare": "comparing",
    "continued": "refitting",
    "passage": "refitting",
    "refit": "refitting",
    "track": "following",
}
__all__ = [
    "AskConfig",
    "Changes",
    "Compared",
    "Comparison",
    "Drift",
    "Passage",
    "TrackConfig",
    "Tracks",
    "Trust",
    "compare",
    "continued",
    "passage",
    "refit",
    "track",
]


def __getattr__(name: str) -> object:  # torch takes seconds to import, a command's --help must not
    if name in _HOMES:
        return getattr(importlib.import_module(f"interp.tracking.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
