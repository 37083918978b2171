"""How a result shows itself in a notebook: its one-line description above its summary table."""

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

MAX_ROWS = 30


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
    more = f"<p>and {frame.height - max_rows} more rows</p>" if frame.height > max_rows else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
