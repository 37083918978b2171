"""The header of a safetensors file, read within bounds before any library opens the file.

The file states its own length: eight bytes, a header, and the tensors that the header lists. So one that was cut short
or grew is refused without reading its tensors, and a header of absurd size without reading it.
"""

import json
import struct
from pathlib import Path

from interp.artifacts.errors import BadInput
from interp.artifacts.foreign_errors import reading

MAX_HEADER = 10_000_000
"""Bytes of a header that are read: 100,000 tensors take about as much."""
Header = dict[str, tuple[int, ...]]
"""The shape of each tensor, by name."""


def read_header(file: Path) -> Header:
    """The shapes in a safetensors file. One that is cut short is refused."""
    with reading(file, "a safetensors header", remedy="copy it again"):
        size = file.stat().st_size
        with file.open("rb") as handle:
            prefix = handle.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
            if 8 + length > size:
                raise BadInput(f"{file}: expected a safetensors header, got a file cut short at {size} bytes")
            if length > MAX_HEADER:
                raise BadInput(f"{file}: expected a safetensors header of up to {MAX_HEADER:,} bytes, got {length:,}")
            try:
                header = json.loads(handle.read(length))
            except ValueError as error:
                raise BadInput(
                    f"{file}: expected a safetensors header, got bytes that do not parse ({error})"
                ) from error
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends = [entry["data_offsets"][1] for entry in entries.values()]
        if (expected := 8 + length + max(ends, default=0)) != size:
            raise BadInput(f"{file}: expected {expected} bytes by its own header, got {size}: copy it again")
        return {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
