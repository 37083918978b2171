"""Whole or absent: every directory and file we write, and the manifest that says what it was made from.

A directory is written aside and renamed into place, so a reader never meets half of one. Beside its contents lies
`manifest.json`: schema version, kind, the config that made it, fingerprints of what it was made from. A reader names
the kind and the fingerprints it needs; whatever does not match is refused, with what was expected, what was found
and what to do about it.

What is not alike in two makings, by name: what a refusal has to tell.

Data that travel with the package: beside it in a wheel, at the top of a checkout.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import math
import numbers
import os
import re
import shutil
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch


SCHEMA = 1
MANIFEST = "manifest.json"
T = TypeVar("T")


class BadInput(ValueError):
    """Something handed to us cannot be used: the message names what was expected and what was got."""


class Mismatch(BadInput):
    """Two artifacts do not belong together."""


# --- writing -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def writing_dir(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty directory beside `path`; it becomes `path` when the block ends, vanishes if the block fails."""
    path = Path(path)
    expect_free(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _aside(path) as aside:
        aside.mkdir()
        yield aside
        for part in (*aside.rglob("*"), aside):
            _fsync(part)
        if path.exists():  # two renames, since no portable call swaps directories: `recover` mends a death in between
            path.rename(_retired(path))
        aside.rename(path)
        _fsync(path.parent)
        _remove(_retired(path))


@contextlib.contextmanager
def writing_file(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path`; what is written there replaces `path` when the block ends."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _aside(path) as aside:
        yield aside
        _fsync(aside)
        aside.replace(path)
        _fsync(path.parent)


def write_json(path: str | Path, value: Any) -> None:
    with writing_file(path) as aside:
        aside.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def expect_free(path: str | Path | None, *, overwrite: bool) -> None:
    """Before the work that is to end up in `path`, rather than after it: nothing is there, and something may be."""
    if path is not None:
        recover(path)
        if Path(path).exists() and not overwrite:
            raise BadInput(f"{path} exists already: choose another place, or pass overwrite (--overwrite)")
        expect_writable(path)


def expect_writable(path: str | Path) -> None:
    above = next(place for place in Path(path).absolute().parents if os.path.lexists(place))
    if not above.is_dir():
        raise BadInput(f"{path} cannot be written: expected a directory above it, got the file {above}")
    if not os.access(above, os.W_OK | os.X_OK):
        raise BadInput(f"{path} cannot be written: expected a place where this user may write, got {above}")


def recover(path: str | Path) -> None:
    """Put right what a killed writer left: restore a directory caught between its two renames, drop dead halves."""
    path = Path(path)
    for left in _left_by_writers(path):
        if _in_progress(left.with_suffix(".partial")):
            continue
        if left.suffix == ".retired" and not path.exists():
            left.rename(path)
        else:
            _remove(left)


def _left_by_writers(path: Path) -> list[Path]:
    """Retired directories first, so that the newest whole one is restored before anything is dropped."""
    mine = re.compile(rf"\.{re.escape(path.name)}\.\d+\.(retired|partial)")
    found = [p for p in path.parent.iterdir() if mine.fullmatch(p.name)] if path.parent.is_dir() else []
    return sorted(found, key=lambda p: p.suffix, reverse=True)


_writing: set[Path] = set()
"""What this process is writing now: its id alone does not tell, in a container a dead writer may have had the same."""


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial").absolute()
    if aside in _writing:
        raise BadInput(f"{path} is being written already, by this very process")
    _writing.add(aside)
    try:
        yield aside
    finally:
        _remove(aside)
        _writing.discard(aside)


def _in_progress(half: Path) -> bool:
    pid = half.name.split(".")[-2]
    if pid == str(os.getpid()):
        return half.absolute() in _writing
    return pid.isdigit() and _is_alive(int(pid))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _retired(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.retired")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- manifests ---------------------------------------------------------------------------------------------------


def write_manifest(directory: Path, kind: str, *, config: Any, made_from: Mapping[str, str], **facts: Any) -> None:
    """Say what `directory` holds. `config` is a dataclass or a mapping; `facts` are worth reading at a glance."""
    manifest = {
        "schema": SCHEMA,
        "kind": kind,
        "config": to_json(config),
        "made_from": dict(made_from),
        **facts,
        "versions": versions("interp", "torch", "transformers"),
        "date": datetime.date.today().isoformat(),
    }
    write_json(directory / MANIFEST, manifest)


def read_manifest(path: str | Path, kind: str, *, made_from: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The manifest of `path`, refused unless its kind, its schema and the fingerprints named agree."""
    path = Path(path)
    recover(path)
    file = path / MANIFEST
    if not file.exists():
        found = "no such directory" if not path.exists() else f"a directory without {MANIFEST}"
        raise BadInput(f"{path}: expected a directory of kind {kind!r}, got {found}: is the path right?")
    manifest = _parsed(file)
    if manifest.get("kind") != kind:
        raise Mismatch(f"{path}: expected kind {kind!r}, got {manifest.get('kind')!r}: is this the right directory?")
    if manifest.get("schema") != SCHEMA:
        raise Mismatch(
            f"{path}: expected schema {SCHEMA}, got {manifest.get('schema')!r}: make it again with this version"
        )
    expect(path, manifest["made_from"], made_from or {})
    return manifest


def is_kind(path: str | Path, kind: str) -> bool:
    """Whether `path` says of itself that it is of this kind."""
    file = Path(path) / MANIFEST
    return file.exists() and _parsed(file).get("kind") == kind


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise BadInput(f"{file}: expected a JSON manifest, got text that does not parse ({error})") from error


def expect(path: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for name, fingerprint in wanted.items():
        if found.get(name) != fingerprint:
            raise Mismatch(
                f"{path} was made from another {name}: expected {fingerprint}, got {found.get(name)}. "
                f"Use the {name} it was made from, or make it again."
            )


def versions(*packages: str) -> dict[str, str]:
    """Of installed packages; one that is only on the path has none."""
    installed = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


# --- configs -----------------------------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """A dataclass, or nest of them, as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON knows neither NaN nor infinity
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)  # numpy's are none that JSON knows
    return str(value) if isinstance(value, Path) else value


def from_json(kind: type[T], value: Mapping[str, Any]) -> T:
    """A config dataclass back from what `to_json` made of it; keys it does not know are refused by name."""
    hints, known = typing.get_type_hints(kind), {f.name for f in dataclasses.fields(typing.cast(Any, kind))}
    if strange := sorted(set(value) - known):
        raise BadInput(f"{kind.__name__} has no {', '.join(strange)}; it has {', '.join(sorted(known))}")
    return kind(**{key: _revive(hints[key], item) for key, item in value.items()})


def _revive(hint: Any, item: Any) -> Any:
    if item is None:
        return float("nan") if hint is float else None  # what `to_json` made of it
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next((arm for arm in typing.get_args(hint) if arm is not type(None)), hint)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, item)  # pyright: ignore[reportArgumentType]
    if typing.get_origin(hint) is tuple:
        return tuple(_revive(typing.get_args(hint)[0], part) for part in item)
    return Path(item) if hint is Path else item


# --- fingerprints ------------------------------------------------------------------------------------------------


def fingerprint(*parts: bytes | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:16]


def fingerprint_config(config: Any) -> str:
    return fingerprint(json.dumps(to_json(config), sort_keys=True))


def fingerprint_tensors(names: Iterable[str], get: Callable[[str], "torch.Tensor"]) -> str:
    """Of tensors by name, dtype, shape and bytes, fetched one at a time, so that a model need not fit twice. Half
    precision counts as the float32 it is equal to: the same weights are the same in whichever they are held."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(names):
        tensor = get(name).detach().cpu()
        tensor = (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names, dotted, of what is not alike in two nests of plain values."""
    old, new = dict(leaves(before)), dict(leaves(now))
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What is not alike, each with what was expected now and what was got; nothing where all is."""
    old, new = dict(leaves(before)), dict(leaves(now))
    return ", ".join(f"{name} (expected {new.get(name)}, got {old.get(name)})" for name in differing(before, now))


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Of a nest of mappings, by their dotted names."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}" if name else key)
    else:
        yield name, value


def packaged(name: str) -> Path:
    package = Path(__file__).parent
    places = (package / "data" / name, package.parent / "data" / name)
    for place in places:
        if place.exists():
            return place
    raise BadInput(f"expected {places[0]} or {places[1]}, got neither: install interp again")
