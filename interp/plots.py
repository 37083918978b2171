"""Plotly figures of numbers with intervals, and pages of several figures that open offline.

`curves` draws numbers over a numeric axis, `dots` numbers by group. A series of the same name has the same colour in
every panel, and one entry in the legend. Result classes draw themselves with these; plots never import result classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from interp.artifacts import BadInput, recover, writing_file
from interp.display import as_html

if TYPE_CHECKING:
    import plotly.graph_objects as go

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")
"""Colours that colour-blind readers can tell apart (Okabe and Ito). From the eighth series on they come again, with
another symbol and another dash."""
SYMBOLS, DASHES = ("circle", "diamond", "square"), (None, "dash", "dot")
GROUP_WIDTH = 0.7
"""Share of the distance between two groups over which the series of a group are spread."""
SCRIPT = "plotly.min.js"
"""Name of the script that pages share."""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>{script}
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; color: #222 }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.15rem; margin-top: 2.5rem }} p {{ max-width: 50rem }}
table {{ border-collapse: collapse; font-size: 0.9rem }} thead {{ border-bottom: 1px solid #999 }}
td, th {{ padding: 0.15rem 0 0.15rem 1.2rem; text-align: right; font-weight: normal; vertical-align: bottom }}
td:first-child, th:first-child {{ text-align: left; padding-left: 0 }} th {{ color: #666 }}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


class Point(NamedTuple):
    """A number with its interval. A point whose value is None is not drawn."""

    x: float | str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    """Observations behind it, shown where the pointer is."""

    @property
    def in_words(self) -> str:
        if self.value is None:
            return ""
        interval = "" if self.low is None or self.high is None else f" [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.value:.3g}{interval}" + ("" if self.n is None else f", n = {self.n:,}")


class Part(NamedTuple):
    """A section of a page. Heading, text and table are escaped unless they are `Html`."""

    heading: str
    text: str
    figure: "go.Figure"
    table: str = ""


Panels = Mapping[str, Mapping[str, Sequence[Point]]]
"""Panels by title, in each its series by name."""


def curves(panels: Panels, *, x: str | Mapping[str, str], y: str, zero_line: bool = False) -> "go.Figure":
    """Panels side by side with one y axis; every series is a line with markers.

    `x` is the title of every x axis, or a mapping from panel to title."""
    figure = _panel_grid({y: panels}, zero_line)
    for column, (title, series) in enumerate(panels.items(), 1):
        figure.update_xaxes(title_text=as_html(x if isinstance(x, str) else x[title]), row=1, col=column)
        for name, points in series.items():
            _add_series(figure, (1, column), name, points, mode="lines+markers")
        _say_if_empty(figure, (1, column), series)
    return _with_one_legend(figure)


def dots(panels: Panels, *, y: str, zero_line: bool = True, names: Sequence[str] = ()) -> "go.Figure":
    """Panels side by side with one y axis; groups along x, in each group one dot per series.

    `names` lists all series, also those missing from this figure, so that colours agree with other figures."""
    return dot_rows({y: panels}, zero_line=zero_line, names=names)


def dot_rows(rows: Mapping[str, Panels], *, zero_line: bool = True, names: Sequence[str] = ()) -> "go.Figure":
    """Rows of `dots` one below the other, each with its own y axis, whose title is the key of the row."""
    figure = _panel_grid(rows, zero_line)
    for row, panels in enumerate(rows.values(), 1):
        in_row = list(dict.fromkeys(name for series in panels.values() for name, points in series.items() if points))
        for column, series in enumerate(panels.values(), 1):
            groups = list(dict.fromkeys(point.x for points in series.values() for point in points))
            texts = [as_html(str(group)) for group in groups]
            ends = (-0.5, max(1, len(groups)) - 0.5)
            figure.update_xaxes(tickvals=list(range(len(groups))), ticktext=texts, range=ends, row=row, col=column)
            _say_if_empty(figure, (row, column), series)
            for name, points in series.items():
                place = in_row.index(name) if points else 0
                offset = (place - (len(in_row) - 1) / 2) * GROUP_WIDTH / max(1, len(in_row))
                placed = [point._replace(x=groups.index(point.x) + offset) for point in points]
                _add_series(figure, (row, column), name, placed, mode="markers")
    return _with_one_legend(figure, names)


def save(figure: "go.Figure", path: str | Path) -> None:
    """Write a figure as one HTML file that opens offline; as an image if the name ends in .png or .svg."""
    from interp.images import FORMATS, draw

    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in ("html", *FORMATS):
        raise BadInput(f"{path}: expected a name that ends in .html, .png or .svg; got {path.suffix or 'no ending'}")
    content = draw(figure, kind) if kind in FORMATS else figure.to_html(include_plotlyjs=True).encode()
    with writing_file(path) as aside:
        aside.write_bytes(content)


def page(path: Path, title: str, parts: "Sequence[Part | tuple[str, str, go.Figure]]") -> None:
    """Write an HTML page of several figures; each part is a heading, a paragraph, a figure, and an optional table.

    Plotly's script is written once into the directory above and shared by all pages there."""
    full_parts = [part if isinstance(part, Part) else Part(*part) for part in parts]
    body = "\n".join(_section(i, part) for i, part in enumerate(full_parts))
    with writing_file(path) as aside:
        aside.write_text(PAGE.format(title=as_html(title), script=_shared_script(path), body=body))


