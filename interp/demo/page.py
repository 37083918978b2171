"""The demo's figures, each with what it shows, on one page that needs nothing beside it."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from interp.demo import text as report
from interp.demo.arms import BASE, HARD, PAID, SEEN
from interp.plots import Panels, Point, dots, page
from interp.tasks.base import BUCKETS

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from interp.features import Roles
    from interp.rollouts import Evaluation
    from interp.tracking import Comparison, Tracks

TITLE = "What training on hard problems did to a small model, and what its latents say of it"
MEASURES = {"valid_rate": "valid", "pass_rate": "right", "direct_share": "at once"}
Part = tuple[str, str, "go.Figure"]


def write(
    path: Path,
    ends: "Mapping[str, Evaluation]",
    *,
    roles: "Roles | None" = None,
    tracks: "Tracks | None" = None,
    comparison: "Comparison | None" = None,
) -> Path:
    """Of all that there is."""
    first = {name: end for name, end in ends.items() if name != SEEN}
    parts = [("What training does", report.trained(first), doing(first))]
    if roles is not None:
        parts.append(("What latents are for", f"{report.roles_earned(roles)} {ROLES}", roles.figure()))
    if tracks is not None and roles is not None:
        changes = tracks.changes()
        told = " ".join(report.went(changes, bucket, roles) for bucket in changes.buckets)
        told = f"{told} {report.trusted(tracks.drift())} {TRACKS}"
        parts.append(("What hard training did to them", told, tracks.figure(roles=roles)))
    if comparison is not None:
        said = f"A was trained on medium problems, B on hard ones. {report.apart_in_words(comparison)}"
        parts.append(("Medium against hard", said, comparison.figure()))
    if SEEN in ends:
        shown = {name: ends[name] for name in (BASE, HARD, PAID, SEEN)}
        drawn = doing(shown, list(ends))
        parts.append(("Hard again, with credit by latents", report.credited(*list(shown.values())[1:]), drawn))
    elif roles is not None:
        parts[1] = (parts[1][0], f"{parts[1][1]} {report.NO_CREDIT}", parts[1][2])
    page(path, TITLE, [(heading, html.escape(text), figure) for heading, text, figure in parts], alone=True)
    return path


ROLES = (
    "To the right of the dotted line a latent tells its tokens apart; below zero, these are less likely without it. "
    "Filled: it has passed all three gates; the second, falsification, is not to be seen here. Bars are 95% intervals "
    "over prompts."
)
TRACKS = "Each line is a latent: how much stronger than in the base, with its 95% interval over prompts."


def doing(ends: "Mapping[str, Evaluation]", names: Sequence[str] = ()) -> "go.Figure":
    """Rates by bucket, of each that was measured, with intervals over problems. In the colours of all `names`."""
    panels: Panels = {
        bucket: {name: [_point(end, bucket, measure) for measure in MEASURES] for name, end in ends.items()}
        for bucket in BUCKETS
    }
    return dots(panels, y="rate", names=names)


def _point(end: "Evaluation", bucket: str, measure: str) -> Point:
    found = report.rate(end, bucket, measure)
    return Point(MEASURES[measure], *((found.value, found.low, found.high) if found.n else (None,)))
