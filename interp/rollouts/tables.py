"""Tables of saved results, compared with what a reader expects: rows, columns, and where a cell may be empty."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from interp.artifacts import Artifact, BadInput

if TYPE_CHECKING:
    import polars as pl


def read_table(
    artifact: Artifact,
    name: str,
    noun: str,
    schema: Mapping[str, Any],
    *,
    rows: int,
    may_be_empty: Collection[str] = (),
    may_be_missing: Collection[str] = (),
) -> "pl.DataFrame":
    """The table in a file of an artifact. Refused with another number of rows, another column or type of column, or an
    empty cell in a column that has none."""
    file = artifact.path / name
    if type(rows) is not int or rows < 0:
        raise BadInput(f"{artifact.path}: expected a number of {noun} in its manifest, got {rows!r}")
    frame = artifact.parquet(name, noun, rows=rows)
    columns = [column for column in schema if column in frame.columns or column not in may_be_missing]
    if differing := sorted(set(columns) ^ set(frame.columns)):
        raise BadInput(f"{file}: expected the columns {', '.join(columns)}; they differ in {', '.join(differing)}")
    for column in columns:
        is_empty = column in may_be_empty and frame[column].null_count() == frame.height
        if (got := frame.schema[column]) != schema[column] and not is_empty:  # an empty column may have lost its type
            raise BadInput(
                f"{file}: expected a column {column} of {schema[column]}, got {got}: copy it again, or make it again"
            )
        if column not in may_be_empty and frame[column].null_count():
            raise BadInput(f"{file}: expected a value of {column} in each row, got empty cells: copy it again")
    return frame.select(columns)
