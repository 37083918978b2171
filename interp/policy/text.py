"""Tokens back to text, with the characters that each token covers."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Offsets = list[tuple[int, int]]
REPLACEMENT = "\ufffd"
"""The character that tokenizers show for bytes that form no character, or none yet."""


def decode_with_offsets(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> tuple[str, Offsets]:
    """The text of `ids`, and for each token its characters [start, end).

    Special tokens are part of the text: one in mid-answer must be visible. Tokens that form one character together all
    cover that character."""
    ids = [int(token) for token in ids]
    text = _decode(tokenizer, ids)
    return text, _offsets_by_stream(tokenizer, ids, text) or _offsets_by_prefix(tokenizer, ids, text)


def special_token_in(tokenizer: "PreTrainedTokenizerBase", text: str) -> str | None:
    """The first of a tokenizer's special tokens that is written out in `text`: it would be read as that token."""
    added = tokenizer.added_tokens_decoder.values()  # pyright: ignore[reportAttributeAccessIssue]
    special = {*map(str, tokenizer.all_special_tokens), *(token.content for token in added if token.special)}
    places = [(place, token) for token in special if token and (place := text.find(token)) >= 0]
    return min(places)[1] if places else None


def _decode(tokenizer: "PreTrainedTokenizerBase", ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)  # pyright: ignore[reportReturnType]


def _offsets_by_stream(tokenizer: "PreTrainedTokenizerBase", ids: list[int], text: str) -> Offsets | None:
    """Offsets from decoding token by token, in linear time. None where the stream does not reproduce `text`."""
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=False)
    backend: Any = tokenizer.backend_tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    prefix, offsets, waiting = "", [], 0  # `waiting` tokens whose character is not complete
    for token in ids:
        waiting += 1
        try:
            piece = stream.step(backend, token)
        except Exception:  # it raises nothing narrower when bytes turn out to form no character
            return None
        if piece is not None:
            offsets += [(len(prefix), len(prefix) + len(piece))] * waiting
            prefix, waiting = prefix + piece, 0
    if not text.startswith(prefix) or (text != prefix and not waiting):
        return None
    return offsets + [(len(prefix), len(text))] * waiting


def _offsets_by_prefix(tokenizer: "PreTrainedTokenizerBase", ids: list[int], text: str) -> Offsets:
    """Offsets from decoding every prefix of `ids`: exact for any tokenizer, in quadratic time."""
    start, offsets, waiting = 0, [], 0
    for count in range(1, len(ids) + 1):
        waiting += 1
        prefix = _decode(tokenizer, ids[:count]).rstrip(REPLACEMENT)
        end = len(os.path.commonprefix([prefix, text]))
        if end > start:
            offsets += [(start, end)] * waiting
            start, waiting = end, 0
    return offsets + [(start, len(text))] * waiting
