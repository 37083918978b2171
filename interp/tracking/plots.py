"""Tracks as a picture: the latents that changed most in each bucket, checkpoint by checkpoint, against the base.

A comparison as a picture: what each does above, what sets their latents apart below, bucket by bucket.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from interp.bootstrap import Change
from interp.plots import Panels, Point, curves, dots_below
from interp.tracking.changes import STRENGTHENED, WEAKENED, Judged
from interp.tracking.comparison import Compared, Sides

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.features import Roles
    from interp.tracking.tracks import Tracks


def plot_tracks(
    tracks: "Tracks", *, corpus: str, measure: str, latents: int, roles: "Roles | None" = None
) -> "go.Figure":
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


NAMES = {"base": "base", "a": "A", "b": "B"}


def plot_comparison(behaviour: "pl.DataFrame", compared: Compared, *, latents: int) -> "go.Figure":
    """Where there is a base, what is drawn of a latent is its change since, in A and in B; where there is none, what
    lies between the two."""
    since = "since the base" if compared.based else "from A to B"
    mix = f", {' and '.join(compared.matched)} matched" if compared.matched else ""
    rows = {
        "rate": {bucket: _rates(behaviour, bucket) for bucket in compared.buckets},
        f"change in {compared.measure} {since}": {
            f"latents, {bucket} ({compared.corpus}{mix})": _latents(compared, bucket, latents)
            for bucket in compared.buckets
        },
    }
    return dots_below(rows)


def _rates(behaviour: "pl.DataFrame", bucket: str) -> dict[str, list[Point]]:
    rows, series = [row for row in behaviour.to_dicts() if row["bucket"] == bucket], dict[str, list[Point]]()
    for key, name in NAMES.items():
        if key in behaviour.columns:
            series[name] = [_rate(row, key) for row in rows]
    return series


def _rate(row: dict[str, Any], key: str) -> Point:
    known = row[key] is not None
    return Point(
        row["measure"].replace("_", " "), *(row[name] if known else None for name in (key, f"{key}_low", f"{key}_high"))
    )


def _latents(compared: Compared, bucket: str, latents: int) -> dict[str, list[Point]]:
    sides = compared.buckets[bucket]
    picked = surest(sides.between, latents)
    if not picked:
        return {"none found to set them apart": []}
    return {name: [_point(change, compared, latent) for latent in picked] for name, change in _changes(sides).items()}


def _changes(sides: Sides) -> dict[str, Change]:
    told = {"A": sides.a, "B": sides.b} if sides.a is not None else {"B less A": sides.between}
    return {name: side.change for name, side in told.items() if side is not None}


def _point(change: Change, compared: Compared, latent: int) -> Point:
    value, low, high = (float(held[latent]) for held in (change.value_F, change.low_F, change.high_F))
    role = "" if compared.role_F is None or compared.role_F[latent] == "none" else f" ({compared.role_F[latent]})"
    return Point(f"{latent}{role}", value, *(None if np.isnan(bound) else bound for bound in (low, high)))
