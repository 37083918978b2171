"""Pages and figures show whatever text they are given as text."""

import json
import re
from html.parser import HTMLParser
from typing import Any, cast
from xml.etree import ElementTree

import polars as pl
import pytest

from interp.artifacts import BadInput
from interp.display import Html, html_table
from interp.images import find_browser
from interp.plots import PALETTE, Part, Point, curves, dot_rows, dots, page, save

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


# --- what a figure says, and images ----------------------------------------------------------------------------------


def test_a_point_says_its_interval_and_how_many_observations_are_behind_it():
    assert Point("x", 0.5, 0.4, 0.6, 1200).in_words == "0.5 [0.4, 0.6], n = 1,200"
    assert Point("x", 0.5).in_words == "0.5"
    figure = dots({"": {"a": [Point("x", 0.5, 0.4, 0.6, 12), Point("y", None)]}}, y="share")
    trace: Any = figure.data[0]
    assert list(trace.hovertext) == ["0.5 [0.4, 0.6], n = 12"]


def test_series_beyond_the_palette_have_another_symbol_and_dash():
    names = [f"series {i}" for i in range(len(PALETTE) + 1)]
    figure = curves({"": {name: [Point(0, 1), Point(1, 2)] for name in names}}, x="x", y="y")
    first, last = (cast(Any, figure.data[i]) for i in (0, len(PALETTE)))
    assert first.marker.color == last.marker.color
    assert (first.marker.symbol, first.line.dash) != (last.marker.symbol, last.line.dash)


def test_a_figure_is_saved_only_under_the_name_of_a_format(tmp_path):
    with pytest.raises(BadInput, match=r"ends in .html, .png or .svg; got .pdf"):
        save(dots({"": {}}, y="y"), tmp_path / "figure.pdf")
    assert not list(tmp_path.iterdir())


def test_without_chromium_an_image_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.delenv("INTERP_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="expected Chromium to draw a PNG, got none of chromium"):
        save(dots({"": {}}, y="y"), tmp_path / "figure.png")


def test_a_browser_that_draws_nothing_is_named_in_the_refusal(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERP_CHROMIUM", "/bin/true")
    with pytest.raises(BadInput, match="expected an image from Chromium, got none"):
        save(dots({"": {}}, y="y"), tmp_path / "figure.svg")


@pytest.mark.skipif(find_browser() is None, reason="Chromium is not installed")
def test_chromium_draws_a_figure_with_hostile_names_as_an_svg(tmp_path):
    figure = dots({"panel": {"</script><script>alert(1)</script>": [Point("x & y", 0.5, 0.4, 0.6)]}}, y="share of all")
    save(figure, tmp_path / "figure.svg")
    drawn = ElementTree.fromstring((tmp_path / "figure.svg").read_text())
    texts = {element.text for element in drawn.iter() if element.text}
    assert drawn.tag.endswith("svg") and {"panel", "x & y", "share of all"} <= texts
