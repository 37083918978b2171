"""Read and change the residual stream of a model, or what its modules add to it, with plain forward hooks.

    compute_residuals          the residual at given layers, for padded token ids; the forward stops at the deepest
    capture_residuals          context manager: collect the residual from the forwards in the block
    splice_residual            context manager: resid_BLD <- edit(resid_BLD) after a block, in every forward
    record_outputs,            context managers: run the blocks up to a layer once and record the last one's output,
        resume_from            then run only the blocks after it, as often as needed

Layer i is the residual after block i: `hidden_states[i + 1]` in Hugging Face, `blocks.i.hook_resid_post` in
TransformerLens. (Hugging Face takes its last hidden state after the final norm. Here no norm is applied.) A `Site` in
place of a layer means that site's activations (`interp.policy.site`). Hooks run in the order they are set: a capture
set inside a splice of the same layer sees the edited residual, one set outside sees the original.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from interp.artifacts import BadInput
from interp.device import eval_mode
from interp.policy.sample import position_ids
from interp.policy.site import RESID_POST, Site, site_of
from interp.policy.site_hooks import decoder_blocks, expect_site, hooked_site, output_residual

ResidualEdit = Callable[[Float[Tensor, "B L D"]], Float[Tensor, "B L D"]]
Layer = int | Site
"""The residual after a block, by its number, or any site."""
AnyLayer = TypeVar("AnyLayer", bound=Layer)


# --- capture -----------------------------------------------------------------------------------------------------


class _StopForward(Exception):  # noqa: N818 - not an error: it ends a forward whose remaining blocks are not needed
    pass


@contextmanager
def capture_residuals(
    model: PreTrainedModel, layers: Sequence[AnyLayer], *, stop: bool = True
) -> Iterator[dict[AnyLayer, Tensor]]:
    """A dictionary that each forward in the block fills with {layer: residual}.

    With `stop`, the forward ends at the deepest layer, and with it the `with` block: no code after the call runs."""
    last = len(decoder_blocks(model)) - 1
    if out_of_range := [site_of(layer).layer for layer in layers if not 0 <= site_of(layer).layer <= last]:
        raise BadInput(f"layers must lie between 0 and {last}; got {out_of_range}")
    residuals: dict[AnyLayer, Tensor] = {}
    ordered = sorted(dict.fromkeys(layers), key=lambda layer: site_of(layer).order)

    def capture(layer: AnyLayer) -> Callable[[Tensor], None]:
        def hook(resid_BLD: Tensor) -> None:
            residuals[layer] = resid_BLD
            if stop and layer is ordered[-1]:
                raise _StopForward

        return hook

    with ExitStack() as hooks:
        for layer in ordered:  # two sites may share a module, whose hooks run in this order
            hooks.enter_context(hooked_site(model, site_of(layer), capture(layer)))
        with suppress(_StopForward):
            yield residuals


@torch.no_grad()
def compute_residuals(
    model: PreTrainedModel, ids_BL: Int[Tensor, "B L"], mask_BL: Int[Tensor, "B L"], layers: Sequence[AnyLayer]
) -> dict[AnyLayer, Float[Tensor, "B L D"]]:
    """The residual after each of `layers`, in evaluation mode and without gradients."""
    with eval_mode(model), capture_residuals(model, layers) as residuals:
        model(
            input_ids=ids_BL,
            attention_mask=mask_BL,
            position_ids=position_ids(mask_BL),
            use_cache=False,
            logits_to_keep=1,
        )
    return residuals


# --- edit --------------------------------------------------------------------------------------------------------


@contextmanager
def splice_residual(
    model: nn.Module, layer: Layer, edit: ResidualEdit, *, mask_BL: Bool[Tensor, "B L"] | None = None
) -> Iterator[None]:
    """Replace the residual after block `layer` by `edit(residual)` in every forward of the block.

    `edit` receives a copy, which it may change in place; gradients flow through. With a mask, only the positions in the
    mask are replaced and the others keep their bits; every forward must have the mask's shape, so none may continue
    from a cache. The model may be wrapped in adapters."""
    with hooked_site(model, site_of(layer), lambda resid_BLD: _apply_edit(resid_BLD, edit, mask_BL)):
        yield


def _apply_edit(resid_BLD: Tensor, edit: ResidualEdit, mask_BL: Tensor | None) -> Tensor:
    if mask_BL is not None and mask_BL.shape != resid_BLD.shape[:2]:
        raise BadInput(
            f"mask_BL must have the shape of the forward, {tuple(resid_BLD.shape[:2])}; got {tuple(mask_BL.shape)}: "
            "pass the mask of this batch, and no cache"
        )
    edited_BLD = edit(resid_BLD.clone())
    if edited_BLD.shape != resid_BLD.shape or edited_BLD.dtype != resid_BLD.dtype:
        raise BadInput(
            f"an edit must keep shape and dtype, {tuple(resid_BLD.shape)} in {resid_BLD.dtype}; "
            f"got {tuple(edited_BLD.shape)} in {edited_BLD.dtype}"
        )
    if mask_BL is None:
        return edited_BLD
    return torch.where(mask_BL.to(resid_BLD.device)[..., None], edited_BLD, resid_BLD)


# --- resume from a block -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SiteOutput:
    """What it takes to resume from a site within a block."""

    before: Any
    """Output of the block before; None of the first block."""
    x_BLD: Float[Tensor, "B L D"]
    """Activations at the site."""


@contextmanager
def record_outputs(model: nn.Module, layer: Layer) -> Iterator[list[Any]]:
    """A list to which each forward in the block appends the output of block `layer`, unchanged. (For a site within a
    block, a `SiteOutput`.)"""
    site, outputs = site_of(layer).canonical, list[Any]()
    if site.kind == RESID_POST:
        expect_site(model, site)
        handle = decoder_blocks(model)[site.layer].register_forward_hook(lambda *args: outputs.append(args[2]))
        try:
            yield outputs
        finally:
            handle.remove()
        return
    with ExitStack() as hooks:
        before = hooks.enter_context(record_outputs(model, site.layer - 1)) if site.layer else [None]

        def record(x_BLD: Tensor) -> None:
            outputs.append(SiteOutput(before[-1], x_BLD))

        hooks.enter_context(hooked_site(model, site, record))
        yield outputs


@contextmanager
def resume_from(model: nn.Module, layer: Layer, output: Any) -> Iterator[None]:
    """Forwards within the block skip the model's blocks up to `layer` and use `output` as the output of block `layer`.
    (Up to a site within a block, the block itself is run again.)

    `output` comes from `record_outputs`, unchanged or edited; every forward must have the same rows."""
    site = site_of(layer).canonical
    with ExitStack() as changes:
        if site.kind == RESID_POST:
            expect_site(model, site)
            changes.enter_context(_skipped_blocks(list(decoder_blocks(model)[: site.layer + 1]), output))
        else:
            if site.layer:
                changes.enter_context(resume_from(model, site.layer - 1, output.before))
            changes.enter_context(splice_residual(model, site, lambda x_BLD: output.x_BLD))
        yield


@contextmanager
def _skipped_blocks(blocks: list[nn.Module], output: Any) -> Iterator[None]:
    """Forwards within the block do not run `blocks`; the last of them returns `output`."""
    previous = [vars(block).get("forward") for block in blocks]  # libraries that wrap a block set this attribute
    for block in blocks:
        block.forward = lambda hidden, *args, **kwargs: hidden
    blocks[-1].forward = lambda hidden, *args, **kwargs: output
    try:
        yield
    finally:
        for block, forward in zip(blocks, previous, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward


def output_activations(output: Any) -> Float[Tensor, "B L D"]:
    """The residual in a recorded output, or the activations of a site."""
    return output.x_BLD if isinstance(output, SiteOutput) else output_residual(output)


def select_rows(output: Any, rows: Any) -> Any:
    """Some rows of a recorded output, by index or mask, in the order of the index."""
    if isinstance(output, SiteOutput):
        before = None if output.before is None else select_rows(output.before, rows)
        return SiteOutput(before, output.x_BLD[rows])
    return replace_residual(output, output_residual(output)[rows])


def replace_residual(output: Any, resid_BLD: Float[Tensor, "B L D"]) -> Any:
    """A recorded output with other activations, of as many rows. The other entries of a tuple are dropped."""
    if isinstance(output, SiteOutput):
        if output.before is not None and len(output_residual(output.before)) != len(resid_BLD):
            raise BadInput(f"expected activations of as many rows as were recorded, got {len(resid_BLD)}: select_rows")
        return replace(output, x_BLD=resid_BLD)
    return (resid_BLD,) if isinstance(output, tuple) else resid_BLD
