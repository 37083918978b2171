"""Texts of single tokens, as a reader sees them one after another.

A token that holds a part of a character only is shown by its bytes: \\xe2 for the first byte of a three-byte sign.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from interp.policy.text import REPLACEMENT

if TYPE_CHECKING:
    from interp.policy import Policy

BYTE_PIECE = re.compile("<0x([0-9A-Fa-f]{2})>")
"""How tokenizers with byte fallback name a byte."""


class TokenTexts:
    """Numbers of token texts: a report stores each text once, in the order in which tokens come up."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._row_of: dict[int, int] = {}

    def add(self, policy: "Policy | None", ids: Iterable[int]) -> None:
        """Texts for all of these tokens. Without a policy, a token is shown by its id."""
        for token in dict.fromkeys(map(int, ids)):
            if token not in self._row_of:
                self._row_of[token] = len(self.texts)
                self.texts.append(f"[{token}]" if policy is None else token_text(policy, token))

    def row(self, token: int) -> int:
        return self._row_of[int(token)]

    def rows(self, ids: Iterable[int]) -> list[int]:
        return [self._row_of[int(token)] for token in ids]


def token_text(policy: "Policy", token: int) -> str:
    """The text of a token where others come before it: tokenizers drop the space before a first word."""
    before, text = policy.token_texts([token, token])
    if REPLACEMENT not in before + text and text:
        return text
    tokenizer: Any = policy.tokenizer
    piece = tokenizer.convert_ids_to_tokens(token)
    content = _bytes_of(piece) if isinstance(piece, str) else None
    return (text or str(piece)) if content is None else content.decode("utf-8", errors="backslashreplace")


def _bytes_of(piece: str) -> bytes | None:
    """The bytes that a piece of a vocabulary stands for: a byte by its name, or by the signs of byte-level BPE. None if
    it is neither."""
    if match := BYTE_PIECE.fullmatch(piece):
        return bytes([int(match[1], 16)])
    if all(sign in BYTE_OF_SIGN for sign in piece):
        return bytes(BYTE_OF_SIGN[sign] for sign in piece)
    return None


def _byte_signs() -> dict[str, int]:
    """The sign of each byte in byte-level BPE: printable bytes are themselves, the others follow from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


BYTE_OF_SIGN = _byte_signs()
