"""A TransformerLens view of a live policy that leaves the policy unchanged.

Booting a `TransformerBridge` on a model rewrites the model: its state-dict keys change, saving breaks, a bias is added.
So the bridge is booted on a second module tree that shares the parameters, and sees every optimizer step at once. Do
not freeze the bridge: its parameters are the policy's.
"""

import copy
import itertools
from typing import TYPE_CHECKING

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interp.policy.site_hooks import unwrap_adapters

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def bridge(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> "TransformerBridge":
    """A TransformerBridge over the parameters of `model`."""
    from transformer_lens.model_bridge.sources import build_bridge_from_module, detect_tokenizer_bos_eos

    base = unwrap_adapters(model)
    view = build_bridge_from_module(
        shadow(base),  # pyright: ignore[reportArgumentType]
        (base.config.architectures or [type(base).__name__])[0],
        hf_config=copy.deepcopy(base.config),
        tokenizer=None,
        model_name=getattr(base.config, "_name_or_path", "") or "local",
    )
    view.tokenizer = tokenizer
    # without these two, `to_tokens` would drop or double the first token
    view.cfg.tokenizer_prepends_bos, view.cfg.tokenizer_appends_eos = detect_tokenizer_bos_eos(tokenizer)
    view.cfg.default_prepend_bos = False
    return view


def shadow(model: PreTrainedModel) -> PreTrainedModel:
    """A second module tree over the same parameters and buffers. It owns no memory."""
    shared = {id(tensor): tensor for tensor in itertools.chain(model.parameters(), model.buffers())}
    twin = copy.deepcopy(model, shared)
    for module in twin.modules():
        module.__dict__.pop("forward", None)  # a forward that a trainer patched is bound to the original module
    return twin
