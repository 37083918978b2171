"""The header of a GGUF file: what the model is, and where each tensor lies. No tensor is read.

    GGUF, version, number of tensors, number of entries
    entries     name, type, value: strings, numbers, arrays of either
    tensors     name, shape (fastest dimension first), type, place in the data that follows

Every length is compared with the size of the file before anything is read or made, so that a truncated file, or one
that states absurd numbers, is refused at once. Of arrays (the vocabulary, the merges) only the length is kept.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput, reading

MAGIC, VERSIONS = b"GGUF", (2, 3)
STRING, ARRAY = 8, 9
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Of the numbers, by the type that the file states."""
MAX_ARRAY = 20_000_000
"""Entries of an array: a vocabulary has up to 300,000 tokens."""
MAX_DIMENSIONS = 8
ALIGNMENT = 32
"""The data begin at a multiple of this, unless an entry states another."""
DOWNLOAD = "download it again"


@dataclass(frozen=True)
class GgufTensor:
    """A tensor of a GGUF file."""

    name: str
    n_elements: int
    type_id: int
    offset: int
    """From the beginning of the data."""


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file states about itself."""

    entries: Mapping[str, Any]
    """Its metadata. Of an array, the length."""
    tensors: tuple[GgufTensor, ...]
    data_start: int
    n_bytes: int
    """Size of the file."""

    @property
    def architecture(self) -> str:
        return str(self.entries.get("general.architecture", "none"))

    @property
    def n_elements(self) -> int:
        return sum(tensor.n_elements for tensor in self.tensors)

    @property
    def n_vocabulary_entries(self) -> int:
        """Tokens, their scores and types, and merges."""
        lengths = (self.entries.get(f"tokenizer.ggml.{name}") for name in ("tokens", "scores", "token_type", "merges"))
        return sum(length for length in lengths if isinstance(length, int))

    @property
    def has_chat_template(self) -> bool:
        return bool(self.entries.get("tokenizer.chat_template"))


def read_gguf_header(file: Path) -> GgufHeader:
    """The header of a file; refused unless it is a whole GGUF header of a version that is known."""
    if not file.is_file():
        raise BadInput(f"{file}: expected a GGUF file, got {'a directory' if file.is_dir() else 'nothing there'}")
    with file.open("rb") as handle:
        if (first := handle.read(len(MAGIC))) != MAGIC:
            raise BadInput(
                f"{file}: expected a GGUF file, which begins with {MAGIC!r}; got {first!r}: is it another's?"
            )
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data, reading(file, "GGUF", remedy=DOWNLOAD):
            return _Cursor(file, data).header()


class _Cursor:
    """A place in a file that moves on with each value that is read."""

    def __init__(self, file: Path, data: mmap.mmap) -> None:
        self.file, self.data, self.place = file, data, len(MAGIC)

    def header(self) -> GgufHeader:
        if (version := self.number("I")) not in VERSIONS:
            raise BadInput(f"{self.file}: expected GGUF version 2 or 3, got {version}: convert it with a newer program")
        n_tensors, n_entries = self.number("Q"), self.number("Q")
        entries: dict[str, Any] = {}
        for _ in range(n_entries):
            name = self.string()
            entries[name] = self.value(self.number("I"))
        tensors = tuple(self.tensor() for _ in range(n_tensors))
        alignment = entries.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or alignment < 1:
            raise BadInput(f"expected an alignment of 1 or more, got {alignment!r}: {DOWNLOAD}")
        return GgufHeader(entries, tensors, math.ceil(self.place / alignment) * alignment, len(self.data))

    def step(self, size: int) -> int:
        """Move over `size` bytes, and return where they begin."""
        start, self.place = self.place, self.place + size
        if self.place > len(self.data):
            raise BadInput(f"expected a whole GGUF file, got one that ends inside its header: {DOWNLOAD}")
        return start

    def number(self, form: str) -> Any:
        form = f"<{form}"
        return struct.unpack_from(form, self.data, self.step(struct.calcsize(form)))[0]

    def string(self) -> str:
        size = self.number("Q")
        start = self.step(size)
        return self.data[start : start + size].decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        if kind in FORMATS:
            return self.number(FORMATS[kind])
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            raise BadInput(f"expected an entry of a type that GGUF has, got type {kind}: {DOWNLOAD}")
        kind, length = self.number("I"), self.number("Q")
        if length > MAX_ARRAY or kind not in (*FORMATS, STRING):
            raise BadInput(f"expected arrays of up to {MAX_ARRAY:,} numbers or strings, got {length:,} of type {kind}")
        if kind == STRING:
            for _ in range(length):
                self.step(self.number("Q"))
        else:
            self.step(length * struct.calcsize(f"<{FORMATS[kind]}"))
        return length

    def tensor(self) -> GgufTensor:
        name, n_dimensions = self.string(), self.number("I")
        if n_dimensions > MAX_DIMENSIONS:
            raise BadInput(f"expected tensors of up to {MAX_DIMENSIONS} dimensions, got {n_dimensions}: {DOWNLOAD}")
        shape = [self.number("Q") for _ in range(n_dimensions)]
        return GgufTensor(name, math.prod(shape), self.number("I"), self.number("Q"))
