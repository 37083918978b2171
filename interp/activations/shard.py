"""One shard of a store: some documents, whole, with the residuals of all their stored tokens.

shard-00000.safetensors    layer.<i> (tokens, d_model) for each layer, and the columns of the token table
shard-00000.parquet        one row per document
shard-00000.json           sizes, fingerprint and the writer's facts: written last, so that it means "whole"
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
CODES = {"float32": "F32", "bfloat16": "BF16"}
"""What safetensors calls them."""
COLUMNS = ("ids", "document", "position", "role", "completion")
PER_TOKEN = 4 + 4 + 4 + 1 + 1
"""Bytes of the token table, beside the residuals."""


@dataclass(frozen=True)
class TokenTable:
    """One entry per stored token. The tokens of a document stand together and in order."""

    ids: Int[Tensor, " n"]
    """Token ids, int32; -1 where there are no tokens."""
    document: Int[Tensor, " n"]
    """The document each belongs to, int32: a row of the store's `documents`; when written, of the shard's own."""
    position: Int[Tensor, " n"]
    """Place in its document, int32, counted from 0 at the first token of the prompt."""
    role: UInt[Tensor, " n"]
    """Place in the store's `roles`, uint8."""
    completion: Bool[Tensor, " n"]
    """False for the tokens of a prompt."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Shard:
    """What is known of a shard without opening it."""

    name: str
    tokens: int
    documents: int
    bytes: dict[str, int]
    """Of each of its files, by suffix."""
    fingerprint: str
    """Of its contents, as they were written."""
    facts: dict[str, Any]
    """The writer's own."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(self.bytes.values())


def name_of(at: int) -> str:
    return f"shard-{at:05d}"


def tensors_of(directory: Path, name: str) -> Path:
    return directory / f"{name}.safetensors"


def documents_of(directory: Path, name: str) -> Path:
    return directory / f"{name}.parquet"


def facts_of(directory: Path, name: str) -> Path:
    return directory / f"{name}.json"


def key(layer: int) -> str:
    return f"layer.{layer}"


def trouble(directory: Path, shard: Shard, layers: tuple[int, ...], d_model: int, dtype: str) -> str | None:
    """Why a shard cannot be read, if it cannot: found out from sizes and headers, without reading any residual."""
    for file in (tensors_of(directory, shard.name), documents_of(directory, shard.name)):
        if not file.exists():
            return f"{file.name} is missing"
        if (expected := shard.bytes[file.suffix]) != (got := file.stat().st_size):
            return f"{file.name}: expected {expected} bytes, got {got}"
    try:
        with safe_open(tensors_of(directory, shard.name), framework="pt") as handle:
            for layer in layers:
                told = handle.get_slice(key(layer))
                expected, got = ([shard.tokens, d_model], CODES[dtype]), (told.get_shape(), told.get_dtype())
                if expected != got:
                    return f"{key(layer)}: expected {expected[1]} {expected[0]}, got {got[1]} {got[0]}"
    except SafetensorError as error:
        return f"{shard.name}.safetensors: expected residuals as safetensors, got a file without ({error})"
    return None


def read_residuals(directory: Path, name: str, layer: int, rows: slice | None = None) -> Float[Tensor, "n D"]:
    """In float32, whatever they are stored in; in float32 they are mapped from the file, not copied."""
    with safe_open(tensors_of(directory, name), framework="pt") as handle:
        if rows is not None:
            return handle.get_slice(key(layer))[rows.start : rows.stop].float()
        return handle.get_tensor(key(layer)).float()


def read_table(directory: Path, name: str) -> TokenTable:
    with safe_open(tensors_of(directory, name), framework="pt") as handle:
        return TokenTable(**{column: handle.get_tensor(column) for column in COLUMNS})


def read_documents(directory: Path, shard: Shard) -> pl.DataFrame | str:
    """One row per document, or why there is none."""
    file = documents_of(directory, shard.name)
    try:
        frame = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        return f"{file.name}: expected {shard.documents} documents as Parquet, got a file that does not open ({error})"
    if frame.height != shard.documents:
        return f"{file.name}: expected {shard.documents} documents, got {frame.height}"
    return frame


def unfit(residuals_nD: Float[Tensor, "n D"]) -> str | None:
    """How many values are no numbers, if any are. The sum tells cheaply that none is."""
    if bool(residuals_nD.sum(dtype=torch.float32).isfinite()):
        return None
    nan, infinite = int(residuals_nD.isnan().sum()), int(residuals_nD.isinf().sum())
    return f"{nan} NaN and {infinite} infinite of {residuals_nD.numel()} values" if nan or infinite else None
