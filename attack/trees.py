"""The files of a directory as plain values, to compare a disturbed run with an undisturbed one, bit for bit."""

import json
from pathlib import Path
from typing import Any

from attack.damage import CHECKSUM_ENTRIES

Tree = dict[str, Any]
LOCKS = ("lock", ".lock")


def read_tree(folder: Path) -> Tree:
    """Every file and empty directory by name, with its content: without dates, seconds, and checksums of these."""
    tree: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                tree[name] = "an empty directory"
        elif path.name.endswith(LOCKS):
            tree[name] = "a lock"
        elif path.suffix == ".json":
            tree[name] = _without_dates(path)
        elif path.name == "metrics.jsonl":
            tree[name] = [_without_seconds(line) for line in path.read_text().splitlines()]
        else:
            tree[name] = path.read_bytes()
    return tree


def differences(tree: Tree, expected: Tree) -> tuple[list[str], list[str], list[str]]:
    """Names that are missing, left over, and of another content."""
    missing, more = sorted(expected.keys() - tree.keys()), sorted(tree.keys() - expected.keys())
    return missing, more, sorted(name for name in tree.keys() & expected.keys() if tree[name] != expected[name])


def _without_dates(path: Path) -> Any:
    value = json.loads(path.read_text())
    if isinstance(value, dict):
        other = ("date", *CHECKSUM_ENTRIES)
        return {key: item for key, item in value.items() if key not in other and not key.endswith("seconds")}
    return value


def _without_seconds(line: str) -> Any:
    return {key: item for key, item in json.loads(line).items() if not key.startswith(("seconds", "checksum"))}
