"""Ways to damage a directory, each a function of a random source and of a `Target`.

It returns what it did, in words, or None where it cannot be done here. Bytes, whole files, JSON, lines of a ledger,
paths that lead outside, and files that are small and take gigabytes to read.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

MANIFEST = "manifest.json"
CHECKSUM_ENTRIES = ("files", "checksum", "checksums")
"""Entries of a manifest that hold checksums. A directory without them is an older one."""


@dataclass(frozen=True)
class Target:
    """The folder to damage, another of the same kind, and a directory with the bombs."""

    folder: Path
    twin: Path
    bombs: Path

    def files(self, *suffixes: str) -> list[Path]:
        found = (p for p in sorted(self.folder.rglob("*")) if p.is_file() and p.name != "lock")
        return [p for p in found if not suffixes or p.suffix in suffixes]

    def pick(self, rng: Random, *suffixes: str) -> Path | None:
        """A file, each kind of name as likely as any other, so that many checkpoints do not crowd out one ledger."""
        by_name: dict[str, list[Path]] = {}
        for file in self.files(*suffixes):
            by_name.setdefault(re.sub(r"\d+", "#", file.name), []).append(file)
        return rng.choice(by_name[rng.choice(sorted(by_name))]) if by_name else None

    def name(self, file: Path) -> str:
        return str(file.relative_to(self.folder))


Damage = Callable[[Random, Target], str | None]


# --- bytes -----------------------------------------------------------------------------------------------------------


def flip(rng: Random, target: Target) -> str | None:
    """One to three bits, anywhere or in the first or last bytes."""
    file = target.pick(rng)
    if file is None or not (data := bytearray(file.read_bytes())):
        return None
    places = []
    for _ in range(rng.choice((1, 1, 1, 3))):
        first, last = rng.choice(((0, len(data)), (0, len(data)), (0, 64), (len(data) - 64, len(data))))
        place = rng.randrange(max(first, 0), min(last, len(data)))
        data[place] ^= 1 << rng.randrange(8)
        places.append(place)
    file.write_bytes(data)
    return f"bits flipped in {target.name(file)} at {places}"


def truncate(rng: Random, target: Target) -> str | None:
    file = target.pick(rng)
    if file is None or not (size := file.stat().st_size):
        return None
    kept = rng.choice((0, 1, size - 1, rng.randrange(size), rng.randrange(size)))
    os.truncate(file, kept)
    return f"{target.name(file)} cut from {size} to {kept} bytes"


def zero(rng: Random, target: Target) -> str | None:
    file = target.pick(rng)
    if file is None or not (data := bytearray(file.read_bytes())):
        return None
    start = rng.randrange(len(data))
    length = min(len(data) - start, rng.choice((1, 8, 64, 512, 4096)))
    data[start : start + length] = bytes(length)
    file.write_bytes(data)
    return f"{length} bytes of {target.name(file)} zeroed at {start}"


def append(rng: Random, target: Target) -> str | None:
    if (file := target.pick(rng)) is None:
        return None
    more = rng.choice((b"\n", b"\0", b"}", b"{}\n", rng.randbytes(8), rng.randbytes(1000)))
    with file.open("ab") as handle:
        handle.write(more)
    return f"{len(more)} bytes appended to {target.name(file)}"


# --- whole files -----------------------------------------------------------------------------------------------------


def delete(rng: Random, target: Target) -> str | None:
    if (file := target.pick(rng)) is None:
        return None
    file.unlink()
    return f"{target.name(file)} deleted"


def delete_directory(rng: Random, target: Target) -> str | None:
    directories = [p for p in sorted(target.folder.rglob("*")) if p.is_dir()]
    inner = [p for p in directories if p.parent != target.folder]
    if not inner:
        return None
    chosen = rng.choice(inner)
    shutil.rmtree(chosen)
    return f"directory {target.name(chosen)} deleted"


def exchange_with_twin(rng: Random, target: Target) -> str | None:
    """A file from another directory of the same kind."""
    if (file := target.pick(rng)) is None:
        return None
    other = target.twin / target.name(file)
    if not other.exists() or other.read_bytes() == file.read_bytes():
        return None
    shutil.copyfile(other, file)
    return f"{target.name(file)} replaced by another's"


def exchange_within(rng: Random, target: Target) -> str | None:
    """Two files of one suffix change places."""
    if (file := target.pick(rng)) is None:
        return None
    others = [p for p in target.files(file.suffix) if p != file and p.read_bytes() != file.read_bytes()]
    same_name = [p for p in others if p.name == file.name]
    if not others:
        return None
    other = rng.choice(same_name if same_name and rng.random() < 0.6 else others)
    one, two = file.read_bytes(), other.read_bytes()
    file.write_bytes(two)
    other.write_bytes(one)
    return f"{target.name(file)} and {target.name(other)} exchanged"


def exchange_directories(rng: Random, target: Target) -> str | None:
    """A whole directory with its manifest, from another of the same kind or from beside it."""
    inner = [p for p in sorted(target.folder.rglob("*")) if p.is_dir() and p.parent != target.folder]
    if not inner:
        return None
    chosen = rng.choice(inner)
    beside = [p for p in inner if p != chosen and p.parent == chosen.parent]
    source = target.twin / target.name(chosen)
    if beside and rng.random() < 0.5:
        source = rng.choice(beside)
    if not source.is_dir():
        return None
    where = target.name(source) if source.is_relative_to(target.folder) else "another's"
    aside = target.folder / "aside"
    shutil.copytree(source, aside)
    shutil.rmtree(chosen)
    aside.rename(chosen)
    return f"directory {target.name(chosen)} replaced by {where}"


def into_directory(rng: Random, target: Target) -> str | None:
    if (file := target.pick(rng)) is None:
        return None
    file.unlink()
    file.mkdir()
    return f"{target.name(file)} is a directory"


# --- JSON ------------------------------------------------------------------------------------------------------------

WHOLE_FILES = {
    "[]": b"[]",
    "empty": b"",
    "null": b"null",
    "a number": b"3",
    "a string": b'"manifest"',
    "{}": b"{}",
    "not UTF-8": b'{"kind": "\xff\xfe"}',
    "UTF-16": '{"kind": "tracks"}'.encode("utf-16"),
    "a deep nest": b"[" * 100_000,
    "a deep nest of keys": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of 100,000 digits": b'{"schema": ' + b"9" * 100_000 + b"}",
}
DEEP = 800
"""Depth of a nest that Python's json still reads."""
NUMBERS = (0, -1, 1, 2, 99, 1000, 10**9, 2**63, -(2**70), 0.5, 1e308)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    "x",
    "",
    3,
    1.5,
    [],
    {},
    [1],
    {"a": 1},
    [[]],
    "é\ud800".encode("utf-8", "ignore").decode(),
)


