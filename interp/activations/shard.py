"""One shard of a store: whole documents, with the residuals of all their stored tokens.

shard-00000.safetensors    layer.<i> (tokens, d_model) for each layer, and the columns of the token table
shard-00000.parquet        a row per document
shard-00000.json           sizes, fingerprint and the writer's facts: written last, so a shard with it is complete
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from jaxtyping import Bool, Float, Int, UInt
from safetensors import SafetensorError, safe_open
from torch import Tensor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SAFETENSORS_DTYPES = {"float32": "F32", "bfloat16": "BF16"}
TOKEN_COLUMNS = ("ids", "document", "position", "role", "completion")
TOKEN_TABLE_BYTES = 4 + 4 + 4 + 1 + 1
"""Bytes per token of the token table, beside the residuals."""


@dataclass(frozen=True)
class TokenTable:
    """Columns with one entry per stored token. The tokens of a document are adjacent and in order."""

    ids: Int[Tensor, " n"]
    """Token ids, int32; -1 in a store without tokens."""
    document: Int[Tensor, " n"]
    """The document of each token, int32: a row of the store's `documents`; while writing, of the shard's documents."""
    position: Int[Tensor, " n"]
    """Position in the document, int32, counted from 0 at the first token of the prompt."""
    role: UInt[Tensor, " n"]
    """Index into the store's `roles`, uint8."""
    completion: Bool[Tensor, " n"]
    """False for the tokens of a prompt."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Shard:
    """Facts about a shard, known without opening its tensors."""

    name: str
    tokens: int
    documents: int
    bytes: dict[str, int]
    """Bytes of each of its files, by suffix."""
    fingerprint: str
    """Fingerprint of the contents at writing."""
    facts: dict[str, Any]
    """Further facts from the writer, such as the checkpoint that read it."""

    @property
    def n_bytes(self) -> int:
        """Bytes on disk."""
        return sum(self.bytes.values())


def shard_name(index: int) -> str:
    return f"shard-{index:05d}"


def tensors_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.safetensors"


def documents_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.parquet"


def facts_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.json"


def layer_key(layer: int) -> str:
    return f"layer.{layer}"


def find_damage(directory: Path, shard: Shard, layers: tuple[int, ...], d_model: int, dtype: str) -> str | None:
    """The reason why a shard cannot be read, or None. Sizes and headers are checked, no residual is read."""
    for file in (tensors_path(directory, shard.name), documents_path(directory, shard.name)):
        if not file.exists():
            return f"{file.name} is missing"
        if (expected := shard.bytes[file.suffix]) != (got := file.stat().st_size):
            return f"{file.name}: expected {expected} bytes, got {got}"
    try:
        with safe_open(tensors_path(directory, shard.name), framework="pt") as handle:
            for layer in layers:
                header = handle.get_slice(layer_key(layer))
                expected = [shard.tokens, d_model], SAFETENSORS_DTYPES[dtype]
                got = header.get_shape(), header.get_dtype()
                if expected != got:
                    return f"{layer_key(layer)}: expected {expected[1]} {expected[0]}, got {got[1]} {got[0]}"
    except SafetensorError as error:
        return f"{shard.name}.safetensors: expected residuals as safetensors, got a file without ({error})"
    return None


def read_residuals(directory: Path, name: str, layer: int, rows: slice | None = None) -> Float[Tensor, "n D"]:
    """Residuals of one layer, converted to float32. Residuals stored in float32 are memory-mapped, not copied."""
    with safe_open(tensors_path(directory, name), framework="pt") as handle:
        if rows is not None:
            return handle.get_slice(layer_key(layer))[rows.start : rows.stop].float()
        return handle.get_tensor(layer_key(layer)).float()


def read_token_table(directory: Path, name: str) -> TokenTable:
    """The token table of one shard."""
    with safe_open(tensors_path(directory, name), framework="pt") as handle:
        return TokenTable(**{column: handle.get_tensor(column) for column in TOKEN_COLUMNS})


def read_documents(directory: Path, shard: Shard) -> pl.DataFrame | str:
    """A row per document, or the reason why the file cannot be read."""
    file = documents_path(directory, shard.name)
    try:
        frame = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        return f"{file.name}: expected {shard.documents} documents as Parquet, got a file that does not open ({error})"
    if frame.height != shard.documents:
        return f"{file.name}: expected {shard.documents} documents, got {frame.height}"
    return frame


def describe_nonfinite(residuals_nD: Float[Tensor, "n D"]) -> str | None:
    """How many values are NaN or infinite, as text, or None if all are finite."""
    # the sum is finite only if all values are, and is cheap
    if bool(residuals_nD.sum(dtype=torch.float32).isfinite()):
        return None
    nan, infinite = int(residuals_nD.isnan().sum()), int(residuals_nD.isinf().sum())
    return f"{nan} NaN and {infinite} infinite of {residuals_nD.numel()} values" if nan or infinite else None
