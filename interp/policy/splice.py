"""Put something else in the residual stream of a layer, and let the model go on from there, by a plain hook.

    resid_BLD <- edit(resid_BLD)    after block `layer`, at the positions in `mask_BL` (all, if there is none)

in every forward within the block: a dictionary's reconstruction, a latent ablated, a direction added. Layers are
numbered as in `capture.py`. Hooks run in the order they were set: `capturing` the same layer inside sees what is
edited, outside what was there before. Gradients go through. Positions not in the mask keep the very bits they had.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from interp.artifacts import BadInput
from interp.policy.capture import blocks_of, without_adapters

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
