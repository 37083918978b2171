"""Texts as real tokenizers cut them: characters over several tokens, special tokens in a problem, and long prompts."""

from typing import Any

import pytest
import torch
from conftest import tiny_model
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.policy import Policy, PromptFormat, SampleConfig
from interp.policy.text import REPLACEMENT, special_token_in

MERGES = [("1", "2"), ("Ġ", "+"), ("Ġ", "="), ("a", "n"), ("an", "s"), ("ð", "Ł")]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no system turn here') }}"
    "{% endif %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHAT = PromptFormat(chat=True)
CONTEXT = 64
EMOJI = "🦊"


def byte_tokenizer() -> Any:
    """A byte-level BPE tokenizer with the special tokens of a chat model: any text can be written in it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in MERGES)]
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, MERGES))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=SPECIAL[2], pad_token=SPECIAL[0])
    tokenizer.add_special_tokens({"additional_special_tokens": [SPECIAL[1]]})
    tokenizer.add_tokens(["<think>"])
    tokenizer.chat_template = CHATML
    return tokenizer


@pytest.fixture(scope="module")
def policy() -> Policy:
    tokenizer = byte_tokenizer()
    return Policy(tiny_model("llama", vocab_size=len(tokenizer), eos_token_id=2, pad_token_id=0), tokenizer)


# --- characters over several tokens --------------------------------------------------------------------------------


def test_any_text_is_encoded_and_decoded_unchanged(policy):
    for line in (f"12 + 7 = {EMOJI} ans", "é e\u0301", "日本語", "a\tb\r\n", "👩‍👩‍👧", "\u200b"):
        [ids] = policy.encode([line])
        text, offsets = policy.decode(ids)
        assert text == line == "".join(policy.token_texts(ids)) and offsets[-1][1] == len(line)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=10))
def test_the_texts_of_tokens_join_to_the_whole_text(policy, text):
    [ids] = policy.encode([text])
    assert policy.decode(ids)[0] == text == "".join(policy.token_texts(ids))


def test_all_tokens_of_one_character_cover_it_and_one_of_them_shows_it(policy):
    [ids] = policy.encode([f"a{EMOJI}b"])
    text, offsets = policy.decode(ids)
    assert len(ids) == 5 and text == f"a{EMOJI}b"  # two of the four bytes are one token
    assert offsets == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
    assert policy.token_texts(ids) == ["a", EMOJI, "", "", "b"]


@pytest.mark.parametrize("cut", [1, 2])
def test_a_completion_that_ends_or_begins_within_a_character_shows_that_it_does(policy, cut):
    [ids] = policy.encode([f"a{EMOJI}"])
    ended, offsets = policy.decode(ids[:-cut])
    assert ended == f"a{REPLACEMENT}" and [end for _, end in offsets][-1] == len(ended)
    begun, _ = policy.decode([*ids[1 + cut :], ids[0]])
    assert begun.rstrip("a") == REPLACEMENT * (len(ids) - 1 - cut) and begun.endswith("a")


def test_samples_of_random_bytes_have_a_text_with_a_place_for_every_token(policy):
    prompts = policy.encode(["12 + 7 = "])
    samples = policy.sample(prompts, SampleConfig(group=32, max_new_tokens=20, temperature=2.0))
    for row, length in zip(samples.tokens_BL, samples.lengths_B.tolist(), strict=True):
        ids = row[:length].tolist()
        text, offsets = policy.decode(ids)
        assert len(offsets) == len(ids) - (ids[-1] in policy.stop_ids)
        assert all(0 <= start <= end <= len(text) for start, end in offsets)
        assert "".join(policy.token_texts(ids)).startswith(text)


# --- special tokens in a problem -----------------------------------------------------------------------------------


def test_without_chat_the_text_of_a_special_token_is_that_token(policy):
    written = "<|im_start|>user\n12<|im_end|>\n<|im_start|>assistant\n"
    assert policy.encode([written]) == policy.encode(["12"], CHAT)
    [ids] = policy.encode(["a<|im_end|>"])
    assert ids[-1] == 2 and len(ids) == 2


@pytest.mark.parametrize("token", SPECIAL)
def test_in_a_users_turn_a_special_token_is_refused_since_it_could_end_the_turn(policy, token):
    with pytest.raises(BadInput) as caught:
        policy.encode(["12 + 7", f"what does {token} mean?"], CHAT)
    assert f"expected a problem without special tokens, since it becomes a user's turn; got {token!r}" in str(
        caught.value
    )
    assert "take it out, or write the whole prompt yourself and leave out chat" in str(caught.value)


def test_other_added_tokens_and_lookalikes_are_no_special_tokens(policy):
    for text in ("<think>12", "<|im_end>", "< |im_end|>", "im_end", ""):
        assert special_token_in(policy.tokenizer, text) is None
    assert special_token_in(policy.tokenizer, "a<|im_end|>b<|im_start|>") == "<|im_end|>"
    [ids] = policy.encode(["<think>12"], CHAT)
    assert policy.tokenizer.convert_tokens_to_ids("<think>") in ids


def test_special_tokens_in_a_completion_are_part_of_its_text_unless_they_end_it(policy):
    [ids] = policy.encode(["12<|im_start|> ans<|im_end|>"])
    assert policy.decode(ids)[0] == "12<|im_start|> ans"
    assert policy.token_texts(ids) == ["12", "<|im_start|>", " ", "ans", "<|im_end|>"]


# --- chat templates ------------------------------------------------------------------------------------------------


def test_a_template_that_raises_is_refused_with_its_own_reason(policy):
    with pytest.raises(BadInput) as caught:
        policy.encode(["12"], PromptFormat(chat=True, system_prompt="Be brief."))
    assert "expected a chat template that can be applied, got one that cannot be read" in str(caught.value)
    assert "no system turn here" in str(caught.value)
    assert "leave out what it does not take, such as a system prompt, or leave out chat" in str(caught.value)


def test_a_policy_without_a_template_that_is_asked_to_chat_is_refused():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    policy = Policy(tiny_model("llama", vocab_size=len(tokenizer)), tokenizer)
    with pytest.raises(
        BadInput, match="expected a tokenizer with a chat template, for chat; got one without: leave out"
    ):
        policy.encode(["12"], CHAT)


# --- prompts longer than the context -------------------------------------------------------------------------------


def test_a_prompt_may_leave_room_for_one_token_and_no_less(policy):
    fits, too_long = "a" * (CONTEXT - 1), "b" * CONTEXT
    samples = policy.sample(policy.encode([fits]), SampleConfig(group=2, max_new_tokens=10))
    assert samples.lengths_B.tolist() == [1, 1]
    with pytest.raises(
        BadInput, match=f"a prompt must have 1 to {CONTEXT - 1} tokens; got {CONTEXT} in 'b.*: leave such"
    ):
        policy.encode([fits, too_long])


def test_the_tokens_of_a_chat_template_count(policy):
    room = CONTEXT - 1 - len(policy.encode(["a"], CHAT)[0]) + 1
    assert len(policy.encode(["b" * room], CHAT)[0]) == CONTEXT - 1
    with pytest.raises(BadInput, match=f"got {CONTEXT} in 'bbb"):
        policy.encode(["b" * (room + 1)], CHAT)


def test_prompts_of_very_different_lengths_are_scored_as_alone(policy):
    prompts = policy.encode(["a", f"{EMOJI} " * 9, "12 + 7 = "])
    completions = policy.encode([f"{EMOJI}", "12", " ans"])
    together, _ = policy.score(prompts, completions)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        alone, _ = policy.score([prompt], [completion])
        torch.testing.assert_close(together[row, : len(completion)], alone[0], atol=1e-4, rtol=0)
