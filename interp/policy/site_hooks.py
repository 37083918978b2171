"""Where a site lies among a model's modules, and hooks that read or replace its activations.

A hook is a function of the activations: what it returns takes their place, and None leaves them as they are. Residuals
before and after a block are found in any model, the sites within a block in `interp.policy.site.FAMILIES`. Each of them
is tested: what attention and MLP add to the residual must sum to it.

A change of `resid_mid` changes what the MLP reads and what it is added to. (The bridge's hook of that name changes only
what the MLP reads.)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from interp.artifacts import BadInput
from interp.policy.site import Site

NORMS_AFTER = {"mlp": "post_feedforward_layernorm", "attn": "post_attention_layernorm"}
"""The norms between a module and the residual, in the families that have them."""
ActivationHook = Callable[[Float[Tensor, "B L D"]], Float[Tensor, "B L D"] | None]


def unwrap_adapters(model: Any) -> Any:
    """The model itself, if it is wrapped in LoRA adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder_blocks(model: nn.Module) -> nn.ModuleList:
    """The transformer blocks, first to last."""
    decoder: Any = unwrap_adapters(model).get_decoder()
    return decoder.layers


def expect_site(model: nn.Module, site: Site) -> None:
    """Refuse a site that the model does not have, or that is not known in its family."""
    last = len(decoder_blocks(model)) - 1
    if not 0 <= site.layer <= last:
        raise BadInput(f"layer must lie between 0 and {last}; got {site.layer}")
    site.in_family(unwrap_adapters(model).config.model_type)


@contextmanager
def hooked_site(model: nn.Module, site: Site, hook: ActivationHook) -> Iterator[None]:
    """Call `hook` with the activations of a site in every forward of the block."""
    expect_site(model, site)
    block: Any = decoder_blocks(model)[site.layer]
    handles = _register(block, site.kind, hook)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _register(block: Any, kind: str, hook: ActivationHook) -> list[RemovableHandle]:
    if kind == "resid_pre":
        return [block.register_forward_pre_hook(_on_input(hook), with_kwargs=True)]
    if kind == "resid_mid":
        before: list[Tensor] = []
        on_input = _on_input(lambda resid_BLD: before.__setitem__(slice(None), [resid_BLD]))
        return [
            block.register_forward_pre_hook(on_input, with_kwargs=True),
            _module(block, "attn_out").register_forward_hook(_on_output(_on_sum(hook, before))),
        ]
    return [_module(block, kind).register_forward_hook(_on_output(hook))]


def _module(block: Any, kind: str) -> nn.Module:
    """The module whose output is the activations of a site."""
    if kind == "resid_post":
        return block
    name = kind.removesuffix("_out")
    if kind != name and hasattr(block, NORMS_AFTER["mlp"]):
        return getattr(block, NORMS_AFTER[name])
    return block.mlp if name == "mlp" else block.self_attn


def _on_input(hook: ActivationHook) -> Any:
    """A hook before a block: its input is the first argument, by place or by name."""

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x_BLD = args[0] if args else kwargs["hidden_states"]
        if (changed_BLD := hook(x_BLD)) is None:
            return None
        return ((changed_BLD, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": changed_BLD})

    return before


def _on_output(hook: ActivationHook) -> Any:
    """A hook after a module: its output is a tensor, or the first of a tuple."""

    def after(module: nn.Module, args: object, output: Any) -> Any:
        if (changed_BLD := hook(output_residual(output))) is None:
            return None
        return (changed_BLD, *output[1:]) if isinstance(output, tuple) else changed_BLD

    return after


def _on_sum(hook: ActivationHook, before: list[Tensor]) -> ActivationHook:
    """A hook on the residual after attention, as one on what attention adds to it."""

    def on_added(added_BLD: Tensor) -> Tensor | None:
        resid_BLD = before[0] + added_BLD
        if (changed_BLD := hook(resid_BLD)) is None:
            return None
        return added_BLD + (changed_BLD - resid_BLD)  # what is not changed keeps its bits

    return on_added


def output_residual(output: Any) -> Float[Tensor, "B L D"]:
    """The residual in a block's output, which is a tuple in some families."""
    return output[0] if isinstance(output, tuple) else output
