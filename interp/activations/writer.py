"""Write a store shard by shard, and go on where a killed writer stopped.

A shard is on disk whole or it is not there: its tensors and documents are renamed into place first, the small JSON that
says so last. The manifest is written twice: at the start, with what the store is made from and by, so that nothing of
another making is ever added to it, and at the end, with the list of shards. A reader refuses it before that.
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

from interp.activations import shard as shards
from interp.activations.shard import COLUMNS, DTYPES, PER_TOKEN, Shard, TokenTable, unfit
from interp.activations.store import KIND, Store
from interp.artifacts import (
    MANIFEST,
    BadInput,
    fingerprint,
    fingerprint_tensors,
    from_json,
    read_manifest,
    recover,
    to_json,
    write_json,
    write_manifest,
    writing_file,
)

KEPT = ("shard", "first")
"""Columns that the reader adds to the documents."""
_LEFT = re.compile(r"\.(shard-\d+\.\w+)\.\d+\.partial", re.ASCII)


class Writer:
    """Opens a store to be written, or one begun before with the very same arguments. (One that was begun and holds
    nothing yet may become any other.)"""

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
        self.roles, self.config, self.made_from = tuple(roles), to_json(config or {}), dict(made_from or {})
        self._check()
        self._listed = self._begin()
        """How many shards the manifest says it has, if it was finished."""
        self.shards = _whole(self.path, self.layers, d_model, dtype)
        """Those that are there. What stands after a gap is not counted: it is written again."""
        self._tidy = False

    @property
    def done(self) -> list[dict[str, Any]]:
        """The facts of the shards that are there, in order."""
        return [shard.facts for shard in self.shards]

    @property
    def finished(self) -> bool:
        """All of it is there, and nothing more is to come."""
        return len(self.shards) == self._listed

    @property
    def bytes_per_token(self) -> int:
        return PER_TOKEN + len(self.layers) * self.d_model * DTYPES[self.dtype].itemsize

    def add(
        self,
        activations: Mapping[int, Float[Tensor, "n D"]],
        tokens: TokenTable,
        documents: pl.DataFrame,
        facts: Mapping[str, Any] | None = None,
    ) -> Shard:
        """One shard. `documents` has a row for each document, with columns length and prompt (tokens in all, and of
        the prompt) beside the keys to join by; `tokens.document` counts them from 0."""
        self._check_documents(tokens, documents)
        tensors = self._tensors(activations, len(tokens)) | {column: getattr(tokens, column) for column in COLUMNS}
        self._open_for_more()
        name = shards.name_of(len(self.shards))
        with writing_file(shards.tensors_of(self.path, name)) as aside:
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, aside)
        with writing_file(shards.documents_of(self.path, name)) as aside:
            documents.write_parquet(aside)
        files = (shards.tensors_of(self.path, name), shards.documents_of(self.path, name))
        shard = Shard(
            name=name,
            tokens=len(tokens),
            documents=documents.height,
            bytes={file.suffix: file.stat().st_size for file in files},
            fingerprint=fingerprint(fingerprint_tensors(tensors, tensors.__getitem__), documents.write_json()),
            facts=to_json(facts or {}),
        )
        write_json(shards.facts_of(self.path, name), to_json(shard))
        self.shards.append(shard)
        return shard

    def finish(self) -> Store:
        """Say that this is all, and open it."""
        if not self.shards:
            raise BadInput(f"{self.path}: expected at least one shard, got none: a store must hold something")
        if not self.finished:
            self._write_manifest([to_json(shard) for shard in self.shards])
            self._listed = len(self.shards)
        return Store.open(self.path)

    # --- beginning and going on ---

    def _check(self) -> None:
        if not self.layers or len(set(self.layers)) < len(self.layers) or min(self.layers) < 0:
            raise BadInput(f"layers must be different numbers from 0 on, one at least; got {list(self.layers)}")
        if self.dtype not in DTYPES:
            raise BadInput(f"dtype must be one of {', '.join(DTYPES)}; got {self.dtype!r}")
        if self.d_model < 1:
            raise BadInput(f"d_model must be at least 1; got {self.d_model}")
        if not 0 < len(set(self.roles)) == len(self.roles) <= 256:
            raise BadInput(f"roles must be 1 to 256 different names; got {list(self.roles)}")

    def _making(self) -> dict[str, Any]:
        making = {"layers": list(self.layers), "d_model": self.d_model, "dtype": self.dtype, "roles": list(self.roles)}
        return making | {"config": self.config, "made_from": self.made_from}

    def _begin(self) -> int | None:
        """How many shards there should be, if it was finished before."""
        recover(self.path / MANIFEST)
        if (self.path / MANIFEST).exists():
            for left in [_LEFT.fullmatch(entry.name) for entry in self.path.iterdir()]:
                if left:
                    recover(self.path / left[1])
            manifest = read_manifest(self.path, KIND)
            if manifest["shards"] is None and not any(self.path.glob("shard-*.json")):  # whatever was asked for first
                self._write_manifest(None)
                return None
            _refuse_changes(self.path, manifest, self._making())
            return None if manifest["shards"] is None else len(manifest["shards"])
        there = sorted(entry.name for entry in self.path.iterdir()) if self.path.is_dir() else []
        if there or self.path.is_file():
            found = f"{', '.join(there[:5])} and no {MANIFEST}" if there else "a file"
            raise BadInput(
                f"{self.path}: expected a store or an empty place, got {found}: choose another place, or empty it"
            )
        self._write_manifest(None)
        return None

    def _write_manifest(self, listed: list[dict[str, Any]] | None) -> None:
        making = self._making()
        config, made_from = making.pop("config"), making.pop("made_from")
        tokens = None if listed is None else sum(shard["tokens"] for shard in listed)
        write_manifest(self.path, KIND, config=config, made_from=made_from, **making, tokens=tokens, shards=listed)

    def _open_for_more(self) -> None:
        """Before the first shard that is added: a store that was finished is so no longer, and what stood after a gap
        is dropped."""
        if self.finished:
            raise BadInput(f"{self.path} is finished: nothing can be added to it")
        if self._tidy:
            return
        _refuse_changes(self.path, read_manifest(self.path, KIND), self._making())  # another may have begun here since
        if self._listed is not None:
            self._write_manifest(None)
            self._listed = None
        kept = {shards.facts_of(self.path, shard.name) for shard in self.shards}
        for stale in set(self.path.glob("shard-*.json")) - kept:
            stale.unlink()
        self._tidy = True

    # --- what is handed in ---

    def _tensors(self, activations: Mapping[int, Tensor], n: int) -> dict[str, Tensor]:
        if set(activations) != set(self.layers):
            raise BadInput(f"expected residuals of layers {sorted(self.layers)}, got {sorted(activations)}")
        held: dict[str, Tensor] = {}
        for layer, residuals_nD in activations.items():
            if residuals_nD.shape != (n, self.d_model):
                got = tuple(residuals_nD.shape)
                raise BadInput(f"layer {layer}: expected residuals of shape {(n, self.d_model)}, got {got}")
            held[shards.key(layer)] = residuals_nD.detach().to("cpu", DTYPES[self.dtype])
            if told := unfit(held[shards.key(layer)]):
                raise BadInput(f"layer {layer}: expected finite residuals, got {told} (in {self.dtype})")
        return held

    def _check_documents(self, tokens: TokenTable, documents: pl.DataFrame) -> None:
        if missing := [name for name in ("length", "prompt") if name not in documents.columns]:
            raise BadInput(f"documents must have the columns length and prompt; got no {' and no '.join(missing)}")
        if taken := [name for name in KEPT if name in documents.columns]:
            raise BadInput(f"documents must leave {' and '.join(KEPT)} to the reader; got {', '.join(taken)}")
        before = pl.read_parquet_schema(shards.documents_of(self.path, self.shards[0].name)) if self.shards else None
        if before is not None and before != documents.schema:
            raise BadInput(f"expected documents with the columns of the first shard, {before}; got {documents.schema}")
        lengths, prompts = (torch.from_numpy(documents[name].to_numpy().copy()) for name in ("length", "prompt"))
        if not documents.height or int(lengths.min()) < 1:
            raise BadInput("expected documents with at least one token each: leave out those without")
        if (n := int(lengths.sum())) != len(tokens) or len({len(getattr(tokens, name)) for name in COLUMNS}) > 1:
            sizes = ", ".join(f"{name} {len(getattr(tokens, name))}" for name in COLUMNS)
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


def _whole(path: Path, layers: tuple[int, ...], d_model: int, dtype: str) -> list[Shard]:
    """The shards that are there and whole, up to the first that is not."""
    found: list[Shard] = []
    while (file := shards.facts_of(path, shards.name_of(len(found)))).exists():
        shard = from_json(Shard, json.loads(file.read_text()))
        if shards.trouble(path, shard, layers, d_model, dtype):
            break
        found.append(shard)
    return found


def _refuse_changes(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    def told(making: Mapping[str, Any]) -> dict[str, Any]:
        nested = {f"{name}.{key}": making[name][key] for name in ("config", "made_from") for key in making[name]}
        return {name: making[name] for name in ("layers", "d_model", "dtype", "roles")} | nested

    old, new = told(before), told(now)
    if changed := [name for name in {**old, **new} if old.get(name) != new.get(name)]:
        shown = "; ".join(f"{name} was {old.get(name)!r}, now {new.get(name)!r}" for name in changed)
        raise BadInput(f"{path} holds a store of another making: {shown}. Ask for the same, or choose another place.")
