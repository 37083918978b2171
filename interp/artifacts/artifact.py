"""The reader of artifacts: a directory with a manifest, and files that are compared with it before they are opened."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts.checksums import Record, compare_file, compare_sizes, record_files
from interp.artifacts.errors import BadInput
from interp.artifacts.foreign_errors import reading
from interp.artifacts.json_files import parse_json
from interp.artifacts.locks import locked
from interp.artifacts.manifests import MANIFEST, parse_manifest, read_manifest, recorded_files, with_checksum
from interp.artifacts.safetensors_header import read_header
from interp.artifacts.writing import write_json

if TYPE_CHECKING:
    import polars as pl
    from safetensors import safe_open
    from torch import Tensor

MAX_GROWTH = 200
"""A table may be this many times larger in memory than its file, above `FREE_BYTES`."""
FREE_BYTES = 50_000_000


@dataclass(frozen=True)
class Artifact:
    """A directory, its manifest, and the ways to read its files."""

    path: Path
    manifest: dict[str, Any]

    @property
    def records(self) -> dict[str, Record]:
        return recorded_files(self.manifest)

    def file(self, name: str) -> Path:
        """The path of a file whose checksum was compared."""
        return compare_file(self.path, name, self.records)

    def json(self, name: str, noun: str = "JSON") -> Any:
        return parse_json(self.file(name), noun)

    def tensors(self, name: str) -> "dict[str, Tensor]":
        """All tensors of a safetensors file."""
        from safetensors.torch import load_file

        file = self.tensors_file(name)
        with reading(file, "tensors as safetensors"):
            return load_file(file)

    @contextmanager
    def open_tensors(self, name: str) -> "Iterator[safe_open]":
        """A safetensors file, open. Tensors are read one at a time."""
        from safetensors import safe_open

        file = self.tensors_file(name)
        with reading(file, "tensors as safetensors"), safe_open(file, framework="pt") as tensors:
            yield tensors

    def tensors_file(self, name: str) -> Path:
        """The path of a safetensors file whose checksum and header were read."""
        file = self.file(name)
        read_header(file)
        return file

    def parquet(self, name: str, noun: str = "rows", *, rows: int | None = None) -> "pl.DataFrame":
        """The table in a Parquet file; refused unless it has `rows` rows. `noun` names them in errors."""
        return read_parquet(self.file(name), noun, rows=rows)

    def compare_all(self) -> None:
        """Refuse the artifact if any of its recorded files changed."""
        for name in self.records:
            self.file(name)


def open_artifact(path: str | Path, kind: str, *, made_from: Mapping[str, str] | None = None) -> Artifact:
    """The artifact at `path`; refused if its manifest does not match, or a recorded file is missing or cut short."""
    artifact = Artifact(Path(path), read_manifest(path, kind, made_from=made_from))
    compare_sizes(artifact.path, artifact.records)
    return artifact


def read_parquet(file: Path, noun: str = "rows", *, rows: int | None = None) -> "pl.DataFrame":
    """The table in `file`. Its footer is read first: another number of rows, or a table that would unfold to many times
    its size, is refused before it is read."""
    import polars as pl

    counted = f"{noun} as Parquet" if rows is None else f"{rows} {noun} as Parquet"
    with reading(file, counted):
        n_rows = pl.scan_parquet(file).select(pl.len()).collect().item()
        if rows is not None and n_rows != rows:
            raise BadInput(f"{file}: expected {rows} {noun}, got {n_rows}: copy it again")
        _expect_plausible_size(file)
        return pl.read_parquet(file)


def add_checksums(path: str | Path, *, files: bool = True) -> Artifact:
    """Record the files of an artifact of an earlier version, as they are now. Without `files`, the manifest alone gets
    a checksum: the files of something unfinished still change."""
    path = Path(path)
    with locked(path):
        manifest = parse_manifest(path / MANIFEST)
        manifest |= {"files": record_files(path, manifest=MANIFEST) if files else {}}
        write_json(path / MANIFEST, with_checksum(manifest))
    return Artifact(path, parse_manifest(path / MANIFEST))


def _expect_plausible_size(file: Path) -> None:
    import pyarrow.parquet

    footer = pyarrow.parquet.read_metadata(file)
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    values = sum(group.column(i).num_values for group in groups for i in range(group.num_columns))
    unfolded = max(8 * values, sum(group.total_byte_size for group in groups))
    if unfolded > FREE_BYTES + MAX_GROWTH * file.stat().st_size:
        raise BadInput(f"{file}: expected a table about as large as its file, got one of {unfolded:,} bytes")
