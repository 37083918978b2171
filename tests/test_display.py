"""A result shows itself in a notebook."""

import os
import subprocess
import sys

import polars as pl
import pytest

from interp.display import Html, HtmlSummary, as_html, html_table, markdown_rows, one_line, text_columns, text_table


class Counts(HtmlSummary):
    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __repr__(self) -> str:
        return "Counts(<b>)"

    def summary(self) -> pl.DataFrame:
        return self.frame


def test_a_notebook_shows_the_description_above_the_table():
    shown = Counts(pl.DataFrame({"role": ["reasoning"], "share": [0.25]}))._repr_html_()
    assert shown.startswith("<p><code>Counts(&lt;b&gt;)</code></p><table>")
    assert "<th>role</th><th>share</th>" in shown and "<td>reasoning</td><td>0.25</td>" in shown


def test_strings_from_data_are_shown_as_text():
    shown = html_table(pl.DataFrame({"<i>": ["<script>alert(1)</script>"]}))
    assert "<script>" not in shown and "<i>" not in shown and "&lt;script&gt;" in shown


def test_missing_values_are_empty_and_long_tables_are_cut_with_a_count():
    shown = html_table(pl.DataFrame({"n": [None, 1, 2, 3]}), max_rows=2)
    assert "<td></td>" in shown and shown.count("<tr>") == 3 and "and 2 more rows" in shown


def test_text_tables_align_names_to_the_left_and_numbers_to_the_right():
    frame = pl.DataFrame({"bucket": ["easy", "hard"], "pass_rate": [0.5, None], "n": [10, 2]})
    assert text_table(frame, digits=2).splitlines() == [
        "bucket  pass rate   n",
        "------  ---------  --",
        "easy         0.50  10",
        "hard                2",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x00", r"\x1b[2J\x00"),
        ("\u202eevil\u2069", r"\u202eevil\u2069"),
        ("a\u2028b", r"a\u2028b"),
        ("\ud800", r"\ud800"),
        ("é 中文 שלום 👩\u200d🔬 \\n", "é 中文 שלום 👩\u200d🔬 \\n"),
    ],
)
def test_what_is_not_seen_is_written_out_and_all_else_is_as_it_was(text, line):
    assert one_line(text) == line


def test_html_is_escaped_once():
    assert as_html("<b> & '\"") == "&lt;b&gt; &amp; &#x27;&quot;" and as_html(as_html("<b>")) == "&lt;b&gt;"
    assert as_html(Html("<br>")) == "<br>"


def test_a_cell_of_a_text_table_stays_on_its_line():
    assert text_columns(["a\nb"], [["\x1b[31mred"], ["c\rd"]]).splitlines() == [
        r"a\nb",
        "-" * 11,
        r"\x1b[31mred",
        r"c\rd",
    ]


def test_a_cell_of_markdown_stays_in_its_cell_and_holds_no_html():
    rows = markdown_rows(["P(a | b)", "<script>"], [["*x* `y`", "< 0.001"], ["one\ntwo", "<!-- </td> <3"]])
    assert rows == [
        r"| P(a \| b) | &lt;script> |",
        "| --- | --- |",
        "| *x* `y` | < 0.001 |",
        r"| one\ntwo | &lt;!-- &lt;/td> <3 |",
    ]


@pytest.mark.parametrize("disabled, progress, is_hidden", [("1", True, True), ("", True, False), ("", False, True)])
def test_a_progress_bar_is_hidden_by_tqdm_disable_and_without_progress(disabled, progress, is_hidden):
    """tqdm reads its variables when it is imported, so each case has a process of its own."""
    code = f"from tqdm import tqdm; from interp.display import bar_settings; b = tqdm([], **bar_settings({progress})); "
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    environment |= {"TQDM_DISABLE": disabled} if disabled else {}
    command = [sys.executable, "-c", f"{code}raise SystemExit(int(bool(b.disable)))"]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == int(is_hidden)
