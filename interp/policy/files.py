"""The files of a policy directory: which ones are read, and whether they are as they were written.

A directory that interp wrote has a manifest with the checksum of each file. What is read is compared with it first. A
plain Hugging Face directory has none, and is read as it is. No file outside the directory is named: shards lie beside
their index. (A file may be a link, as in the cache of a hub.)
"""

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
from interp.artifacts.manifests import own_manifest

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
READ = (CONFIG, GENERATION, INDEX, *TOKENIZER_FILES)
"""Files that a policy is read from, beside its weights. Any other file may be added to a directory, or changed."""


def check_config(path: Path) -> dict[str, Any]:
    """The config.json of a model directory; refused unless the directory holds one complete model."""
    recover(path)
    file = path / CONFIG
    if not path.is_dir():
        got = "a file" if path.exists() else "nothing there (models of a hub are not fetched: download it first)"
        raise BadInput(f"{path}: expected a local Hugging Face directory, got {got}")
    if (path / "adapter_config.json").exists():  # transformers would apply it silently
        raise BadInput(f"{path}: expected a whole model, got an adapter: merge it into its base and save that")
    compare_files(path, weights=False)
    if not file.exists():
        is_run = any(path.glob("checkpoint-*/config.json"))
        remedy = ": name one of its checkpoints, or open it as a series (from_dir, --series)" if is_run else ""
        raise BadInput(f"{path}: expected config.json, got {_listing(path)}{remedy}")
    config = read_object(file)
    if "auto_map" in config:
        raise BadInput(
            f"{path}: this model needs code from its own directory ({config['auto_map']}), which is never run"
        )
    return config


def check_weights(path: Path) -> list[Path]:
    """The safetensors files of a directory. A missing or incomplete one is refused."""
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


def _listing(path: Path) -> str:
    names = sorted(p.name for p in path.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "an empty one"