def json_whole(rng: Random, target: Target) -> str | None:
    if (file := target.pick(rng, ".json", ".jsonl")) is None:
        return None
    name = rng.choice(sorted(WHOLE_FILES))
    file.write_bytes(WHOLE_FILES[name])
    return f"{target.name(file)} is {name}"


def json_edit(rng: Random, target: Target) -> str | None:
    """One place in a JSON file, or in one line of a ledger: a number, a type, a key, a NaN."""
    if (file := target.pick(rng, ".json", ".jsonl")) is None:
        return None
    return edit_file(rng, file, target)


def manifest_edit(rng: Random, target: Target) -> str | None:
    manifests = [p for p in target.files(".json") if p.name == MANIFEST]
    return edit_file(rng, rng.choice(manifests), target) if manifests else None


def edit_file(rng: Random, file: Path, target: Target) -> str | None:
    lines = file.read_text().split("\n") if file.suffix == ".jsonl" else [file.read_text()]
    at = rng.randrange(max(1, len(lines) - 1)) if len(lines) > 1 else 0
    try:
        value = json.loads(lines[at])
    except ValueError:
        return None
    what = edit(rng, value)
    if what is None:
        return None
    lines[at] = json.dumps(value, indent=None if file.suffix == ".jsonl" else 1)
    file.write_text("\n".join(lines))
    return f"{target.name(file)}: {what}"


