"""A result shows itself in a notebook."""

import polars as pl

from interp.display import HtmlSummary, html_table, text_table


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
