"""Write a store shard by shard, and continue where a killed writer stopped.

A shard is on disk complete or not at all: its tensors and documents are renamed into place first, the small JSON that
declares it last. The manifest is written twice: at the start with the spec of the store, so that no shard of another
spec is ever added, and at the end with the list of shards and the checksums of all files. Readers refuse the store
until then. A writer that goes on compares the checksums of what is there: a damaged shard is written again.

Each write holds the lock of the place. Whoever writes many shards holds it around them all: `with locked(path): ...`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from interp.activations.consistency import expect_fitting, find_damage
from interp.activations.shard import (
    DTYPES,
    TOKEN_COLUMNS,
    TOKEN_TABLE_BYTES,
    Shard,
    TokenTable,
    describe_nonfinite,
    documents_path,
    facts_path,
    layer_key,
    read_facts,
    shard_name,
    tensors_path,
    write_facts,
)
from interp.activations.store import KIND, Store
from interp.activations.stored_site import StoredSite
from interp.artifacts import (
    MANIFEST,
    BadInput,
    compare_file,
    fingerprint,
    fingerprint_tensors,
    is_kind,
    locked,
    open_or_create,
    read_manifest,
    record_file,
    recover,
    to_json,
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
        site: StoredSite | None = None,
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
            "site": None if site is None or site == StoredSite() else to_json(site),
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
        self._check_columns(documents)
        expect_fitting(tokens, documents, self.roles)
        tensors = self._tensors(activations, len(tokens))
        tensors |= {column: getattr(tokens, column) for column in TOKEN_COLUMNS}
        with locked(self.path):
            self._prepare_to_add()
            shard = self._write_shard(shard_name(len(self.shards)), tensors, documents, facts or {})
        self.shards.append(shard)
        return shard

    def finish(self) -> Store:
        """Write the list of shards into the manifest, so that readers accept the store, and open it."""
        if not self.shards:
            raise BadInput(f"{self.path}: expected at least one shard, got none: a store must hold something")
        if not self.finished:
            with locked(self.path):
                self._write_manifest(self.shards)
            self._n_listed = len(self.shards)
        return Store.open(self.path)

    def _write_shard(
        self, name: str, tensors: Mapping[str, Tensor], documents: pl.DataFrame, facts: Mapping[str, Any]
    ) -> Shard:
        files = (tensors_path(self.path, name), documents_path(self.path, name))
        with writing_file(files[0]) as aside:
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, aside)
        with writing_file(files[1]) as aside:
            documents.write_parquet(aside)
        records = {file.suffix: record_file(file) for file in files}
        shard = Shard(
            name=name,
            tokens=len(tensors["ids"]),
            documents=documents.height,
            bytes={suffix: record["bytes"] for suffix, record in records.items()},
            fingerprint=fingerprint(fingerprint_tensors(tensors, tensors.__getitem__), documents.write_json()),
            facts=to_json(facts),
            sha256={suffix: record["sha256"] for suffix, record in records.items()},
        )
        write_facts(self.path, shard)
        return shard

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
            with locked(self.path):
                self._write_manifest(None)
            return None
        return None if manifest["shards"] is None else len(manifest["shards"])

    def _has_no_shard(self) -> bool:
        """Whether a store was begun here, and nothing was added to it."""
        if not is_kind(self.path, KIND) or any(self.path.glob("shard-*.json")):
            return False
        return read_manifest(self.path, KIND).get("shards") is None

    def _write_manifest(self, listed: list[Shard] | None) -> None:
        shards = listed or []
        tokens = None if listed is None else sum(shard.tokens for shard in shards)
        entries = None if listed is None else [to_json(shard) for shard in shards]
        files = {name: record for shard in shards for name, record in self._records(shard).items()}
        write_manifest(self.path, KIND, **self.spec, files=files, tokens=tokens, shards=entries)

    def _records(self, shard: Shard) -> dict[str, dict[str, Any]]:
        """Size and checksum of the files of a shard. One of an earlier version is read for them."""
        files = (tensors_path(self.path, shard.name), documents_path(self.path, shard.name))
        facts = facts_path(self.path, shard.name)
        return {
            **(shard.records or {file.name: record_file(file) for file in files}),
            facts.name: record_file(facts),
        }

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


def is_finished(path: Path) -> bool:
    """Whether there is a finished store at `path`."""
    return is_kind(path, KIND) and read_manifest(path, KIND).get("shards") is not None


def _find_complete_shards(path: Path, layers: tuple[int, ...], d_model: int, dtype: str) -> list[Shard]:
    """The shards on disk, up to the first that is missing or damaged."""
    complete: list[Shard] = []
    while facts_path(path, shard_name(len(complete))).exists():
        try:
            shard = read_facts(path, len(complete))
            for name in shard.records:
                compare_file(path, name, shard.records)
        except BadInput:
            break
        if find_damage(path, shard, layers, d_model, dtype):
            break
        complete.append(shard)
    return complete