def edit(rng: Random, value: Any) -> str | None:
    """Change one place in a nest of JSON values, and say how."""
    places = list(_places(value))
    if not places:
        return None
    top = [place for place in places if len(place[2]) == 1]
    holder, key, path = rng.choice(top if top and rng.random() < 0.4 else places)
    name, old = ".".join(map(str, path)), holder[key]
    choice = rng.random()
    if choice < 0.2:
        del holder[key]
        return f"{name} dropped"
    if choice < 0.6 and isinstance(old, int | float) and not isinstance(old, bool):
        holder[key] = rng.choice((*NUMBERS, old + 1, -old, float("nan"), float("inf")))
    elif choice < 0.6 and isinstance(old, str):
        holder[key] = rng.choice((old[::-1], old + "x", "", "../outside", "/etc/hostname", "a" * 10_000, "\0"))
    elif choice < 0.7 and isinstance(old, list) and old != old[::-1]:
        holder[key] = old[::-1]
        return f"{name} reversed"
    elif choice < 0.75:
        holder[key] = _nest(DEEP)
        return f"{name} is a nest of {DEEP}"
    else:
        holder[key] = rng.choice(OTHERS)
    if repr(holder[key]) == repr(old):
        return None
    return f"{name} from {str(old)[:40]!r} to {str(holder[key])[:40]!r}"


def _nest(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    if len(path) > 12:
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items)[:300]:
        yield value, key, (*path, key)
        yield from _places(item, (*path, key))


# --- lines -----------------------------------------------------------------------------------------------------------


def lines_edit(rng: Random, target: Target) -> str | None:
    """A ledger with a line blank, halved, repeated, dropped, moved or foreign."""
    if (file := target.pick(rng, ".jsonl")) is None or not (lines := file.read_text().splitlines()):
        return None
    at = rng.randrange(len(lines))
    what = rng.choice(("blank", "halved", "repeated", "dropped", "moved", "foreign", "not UTF-8", "last cut"))
    if what in ("blank", "foreign"):
        lines.insert(at, {"blank": "", "foreign": '{"a": 1}'}[what])
    elif what == "halved":
        lines[at] = lines[at][: len(lines[at]) // 2]
    elif what == "repeated":
        lines.insert(at, lines[at])
    elif what == "dropped":
        lines.pop(at)
    elif what == "moved":
        lines.append(lines.pop(at))
    text = "\n".join(lines) + "\n"
    if what == "last cut":
        text = text[: -rng.randrange(2, 30)]
    file.write_bytes(text.encode() if what != "not UTF-8" else text.encode().replace(b'"', b"\xff", 3))
    return f"{target.name(file)}: line {at} {what}"


# --- paths that lead outside -----------------------------------------------------------------------------------------


def outside(rng: Random, target: Target) -> str | None:
    """A name inside the directory that leads to another's file: `../outside`, an absolute path, a link."""
    place = target.folder / "outside"
    tensors = target.files(".safetensors")
    shards = [p for p in tensors if p.name.startswith("shard-")]
    models = [p for p in tensors if p.name == "model.safetensors"]
    if shards and rng.random() < 0.8:
        return _outside_shard(rng, target, rng.choice(shards), place)
    if models and rng.random() < 0.7:
        return _outside_weights(rng, target, rng.choice(models), place)
    file = target.pick(rng)
    if file is None or not (other := target.twin / target.name(file)).exists():
        return None
    if other.read_bytes() == file.read_bytes():
        return None
    place.mkdir()
    shutil.copyfile(other, place / file.name)
    file.unlink()
    file.symlink_to(place / file.name)
    return f"{target.name(file)} is a link to another's file outside"


def _outside_shard(rng: Random, target: Target, shard: Path, place: Path) -> str:
    place.mkdir()
    twin = target.twin / target.name(shard.parent)
    facts = json.loads((twin / f"{shard.stem}.json").read_text())
    for suffix in (".safetensors", ".parquet"):
        shutil.copyfile((twin / shard.name).with_suffix(suffix), place / f"{shard.stem}{suffix}")
    name = rng.choice((f"../outside/{shard.stem}", str(place.absolute() / shard.stem)))
    for file in (shard.parent / MANIFEST, shard.with_suffix(".json")):
        content = json.loads(file.read_text())
        entries = content["shards"] or [] if file.name == MANIFEST else [content]
        for entry in entries:
            if entry["name"] == shard.stem:
                entry |= {**facts, "name": name}
        file.write_text(json.dumps(content))
    return f"shard {target.name(shard)} is named {name}"


def _outside_weights(rng: Random, target: Target, weights: Path, place: Path) -> str:
    place.mkdir()
    other = target.twin / target.name(weights)
    shutil.copyfile(other if other.exists() else weights, place / "x.safetensors")
    deep = len(weights.parent.relative_to(target.folder).parts)
    name = rng.choice(("../" * deep + "outside/x.safetensors", str(place.absolute() / "x.safetensors")))
    length = int.from_bytes(weights.read_bytes()[:8], "little")
    keys = [key for key in json.loads(weights.read_bytes()[8 : 8 + length]) if key != "__metadata__"]
    weights.unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(keys, name)}
    (weights.parent / "model.safetensors.index.json").write_text(json.dumps(index))
    return f"{target.name(weights.parent)}: the index of the weights names {name}"


