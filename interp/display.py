"""Tables for people: results as HTML in a notebook, as aligned text in a terminal."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

MAX_ROWS = 30
"""Rows of a table that a notebook shows."""


class HtmlSummary:
    """Gives a result class `_repr_html_`, from its `__repr__` and its `summary()`."""

    def summary(self) -> "pl.DataFrame":
        """Counts or headline numbers, one small table."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return f"<p><code>{html.escape(repr(self))}</code></p>{html_table(self.summary())}"


def html_table(frame: "pl.DataFrame", max_rows: int = MAX_ROWS) -> str:
    """A data frame as an HTML table, every string escaped; rows beyond `max_rows` are counted, not shown."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in frame.head(max_rows).iter_rows()
    )
    note = f"<p>and {frame.height - max_rows} more rows</p>" if frame.height > max_rows else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


def text_table(frame: "pl.DataFrame", digits: int = 3, *, rule: bool = True) -> str:
    """A data frame as aligned text: the first column to the left, the others to the right."""
    rows = [[_cell(value, digits) for value in row] for row in frame.iter_rows()]
    return text_columns([name.replace("_", " ") for name in frame.columns], rows, rule=rule)


def text_columns(head: Sequence[str], rows: Sequence[Sequence[object]], *, rule: bool = True) -> str:
    """Rows under their head, in columns as wide as they need to be. `rule` draws a line below the head."""
    if not head:
        return ""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells]
    rules = ["  ".join("-" * width for width in widths)] if rule else []
    return "\n".join([lines[0], *rules, *lines[1:]])


def _cell(value: Any, digits: int | None = None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        is_tiny = digits is not None and 0 < abs(value) < 0.5 * 10**-digits  # would be printed as zero
        return f"{value:.4g}" if digits is None else f"{value:.1g}" if is_tiny else f"{value:.{digits}f}"
    return str(value)
