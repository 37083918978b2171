"""Text and offsets: what each token wrote, even where several tokens make one character."""

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

    built = Tokenizer(models.BPE())
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    built.train_from_iterator(LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=built, pad_token="<pad>", eos_token="<eos>")


@pytest.fixture(scope="module")
def spaced():
    """As Llama's: spaces are part of words, what is not in the vocabulary is spelled in bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = ["<unk>", "<pad>", "<eos>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdefghijklmnop+=0123456789"]
    merges = [("▁", "a"), ("▁", "+"), ("1", "2"), ("▁", "12")]
    vocabulary = {piece: i for i, piece in enumerate([*letters, *("".join(pair) for pair in merges)])}
    built = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    built.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    built.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=built, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def checked(tokenizer, ids) -> tuple[str, list[tuple[int, int]]]:
    """Decoded, after asserting what must hold of every decoding."""
    text, offsets = decode_with_offsets(tokenizer, ids)
    assert len(offsets) == len(ids)
    assert text == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    reached = 0
    for before, span in zip([(0, 0), *offsets], offsets, strict=False):
        assert span == before or span[0] == reached
        assert span[0] <= span[1] <= len(text)
        reached = span[1]
    assert reached == len(text)
    return text, offsets


@given(st.lists(st.integers(0, 29), max_size=12))
def test_words_cover_their_text(words, ids):
    checked(words, ids)


def test_a_word_covers_the_space_before_it(words):
    text, offsets = checked(words, [5, 24, 16, 2])
    assert text == "1 + 12 <eos>"
    assert [text[start:end] for start, end in offsets] == ["1", " +", " 12", " <eos>"]


@settings(max_examples=100)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), max_size=20))
def test_any_text_comes_back_whole(pieces, text):
    assert checked(pieces, pieces.encode(text))[0] == text


@pytest.mark.parametrize("line", [*LINES, f"so {EMOJI} it is", "日本語", "e\u0301", "", " ", "a  b\n\n c"])
def test_each_token_covers_the_characters_it_wrote(pieces, line):
    text, offsets = checked(pieces, pieces.encode(line))
    assert text == line
    assert "".join(text[start:end] for start, end in dict.fromkeys(offsets)) == line


def test_the_tokens_of_one_emoji_all_cover_it(pieces):
    ids = pieces.encode("a🦊b")
    text, offsets = checked(pieces, ids)
    assert len(ids) >= 5
    assert text == "a🦊b"
    assert offsets == [(0, 1), *[(1, 2)] * (len(ids) - 2), (2, 3)]


def test_an_emoji_cut_short_at_the_end_is_seen_as_the_tokenizer_shows_it(pieces):
    ids = pieces.encode("a🦊")[:-1]
    text, offsets = checked(pieces, ids)
    assert text == "a\ufffd"
    assert offsets == [(0, 1), *[(1, 2)] * (len(ids) - 1)]


@settings(max_examples=100)
@given(st.data())
def test_any_ids_at_all_are_decoded_as_the_tokenizer_does(pieces, data):
    checked(pieces, data.draw(st.lists(st.integers(0, len(pieces) - 1), max_size=10)))


@pytest.mark.parametrize("line", ["a + 12 = 12", "a 🦊 b", "é", "12", "a🦊"])
def test_a_tokenizer_that_spells_in_bytes_and_strips_its_first_space_comes_back_whole(spaced, line):
    assert checked(spaced, spaced.encode(line))[0] == line


@settings(max_examples=100)
@given(st.data())
def test_any_ids_at_all_are_decoded_as_a_spelling_tokenizer_does(spaced, data):
    checked(spaced, data.draw(st.lists(st.integers(0, len(spaced) - 1), max_size=10)))


def test_special_tokens_in_mid_answer_are_seen(pieces):
    text, _ = checked(pieces, [*pieces.encode("12"), pieces.eos_token_id, *pieces.encode("30")])
    assert text == "12<eos>30"


def test_a_policy_drops_the_end_token_alone(tiny):
    policy = tiny["qwen3"]
    assert policy.decode([5, 2, 24, 2]) == ("1 <eos> +", [(0, 1), (1, 7), (7, 9)])
    assert policy.decode([5, 24])[0] == "1 +"
    assert policy.decode([2]) == ("", [])
    assert policy.decode([]) == ("", [])


@given(st.lists(st.integers(0, 29), max_size=12))
def test_the_words_of_a_policy_join_to_its_text(tiny, ids):
    assert "".join(tiny["qwen3"].words(ids)) == decode_with_offsets(tiny["qwen3"].tokenizer, ids)[0]
    assert len(tiny["qwen3"].words(ids)) == len(ids)
