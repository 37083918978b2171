"""A TransformerLens view of a live policy that leaves the policy alone.

Booting a `TransformerBridge` on a model rewrites that model: its state-dict keys change, saving breaks, a bias is
added. So the bridge is given a shadow: a copy of the module tree that holds the very same parameters. What the
optimiser does to the policy the bridge sees at once. The bridge must not be frozen: its parameters are the policy's.
"""

import copy
import itertools
from typing import TYPE_CHECKING

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interp.policy.residual import without_adapters

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def bridge(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> "TransformerBridge":
    from transformer_lens.model_bridge.sources import build_bridge_from_module, detect_tokenizer_bos_eos

    base = without_adapters(model)
    built = build_bridge_from_module(
        shadow(base),  # pyright: ignore[reportArgumentType]
        (base.config.architectures or [type(base).__name__])[0],
        hf_config=copy.deepcopy(base.config),
        tokenizer=None,
        model_name=getattr(base.config, "_name_or_path", "") or "local",
    )
    built.tokenizer = tokenizer
    # without these two, `to_tokens` would drop or double the first token
    built.cfg.tokenizer_prepends_bos, built.cfg.tokenizer_appends_eos = detect_tokenizer_bos_eos(tokenizer)
    built.cfg.default_prepend_bos = False
    return built


def shadow(model: PreTrainedModel) -> PreTrainedModel:
    """Another module tree over the same parameters and buffers. It owns no memory."""
    shared = {id(tensor): tensor for tensor in itertools.chain(model.parameters(), model.buffers())}
    twin = copy.deepcopy(model, shared)
    for module in twin.modules():
        module.__dict__.pop("forward", None)  # a trainer's patched forward would still run the original's
    return twin
