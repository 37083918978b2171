"""What the parts of a synthetic report share: chunks, texts, its size, and numbers with intervals."""

import gzip
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from dashboard.hostile import HOSTILE

ROLES = ("none", "reasoning", "computation", "shortcut", "format")
VERDICTS = ("strengthened", "weakened", "unchanged", "undecided", "too rare", "too few prompts")
SPLIT = ("\\xf0", "\\x9f", "\\x98", "\\x80", "\\xe2", "\\x82", "\\xac", "\\xff")
"""Tokens that are parts of a code point, as Python writes them."""
WORDS = (
    *map(str, range(100)), "+", "-", "*", "/", "=", ";", "\n", "ans", ":", "<eos>", " the", " sum", " of", " and",
    " so", " then", " first", " half", " twice", " remaining", " eggs", " altogether", "Ġ", "▁", " é", " 数", "🙂", " ",
    "\t", "\\n",
)  # fmt: skip


class Chunks:
    """Arrays and JSON by name: their gzip, and what the index says of them."""

    def __init__(self) -> None:
        self.bytes: dict[str, bytes] = {}
        self.index: dict[str, dict[str, Any]] = {}

    def array(self, name: str, values: Any, dtype: str) -> str:
        array = np.ascontiguousarray(values).astype("<" + dtype)
        return self._add(name, array.tobytes(), dtype, list(array.shape))

    def json(self, name: str, value: Any) -> str:
        return self._add(name, json.dumps(value).encode(), "json", [])

    def _add(self, name: str, content: bytes, dtype: str, shape: list[int]) -> str:
        self.bytes[name] = gzip.compress(content, 6, mtime=0)
        self.index[name] = {"dtype": dtype, "shape": shape}
        return name


class Texts:
    """Names and sentences; in a hostile report each is one of the hostile strings, in turn."""

    def __init__(self, hostile: bool) -> None:
        self.hostile, self.turn = hostile, 0

    def __call__(self, plain: str) -> str:
        if not self.hostile:
            return plain
        self.turn += 1
        return HOSTILE[(self.turn - 1) % len(HOSTILE)]

    def names(self, plain: Sequence[str]) -> list[str]:
        """Names of one kind: they stay different from each other, and short enough to be names."""
        return [f"{self(name)[:200]} {place}" if self.hostile else name for place, name in enumerate(plain)]

    def vocabulary(self) -> list[str]:
        return [*WORDS, *SPLIT, *(HOSTILE if self.hostile else ())]


class Shape:
    """How large the report is, and what it has. The last three checkpoints are those of the second run."""

    def __init__(
        self, features: int, checkpoints: int, buckets: list[str], rollouts: int, tokens: int, has: frozenset[str]
    ) -> None:
        self.A, self.T, self.B, self.R = features, checkpoints, len(buckets), rollouts
        self.tokens, self.has, self.buckets = tokens, has, buckets
        self.latents = 3 * np.arange(features) + 1
        self.runs = {0: list(range(checkpoints)), 1: list(range(checkpoints, checkpoints + 3))}
        """Checkpoints of each run, its base first."""


def estimate(rng: np.random.Generator, value: float, width: float = 0.05) -> dict[str, Any]:
    low, high = value - width * rng.uniform(0.5, 1), value + width * rng.uniform(0.5, 1)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "n": int(rng.integers(40, 400))}
