"""Read a store: which tokens there are, what their residuals are, and which documents they join.

Whatever can be refused is refused when it is opened: a store of another layer, model or precision, one whose writing
is not finished, shards that are missing or cut short. Only values that are no numbers are found when they are read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from jaxtyping import Float
from torch import Tensor

from interp.activations import shard as shards
from interp.activations.shard import Shard, TokenTable, unfit
from interp.artifacts import BadInput, Mismatch, fingerprint, from_json, read_manifest

KIND = "activations"
MAX_LISTED = 5


class Store:
    """What lies in a directory, opened by `Store.open`."""

    def __init__(
        self,
        path: Path,
        manifest: dict[str, Any],
        layers: tuple[int, ...],
        readable: list[tuple[Shard, pl.DataFrame]],
        skipped: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.path, self.manifest, self.layers, self.skipped = path, manifest, layers, skipped
        """`skipped` are the shards left out, by name, and why."""
        self.d_model: int = manifest["d_model"]
        self.dtype: str = manifest["dtype"]
        self.roles: tuple[str, ...] = tuple(manifest["roles"])
        self._shards = [shard for shard, _ in readable]
        self.documents = _joined([frame for _, frame in readable])
        """One row per document: shard, first (its first row in the shard), length, prompt, and its writer's columns."""
        self._first = [0]
        for shard in self._shards:
            self._first.append(self._first[-1] + shard.documents)
        self._sound: set[tuple[int, int]] = set()

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
        """With `layer`, only that one is looked at. `made_from` names fingerprints it must have been made from. With
        `skip_bad` all is read once, and the shards that cannot be used are left out and listed in `skipped`."""
        path = Path(path)
        manifest = read_manifest(path, KIND, made_from=made_from)
        _expect_finished(path, manifest)
        layers = _expect_layer(path, manifest, layer)
        if dtype is not None and dtype != manifest["dtype"]:
            raise Mismatch(f"{path}: expected residuals in {dtype}, got {manifest['dtype']}: open it as what it is")
        readable: list[tuple[Shard, pl.DataFrame]] = []
        bad: list[tuple[str, str]] = []
        listed = [from_json(Shard, told) for told in manifest["shards"]]
        for shard in listed:
            frame = _opened(path, manifest, shard, layers, read=skip_bad)
            if isinstance(frame, str):
                bad.append((shard.name, frame))
            else:
                readable.append((shard, frame))
        if bad and not skip_bad:
            raise BadInput(
                f"{path}: {len(bad)} of {len(listed)} shards cannot be read: {_shown(bad)}. "
                "Ask for the same collection again, which writes them anew, or leave them out (skip_bad, --skip-bad)"
            )
        if not readable:
            raise BadInput(f"{path}: expected at least one shard that can be read, got none: {_shown(bad)}")
        return cls(path, manifest, layers, readable, tuple(bad))

    def __len__(self) -> int:
        """Tokens."""
        return sum(shard.tokens for shard in self._shards)

    def __repr__(self) -> str:
        layers, left_out = ", ".join(map(str, self.layers)), f", {len(self.skipped)} left out" if self.skipped else ""
        return (
            f"Store({self.path}, {len(self):,} tokens of {self.documents.height:,} documents, "
            f"layer{'s' if len(self.layers) > 1 else ''} {layers} of width {self.d_model}, "
            f"{len(self._shards)} shard{'s' if len(self._shards) > 1 else ''}{left_out})"
        )

    @property
    def shards(self) -> tuple[str, ...]:
        """Names of those that can be read."""
        return tuple(shard.name for shard in self._shards)

    @property
    def layer(self) -> int:
        """The one there is."""
        if len(self.layers) > 1:
            raise BadInput(
                f"{self.path} holds layers {', '.join(map(str, self.layers))}: say which one (layer=..., --layer)"
            )
        return next(iter(self.layers))

    @property
    def config(self) -> dict[str, Any]:
        return self.manifest["config"]

    @property
    def made_from(self) -> dict[str, str]:
        return self.manifest["made_from"]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(shard.size for shard in self._shards)

    def fingerprint(self) -> str:
        """Of the shards that can be read: all their layers, whichever it was opened for, and their contents as they
        were written."""
        return fingerprint(*map(str, self.manifest["layers"]), *(shard.fingerprint for shard in self._shards))

    def facts(self, shard: int) -> dict[str, Any]:
        """What the writer said of a shard."""
        return self._at(shard).facts

    def read(self, shard: int, layer: int, rows: slice | None = None) -> Float[Tensor, "n D"]:
        """The residuals of one shard, or of some of its rows, in float32. They are to be read, not written to."""
        name = self._at(shard).name
        if layer not in self.layers:
            raise Mismatch(f"{self.path}: expected one of the layers {', '.join(map(str, self.layers))}; got {layer}")
        residuals_nD = shards.read_residuals(self.path, name, layer, rows)
        if (shard, layer) not in self._sound:
            if told := unfit(residuals_nD):
                raise BadInput(
                    f"{self.path}: expected numbers, got {told} in {name} at layer {layer}. "
                    "Collect it again in another place, or leave such shards out with skip_bad (--skip-bad)"
                )
            if rows is None:
                self._sound.add((shard, layer))
        return residuals_nD

    def table(self, shard: int) -> TokenTable:
        """The tokens of one shard, in the order of its residuals; `document` is a row of `documents`."""
        table = shards.read_table(self.path, self._at(shard).name)
        return TokenTable(**{**vars(table), "document": table.document + self._first[shard]})

    def _at(self, shard: int) -> Shard:
        if not 0 <= shard < len(self._shards):
            raise BadInput(f"{self.path}: expected a shard from 0 to {len(self._shards) - 1}, got {shard}")
        return self._shards[shard]


def _expect_finished(path: Path, manifest: dict[str, Any]) -> None:
    if manifest["shards"] is None:
        so_far = len(list(path.glob("shard-*.json")))
        raise BadInput(
            f"{path}: expected a finished store, got one of {so_far} shards so far: ask for the same collection again, "
            "and it goes on where it stopped"
        )


def _expect_layer(path: Path, manifest: dict[str, Any], layer: int | None) -> tuple[int, ...]:
    held = tuple(manifest["layers"])
    if layer is None:
        return held
    if layer not in held:
        raise Mismatch(
            f"{path}: expected residuals of layer {layer}, got those of {', '.join(map(str, held))}: "
            "collect that layer, or ask for one that is there"
        )
    return (layer,)


def _opened(path: Path, manifest: dict[str, Any], shard: Shard, layers: tuple[int, ...], *, read: bool) -> Any:
    """The documents of a shard, or why it cannot be used; with `read`, its values are looked at too."""
    if told := shards.trouble(path, shard, layers, manifest["d_model"], manifest["dtype"]):
        return told
    for layer in layers if read else ():
        if told := unfit(shards.read_residuals(path, shard.name, layer)):
            return f"{told} at layer {layer}"
    return shards.read_documents(path, shard)


def _joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
    placed = [
        frame.select(
            pl.lit(at, pl.Int64).alias("shard"),
            (pl.col("length").cum_sum() - pl.col("length")).cast(pl.Int64).alias("first"),
            "length",
            "prompt",
            pl.exclude("length", "prompt"),
        )
        for at, frame in enumerate(frames)
    ]
    return pl.concat(placed)


def _shown(bad: list[tuple[str, str]]) -> str:
    listed = "; ".join(reason if name in reason else f"{name}: {reason}" for name, reason in bad[:MAX_LISTED])
    return listed + (f"; and {len(bad) - MAX_LISTED} more" if len(bad) > MAX_LISTED else "")
