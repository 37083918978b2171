"""Go on from the residual of a layer: the blocks up to it are not run, and what they gave is put in their place.

To ask what a change at one layer does, again and again, the blocks before it need to be run once. `keeping` notes what
a block gives, just as it gives it; `resuming` gives that, or what was made of it, to the blocks behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from interp.artifacts import BadInput
from interp.policy.capture import blocks_of, without_adapters


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
