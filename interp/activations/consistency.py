"""Facts of a shard that must agree: files with sizes, tensors with the store, tokens with documents.

Whatever reads or writes a shard checks it here. What is found is text for an error, or a refusal.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors import safe_open

from interp.activations.shard import (
    SAFETENSORS_DTYPES,
    TOKEN_COLUMNS,
    Shard,
    TokenTable,
    documents_path,
    layer_key,
    tensors_path,
)
from interp.artifacts import BadInput, read_header, reading

TOKEN_DTYPES = {"ids": "I32", "document": "I32", "position": "I32", "role": "U8", "completion": "BOOL"}


def find_damage(directory: Path, shard: Shard, layers: tuple[int, ...], d_model: int, dtype: str) -> str | None:
    """The reason why a shard cannot be read, or None. Sizes and headers are checked, no residual is read."""
    for file in (tensors_path(directory, shard.name), documents_path(directory, shard.name)):
        if not file.is_file():
            return f"{file.name} is missing"
        if (expected := shard.bytes[file.suffix]) != (got := file.stat().st_size):
            return f"{file.name}: expected {expected} bytes, got {got}"
    expected = {layer_key(layer): (SAFETENSORS_DTYPES[dtype], [shard.tokens, d_model]) for layer in layers}
    expected |= {column: (TOKEN_DTYPES[column], [shard.tokens]) for column in TOKEN_COLUMNS}
    try:
        for name, (got, shape) in _headers(tensors_path(directory, shard.name), expected):
            if (got, shape) != expected[name]:
                return f"{name}: expected {expected[name][0]} {expected[name][1]}, got {got} {shape}"
    except BadInput as error:
        return str(error)
    return None


def _headers(file: Path, names: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, list[int]]]]:
    read_header(file)
    with reading(file.name, "residuals as safetensors"), safe_open(file, framework="pt") as handle:
        for name in names:
            header = handle.get_slice(name)
            yield name, (header.get_dtype(), header.get_shape())


def find_contradiction(shard: Shard, documents: pl.DataFrame) -> str | None:
    """The reason why these cannot be the documents of a shard, or None."""
    for name in ("length", "prompt"):
        if name not in documents.columns or not documents.schema[name].is_integer() or documents[name].null_count():
            return f"expected documents with the column {name} of integers, got {documents.schema}"
    if (total := documents["length"].sum()) != shard.tokens:
        return f"expected documents of {shard.tokens} tokens together, got {total}"
    for name in ("reader", "corpus"):
        if name in shard.facts and name in documents.columns:
            others = [value for value in documents[name].unique().to_list() if value != shard.facts[name]]
            if others:
                return f"expected documents of {name} {shard.facts[name]}, got {others[0]}"
    return None


def expect_fitting(tokens: TokenTable, documents: pl.DataFrame, roles: tuple[str, ...]) -> None:
    """Refuse a token table that is not that of these documents. `tokens.document` counts them from 0."""
    lengths, prompts = (torch.from_numpy(documents[name].to_numpy().copy()).long() for name in ("length", "prompt"))
    if not documents.height or int(lengths.min()) < 1:
        raise BadInput("expected documents with at least one token each: leave out those without")
    if (n := int(lengths.sum())) != len(tokens) or len({len(getattr(tokens, name)) for name in TOKEN_COLUMNS}) > 1:
        sizes = ", ".join(f"{name} {len(getattr(tokens, name))}" for name in TOKEN_COLUMNS)
        raise BadInput(f"expected a token table of {n} rows, the sum of the documents' lengths; got {sizes}")
    document = torch.arange(documents.height).repeat_interleave(lengths)
    if not torch.equal(tokens.document.long(), document):
        raise BadInput("expected the tokens of each document together, documents counted from 0 in their order")
    place = torch.arange(n) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    if not torch.equal(tokens.completion, place >= prompts.repeat_interleave(lengths)):
        raise BadInput("expected each document's first `prompt` tokens to be prompt, and the others completion")
    falls = (tokens.position.diff() <= 0) & (document.diff() == 0)
    if bool(falls.any()) or int(tokens.position.min()) < 0:
        raise BadInput("expected positions from 0 that rise within each document")
    if int(tokens.role.max()) >= len(roles):
        raise BadInput(f"expected roles below {len(roles)}, got {int(tokens.role.max())}")
