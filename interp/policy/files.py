"""The files of a policy directory: which ones are read, and whether they are as they were written.

A directory that interp wrote has a manifest with the checksum of each file. What is read is compared with it first. A
plain Hugging Face directory has none, and is read as it is. No file outside the directory is named: shards lie beside
their index. (A file may be a link, as in the cache of a hub.)
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interp.artifacts import (
    MANIFEST,
    BadInput,
    Header,
    compare_file,
    compare_sizes,
    inside,
    parse_json,
    read_header,
    read_manifest,
    reading,
    recorded_files,
    recover,
)
from interp.artifacts.json_files import MAX_BYTES
from interp.artifacts.manifests import is_ours, own_manifest
from interp.policy.adapter_files import ADAPTER_CONFIG, Adapter, base_of, is_adapter, read_adapter

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
CONFIG, GENERATION = "config.json", "generation_config.json"
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json", "vocab.json", "vocab.txt", "merges.txt"),
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
)
MAX_TOKENIZER = 64_000_000
"""Bytes of a tokenizer.json that are parsed: that of 260,000 tokens takes half."""
READ = (CONFIG, GENERATION, INDEX, ADAPTER_CONFIG, *TOKENIZER_FILES)
"""Files that a policy is read from, beside its weights. Any other file may be added to a directory, or changed."""
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def check_config(path: Path, base: str | Path | None = None) -> dict[str, Any]:
    """The config.json of a model directory, or of an adapter's base; refused unless it holds one complete model.

    `base` is the base of an adapter, where its own config does not name a directory that is here."""
    if (pair := adapter_and_base(path, base)) is not None:
        return check_config(pair[1])
    file = path / CONFIG
    compare_files(path, weights=False)
    if not file.exists():
        is_run = any(path.glob("checkpoint-*/*config.json"))
        remedy = ": name one of its checkpoints, or open it as a series (from_dir, --series)" if is_run else ""
        raise BadInput(f"{path}: expected config.json, got {_listing(path)}{remedy}")
    config = read_object(file)
    if "auto_map" in config:
        raise BadInput(
            f"{path}: this model needs code from its own directory ({config['auto_map']}), which is never run"
        )
    return config


def adapter_and_base(path: Path, base: str | Path | None = None) -> tuple[Adapter, Path] | None:
    """An adapter and the directory of its base; None for a directory with a whole model."""
    recover(path)
    if not path.is_dir():
        raise BadInput(f"{path}: expected a local Hugging Face directory, got {_what_is_there(path)}")
    if not is_adapter(path):
        if base is not None:
            raise BadInput(f"{path}: expected an adapter, to go with the base {base}; got a directory without one")
        return None
    if (path / CONFIG).exists():
        raise BadInput(
            f"{path}: expected a model or an adapter, got both ({CONFIG}, {ADAPTER_CONFIG}): delete the one that is "
            "not meant"
        )
    compare_files(path, weights=False)
    adapter = read_adapter(path)
    base_path = base_of(adapter, base)
    if is_adapter(base_path):
        raise BadInput(
            f"{path}: expected a whole model as the base of an adapter, got the adapter {base_path}: save that one "
            "merged, and name it (base, --base)"
        )
    return adapter, base_path


def tokenizer_directory(path: Path, base: str | Path | None = None) -> Path:
    """Where a policy's tokenizer lies: beside its weights; for an adapter that has none, beside its base's."""
    if any((path / name).exists() for name in ("tokenizer.json", "tokenizer_config.json")):
        return path
    pair = adapter_and_base(path, base)
    return path if pair is None else pair[1]


def check_weights(path: Path) -> list[Path]:
    """The safetensors files of a model's directory, or of an adapter's base. A missing or incomplete one is refused."""
    if (pair := adapter_and_base(path)) is not None:
        return check_weights(pair[1])
    single, index = path / WEIGHTS, path / INDEX
    files = [single]  # where both exist, transformers loads the single file
    if index.exists() and not single.exists():
        files = [inside(path, name) for name in _indexed_names(index)]
    for file in files:
        if not file.exists():
            pickles = [p.name for pattern in PICKLES for p in sorted(path.glob(pattern))]
            got = f"pickled weights ({', '.join(pickles)}), which are never opened" if pickles else _listing(path)
            raise BadInput(f"{path}: expected {file.name}, got {got}: save the model with safe_serialization=True")
        read_header(file)
    return files


def read_headers(files: list[Path]) -> Header:
    """The shape of every tensor in these files; refused if two of them hold the same."""
    shapes: Header = {}
    for file in files:
        header = read_header(file)
        if repeated := sorted(shapes.keys() & header.keys()):
            raise BadInput(f"{file}: expected tensors of its own, got {repeated[0]} again: save the model again")
        shapes |= header
    return shapes


def read_object(file: Path) -> dict[str, Any]:
    """The entries of a JSON file of another program: NaN and Infinity are read. Tokenizers may be large."""
    max_bytes = MAX_TOKENIZER if file.name == "tokenizer.json" else MAX_BYTES
    value = parse_json(file, max_bytes=max_bytes, constants=True)
    if not isinstance(value, dict):
        raise BadInput(f"{file}: expected JSON with entries by name, got a {type(value).__name__}: copy it again")
    if is_ours(value):
        raise BadInput(f"{file}: expected the file of a policy, got a {MANIFEST}: were two files exchanged?")
    return value


def compare_files(path: Path, *, weights: bool) -> None:
    """Refuse a directory of ours whose files are not as they were written. Of its weights only sizes are compared,
    unless `weights`."""
    with _changed_on_purpose(path):
        if (records := _records(path)) is None:
            return
        compare_sizes(path, records)
        for name in records:
            if weights or not name.endswith(".safetensors"):
                compare_file(path, name, records)
        present = [file.name for file in path.iterdir() if file.name in READ or file.suffix == ".safetensors"]
        if added := sorted(name for name in present if name not in records):
            raise BadInput(f"{path / added[0]}: expected only files that were written with the policy: delete it")


def recorded_step(path: Path) -> int | None:
    """The step of training that the manifest of a checkpoint of ours states."""
    manifest = own_manifest(path) or {}
    return manifest.get("step") if manifest.get("kind") == "checkpoint" else None


def _records(path: Path) -> dict[str, dict[str, Any]] | None:
    """Size and checksum of each file that a policy is read from. None without a manifest of ours, or in one of an
    earlier version."""
    if (manifest := own_manifest(path)) is None:
        return None
    records = recorded_files(read_manifest(path, manifest.get("kind", "checkpoint")))
    of_policy = {name: record for name, record in records.items() if name in READ or name.endswith(".safetensors")}
    return of_policy or None


@contextmanager
def _changed_on_purpose(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        raise BadInput(
            f"{error}. If you changed it on purpose, copy {path} elsewhere and delete its {MANIFEST} there"
        ) from error


def _indexed_names(index: Path) -> list[str]:
    """The files that an index names, all of them beside it."""
    with reading(index, "the safetensors file of each weight", remedy="copy it again"):
        names = sorted(set(read_object(index)["weight_map"].values()))
        if other := [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]:
            raise BadInput(f"{index}: expected names of safetensors files beside it, got {other[0]!r}: copy it again")
        if not names:
            raise BadInput(f"{index}: expected names of safetensors files, got none: copy it again")
    return names


def _what_is_there(path: Path) -> str:
    """What lies at a path that is no directory, and what to do."""
    if path.suffix == ".gguf" and path.exists():
        return f"a GGUF file: make a directory of it first (interp import-gguf {path} --out DIRECTORY)"
    if path.exists():
        return "a file: name the directory it lies in"
    if not _HUB_NAME.fullmatch(str(path)):
        return "nothing there (models of a hub are not fetched: download it first)"
    cached = sorted(_hub_cache().glob(f"models--{str(path).replace('/', '--')}/snapshots/*/{CONFIG}"))
    if cached:
        return f"the name of a model on a hub; it is in the cache of this machine: name {cached[-1].parent}"
    return (
        "nothing there. If it is the name of a model on a hub: none is fetched; on a machine with a network, "
        f"hf download {path} --local-dir DIRECTORY, copy that here and name it"
    )


def _hub_cache() -> Path:
    """Where huggingface_hub keeps what it has downloaded."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def _listing(path: Path) -> str:
    names = sorted(p.name for p in path.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "an empty one"
