"""Stop texts: a completion ends with the token that completes one, however the text is spread over tokens."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interp.policy import SampleConfig
from interp.policy.stopping import StopTexts


@pytest.fixture(scope="module")
def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with a token for each byte, and `:\\n` and `er` besides."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(":", "Ċ"), ("e", "r")]
    vocabulary = {token: i for i, token in enumerate([*alphabet, *map("".join, merges), "<eos>"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


def first_end(tokenizer: PreTrainedTokenizerFast, text: str, *stop: str) -> str | None:
    """What is written when the first stop text is complete, in a row that writes `text` token by token."""
    stops, ids = StopTexts(tokenizer, stop), tokenizer(text, add_special_tokens=False)["input_ids"]
    for n in range(1, len(ids) + 1):
        written = torch.tensor([ids[:n]])
        if bool(stops.completed(written[:, -1], written)):
            return tokenizer.decode(ids[:n])
    return None


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("The answer is 5. Q: 6", ("Q:",), "The answer is 5. Q:"),
        ("a:\nb", (":",), "a:\n"),  # the token that completes it holds more
        ("a\n\nb", ("\n\n",), "a\n\n"),
        ("fever Q", ("eve",), "fever"),
        ("5 \u20ac or 6", ("\u20ac",), "5 \u20ac"),  # three tokens make the one character
        ("5 Q", ("Q: ",), None),
        ("AAB", ("B", "AA"), "AA"),
    ],
)
def test_a_row_ends_where_the_text_is_complete(bytes_tokenizer, text, stop, expected):
    assert first_end(bytes_tokenizer, text, *stop) == expected


def test_rows_are_looked_at_each_for_itself(bytes_tokenizer):
    rows = [bytes_tokenizer(text)["input_ids"] for text in ("xQ:", "x::", "Q:x")]
    written = torch.tensor(rows)
    assert StopTexts(bytes_tokenizer, ["Q:"]).completed(written[:, -1], written).tolist() == [True, False, False]
    assert not StopTexts(bytes_tokenizer, [])


def test_completions_end_at_the_stop_text_and_are_otherwise_the_same(tiny):
    policy = tiny["qwen3"]
    (prompt,) = policy.encode(["1 + 2 ="])
    config = SampleConfig(group=32, max_new_tokens=12, seed=3)
    free, stopped = (policy.sample([prompt], config, stop=stop, progress=False) for stop in ((), ("7",)))
    n_stopped = 0
    for index in range(32):
        tokens, row = free.row(index).tokens, stopped.row(index)
        texts = policy.token_texts(tokens)
        end = next((n for n, text in enumerate(texts, 1) if "7" in text), None)
        assert row.tokens == tokens[:end]
        assert row.finished == (end is not None or free.row(index).finished)
        n_stopped += end is not None
    assert 3 < n_stopped < 32
