"""Tracks as a picture: the latents that changed most in each bucket, checkpoint by checkpoint, against the base."""

from typing import TYPE_CHECKING

import numpy as np

from interp.plots import Panels, Point, curves
from interp.tracking.changes import STRENGTHENED, WEAKENED, Judged

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from interp.features import Roles
    from interp.tracking.tracks import Tracks


def drawn(tracks: "Tracks", *, corpus: str, measure: str, latents: int, roles: "Roles | None" = None) -> "go.Figure":
    """Of each bucket, the `latents` surest changes of either sign, each with its interval at every checkpoint."""
    base, *later = tracks.steps
    by_step = {step: tracks.judged((base, step), corpus=corpus, measure=measure) for step in later}
    panels: dict[str, dict[str, list[Point]]] = {}
    for bucket in tracks.buckets:
        panels[f"{bucket} ({corpus})"] = {
            named(latent, roles): [Point(base, 0.0), *(_at(by_step[step][bucket], step, latent) for step in later)]
            for latent in surest(by_step[later[-1]][bucket], latents)
        }
    return curves(as_panels(panels), x="step", y=f"change in {measure}", zero=True)


def named(latent: int, roles: "Roles | None") -> str:
    role = "none" if roles is None else roles.of(latent)
    return f"latent {latent}" if role == "none" else f"latent {latent} ({role})"


def surest(found: Judged, latents: int) -> list[int]:
    """Those found to have changed, the surest first, as many as asked for of each sign."""
    order = np.argsort(np.where(np.isnan(found.q_F), np.inf, found.q_F), kind="stable")
    picked: list[int] = []
    for verdict in (STRENGTHENED, WEAKENED):
        picked += [int(latent) for latent in order if found.verdict_F[latent] == verdict][:latents]
    return picked


def as_panels(panels: dict[str, dict[str, list[Point]]]) -> Panels:
    return {title: series or {"none found to have changed": []} for title, series in panels.items()}


def _at(found: Judged, step: int, latent: int) -> Point:
    change = found.change
    told = (float(held[latent]) for held in (change.value_F, change.low_F, change.high_F))
    return Point(step, *(None if np.isnan(value) else value for value in told))  # a height may not be there
