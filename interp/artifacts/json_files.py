"""JSON files: whole documents, and logs of one record per line whose damage is noticed.

A line of a log ends in its own checksum, `{"step": 3, ..., "checksum": "..."}`, since a log grows after its manifest
was written. Lines of earlier versions have none and are read as they are.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from interp.artifacts.configs import to_json
from interp.artifacts.errors import BadInput
from interp.artifacts.fingerprints import fingerprint_config
from interp.artifacts.foreign_errors import reading, refusing_failed_writes

MAX_BYTES = 16_000_000
"""Largest JSON document that is parsed, unless a reader allows more."""
MAX_DEPTH = 64
CHECKSUM = "checksum"
T = TypeVar("T")


def parse_json(file: Path, noun: str = "JSON", *, max_bytes: int = MAX_BYTES, constants: bool = False) -> Any:
    """The value in a JSON file. Text that does not parse and a document of absurd size are refused.

    NaN and Infinity are too, unless `constants`: other programs write them, we never do."""
    refuse = None if constants else _refuse_constant
    with reading(file, noun, remedy="copy it again"):
        if (size := file.stat().st_size) > max_bytes:
            raise BadInput(f"{file}: expected {noun} of up to {max_bytes:,} bytes, got {size:,}: copy it again")
        try:
            return _shallow(json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse))
        except (ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise BadInput(
                f"{file}: expected {noun}, got text that does not parse ({reason}): copy it again"
            ) from error


def append_line(file: Path, record: Mapping[str, Any], *, owner: str = "") -> None:
    """Add a record to a log, with its checksum."""
    with refusing_failed_writes(file), file.open("a", encoding="utf-8") as handle:
        handle.write(log_line(record, owner=owner))


def log_line(record: Mapping[str, Any], *, owner: str = "") -> str:
    """A record as a line of a log. With an `owner`, a fingerprint, the line counts in the log of that owner alone."""
    record = to_json(record)
    return json.dumps({**record, CHECKSUM: _checksum(record, owner)}, allow_nan=False) + "\n"


def read_lines(file: Path, *, owner: str = "") -> Iterator[dict[str, Any]]:
    """The records of a log, one at a time; none if there is no file. A last line that a kill cut short is left out."""
    if not file.exists():
        return
    with reading(file, "one JSON record per line"), file.open("rb") as handle:
        number = 0
        while line := handle.readline(MAX_BYTES):
            number += 1
            if not line.endswith(b"\n") and not _is_record(line):
                return
            record = _parse_line(file, number, line)
            checksum = record.pop(CHECKSUM, None)
            if checksum is not None and checksum != (got := _checksum(record, owner)):
                raise BadInput(
                    f"{file}, line {number}: expected a record of this log with checksum {checksum}, got {got}: it was "
                    "changed after it was written, or is of another log. Copy the file again, or make it again"
                )
            yield record


def _parse_line(file: Path, number: int, line: bytes) -> dict[str, Any]:
    with reading(f"{file}, line {number}", "a JSON record", remedy="copy the file again"):
        record = _shallow(json.loads(line.decode("utf-8"), parse_constant=_refuse_constant))
        if not isinstance(record, dict):
            raise TypeError(f"a {type(record).__name__}")
        return record


def _checksum(record: Mapping[str, Any], owner: str) -> str:
    return fingerprint_config({owner: record} if owner else record)


def _is_record(line: bytes) -> bool:
    """Whether a last line without a newline is whole: files edited by hand often lack the last newline."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _shallow(value: T) -> T:
    """The value itself; refused if it is nested so deeply that no reader of ours wrote it."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        children = (child for item in level for child in (item.values() if isinstance(item, dict) else item))
        if not (level := [child for child in children if isinstance(child, dict | list)]):
            return value
    raise RecursionError


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
