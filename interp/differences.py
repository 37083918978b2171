"""What is not alike in two makings, by name: what a refusal has to tell."""

from collections.abc import Iterator, Mapping
from typing import Any


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
