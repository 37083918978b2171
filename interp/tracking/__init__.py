"""Tracks of a dictionary's latents through a series of checkpoints: which latents each bucket strengthened, how certain
that is, and how well the dictionary still fits; and two checkpoints, or two runs, compared.
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports
from interp.tracking.config import CompareConfig, TrackConfig

if TYPE_CHECKING:
    from interp.tracking.changes import Changes
    from interp.tracking.comparing import compare
    from interp.tracking.comparison import Comparison
    from interp.tracking.drift import Drift, TrustThresholds
    from interp.tracking.latent_comparison import LatentComparison
    from interp.tracking.refitting import LatentMatch, join_tracks, match_latents, refit
    from interp.tracking.tracker import track
    from interp.tracking.tracks import Tracks

__all__ = [
    "Changes",
    "CompareConfig",
    "Comparison",
    "Drift",
    "LatentComparison",
    "LatentMatch",
    "TrackConfig",
    "Tracks",
    "TrustThresholds",
    "compare",
    "join_tracks",
    "match_latents",
    "refit",
    "track",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "Changes": "interp.tracking.changes",
        "compare": "interp.tracking.comparing",
        "Comparison": "interp.tracking.comparison",
        "Drift": "interp.tracking.drift",
        "TrustThresholds": "interp.tracking.drift",
        "LatentComparison": "interp.tracking.latent_comparison",
        "LatentMatch": "interp.tracking.refitting",
        "join_tracks": "interp.tracking.refitting",
        "match_latents": "interp.tracking.refitting",
        "refit": "interp.tracking.refitting",
        "track": "interp.tracking.tracker",
        "Tracks": "interp.tracking.tracks",
    },
)
