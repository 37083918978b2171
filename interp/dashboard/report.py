"""A report under construction: named chunks, each compressed, and sentences about what is left out.

A report is one index, which is JSON, and chunks: arrays and further JSON that a reader's browser decodes when a view
needs them. In the index a chunk is named by a string, and `chunks` says its dtype and shape:

    u1 u2 u4 i4 f2 f4    little-endian numbers in C order; f2 is IEEE half precision
    json                 UTF-8 text, shape []

Equal chunks are stored once. `SCHEMA` grows when a reader of the old form would misread the new one.
"""

import gzip
import hashlib
import json
from typing import Any

import numpy as np

from interp.artifacts import to_json

SCHEMA = 1
JSON = "json"
DTYPES = ("u1", "u2", "u4", "i4", "f2", "f4")
NONE = 2**32 - 1
"""Stands for no latent in arrays of latents."""
LARGEST_HALF = float(np.finfo(np.float16).max)
LEVEL = 6
"""Level of compression."""


class Report:
    """Chunks by name, and what is left out."""

    def __init__(self) -> None:
        self.chunks: dict[str, bytes] = {}
        self.shapes: dict[str, dict[str, Any]] = {}
        """Dtype and shape of each chunk."""
        self.left_out: list[str] = []
        self._names: dict[bytes, str] = {}

    def add(self, name: str, values: Any, dtype: str) -> str:
        """Add an array. Returns the name of its chunk: that of an equal one, if there is one."""
        array = pack(values, dtype)
        return self._put(name, array.tobytes(), dtype, list(array.shape))

    def add_json(self, name: str, value: Any) -> str:
        """Add plain values. NaN is written as null."""
        return self._put(name, as_text(value).encode("ascii"), JSON, [])

    def leave_out(self, sentence: str) -> None:
        """Say what the report lacks, once."""
        if sentence not in self.left_out:
            self.left_out.append(sentence)

    def sizes(self) -> dict[str, int]:
        """Compressed bytes of each part: of the chunks whose names begin alike."""
        sizes: dict[str, int] = {}
        for name, chunk in self.chunks.items():
            part = name.split(".")[0]
            sizes[part] = sizes.get(part, 0) + len(chunk)
        return sizes

    def _put(self, name: str, content: bytes, dtype: str, shape: list[int]) -> str:
        assert name not in self.chunks, f"two chunks called {name}"
        key = hashlib.sha256(f"{dtype} {shape} ".encode() + content).digest()
        if key in self._names:
            return self._names[key]
        self._names[key] = name
        self.chunks[name] = gzip.compress(content, LEVEL, mtime=0)
        self.shapes[name] = {"dtype": dtype, "shape": shape}
        return name


def pack(values: Any, dtype: str) -> np.ndarray:
    """Values as an array of a dtype. Numbers too large for half precision become the largest that it has."""
    array = np.asarray(values)
    if dtype == "f2":
        array = np.clip(array.astype(np.float64), -LARGEST_HALF, LARGEST_HALF)
    elif dtype[0] in "ui" and array.size:
        bounds = np.iinfo(dtype)
        assert bounds.min <= array.min() and array.max() <= bounds.max, f"{array.min()} to {array.max()} as {dtype}"
    return np.ascontiguousarray(array, dtype=f"<{dtype}")


def unpack(content: bytes, dtype: str, shape: list[int]) -> Any:
    """The values of a compressed chunk."""
    data = gzip.decompress(content)
    return json.loads(data) if dtype == JSON else np.frombuffer(data, dtype=f"<{dtype}").reshape(shape)


def as_text(value: Any) -> str:
    """Plain values as JSON, in ASCII and without spaces."""
    return json.dumps(to_json(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
