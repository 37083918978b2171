"""Read a store: its tokens, their residuals, and the documents they belong to.

A store is checked when it is opened. It is refused if it has another layer, model or precision, if it is unfinished, or
if shards are missing, truncated, or of other documents than their facts say. The residuals of a shard are compared with
their checksum when they are first read, since that reads the whole file (`interp.artifacts.integrity`). Values that are
not finite are refused when they are read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from jaxtyping import Float
from torch import Tensor

from interp.activations.consistency import expect_fitting, find_contradiction, find_damage
from interp.activations.shard import (
    DTYPES,
    Shard,
    TokenTable,
    describe_nonfinite,
    documents_path,
    facts_path,
    parse_shard,
    read_documents,
    read_residuals,
    read_token_table,
    tensors_path,
)
from interp.activations.stored_site import parse_stored_site
from interp.artifacts import (
    MANIFEST,
    BadInput,
    Mismatch,
    compare_file,
    fingerprint,
    read_manifest,
    reading,
    recorded_files,
)
from interp.display import HtmlSummary
from interp.policy.site import Site

KIND = "activations"
MAX_LISTED = 5


class Store(HtmlSummary):
    """Activations on disk, shard by shard. Open one with `Store.open`."""

    def __init__(
        self,
        path: Path,
        manifest: dict[str, Any],
        layers: tuple[int, ...],
        readable: list[tuple[Shard, pl.DataFrame]],
        skipped: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.path, self.manifest, self.layers = path, manifest, layers
        self.skipped = skipped
        """Shards that were left out, as (name, reason)."""
        self.d_model: int = manifest["d_model"]
        self.dtype: str = manifest["dtype"]
        self.roles: tuple[str, ...] = tuple(manifest["roles"])
        self.stored_site = parse_stored_site(manifest.get("site"))
        self._shards = [shard for shard, _ in readable]
        self.documents = _join_documents([frame for _, frame in readable])
        """A row per document: shard, first (its first token in the shard), length, prompt, and the writer's columns."""
        self._first_documents = [0]
        for shard in self._shards:
            self._first_documents.append(self._first_documents[-1] + shard.documents)
        self._finite: set[tuple[int, int]] = set()
        """(shard, layer) pairs that were read once and are finite."""
        self._fitting: set[int] = set()
        """Shards whose tokens were compared with their documents."""

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        layer: int | None = None,
        made_from: Mapping[str, str] | None = None,
        dtype: str | None = None,
        skip_bad: bool = False,
    ) -> "Store":
        """Open a finished store; with `layer`, only that layer.

        `made_from` has fingerprints of inputs that the store must have. With `skip_bad`, everything is read once, and
        unusable shards are left out and listed in `skipped`."""
        path = Path(path)
        manifest = read_manifest(path, KIND, made_from=made_from)
        _expect_finished(path, manifest)
        listed = _parse_entries(path, manifest)
        layers = _expect_layer(path, manifest, layer)
        if dtype is not None and dtype != manifest["dtype"]:
            raise Mismatch(f"{path}: expected residuals in {dtype}, got {manifest['dtype']}: open it as what it is")
        readable: list[tuple[Shard, pl.DataFrame]] = []
        bad: list[tuple[str, str]] = []
        for shard in listed:
            documents = _open_shard(path, manifest, shard, layers, check_values=skip_bad)
            if not isinstance(documents, str) and readable and documents.schema != readable[0][1].schema:
                documents = f"expected documents with the columns {readable[0][1].schema}, got {documents.schema}"
            if isinstance(documents, str):
                bad.append((shard.name, documents))
            else:
                readable.append((shard, documents))
        if bad and not skip_bad:
            raise BadInput(
                f"{path}: {len(bad)} of {len(listed)} shards cannot be read: {_list_reasons(bad)}. "
                "Ask for the same collection again, which writes them anew, or leave them out (skip_bad, --skip-bad)"
            )
        if not readable:
            raise BadInput(f"{path}: expected at least one shard that can be read, got none: {_list_reasons(bad)}")
        return cls(path, manifest, layers, readable, tuple(bad))

    def __len__(self) -> int:
        """Number of tokens."""
        return sum(shard.tokens for shard in self._shards)

    def __repr__(self) -> str:
        layers = ", ".join(str(self.site_of(layer)) for layer in self.layers)
        left_out = f", {len(self.skipped)} left out" if self.skipped else ""
        return (
            f"Store({self.path}, {len(self):,} tokens ({self.completion_tokens:,} of completions) of "
            f"{self.documents.height:,} documents, "
            f"layer{'s' if len(self.layers) > 1 else ''} {layers} of width {self.d_model}, "
            f"{len(self._shards)} shard{'s' if len(self._shards) > 1 else ''}{left_out})"
        )

    @property
    def shards(self) -> tuple[str, ...]:
        """Names of the shards that can be read."""
        return tuple(shard.name for shard in self._shards)

    @property
    def layer(self) -> int:
        """The only layer; refused if there are several."""
        if len(self.layers) > 1:
            raise BadInput(
                f"{self.path} holds layers {', '.join(map(str, self.layers))}: say which one (layer=..., --layer)"
            )
        return next(iter(self.layers))

    def site_of(self, layer: int) -> Site:
        """The site that the activations of one of its layers come from."""
        return Site(layer, self.stored_site.kind)

    def layer_of(self, site: Site) -> int | None:
        """The layer whose activations are those of a site. None if there are none."""
        same = [layer for layer in self.layers if self.stored_site.is_same(self.site_of(layer), site)]
        return same[0] if same else None

    @property
    def config(self) -> dict[str, Any]:
        return self.manifest["config"]

    @property
    def made_from(self) -> dict[str, str]:
        return self.manifest["made_from"]

    @property
    def completion_tokens(self) -> int:
        """Number of tokens of completions, on which dictionaries are fitted by default. The others are of prompts."""
        return int((self.documents["length"] - self.documents["prompt"]).clip(0).sum())

    @property
    def n_bytes(self) -> int:
        """Bytes on disk."""
        return sum(shard.n_bytes for shard in self._shards)

    def fingerprint(self) -> str:
        """Fingerprint of the readable shards, with all their layers."""
        return fingerprint(*map(str, self.manifest["layers"]), *(shard.fingerprint for shard in self._shards))

    def table(self) -> pl.DataFrame:
        """A row per document."""
        return self.documents

    def summary(self) -> pl.DataFrame:
        """A row per checkpoint and corpus (where the writer gave them): shards, documents, tokens, share correct."""
        by = [column for column in ("reader", "corpus") if column in self.documents.columns]
        correct = [pl.col("correct").mean()] if "correct" in self.documents.columns else []
        counts = [
            pl.col("shard").n_unique().alias("shards"),
            pl.len().alias("documents"),
            pl.col("length").sum().alias("tokens"),
            (pl.col("length") - pl.col("prompt")).clip(0).sum().alias("completion_tokens"),
            *correct,
        ]
        if not by:
            return self.documents.select(counts)
        return self.documents.group_by(by, maintain_order=True).agg(counts)

    def facts(self, shard: int) -> dict[str, Any]:
        """The writer's facts about a shard."""
        return self._shard(shard).facts

    def read(self, shard: int, layer: int, rows: slice | None = None) -> Float[Tensor, "n D"]:
        """Residuals of one shard, or of some of its rows, in float32. Read only: they may be memory-mapped."""
        name = self._shard(shard).name
        if layer not in self.layers:
            raise Mismatch(f"{self.path}: expected one of the layers {', '.join(map(str, self.layers))}; got {layer}")
        with reading(self._compare_tensors(name), "residuals as safetensors"):
            residuals_nD = read_residuals(self.path, name, layer, rows)
        if (shard, layer) not in self._finite:
            if nonfinite := describe_nonfinite(residuals_nD):
                raise BadInput(
                    f"{self.path}: expected finite values, got {nonfinite} in {name} at layer {layer}. "
                    "Collect it again in another place, or leave such shards out with skip_bad (--skip-bad)"
                )
            if rows is None:
                self._finite.add((shard, layer))
        return residuals_nD

    def tokens(self, shard: int) -> TokenTable:
        """The tokens of one shard, in the order of its residuals; `document` is a row of `documents`."""
        name = self._shard(shard).name
        with reading(self._compare_tensors(name), "a token table as safetensors"):
            table = read_token_table(self.path, name)
            if shard not in self._fitting:
                _expect_fitting(name, table, self.documents.filter(pl.col("shard") == shard), self.roles)
                self._fitting.add(shard)
        return TokenTable(**{**vars(table), "document": table.document + self._first_documents[shard]})

    def _compare_tensors(self, name: str) -> Path:
        """The file of a shard's tensors, after its checksum was compared."""
        return compare_file(self.path, tensors_path(self.path, name).name, recorded_files(self.manifest))

    def _shard(self, index: int) -> Shard:
        if not 0 <= index < len(self._shards):
            raise BadInput(f"{self.path}: expected a shard from 0 to {len(self._shards) - 1}, got {index}")
        return self._shards[index]


