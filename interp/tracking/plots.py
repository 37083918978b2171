"""Figures of tracks, drift and comparisons, from tables and results."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interp.display import Html
from interp.plots import Point, curves, dot_rows
from interp.stats.estimate import Estimate
from interp.tracking.latent_comparison import BucketComparison, LatentComparison
from interp.tracking.verdicts import LatentVerdicts

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

NAMES = {"base": "base", "a": "A", "b": "B"}
NO_CHANGE = "no latent changed"
THRESHOLD = "threshold"


def plot_tracks(
    by_step: Mapping[int, Mapping[str, LatentVerdicts]],
    *,
    base: int,
    corpus: str,
    measure: str,
    n_latents: int,
    role_F: Sequence[str] | None = None,
) -> "go.Figure":
    """Change since the base by step, a panel for each bucket. `by_step` holds the verdicts since the base, by step and
    bucket. Shown are the `n_latents` most certain changes of either sign at the last step."""
    last = by_step[max(by_step)]
    panels: dict[str, dict[str, list[Point]]] = {}
    for bucket, verdicts in last.items():
        lines = {
            f"latent {latent}{_role_label(latent, role_F)}": [
                Point(base, 0.0),
                *(_point(step, of_step[bucket].estimate(latent)) for step, of_step in by_step.items()),
            ]
            for latent in verdicts.most_certain(n_latents)
        }
        panels[f"{bucket} ({corpus})"] = lines or {NO_CHANGE: []}
    return curves(panels, x="step", y=f"change in {_words(measure)}", zero_line=True)


def plot_drift(table: "pl.DataFrame") -> "go.Figure":
    """Variance explained by step, a panel for each bucket and a line for each corpus, with its threshold dotted.
    `table` is that of `Drift`."""
    panels: dict[str, dict[str, list[Point]]] = {}
    for row in table.to_dicts():
        lines = panels.setdefault(row["bucket"], {})
        lines.setdefault(row["corpus"], []).append(Point(row["step"], row["fve"]))
        lines.setdefault(f"{row['corpus']}: {THRESHOLD}", []).append(Point(row["step"], row["fve_threshold"]))
    figure = curves(panels, x="step", y="variance explained")
    traces: list[Any] = list(figure.data)
    colors = {trace.name: trace.line.color for trace in traces}
    for corpus in dict.fromkeys(table["corpus"]):
        dotted = {"line": {"dash": "dot", "width": 1.5, "color": colors[corpus]}, "error_y": {"visible": False}}
        figure.update_traces(mode="lines", selector={"name": f"{corpus}: {THRESHOLD}"}, **dotted)
    return figure


def plot_comparison(behavior: "pl.DataFrame", latents: LatentComparison, *, n_latents: int) -> "go.Figure":
    """Rates above, latents below, a column for each bucket. With a base, a latent is shown by its change since, in A
    and in B; without, by B less A. `behavior` is the table of `Comparison.behavior`."""
    since = "since the base" if latents.has_base else "from A to B"
    matched = f", matched by {' and '.join(latents.match)}" if latents.match else ""
    rows = {
        "rate": {bucket: _rate_points(behavior, bucket) for bucket in latents.buckets},
        Html(f"change in {_words(latents.measure)} {since}<br>({latents.corpus}{matched})"): {
            f"latents, {bucket}": _latent_points(latents, comparison, n_latents)
            for bucket, comparison in latents.buckets.items()
        },
    }
    return dot_rows(rows)


def _rate_points(behavior: "pl.DataFrame", bucket: str) -> dict[str, list[Point]]:
    rows = [row for row in behavior.to_dicts() if row["bucket"] == bucket]
    return {
        name: [Point(_words(row["measure"]), row[key], row[f"{key}_low"], row[f"{key}_high"]) for row in rows]
        for key, name in NAMES.items()
        if key in behavior.columns
    }


def _latent_points(latents: LatentComparison, comparison: BucketComparison, n_latents: int) -> dict[str, list[Point]]:
    selected = comparison.difference.most_certain(n_latents)
    if not selected:
        return {"no latent differs": []}
    changes = {"A": comparison.change_a, "B": comparison.change_b}
    if not latents.has_base:
        changes = {"B less A": comparison.difference}
    return {
        name: [_point(f"{latent}{_role_label(latent, latents.role_F)}", change.estimate(latent)) for latent in selected]
        for name, change in changes.items()
        if change is not None
    }


def _point(x: float | str, estimate: Estimate) -> Point:
    """An estimate as a point. NaN is not drawn: a latent that is never active has no mean when active."""
    numbers = (estimate.value, estimate.low, estimate.high)
    return Point(x, *(None if math.isnan(number) else number for number in numbers), n=estimate.n or None)


def _role_label(latent: int, role_F: Sequence[str] | None) -> str:
    return "" if role_F is None or role_F[latent] == "none" else f" ({role_F[latent]})"


def _words(name: str) -> str:
    return name.replace("_", " ")
