"""From tokens back to text, and which characters each token covers."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Offsets = list[tuple[int, int]]
NO_CHARACTER = "\ufffd"
"""What tokenizers show for bytes that make no character, or none yet."""


def decode_with_offsets(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> tuple[str, Offsets]:
    """The text of `ids`, special tokens included (one written in mid-answer must be seen, not hidden), and for each
    token the characters [start, end) it wrote. Tokens that together make one character all cover that character."""
    ids = [int(token) for token in ids]
    text = _decode(tokenizer, ids)
    return text, _streamed(tokenizer, ids, text) or _by_prefixes(tokenizer, ids, text)


def _decode(tokenizer: "PreTrainedTokenizerBase", ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)  # pyright: ignore[reportReturnType]


def _streamed(tokenizer: "PreTrainedTokenizerBase", ids: list[int], text: str) -> Offsets | None:
    """Token by token, in linear time; None where the stream does not give `text`."""
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=False)
    backend: Any = tokenizer.backend_tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    written, offsets, waiting = "", [], 0
    for token in ids:
        waiting += 1
        try:
            piece = stream.step(backend, token)
        except Exception:  # it raises nothing narrower when bytes turn out to make no character
            return None
        if piece is not None:
            offsets += [(len(written), len(written) + len(piece))] * waiting
            written, waiting = written + piece, 0
    if not text.startswith(written) or (text != written and not waiting):
        return None
    return offsets + [(len(written), len(text))] * waiting


def _by_prefixes(tokenizer: "PreTrainedTokenizerBase", ids: list[int], text: str) -> Offsets:
    """From what each beginning of `ids` has in common with the whole: always right, in quadratic time."""
    reached, offsets, waiting = 0, [], 0
    for count in range(1, len(ids) + 1):
        waiting += 1
        beginning = _decode(tokenizer, ids[:count]).rstrip(NO_CHARACTER)
        end = len(os.path.commonprefix([beginning, text]))
        if end > reached:
            offsets += [(reached, end)] * waiting
            reached, waiting = end, 0
    return offsets + [(reached, len(text))] * waiting
