"""Open a Parquet file of ours, or say why it cannot be opened."""

from pathlib import Path
from typing import TYPE_CHECKING

from interp.artifacts import BadInput

if TYPE_CHECKING:
    import polars as pl


def read_whole(file: Path, rows: int, what: str) -> "pl.DataFrame":
    """Refused unless it holds as many rows as the manifest beside it says."""
    import polars as pl

    try:
        frame = pl.read_parquet(file)
    except (pl.exceptions.ComputeError, FileNotFoundError) as error:
        raise BadInput(f"{file}: expected {rows} {what} as Parquet, got a file that does not open") from error
    if frame.height != rows:
        raise BadInput(f"{file}: expected {rows} {what}, got {frame.height}")
    return frame
