"""A small store of three shards, in which every value says where it belongs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch

from interp.activations import Store, TokenTable, Writer
from interp.artifacts import write_json

ARGUMENTS: dict[str, Any] = {"layers": (1, 3), "d_model": 2, "roles": ("prompt", "step", "end")}
LENGTHS = ((3, 2), (4,), (2, 1, 2))
"""Lengths of the documents of three shards. The first token of each document is its prompt."""


def token_table(lengths: tuple[int, ...]) -> TokenTable:
    """Token ids count up; a document is one prompt token, then steps, the last of them its end."""
    places = [(document, place, n) for document, n in enumerate(lengths) for place in range(n)]
    return TokenTable(
        ids=torch.arange(len(places), dtype=torch.int32),
        document=torch.tensor([document for document, _, _ in places], dtype=torch.int32),
        position=torch.tensor([place for _, place, _ in places], dtype=torch.int32),
        role=torch.tensor([0 if not p else 2 if p == n - 1 else 1 for _, p, n in places], dtype=torch.uint8),
        completion=torch.tensor([place > 0 for _, place, _ in places]),
    )


def document_table(lengths: tuple[int, ...], names: str = "abc") -> pl.DataFrame:
    return pl.DataFrame({"length": lengths, "prompt": [1] * len(lengths), "problem": list(names[: len(lengths)])})


def residuals(lengths: tuple[int, ...], layer: int, shard: int = 0) -> torch.Tensor:
    """100 * layer + 10 * shard + token, and its negative."""
    n = sum(lengths)
    return (100 * layer + 10 * shard + torch.arange(n).float())[:, None] * torch.tensor([1.0, -1.0])


def add_shard(writer: Writer, shard: int, names: str = "abc") -> None:
    lengths = LENGTHS[shard]
    activations = {layer: residuals(lengths, layer, shard) for layer in writer.layers}
    writer.add(activations, token_table(lengths), document_table(lengths, names), {"index": shard})


def write_store(path: Path, **changes: Any) -> Store:
    """The whole store, or the rest of one that was begun."""
    writer = Writer(path, **(ARGUMENTS | changes))
    for shard in range(len(writer.shards), len(LENGTHS)):
        add_shard(writer, shard)
    return writer.finish()


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def forget_checksums(path: Path) -> None:
    """Make the store one of an earlier version, without checksums."""
    new = ("files", "checksum", "sha256")
    edit_json(path / "manifest.json", lambda manifest: {key: manifest[key] for key in manifest if key not in new})
    for file in path.glob("shard-*.json"):
        edit_json(file, lambda facts: {key: facts[key] for key in facts if key not in new})
    edit_json(
        path / "manifest.json",
        lambda manifest: (
            manifest | {"shards": [{k: v for k, v in shard.items() if k not in new} for shard in manifest["shards"]]}
        ),
    )


def edit_json(file: Path, change: Callable[[Any], Any]) -> None:
    write_json(file, change(json.loads(file.read_text())))
