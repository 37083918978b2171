"""From tokens back to text, and which characters each token covers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Offsets = list[tuple[int, int]]


def decode_with_offsets(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> tuple[str, Offsets]:
    """The text of `ids`, special tokens included (one written in mid-answer must be seen, not hidden), and for each
    token the characters [start, end) it wrote. Tokens that together make one character all cover that character."""
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=False)
    backend: Any = tokenizer.backend_tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    text, offsets, waiting = "", [], 0
    for token in ids:
        waiting += 1
        piece = stream.step(backend, int(token))
        if piece is not None:
            offsets += [(len(text), len(text) + len(piece))] * waiting
            text, waiting = text + piece, 0
    if waiting:  # bytes that make no character, which the stream holds back
        rest = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)[len(text) :]
        offsets += [(len(text), len(text) + len(rest))] * waiting
        text += rest
    return text, offsets