# --- bombs -----------------------------------------------------------------------------------------------------------


def bomb(rng: Random, target: Target) -> str | None:
    """A file that is small, or of a hundred megabytes of text, and takes gigabytes to read."""
    file = target.pick(rng)
    bombs = {
        ".parquet": ("zeros.parquet",),
        ".safetensors": ("header.safetensors", "long-header.safetensors"),
        ".json": ("huge.json",),
        ".jsonl": ("huge.jsonl",),
    }
    if file is None or file.suffix not in bombs:
        return None
    name = rng.choice(bombs[file.suffix])
    shutil.copyfile(target.bombs / name, file)
    return f"{target.name(file)} is the bomb {name}"


def make_bombs(directory: Path) -> None:
    """Write the bombs. It takes two gigabytes of memory: call it in a child."""
    import polars as pl

    directory.mkdir(parents=True, exist_ok=True)
    zeros = pl.DataFrame({"length": pl.zeros(1, eager=True).new_from_index(0, 150_000_000)})
    zeros.write_parquet(directory / "zeros.parquet", compression="zstd")
    (directory / "header.safetensors").write_bytes((2**40).to_bytes(8, "little") + b"{}")
    entry = b'"w%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
    header = (
        b"{" + b"".join(entry % i for i in range(1_000_000)) + b'"z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    )
    (directory / "long-header.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (directory / "huge.json").write_bytes(b'{"kind": [' + b"[]," * 30_000_000 + b"1]}")
    (directory / "huge.jsonl").write_bytes(b'{"step": 0, "reward": 0.5}\n' * 3_000_000)


# --- all of them -----------------------------------------------------------------------------------------------------


def strip_checksums(folder: Path) -> bool:
    """Make every manifest one of an older version, without checksums. Says whether there were any."""
    had_some = False
    for file in folder.rglob(MANIFEST):
        manifest = json.loads(file.read_text())
        kept = {key: value for key, value in manifest.items() if key not in CHECKSUM_ENTRIES}
        had_some |= len(kept) < len(manifest)
        file.write_text(json.dumps(kept))
    return had_some


def lacks_checksums(folder: Path, whole: Path) -> bool:
    """Whether a directory has lost the checksums that the undamaged one has, and is still there."""
    for file in whole.rglob(MANIFEST):
        own = folder / file.relative_to(whole)
        is_there = own.parent.is_dir() and any(own.parent.iterdir())
        if is_there and _states_checksums(file) and not _states_checksums(own):
            return True
    return False


def _states_checksums(file: Path) -> bool:
    """Whether a manifest has checksums, or is too damaged to be one of an older version."""
    if not file.is_file():
        return file.exists()
    if file.stat().st_size > 10_000_000:
        return True
    try:
        manifest = json.loads(file.read_text())
    except (ValueError, RecursionError):
        return True
    return not isinstance(manifest, dict) or "kind" not in manifest or any(key in manifest for key in CHECKSUM_ENTRIES)


DAMAGES: dict[str, tuple[Damage, int]] = {
    "flip": (flip, 20),
    "truncate": (truncate, 10),
    "zero": (zero, 6),
    "append": (append, 5),
    "delete": (delete, 7),
    "delete directory": (delete_directory, 3),
    "exchange with another": (exchange_with_twin, 8),
    "exchange within": (exchange_within, 7),
    "exchange directories": (exchange_directories, 5),
    "into a directory": (into_directory, 2),
    "whole JSON": (json_whole, 7),
    "JSON edit": (json_edit, 14),
    "manifest edit": (manifest_edit, 10),
    "lines": (lines_edit, 6),
    "outside": (outside, 6),
    "bomb": (bomb, 3),
}
"""Each damage with its weight."""
