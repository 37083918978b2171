"""One shard of a store: whole documents, with the residuals of all their stored tokens.

shard-00000.safetensors    layer.<i> (tokens, d_model) for each layer, and the columns of the token table
shard-00000.parquet        a row per document
shard-00000.json           sizes, checksums, fingerprint and the writer's facts, with a checksum of themselves: written
                           last, so a shard with it is complete
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from jaxtyping import Bool, Float, Int, UInt
from safetensors import safe_open
from torch import Tensor

from interp.artifacts import BadInput, from_json, parse_json, read_parquet, reading, to_json, with_checksum, write_json

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SAFETENSORS_DTYPES = {"float32": "F32", "bfloat16": "BF16"}
SUFFIXES = (".safetensors", ".parquet")
"""Of the files of a shard, without its facts."""
CHECKSUM = "checksum"
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
    sha256: dict[str, str] | None = None
    """Checksum of each of its files, by suffix. None in a shard of an earlier version."""

    @property
    def n_bytes(self) -> int:
        """Bytes on disk."""
        return sum(self.bytes.values())

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """Size and checksum of each of its files, by name. Empty for a shard of an earlier version."""
        return {
            f"{self.name}{suffix}": {"bytes": self.bytes[suffix], "sha256": checksum}
            for suffix, checksum in (self.sha256 or {}).items()
        }


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


def parse_shard(file: Path, entry: Any, index: int) -> Shard:
    """Shard number `index` from its facts in `file`. Refused if its name or its sizes cannot be those of a shard."""
    with reading(file, f"the facts of {shard_name(index)}"):
        shard = from_json(Shard, {key: value for key, value in entry.items() if key != CHECKSUM})
        if shard.name != shard_name(index):
            raise BadInput(f"{file}: expected a shard called {shard_name(index)}, got {shard.name!r}: copy it again")
        sizes = {"tokens": shard.tokens, "documents": shard.documents, **shard.bytes}
        if set(shard.bytes) != set(SUFFIXES) or any(type(size) is not int or size < 1 for size in sizes.values()):
            raise BadInput(f"{file}: {shard.name}: expected tokens, documents and bytes of at least 1, got {sizes}")
        if not isinstance(shard.facts, dict) or (shard.sha256 is not None and set(shard.sha256) != set(SUFFIXES)):
            raise BadInput(f"{file}: {shard.name}: expected facts and checksums by name: copy it again")
    return shard


def write_facts(directory: Path, shard: Shard) -> None:
    write_json(facts_path(directory, shard.name), with_checksum(to_json(shard)))


def read_facts(directory: Path, index: int) -> Shard:
    """The facts of shard number `index`; refused if they were changed after they were written."""
    file = facts_path(directory, shard_name(index))
    facts = parse_json(file, "the facts of a shard")
    shard = parse_shard(file, facts, index)
    if CHECKSUM in facts and facts != with_checksum(facts):
        raise BadInput(f"{file}: expected facts with checksum {facts[CHECKSUM]}, got others: copy it again")
    return shard


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


def read_documents(directory: Path, shard: Shard) -> pl.DataFrame:
    """A row per document."""
    return read_parquet(documents_path(directory, shard.name), "documents", rows=shard.documents)


def describe_nonfinite(residuals_nD: Float[Tensor, "n D"]) -> str | None:
    """How many values are NaN or infinite, as text, or None if all are finite."""
    # the sum is finite only if all values are, and is cheap
    if bool(residuals_nD.sum(dtype=torch.float32).isfinite()):
        return None
    nan, infinite = int(residuals_nD.isnan().sum()), int(residuals_nD.isinf().sum())
    return f"{nan} NaN and {infinite} infinite of {residuals_nD.numel()} values" if nan or infinite else None
