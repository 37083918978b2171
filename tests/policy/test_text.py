"""The text and the characters of each token, even where several tokens form one character."""

import pytest
from conftest import tiny_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.policy.text import decode_with_offsets

LINES = ["the sum is 12 + 30 = 42 ; so the answer is 42", "café crème", "12 + 30", "naïve 🙂 answer", "don't , do !"]
EMOJI = "👍🏽"


@pytest.fixture(scope="module")
def words():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def pieces():
    """A byte-level BPE tokenizer, trained on a few lines: any text can be written in it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")


@pytest.fixture(scope="module")
def spaced():
    """A tokenizer like Llama's: spaces are part of words, unknown words are spelled in bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = ["<unk>", "<pad>", "<eos>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdefghijklmnop+=0123456789"]
    merges = [("▁", "a"), ("▁", "+"), ("1", "2"), ("▁", "12")]
    vocabulary = {piece: i for i, piece in enumerate([*letters, *("".join(pair) for pair in merges)])}
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def decode_and_check(tokenizer, ids) -> tuple[str, list[tuple[int, int]]]:
    """Text and offsets, after asserting what must hold for every decoding."""
    text, offsets = decode_with_offsets(tokenizer, ids)
    assert len(offsets) == len(ids)
    assert text == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    end = 0
    for before, span in zip([(0, 0), *offsets], offsets, strict=False):
        assert span == before or span[0] == end
        assert span[0] <= span[1] <= len(text)
        end = span[1]
    assert end == len(text)
    return text, offsets


@given(st.lists(st.integers(0, 29), max_size=12))
def test_word_offsets_cover_the_text(words, ids):
    decode_and_check(words, ids)


def test_a_word_covers_the_space_before_it(words):
    text, offsets = decode_and_check(words, [5, 24, 16, 2])
    assert text == "1 + 12 <eos>"
    assert [text[start:end] for start, end in offsets] == ["1", " +", " 12", " <eos>"]


@settings(max_examples=100)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), max_size=20))
def test_any_text_is_decoded_unchanged(pieces, text):
    assert decode_and_check(pieces, pieces.encode(text))[0] == text


@pytest.mark.parametrize("line", [*LINES, f"so {EMOJI} it is", "日本語", "e\u0301", "", " ", "a  b\n\n c"])
def test_each_token_covers_the_characters_it_wrote(pieces, line):
    text, offsets = decode_and_check(pieces, pieces.encode(line))
    assert text == line
    assert "".join(text[start:end] for start, end in dict.fromkeys(offsets)) == line


def test_all_tokens_of_an_emoji_cover_it(pieces):
    ids = pieces.encode("a🦊b")
    text, offsets = decode_and_check(pieces, ids)
    assert len(ids) >= 5
    assert text == "a🦊b"
    assert offsets == [(0, 1), *[(1, 2)] * (len(ids) - 2), (2, 3)]


def test_a_truncated_emoji_is_shown_as_the_tokenizer_shows_it(pieces):
    ids = pieces.encode("a🦊")[:-1]
    text, offsets = decode_and_check(pieces, ids)
    assert text == "a\ufffd"
    assert offsets == [(0, 1), *[(1, 2)] * (len(ids) - 1)]


@settings(max_examples=100)
@given(st.data())
def test_random_ids_decode_as_the_tokenizer_decodes_them(pieces, data):
    decode_and_check(pieces, data.draw(st.lists(st.integers(0, len(pieces) - 1), max_size=10)))


@pytest.mark.parametrize("line", ["a + 12 = 12", "a 🦊 b", "é", "12", "a🦊"])
def test_a_byte_fallback_tokenizer_that_strips_its_first_space_round_trips(spaced, line):
    assert decode_and_check(spaced, spaced.encode(line))[0] == line


@settings(max_examples=100)
@given(st.data())
def test_random_ids_decode_as_a_byte_fallback_tokenizer_decodes_them(spaced, data):
    decode_and_check(spaced, data.draw(st.lists(st.integers(0, len(spaced) - 1), max_size=10)))


def test_special_tokens_in_mid_answer_are_part_of_the_text(pieces):
    text, _ = decode_and_check(pieces, [*pieces.encode("12"), pieces.eos_token_id, *pieces.encode("30")])
    assert text == "12<eos>30"


def test_decode_drops_only_the_end_token(tiny):
    policy = tiny["qwen3"]
    assert policy.decode([5, 2, 24, 2]) == ("1 <eos> +", [(0, 1), (1, 7), (7, 9)])
    assert policy.decode([5, 24])[0] == "1 +"
    assert policy.decode([2]) == ("", [])
    assert policy.decode([]) == ("", [])


@given(st.lists(st.integers(0, 29), max_size=12))
def test_token_texts_join_to_the_whole_text(tiny, ids):
    assert "".join(tiny["qwen3"].token_texts(ids)) == decode_with_offsets(tiny["qwen3"].tokenizer, ids)[0]
    assert len(tiny["qwen3"].token_texts(ids)) == len(ids)
