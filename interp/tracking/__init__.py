"""Tracks of latents through a series of checkpoints: which of them each bucket strengthened, and how sure that is; and
two checkpoints, or two runs, side by side.
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports
from interp.tracking.config import AskConfig, TrackConfig

if TYPE_CHECKING:
    from interp.tracking.changes import Changes
    from interp.tracking.comparing import compare
    from interp.tracking.comparison import Compared, Comparison
    from interp.tracking.drift import Drift, Trust
    from interp.tracking.refitting import Passage, continued, passage, refit
    from interp.tracking.tracker import track
    from interp.tracking.tracks import Tracks

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
__getattr__ = lazy_exports(
    __name__,
    {
        "Changes": "interp.tracking.changes",
        "compare": "interp.tracking.comparing",
        "Compared": "interp.tracking.comparison",
        "Comparison": "interp.tracking.comparison",
        "Drift": "interp.tracking.drift",
        "Trust": "interp.tracking.drift",
        "track": "interp.tracking.tracker",
        "Passage": "interp.tracking.refitting",
        "continued": "interp.tracking.refitting",
        "passage": "interp.tracking.refitting",
        "refit": "interp.tracking.refitting",
        "Tracks": "interp.tracking.tracks",
    },
)