def _section(index: int, part: Part) -> str:
    config = {"displayModeBar": False}
    figure = part.figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"figure-{index}", config=config)
    return f"<h2>{as_html(part.heading)}</h2>\n<p>{as_html(part.text)}</p>\n{as_html(part.table)}{figure}"


def _shared_script(path: Path) -> str:
    from plotly.offline import get_plotlyjs

    script = path.parent.parent / SCRIPT
    recover(script)
    if not script.exists():
        with writing_file(script) as aside:
            aside.write_text(get_plotlyjs())
    return f'<script src="../{SCRIPT}"></script>'


def _panel_grid(rows: Mapping[str, Panels], zero_line: bool) -> "go.Figure":
    from plotly.subplots import make_subplots

    columns = max(map(len, rows.values()))
    titles = [as_html(title) for panels in rows.values() for title in [*panels, *[""] * (columns - len(panels))]]
    figure = make_subplots(
        len(rows), columns, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04, vertical_spacing=0.16
    )
    figure.update_layout(
        template="simple_white", height=60 + 370 * len(rows), margin={"l": 70, "r": 20, "t": 50, "b": 110},
        legend={"orientation": "h", "y": -0.22 / len(rows), "x": 0}, font={"size": 13},
    )  # fmt: skip
    for row, title in enumerate(rows, 1):
        figure.update_yaxes(title_text=as_html(title), row=row, col=1)
    if zero_line:
        figure.add_hline(0, line_width=1, line_color="#999", exclude_empty_subplots=False)
    return figure


def _add_series(figure: "go.Figure", place: tuple[int, int], name: str, points: Sequence[Point], *, mode: str) -> None:
    import plotly.graph_objects as go

    measured = [(point, point.value) for point in points if point.value is not None]
    intervals = {
        "array": [0 if point.high is None else point.high - value for point, value in measured],
        "arrayminus": [0 if point.low is None else value - point.low for point, value in measured],
    }
    figure.add_trace(
        go.Scatter(
            x=[as_html(point.x) if isinstance(point.x, str) else point.x for point, _ in measured],
            y=[value for _, value in measured],
            error_y={"type": "data", "symmetric": False, **intervals, "thickness": 1.2, "width": 3},
            mode=mode,
            hovertext=[as_html(point.in_words) for point, _ in measured],
            hoverinfo="name+text",
            name=as_html(name),
            legendgroup=name,
            marker={"size": 8},
        ),
        row=place[0],
        col=place[1],
    )


def _say_if_empty(figure: "go.Figure", place: tuple[int, int], series: Mapping[str, Sequence[Point]]) -> None:
    """The names of the series in the middle of a panel in which nothing is drawn: what there is none of."""
    if not any(point.value is not None for points in series.values() for point in points):
        text, middle = as_html(", ".join(series) or "no data"), {"x": 0.5, "xref": "x domain", "yref": "y domain"}
        figure.add_annotation(text=text, y=0.5, showarrow=False, row=place[0], col=place[1], **middle)


def _with_one_legend(figure: "go.Figure", names: Sequence[str] = ()) -> "go.Figure":
    traces: list[Any] = list(figure.data)
    names = list(dict.fromkeys([*map(as_html, names), *(trace.name for trace in traces)]))
    in_legend: set[str] = set()
    for trace in traces:
        turn, place = divmod(names.index(trace.name), len(PALETTE))
        colour, turn = PALETTE[place], min(turn, len(SYMBOLS) - 1)
        trace.update(marker_color=colour, line_color=colour, showlegend=trace.name not in in_legend)
        trace.update(marker_symbol=SYMBOLS[turn], line_dash=DASHES[turn])
        in_legend.add(trace.name)
    return figure
