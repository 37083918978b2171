"""Read and change the residual stream of a model with plain forward hooks.

    compute_residuals          the residual at given layers, for padded token ids; the forward stops at the deepest
    completion_residuals       the residual at every token of many completions; each distinct prompt is read once
    capture_residuals          context manager: collect the residual from the forwards in the block
    splice_residual            context manager: resid_BLD <- edit(resid_BLD) after a block, in every forward
    record_outputs,            context managers: run the blocks up to a layer once and record the last one's output,
        resume_from            then run only the blocks after it, as often as needed

Layer i is the residual after block i: `hidden_states[i + 1]` in Hugging Face, `blocks.i.hook_resid_post` in
TransformerLens. (Hugging Face takes its last hidden state after the final norm. Here no norm is applied.) Hooks run in
the order they are set: a capture set inside a splice of the same layer sees the edited residual, one set outside sees
the original.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from interp.artifacts import BadInput
from interp.device import eval_mode
from interp.policy.sample import pad_left, position_ids
from interp.policy.score import align_rows, batches_by_length, unique_prompts

ResidualEdit = Callable[[Float[Tensor, "B L D"]], Float[Tensor, "B L D"]]


def unwrap_adapters(model: Any) -> PreTrainedModel:
    """The model itself, if it is wrapped in LoRA adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder_blocks(model: nn.Module) -> nn.ModuleList:
    """The transformer blocks, first to last."""
    decoder: Any = unwrap_adapters(model).get_decoder()
    return decoder.layers


def _blocks_up_to(model: Any, layer: int) -> list[nn.Module]:
    blocks = decoder_blocks(model)
    if not 0 <= layer < len(blocks):
        raise BadInput(f"layer must lie between 0 and {len(blocks) - 1}; got {layer}")
    return list(blocks[: layer + 1])


# --- capture -----------------------------------------------------------------------------------------------------


class _StopForward(Exception):  # noqa: N818 - not an error: it ends a forward whose remaining blocks are not needed
    pass


@contextmanager
def capture_residuals(
    model: PreTrainedModel, layers: Sequence[int], *, stop: bool = True
) -> Iterator[dict[int, Tensor]]:
    """A dictionary that each forward in the block fills with {layer: residual}.

    With `stop`, the forward ends at the deepest layer, and with it the `with` block: no code after the call runs."""
    blocks = decoder_blocks(model)
    if out_of_range := [layer for layer in layers if not 0 <= layer < len(blocks)]:
        raise BadInput(f"layers must lie between 0 and {len(blocks) - 1}; got {out_of_range}")
    residuals: dict[int, Tensor] = {}

    def capture(layer: int):
        def hook(module: nn.Module, args: object, output: object) -> None:
            residuals[layer] = output_residual(output)
            if stop and layer == max(layers):
                raise _StopForward

        return hook

    handles = [blocks[layer].register_forward_hook(capture(layer)) for layer in layers]
    try:
        yield residuals
    except _StopForward:
        pass
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def compute_residuals(
    model: PreTrainedModel, ids_BL: Int[Tensor, "B L"], mask_BL: Int[Tensor, "B L"], layers: Sequence[int]
) -> dict[int, Float[Tensor, "B L D"]]:
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


@torch.no_grad()
def completion_residuals(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    layer: int,
    *,
    pad: int,
    micro_tokens: int,
) -> Float[Tensor, "N D"]:
    """The residual at every token of every completion, one completion after another, in float32 on the CPU.

    In a micro-batch each distinct prompt is read once; all its completions share its keys and values."""
    starts = torch.tensor([0, *map(len, completions)]).cumsum(0)
    resid_ND = torch.empty(int(starts[-1]), model.config.hidden_size)
    with eval_mode(model):
        for batch in batches_by_length(prompts, completions, micro_tokens):
            resid_BTD = _batch_residuals(
                model, [prompts[i] for i in batch], [completions[i] for i in batch], layer, pad
            )
            for i, resid_TD in zip(batch, resid_BTD.float().cpu(), strict=True):
                resid_ND[starts[i] : starts[i + 1]] = resid_TD[: len(completions[i])]
    return resid_ND


def _batch_residuals(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    layer: int,
    pad: int,
) -> Float[Tensor, "B T D"]:
    distinct, prompt_B = unique_prompts(prompts)
    prompt_ids_PL, prompt_mask_PL = pad_left(distinct, pad, model.device)
    rows = align_rows([[pad]] * len(completions), completions, pad, model.device)  # the one-token prompts are dropped
    ids_BT, mask_BT = rows.ids_BL[:, rows.start :], rows.mask_BL[:, rows.start :]
    cache = DynamicCache(config=model.config)
    common: dict[str, Any] = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
    with capture_residuals(model, [layer]):
        model(
            input_ids=prompt_ids_PL,
            attention_mask=prompt_mask_PL,
            position_ids=position_ids(prompt_mask_PL),
            **common,
        )
    cache.batch_select_indices(prompt_B.to(model.device))
    mask_BL = torch.cat([prompt_mask_PL[prompt_B], mask_BT], dim=1)
    position_ids_BT = position_ids(mask_BL)[:, prompt_ids_PL.shape[1] :]
    with capture_residuals(model, [layer]) as residuals:
        model(input_ids=ids_BT, attention_mask=mask_BL, position_ids=position_ids_BT, **common)
    return residuals[layer]


# --- edit --------------------------------------------------------------------------------------------------------


@contextmanager
def splice_residual(
    model: nn.Module, layer: int, edit: ResidualEdit, *, mask_BL: Bool[Tensor, "B L"] | None = None
) -> Iterator[None]:
    """Replace the residual after block `layer` by `edit(residual)` in every forward of the block.

    `edit` receives a copy, which it may change in place; gradients flow through. With a mask, only the positions in the
    mask are replaced and the others keep their bits; every forward must have the mask's shape, so none may continue
    from a cache. The model may be wrapped in adapters."""
    block = _blocks_up_to(model, layer)[-1]

    def hook(module: nn.Module, args: object, output: Any) -> Any:
        resid_BLD = _apply_edit(output_residual(output), edit, mask_BL)
        return (resid_BLD, *output[1:]) if isinstance(output, tuple) else resid_BLD

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


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


@contextmanager
def record_outputs(model: nn.Module, layer: int) -> Iterator[list[Any]]:
    """A list to which each forward in the block appends the output of block `layer`, unchanged."""
    outputs: list[Any] = []
    block = _blocks_up_to(model, layer)[-1]
    handle = block.register_forward_hook(lambda module, args, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


@contextmanager
def resume_from(model: nn.Module, layer: int, output: Any) -> Iterator[None]:
    """Forwards within the block skip the model's blocks up to `layer` and use `output` as the output of block `layer`.

    `output` comes from `record_outputs`, unchanged or edited; every forward must have the same rows."""
    blocks = _blocks_up_to(model, layer)
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


def output_residual(output: Any) -> Float[Tensor, "B L D"]:
    """The residual in a block's output, which is a tuple in some families."""
    return output[0] if isinstance(output, tuple) else output


def replace_residual(output: Any, resid_BLD: Float[Tensor, "B L D"]) -> Any:
    """A block's output with its residual replaced. The other entries of a tuple are dropped."""
    return (resid_BLD,) if isinstance(output, tuple) else resid_BLD
