"""Tables of results for the terminal, made from what results give: estimates, `summary()` and `table()`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interp.display import text_columns

if TYPE_CHECKING:
    import polars as pl

    from interp.stats import Estimate


def estimates_table(
    keys: Sequence[str], rows: "Sequence[tuple[Sequence[Any], Mapping[str, Estimate]]]", measures: Sequence[str]
) -> str:
    """A row for each group: its keys, and each measure with its interval."""
    head = [*keys, *(name.replace("_", " ") for name in measures)]
    return text_columns(head, [[*names, *(estimates[name] for name in measures)] for names, estimates in rows])


def join_interval(
    frame: "pl.DataFrame", value: str, low: str = "low", high: str = "high", *, spec: str = "+.3f"
) -> "pl.DataFrame":
    """The three columns as one, named `value`: "+0.421 [+0.405, +0.437]"."""
    import polars as pl

    texts = [_interval(*numbers, spec=spec) for numbers in frame.select(value, low, high).iter_rows()]
    return frame.with_columns(pl.Series(value, texts, dtype=pl.String)).drop(low, high)


def _interval(value: float | None, low: float | None, high: float | None, *, spec: str) -> str:
    if value is None:
        return "-"
    return f"{value:{spec}}" if low is None else f"{value:{spec}} [{low:{spec}}, {high:{spec}}]"


def drop_zero_columns(frame: "pl.DataFrame", names: Sequence[str]) -> "pl.DataFrame":
    """Without those columns of counts that are zero in every row."""
    return frame.drop([name for name in names if name in frame.columns and not frame[name].fill_null(0).sum()])


def most_certain(frame: "pl.DataFrame", verdicts: Sequence[str], n: int) -> "pl.DataFrame":
    """In each bucket, the `n` rows with the smallest q of each of the `verdicts`."""
    import polars as pl

    rows = frame.filter(pl.col("verdict").is_in(verdicts)).sort("q", maintain_order=True)
    parts = [
        rows.filter(pl.col("bucket") == bucket, pl.col("verdict") == verdict).head(n)
        for bucket in frame["bucket"].unique(maintain_order=True)
        for verdict in verdicts
    ]
    return pl.concat(parts) if parts else rows