def _expect_finished(path: Path, manifest: dict[str, Any]) -> None:
    if manifest["shards"] is None:
        n_shards = len(list(path.glob("shard-*.json")))
        raise BadInput(
            f"{path}: expected a finished store, got one of {n_shards} shards so far: ask for the same collection "
            "again, and it goes on where it stopped"
        )


def _parse_entries(path: Path, manifest: dict[str, Any]) -> list[Shard]:
    """The listed shards. Entries of the manifest that cannot be those of a store are refused."""
    with reading(path / MANIFEST, "the entries of a store"):
        layers, d_model = manifest["layers"], manifest["d_model"]
        if not layers or any(type(layer) is not int or layer < 0 for layer in layers) or len(set(layers)) < len(layers):
            raise BadInput(f"{path / MANIFEST}: expected different layers from 0 on, got {layers}")
        parse_stored_site(manifest.get("site"))
        if type(d_model) is not int or d_model < 1 or manifest["dtype"] not in DTYPES:
            raise BadInput(f"{path / MANIFEST}: expected a width and a precision, got {d_model}, {manifest['dtype']}")
        if not manifest["roles"] or any(not isinstance(role, str) for role in manifest["roles"]):
            raise BadInput(f"{path / MANIFEST}: expected names of roles, got {manifest['roles']}")
        shards = [parse_shard(path / MANIFEST, entry, index) for index, entry in enumerate(manifest["shards"])]
        if (total := sum(shard.tokens for shard in shards)) != manifest["tokens"]:
            raise BadInput(f"{path / MANIFEST}: expected shards of {manifest['tokens']} tokens together, got {total}")
    return shards


