"""Tables for people: results as HTML in a notebook, as aligned text in a terminal, as Markdown in a file.

Names and texts come from data, so none of them may be more than text: HTML is escaped, a cell stays in its cell, and
what moves a terminal's cursor or turns the direction of reading is written out.
"""

import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

MAX_ROWS = 30
"""Rows of a table that a notebook shows."""
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that are not seen themselves: control characters, line ends, marks of direction, halves of a pair."""
MARKDOWN_HTML = re.compile("<(?=[a-zA-Z/!?])")
"""A `<` that Markdown would take for HTML."""


class Html(str):
    """A text that is HTML already. Any other is escaped where it is put into HTML."""

    __slots__ = ()


def one_line(text: str) -> str:
    """The text on one line, with what is not seen written out: "a\\nb" for two lines."""
    return UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def as_html(text: str) -> Html:
    """The text as HTML, escaped unless it is `Html`."""
    return text if isinstance(text, Html) else Html(html.escape(one_line(text)))


def bar_settings(progress: bool) -> dict[str, Any]:
    """Settings of a progress bar. Without `disable`, tqdm itself reads TQDM_DISABLE."""
    return {} if progress else {"disable": True}


class HtmlSummary:
    """Gives a result class `_repr_html_`, from its `__repr__` and its `summary()`."""

    def summary(self) -> "pl.DataFrame":
        """Counts or headline numbers, one small table."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return f"<p><code>{as_html(repr(self))}</code></p>{html_table(self.summary())}"


def html_table(frame: "pl.DataFrame", max_rows: int = MAX_ROWS) -> Html:
    """A data frame as an HTML table, every string escaped; rows beyond `max_rows` are counted, not shown."""
    head = "".join(f"<th>{as_html(name)}</th>" for name in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{as_html(_cell(value))}</td>" for value in row) + "</tr>"
        for row in frame.head(max_rows).iter_rows()
    )
    note = f"<p>and {frame.height - max_rows} more rows</p>" if frame.height > max_rows else ""
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}")


def text_table(frame: "pl.DataFrame", digits: int = 3, *, rule: bool = True) -> str:
    """A data frame as aligned text: the first column to the left, the others to the right."""
    rows = [[_cell(value, digits) for value in row] for row in frame.iter_rows()]
    return text_columns([name.replace("_", " ") for name in frame.columns], rows, rule=rule)


def text_columns(head: Sequence[str], rows: Sequence[Sequence[object]], *, rule: bool = True) -> str:
    """Rows under their head, in columns as wide as they need to be. `rule` draws a line below the head."""
    if not head:
        return ""
    cells = [[one_line(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells]
    rules = ["  ".join("-" * width for width in widths)] if rule else []
    return "\n".join([lines[0], *rules, *lines[1:]])


def markdown_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of Markdown. A cell may hold Markdown, but no HTML, and it ends where it ends."""

    def in_cell(text: str) -> str:
        return MARKDOWN_HTML.sub("&lt;", one_line(text)).replace("|", "\\|")

    lines = [list(map(in_cell, head)), ["---"] * len(head), *(list(map(in_cell, row)) for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _cell(value: Any, digits: int | None = None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        is_tiny = digits is not None and 0 < abs(value) < 0.5 * 10**-digits  # would be printed as zero
        return f"{value:.4g}" if digits is None else f"{value:.1g}" if is_tiny else f"{value:.{digits}f}"
    return str(value)
