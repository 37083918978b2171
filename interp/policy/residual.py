"""Read the residual stream of any layer from the model's own forward, by a plain hook, and stop there.

Layer i is the residual after block i: Hugging Face's `hidden_states[i + 1]`, TransformerLens'
`blocks.i.hook_resid_post`. (Hugging Face's very last `hidden_states` is taken after the final norm; ours is not.)

Put something else in the residual stream of a layer, and let the model go on from there, by a plain hook.

    resid_BLD <- edit(resid_BLD)    after block `layer`, at the positions in `mask_BL` (all, if there is none)

in every forward within the block: a dictionary's reconstruction, a latent ablated, a direction added. Layers are
numbered as in `capture.py`. Hooks run in the order they were set: `capturing` the same layer inside sees what is
edited, outside what was there before. Gradients go through. Positions not in the mask keep the very bits they had.

Go on from the residual of a layer: the blocks up to it are not run, and what they gave is put in their place.

To ask what a change at one layer does, again and again, the blocks before it need to be run once. `keeping` notes what
a block gives, just as it gives it; `resuming` gives that, or what was made of it, to the blocks behind.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from interp.artifacts import BadInput
from interp.device import evaluating
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


Edit = Callable[[Float[Tensor, "B L D"]], Float[Tensor, "B L D"]]


@contextmanager
def splicing(model: nn.Module, layer: int, edit: Edit, *, mask_BL: Bool[Tensor, "B L"] | None = None) -> Iterator[None]:
    """The model may be wrapped in adapters. `edit` gets a copy, which is its own to change. With a mask, every forward
    must be of the mask's shape: one that goes on from a cache, a token at a time, is not."""
    blocks = blocks_of(without_adapters(model))
    if not 0 <= layer < len(blocks):
        raise BadInput(f"layer must lie between 0 and {len(blocks) - 1}; got {layer}")

    def hook(module: nn.Module, args: object, output: Any) -> Any:
        if isinstance(output, tuple):
            return (_spliced(output[0], edit, mask_BL), *output[1:])
        return _spliced(output, edit, mask_BL)

    handle = blocks[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _spliced(resid_BLD: Tensor, edit: Edit, mask_BL: Tensor | None) -> Tensor:
    if mask_BL is not None and mask_BL.shape != resid_BLD.shape[:2]:
        raise BadInput(
            f"mask_BL must be of the forward's shape, {tuple(resid_BLD.shape[:2])}; got {tuple(mask_BL.shape)}: "
            f"pass the mask of this very batch, and no cache"
        )
    edited_BLD = edit(resid_BLD.clone())
    if edited_BLD.shape != resid_BLD.shape or edited_BLD.dtype != resid_BLD.dtype:
        raise BadInput(
            f"an edit must give back what it was given, {tuple(resid_BLD.shape)} in {resid_BLD.dtype}; "
            f"got {tuple(edited_BLD.shape)} in {edited_BLD.dtype}"
        )
    if mask_BL is None:
        return edited_BLD
    return torch.where(mask_BL.to(resid_BLD.device)[..., None], edited_BLD, resid_BLD)


@contextmanager
def keeping(model: nn.Module, layer: int) -> Iterator[list[Any]]:
    """What block `layer` gave, forward by forward."""
    kept: list[Any] = []
    handle = _up_to(model, layer)[-1].register_forward_hook(lambda *given: kept.append(given[2]))
    try:
        yield kept
    finally:
        handle.remove()


@contextmanager
def resuming(model: nn.Module, layer: int, output: Any) -> Iterator[None]:
    """Every forward within is of the rows that `output` is of."""
    blocks = _up_to(model, layer)
    before = [vars(block).get("forward") for block in blocks]  # set on a block itself where somebody has wrapped it
    for block in blocks:
        block.forward = lambda hidden, *rest, **more: hidden
    blocks[-1].forward = lambda hidden, *rest, **more: output
    try:
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward


def _up_to(model: nn.Module, layer: int) -> list[nn.Module]:
    blocks = blocks_of(without_adapters(model))
    if not 0 <= layer < len(blocks):
        raise BadInput(f"layer must lie between 0 and {len(blocks) - 1}; got {layer}")
    return list(blocks[: layer + 1])


def residual_in(output: Any) -> Float[Tensor, "B L D"]:
    return output[0] if isinstance(output, tuple) else output


def with_residual(output: Any, resid_BLD: Float[Tensor, "B L D"]) -> Any:
    """What the block would have given. Whatever else it gave is not passed on."""
    return (resid_BLD,) if isinstance(output, tuple) else resid_BLD
