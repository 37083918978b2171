"""Pages and figures show whatever text they are given as text."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest

from interp.display import Html, html_table
from interp.plots import Part, Point, curves, dot_rows, dots, page, save

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "\"><b onmouseover='alert(1)'>",
    "{{title}} {script} %s",
    "&lt;script&gt; & <!-- ",
    "` | \\ *",
    "two\nlines\r",
    "\u202eright to left\u2066",
    "\x1b[2J\x00",
)
FORBIDDEN = {"img", "b", "i", "iframe", "object"}


class Elements(HTMLParser):
    """The elements of a page, and the texts of its headings, paragraphs and cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.texts: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self._open = tag
        if tag in ("title", "h1", "h2", "p", "td", "th"):
            self.texts.append("")
        assert not any(name.startswith("on") for name, _ in attrs), attrs

    def handle_data(self, data):
        if self._open in ("title", "h1", "h2", "p", "td", "th"):
            self.texts[-1] += data

    def handle_endtag(self, tag):
        self._open = ""


def shown(text: str) -> str:
    """The text as a reader sees it: what is not seen is written out."""
    return re.sub(r"[\x00-\x1f\u202a-\u202e\u2066-\u2069]", lambda m: m[0].encode("unicode_escape").decode(), text)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_page_shows_titles_texts_names_and_cells_as_text(tmp_path, hostile):
    figure = dots({hostile: {hostile: [Point(hostile, 0.5, 0.4, 0.6)]}}, y=hostile)
    table = html_table(pl.DataFrame({hostile: [hostile]}))
    page(tmp_path / "pages" / "one.html", hostile, [Part(hostile, hostile, figure, table), (hostile, hostile, figure)])
    text = (tmp_path / "pages" / "one.html").read_text()
    elements = Elements(text)
    assert not FORBIDDEN & set(elements.names) and "alert(1)</script>" not in text
    assert elements.names.count("script") == 3  # plotly's, and one for each figure
    assert [one.strip() for one in elements.texts] == [shown(hostile).strip()] * 8


def test_html_that_is_meant_is_left_as_it_is(tmp_path):
    page(tmp_path / "a" / "b.html", "T", [Part("H", Html("one<br><b>two</b> &amp;"), curves({"": {}}, x="x", y="y"))])
    assert "<p>one<br><b>two</b> &amp;</p>" in (tmp_path / "a" / "b.html").read_text()


@pytest.mark.parametrize("hostile", HOSTILE[:4])
def test_a_figure_shows_its_names_as_text(tmp_path, hostile):
    """Plotly draws some HTML in every text, so names are escaped; in a file, no name ends the script it stands in."""
    points = [Point(hostile, 0.5)]
    for figure in (
        curves({hostile: {hostile: points}}, x=hostile, y=hostile),
        curves({"": {hostile: []}}, x={"": hostile}, y=""),
        dot_rows({hostile: {hostile: {hostile: points}}}, names=[hostile]),
    ):
        assert not re.search(r"<[a-z/!]", json.dumps(_texts(figure.to_dict())))
        save(figure, tmp_path / "figure.html")
        assert (
            "alert(1)"
            not in re.sub(r"\\u003c.*?\\u003e", "", (tmp_path / "figure.html").read_text()).split("<body>")[0]
        )


def _texts(value: object, key: str = "") -> list[str]:
    """Every text of a figure that is drawn; `legendgroup` is a key that is not."""
    if isinstance(value, dict):
        return [
            text
            for name, item in value.items()
            if name not in ("template", "legendgroup")
            for text in _texts(item, name)
        ]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item, key)]
    return [value] if isinstance(value, str) else []


def test_a_series_has_one_colour_in_every_panel_whatever_its_name():
    figure = dots(
        {"a": {"<x>": [Point("g", 1)], "y": [Point("g", 2)]}, "b": {"<x>": [Point("g", 3)]}}, y="y", names=["<x>"]
    )
    traces: list[Any] = list(figure.data)
    colours = [(trace.name, trace.marker.color, trace.showlegend) for trace in traces]
    assert colours[0][1] == colours[2][1] != colours[1][1] and [shows for *_, shows in colours] == [True, True, False]
