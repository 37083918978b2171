"""Write a store shard by shard, and continue where a killed writer stopped.

A shard is on disk complete or not at all: its tensors and documents are renamed into place first, the small JSON that
declares it last. The manifest is written twice: at the start with the spec of the store, so that no shard of another
spec is ever added, and at the end with the list of shards. Readers refuse the store until then.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from interp.activations.shard import (
    DTYPES,
    TOKEN_COLUMNS,
    TOKEN_TABLE_BYTES,
    Shard,
    TokenTable,
    describe_nonfinite,
    documents_path,
    facts_path,
    find_damage,
    layer_key,
    shard_name,
    tensors_path,
)
from interp.activations.store import KIND, Store
from interp.artifacts import (
    MANIFEST,
    BadInput,
    fingerprint,
    fingerprint_tensors,
    from_json,
    is_kind,
    open_or_create,
    read_manifest,
    recover,
    to_json,
    write_json,
    write_manifest,
    writing_file,
)

RESERVED_COLUMNS = ("shard", "first")
"""Columns that a reader adds to the documents."""
_PARTIAL = re.compile(r"\.(shard-\d+\.\w+)\.\d+\.partial", re.ASCII)


class Writer:
    """Begins a store at `path`, or continues one that was begun with the same arguments.

    A store without any shard may be begun anew with other arguments."""

    def __init__(
        self,
        path: str | Path,
        *,
        layers: Sequence[int],
        d_model: int,
        roles: Sequence[str],
        dtype: str = "float32",
        config: Any = None,
        made_from: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.layers, self.d_model, self.dtype = Path(path), tuple(layers), d_model, dtype
        self.roles = tuple(roles)
        self._check_arguments()
        self.spec: dict[str, Any] = {
            "config": to_json(config or {}),
            "made_from": dict(made_from or {}),
            "layers": list(self.layers),
            "d_model": d_model,
            "dtype": dtype,
            "roles": list(self.roles),
        }
        """Everything that decides the contents: entries of the manifest."""
        self._n_listed = self._begin()
        """Number of shards that the manifest lists; None if the store is unfinished."""
        self.shards = _find_complete_shards(self.path, self.layers, d_model, dtype)
        """Complete shards on disk. Shards after a gap are not counted: they are written again."""
        self._is_tidy = False

    @property
    def finished(self) -> bool:
        """Whether the manifest lists all shards and all are complete."""
        return len(self.shards) == self._n_listed

    @property
    def bytes_per_token(self) -> int:
        return TOKEN_TABLE_BYTES + len(self.layers) * self.d_model * DTYPES[self.dtype].itemsize

    def add(
        self,
        activations: Mapping[int, Float[Tensor, "n D"]],
        tokens: TokenTable,
        documents: pl.DataFrame,
        facts: Mapping[str, Any] | None = None,
    ) -> Shard:
        """Write one shard: residuals by layer, the token table, and a row per document.

        `documents` has columns length and prompt (number of tokens in all, and of the prompt) beside any keys to join
        by. `tokens.document` counts the documents of this shard from 0."""
        self._check_documents(tokens, documents)
        tensors = self._tensors(activations, len(tokens))
        tensors |= {column: getattr(tokens, column) for column in TOKEN_COLUMNS}
        self._prepare_to_add()
        name = shard_name(len(self.shards))
        files = (tensors_path(self.path, name), documents_path(self.path, name))
        with writing_file(files[0]) as aside:
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, aside)
        with writing_file(files[1]) as aside:
            documents.write_parquet(aside)
        shard = Shard(
            name=name,
            tokens=len(tokens),
            documents=documents.height,
            bytes={file.suffix: file.stat().st_size for file in files},
            fingerprint=fingerprint(fingerprint_tensors(tensors, tensors.__getitem__), documents.write_json()),
            facts=to_json(facts or {}),
        )
        write_json(facts_path(self.path, name), to_json(shard))
        self.shards.append(shard)
        return shard

    def finish(self) -> Store:
        """Write the list of shards into the manifest, so that readers accept the store, and open it."""
        if not self.shards:
            raise BadInput(f"{self.path}: expected at least one shard, got none: a store must hold something")
        if not self.finished:
            self._write_manifest([to_json(shard) for shard in self.shards])
            self._n_listed = len(self.shards)
        return Store.open(self.path)

    # --- beginning and going on ---

    def _check_arguments(self) -> None:
        if not self.layers or len(set(self.layers)) < len(self.layers) or min(self.layers) < 0:
            raise BadInput(f"layers must be different numbers from 0 on, one at least; got {list(self.layers)}")
        if self.dtype not in DTYPES:
            raise BadInput(f"dtype must be one of {', '.join(DTYPES)}; got {self.dtype!r}")
        if self.d_model < 1:
            raise BadInput(f"d_model must be at least 1; got {self.d_model}")
        if not 0 < len(set(self.roles)) == len(self.roles) <= 256:
            raise BadInput(f"roles must be 1 to 256 different names; got {list(self.roles)}")

    def _begin(self) -> int | None:
        """Begin or continue the store. Returns the number of shards that its manifest lists; None if unfinished."""
        recover(self.path / MANIFEST)
        for match in [_PARTIAL.fullmatch(entry.name) for entry in self.path.iterdir()] if self.path.is_dir() else []:
            if match:
                recover(self.path / match[1])
        manifest = None if self._has_no_shard() else open_or_create(self.path, KIND, self.spec)
        if manifest is None:
            self._write_manifest(None)
            return None
        return None if manifest["shards"] is None else len(manifest["shards"])

    def _has_no_shard(self) -> bool:
        """Whether a store was begun here, and nothing was added to it."""
        if not is_kind(self.path, KIND) or any(self.path.glob("shard-*.json")):
            return False
        return read_manifest(self.path, KIND)["shards"] is None

    def _write_manifest(self, listed: list[dict[str, Any]] | None) -> None:
        tokens = None if listed is None else sum(shard["tokens"] for shard in listed)
        write_manifest(self.path, KIND, **self.spec, tokens=tokens, shards=listed)

    def _prepare_to_add(self) -> None:
        """Before the first added shard: declare the store unfinished, and delete shards after a gap."""
        if self.finished:
            raise BadInput(f"{self.path} is finished: nothing can be added to it")
        if self._is_tidy:
            return
        open_or_create(self.path, KIND, self.spec)  # another writer may have begun here since
        if self._n_listed is not None:
            self._write_manifest(None)
            self._n_listed = None
        complete = {facts_path(self.path, shard.name) for shard in self.shards}
        for stale in set(self.path.glob("shard-*.json")) - complete:
            stale.unlink()
        self._is_tidy = True

    # --- checks of a shard ---

    def _tensors(self, activations: Mapping[int, Tensor], n: int) -> dict[str, Tensor]:
        if set(activations) != set(self.layers):
            raise BadInput(f"expected residuals of layers {sorted(self.layers)}, got {sorted(activations)}")
        tensors: dict[str, Tensor] = {}
        for layer, residuals_nD in activations.items():
            if residuals_nD.shape != (n, self.d_model):
                got = tuple(residuals_nD.shape)
                raise BadInput(f"layer {layer}: expected residuals of shape {(n, self.d_model)}, got {got}")
            stored_nD = residuals_nD.detach().to("cpu", DTYPES[self.dtype])
            if nonfinite := describe_nonfinite(stored_nD):
                raise BadInput(f"layer {layer}: expected finite residuals, got {nonfinite} (in {self.dtype})")
            tensors[layer_key(layer)] = stored_nD
        return tensors

    def _check_documents(self, tokens: TokenTable, documents: pl.DataFrame) -> None:
        self._check_columns(documents)
        lengths, prompts = (torch.from_numpy(documents[name].to_numpy().copy()) for name in ("length", "prompt"))
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
        if int(tokens.role.max()) >= len(self.roles):
            raise BadInput(f"expected roles below {len(self.roles)}, got {int(tokens.role.max())}")

    def _check_columns(self, documents: pl.DataFrame) -> None:
        if missing := [name for name in ("length", "prompt") if name not in documents.columns]:
            raise BadInput(f"documents must have the columns length and prompt; got no {' and no '.join(missing)}")
        if reserved := [name for name in RESERVED_COLUMNS if name in documents.columns]:
            raise BadInput(
                f"documents must leave {' and '.join(RESERVED_COLUMNS)} to the reader; got {', '.join(reserved)}"
            )
        first = pl.read_parquet_schema(documents_path(self.path, self.shards[0].name)) if self.shards else None
        if first is not None and first != documents.schema:
            raise BadInput(f"expected documents with the columns of the first shard, {first}; got {documents.schema}")


def _find_complete_shards(path: Path, layers: tuple[int, ...], d_model: int, dtype: str) -> list[Shard]:
    """The shards on disk, up to the first that is missing or damaged."""
    complete: list[Shard] = []
    while (file := facts_path(path, shard_name(len(complete)))).exists():
        shard = from_json(Shard, json.loads(file.read_text()))
        if find_damage(path, shard, layers, d_model, dtype):
            break
        complete.append(shard)
    return complete
