"""Stop texts: which rows of a batch have written one.

A stop text can be spread over tokens in many ways, so text is compared, not tokens. Only a token that holds the last
character of a stop text can complete one: the text of a row is looked at after such a token alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.policy.text import REPLACEMENT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BYTES_OF_CHARACTER = 4
"""A character is at most so many tokens, one for each of its bytes in UTF-8."""
WORD_START = "\u2581"
"""The sign for a space in the vocabularies of SentencePiece, whose decoders drop a space at the start of a text."""


_known_tokens: WeakKeyDictionary[Any, dict[str, frozenset[int]]] = WeakKeyDictionary()
"""What `_tokens_with` found for each tokenizer: a large vocabulary takes a second, and a run asks at every step."""


class StopTexts:
    """The stop texts of a batch, and the tokens that can complete one."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> None:
        self.tokenizer, self.texts = tokenizer, tuple(texts)
        self.window = BYTES_OF_CHARACTER * max(map(len, texts), default=0) + BYTES_OF_CHARACTER
        """Tokens from the end of a row that hold a stop text which its last token completes."""
        self.last_tokens = _tokens_with(tokenizer, {text[-1] for text in texts})

    def __bool__(self) -> bool:
        return bool(self.texts)

    def completed(self, tokens_B: Int[Tensor, " B"], written_BL: Int[Tensor, "B L"]) -> Bool[Tensor, " B"]:
        """The rows whose last token, in `tokens_B`, completes a stop text. `written_BL` are all tokens of each row, the
        last included."""
        completed = torch.zeros(len(tokens_B), dtype=torch.bool)
        for row, token in enumerate(tokens_B.tolist()):
            if token in self.last_tokens:
                text: Any = self.tokenizer.decode(
                    written_BL[row, -self.window :].tolist(),
                    skip_special_tokens=False,
                    clean_up_tokenization_spaces=False,
                )
                completed[row] = any(stop in text for stop in self.texts)
        return completed.to(tokens_B.device)


def _tokens_with(tokenizer: "PreTrainedTokenizerBase", letters: set[str]) -> frozenset[int]:
    """Tokens whose text holds one of these characters, or a part of some character."""
    if not letters:
        return frozenset()
    by_letters, key = _known_tokens.setdefault(tokenizer, {}), "".join(sorted(letters))
    if key not in by_letters:
        by_letters[key] = _search_vocabulary(tokenizer, letters)
    return by_letters[key]


def _search_vocabulary(tokenizer: "PreTrainedTokenizerBase", letters: set[str]) -> frozenset[int]:
    ids = sorted(set(tokenizer.get_vocab().values()))
    decoded = tokenizer.batch_decode([[token] for token in ids], clean_up_tokenization_spaces=False)
    pieces: Any = tokenizer.convert_ids_to_tokens(ids)
    wanted = letters | {REPLACEMENT}
    return frozenset(
        token
        for token, text, piece in zip(ids, decoded, pieces, strict=True)
        if wanted & set(text) or wanted & set(str(piece).replace(WORD_START, " "))
    )
