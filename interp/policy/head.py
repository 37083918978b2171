"""The head of a model, a slice of tokens at a time: log-probabilities without the logits of all tokens at once.

Logits are tokens x vocabulary: of 5,000 tokens and 150,000 words they take 3 GB. The hidden states that the head reads
take a hundredth of that. `hidden_states` keeps them from the forward passes in its block, and `sliced_logprobs` has the
model make logits of them, a slice at a time, with whatever its family does after the head (scales, soft caps).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from interp.policy.score import token_logprobs

LOGITS_AT_ONCE = 2**24
"""Logits that are made at once."""


def has_many_logits(model: PreTrainedModel, n_tokens: int) -> bool:
    """Whether the logits of so many tokens are more than should be made at once."""
    return n_tokens * model.config.get_text_config().vocab_size > LOGITS_AT_ONCE


@contextmanager
def hidden_states(model: PreTrainedModel) -> Iterator[list[Float[Tensor, "B T D"]]]:
    """A list to which each forward in the block appends what the head reads: the last hidden states, after the norm."""
    states: list[Tensor] = []
    decoder: Any = model.get_decoder()
    handle = decoder.register_forward_hook(lambda module, args, output: states.append(output[0]))
    try:
        yield states
    finally:
        handle.remove()


@torch.no_grad()
def sliced_logprobs(
    model: PreTrainedModel, hidden_BTD: Float[Tensor, "B T D"], tokens_BT: Int[Tensor, "B T"]
) -> Float[Tensor, "B T"]:
    """The log-probability of each token, from the hidden states that predict them."""
    at_once = max(1, LOGITS_AT_ONCE // (len(tokens_BT) * model.config.get_text_config().vocab_size))
    call: Any = model
    with _head_alone(model):
        parts = [
            token_logprobs(call(inputs_embeds=hidden_BtD, use_cache=False).logits, tokens_Bt)
            for hidden_BtD, tokens_Bt in zip(hidden_BTD.split(at_once, 1), tokens_BT.split(at_once, 1), strict=True)
        ]
    return torch.cat(parts, 1)


class _DecoderOutput(BaseModelOutputWithPast):
    """What a decoder gives, of which the hidden states alone are known. Families add fields that a model hands on, such
    as a mixture's `router_logits`: each is None, as where it was not asked for."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


@contextmanager
def _head_alone(model: PreTrainedModel) -> Iterator[None]:
    """Forwards within the block do not run the decoder: it returns what it is given as embeddings."""
    decoder: Any = model.get_decoder()
    previous = vars(decoder).get("forward")  # libraries that wrap a module set this attribute
    decoder.forward = lambda *args, inputs_embeds, **kwargs: _DecoderOutput(last_hidden_state=inputs_embeds)
    try:
        yield
    finally:
        del decoder.forward
        if previous is not None:
            decoder.forward = previous
