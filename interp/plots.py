"""Numbers with intervals in, plotly figures out; and several figures as one page that opens offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from interp.artifacts import writing_file

if TYPE_CHECKING:
    import plotly.graph_objects as go

PALETTE = (
    "#3b6fb6", "#c8553d", "#4f9d69", "#8d6ab8", "#c79a2b", "#5b6770", "#2a9d9d", "#b0487a", "#7d8f1f", "#1d3f72",
    "#e08e79", "#8a5a2b",
)  # fmt: skip
SCRIPT = "plotly.min.js"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>{script}
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; color: #222 }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.15rem; margin-top: 2.5rem }} p {{ max-width: 50rem }}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


class Point(NamedTuple):
    x: float | str
    value: float | None
    low: float | None = None
    high: float | None = None


Panels = Mapping[str, Mapping[str, Sequence[Point]]]
"""For each panel, its series; a series of the same name has the same colour in every panel."""


def curves(panels: Panels, *, x: str | Mapping[str, str], y: str, zero: bool = False) -> "go.Figure":
    """Side by side, on one y axis. `x` names the axis, of every panel or of each."""
    figure = _panelled({y: panels}, zero)
    for column, (title, series) in enumerate(panels.items(), 1):
        figure.update_xaxes(title_text=x if isinstance(x, str) else x[title], row=1, col=column)
        for name, points in series.items():
            _add(figure, (1, column), name, points, mode="lines+markers")
        if not any(point.value is not None for points in series.values() for point in points):
            told = ", ".join(series) or "nothing to be shown"
            figure.add_annotation(
                text=told, x=0.5, y=0.5, xref="x domain", yref="y domain", showarrow=False, row=1, col=column
            )
    return _with_one_legend(figure)


def dots(panels: Panels, *, y: str, zero: bool = True, names: Sequence[str] = ()) -> "go.Figure":
    """Groups along x, in each one dot a series. `names`: of all series, of which only some may be in this figure, so
    that each has its own colour in others too."""
    return dots_below({y: panels}, zero=zero, names=names)


def dots_below(rows: Mapping[str, Panels], *, zero: bool = True, names: Sequence[str] = ()) -> "go.Figure":
    """Rows of such panels one below the other, each on a y axis of its own, which it is called by."""
    figure = _panelled(rows, zero)
    for row, panels in enumerate(rows.values(), 1):
        here = list(dict.fromkeys(name for series in panels.values() for name in series))
        for column, series in enumerate(panels.values(), 1):
            groups = list(dict.fromkeys(point.x for points in series.values() for point in points))
            figure.update_xaxes(tickvals=list(range(len(groups))), ticktext=groups, row=row, col=column)
            for name, points in series.items():
                aside = (here.index(name) - (len(here) - 1) / 2) * 0.7 / len(here)
                moved = [point._replace(x=groups.index(point.x) + aside) for point in points]
                _add(figure, (row, column), name, moved, mode="markers")
    return _with_one_legend(figure, names)


def save(figure: "go.Figure", path: Path) -> None:
    """As one file that opens offline."""
    with writing_file(path) as aside:
        aside.write_text(figure.to_html(include_plotlyjs=True))


def page(path: Path, title: str, parts: Sequence[tuple[str, str, "go.Figure"]], *, alone: bool = False) -> None:
    """Each part is a heading, a paragraph and a figure. The script lies once in the directory above, for all pages; or,
    of a page that stands `alone`, in the page itself."""
    drawn = [
        figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"figure-{at}", config={"displayModeBar": False})
        for at, (_, _, figure) in enumerate(parts)
    ]
    body = "\n".join(
        f"<h2>{heading}</h2>\n<p>{text}</p>\n{figure}" for (heading, text, _), figure in zip(parts, drawn, strict=True)
    )
    with writing_file(path) as aside:
        aside.write_text(PAGE.format(title=title, script=_within() if alone else _beside(path), body=body))


def _within() -> str:
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"


def _beside(path: Path) -> str:
    from plotly.offline import get_plotlyjs

    script = path.parent.parent / SCRIPT
    if not script.exists():
        with writing_file(script) as aside:
            aside.write_text(get_plotlyjs())
    return f'<script src="../{SCRIPT}"></script>'


def _panelled(rows: Mapping[str, Panels], zero: bool) -> "go.Figure":
    from plotly.subplots import make_subplots

    columns = max(map(len, rows.values()))
    titles = [title for panels in rows.values() for title in [*panels, *[""] * (columns - len(panels))]]
    figure = make_subplots(
        len(rows), columns, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04, vertical_spacing=0.16
    )
    below = 0.22 / len(rows)  # of the height of all
    figure.update_layout(
        template="simple_white", height=60 + 370 * len(rows), margin={"l": 70, "r": 20, "t": 50, "b": 110},
        legend={"orientation": "h", "y": -below, "x": 0}, font={"size": 13},
    )  # fmt: skip
    for row, title in enumerate(rows, 1):
        figure.update_yaxes(title_text=title, row=row, col=1)
    if zero:
        figure.add_hline(0, line_width=1, line_color="#999", exclude_empty_subplots=False)
    return figure


def _add(figure: "go.Figure", place: tuple[int, int], name: str, points: Sequence[Point], *, mode: str) -> None:
    import plotly.graph_objects as go

    held = [point for point in points if point.value is not None]
    above = [0 if p.high is None or p.value is None else p.high - p.value for p in held]
    below = [0 if p.low is None or p.value is None else p.value - p.low for p in held]
    figure.add_trace(
        go.Scatter(
            x=[p.x for p in held],
            y=[p.value for p in held],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": above,
                "arrayminus": below,
                "thickness": 1.2,
                "width": 3,
            },
            mode=mode,
            name=name,
            legendgroup=name,
            marker={"size": 8},
        ),
        row=place[0],
        col=place[1],
    )


def _with_one_legend(figure: "go.Figure", names: Sequence[str] = ()) -> "go.Figure":
    """A series of the same name has the same colour in every panel, and is told of once."""
    traces: list[Any] = list(figure.data)
    names = list(dict.fromkeys([*names, *(trace.name for trace in traces)]))
    for at, trace in enumerate(traces):
        colour = PALETTE[names.index(trace.name) % len(PALETTE)]
        first = all(before.name != trace.name for before in traces[:at])
        trace.update(marker_color=colour, line_color=colour, showlegend=first)
    return figure
