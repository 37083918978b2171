"""Read the residual stream of any layer from the model's own forward, by a plain hook, and stop there.

Layer i is the residual after block i: Hugging Face's `hidden_states[i + 1]`, TransformerLens'
`blocks.i.hook_resid_post`. (Hugging Face's very last `hidden_states` is taken after the final norm; ours is not.)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from interp.artifacts import BadInput
from interp.policy.modes import evaluating
from interp.policy.sample import positions


class _Stop(Exception):  # noqa: N818 - not an error: it carries control out of a forward that has done its work
    pass


def without_adapters(model: Any) -> PreTrainedModel:
    """The model itself, beneath LoRA if it is wrapped in it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def blocks_of(model: PreTrainedModel) -> nn.ModuleList:
    decoder: Any = without_adapters(model).get_decoder()
    return decoder.layers


@contextmanager
def capturing(model: PreTrainedModel, layers: Sequence[int], *, stop: bool = True) -> Iterator[dict[int, Tensor]]:
    """A dictionary that fills with {layer: residual} at each forward within the block. With `stop` the forward ends at
    the deepest layer asked for, and so does the block: nothing after the call is run."""
    blocks = blocks_of(model)
    if strange := [layer for layer in layers if not 0 <= layer < len(blocks)]:
        raise BadInput(f"layers must lie between 0 and {len(blocks) - 1}; got {strange}")
    caught: dict[int, Tensor] = {}

    def catch(layer: int):
        def hook(module: nn.Module, args: object, output: object) -> None:
            caught[layer] = output[0] if isinstance(output, tuple) else output  # pyright: ignore[reportArgumentType]
            if stop and layer == max(layers):
                raise _Stop

        return hook

    handles = [blocks[layer].register_forward_hook(catch(layer)) for layer in layers]
    try:
        yield caught
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def residuals(
    model: PreTrainedModel, ids_BL: Int[Tensor, "B L"], mask_BL: Int[Tensor, "B L"], layers: Sequence[int]
) -> dict[int, Float[Tensor, "B L D"]]:
    with evaluating(model), capturing(model, layers) as caught:
        model(
            input_ids=ids_BL,
            attention_mask=mask_BL,
            position_ids=positions(mask_BL),
            use_cache=False,
            logits_to_keep=1,
        )
    return caught