def _expect_layer(path: Path, manifest: dict[str, Any], layer: int | None) -> tuple[int, ...]:
    layers = tuple(manifest["layers"])
    if layer is None:
        return layers
    if layer not in layers:
        raise Mismatch(
            f"{path}: expected residuals of layer {layer}, got those of {', '.join(map(str, layers))}: "
            "collect that layer, or ask for one that is there"
        )
    return (layer,)


def _open_shard(
    path: Path, manifest: dict[str, Any], shard: Shard, layers: tuple[int, ...], *, check_values: bool
) -> pl.DataFrame | str:
    """The documents of a shard, or the reason why it cannot be used. `check_values` reads all residuals."""
    if damage := find_damage(path, shard, layers, manifest["d_model"], manifest["dtype"]):
        return damage
    small = (documents_path(path, shard.name), facts_path(path, shard.name))
    try:
        for file in (*small, tensors_path(path, shard.name)) if check_values else small:
            compare_file(path, file.name, recorded_files(manifest))
        documents = read_documents(path, shard)
        if contradiction := find_contradiction(shard, documents):
            return contradiction
        for layer in layers if check_values else ():
            if nonfinite := describe_nonfinite(read_residuals(path, shard.name, layer)):
                return f"{nonfinite} at layer {layer}"
        if check_values:
            _expect_fitting(shard.name, read_token_table(path, shard.name), documents, tuple(manifest["roles"]))
    except BadInput as error:
        return str(error)
    return documents


def _expect_fitting(name: str, table: TokenTable, documents: pl.DataFrame, roles: tuple[str, ...]) -> None:
    try:
        expect_fitting(table, documents, roles)
    except BadInput as error:
        raise BadInput(f"{name}: the tokens are not those of its documents: {error}") from error


def _join_documents(frames: list[pl.DataFrame]) -> pl.DataFrame:
    placed = [
        frame.select(
            pl.lit(index, pl.Int64).alias("shard"),
            (pl.col("length").cum_sum() - pl.col("length")).cast(pl.Int64).alias("first"),
            "length",
            "prompt",
            pl.exclude("length", "prompt"),
        )
        for index, frame in enumerate(frames)
    ]
    return pl.concat(placed)


def _list_reasons(bad: list[tuple[str, str]]) -> str:
    listed = "; ".join(reason if name in reason else f"{name}: {reason}" for name, reason in bad[:MAX_LISTED])
    return listed + (f"; and {len(bad) - MAX_LISTED} more" if len(bad) > MAX_LISTED else "")
