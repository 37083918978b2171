"""Policies that are stored as a LoRA adapter and a base: peft puts the one into the other, and the sum is the policy.

    W  <-  W + scale * B A        in float32, of every adapted matrix

The sum is what an adapter directory stands for: its weights, its fingerprint, what is captured and sampled. A weight
that the adapter does not change keeps its bits: -0.0 + 0.0 would be 0.0, and so an adapter that begins as zero would
not be its base by fingerprint.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, read_header
from interp.policy.adapter_files import ADAPTER_WEIGHTS, Adapter
from interp.policy.directory import load_model, whatever_it_raises
from interp.policy.files import adapter_and_base

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ITS_BASE = "name its own base (base; with --series and --checkpoints: --base)"


def load_model_or_merge(
    path: Path, base: "str | Path | None" = None, *, dtype: "torch.dtype | None"
) -> "PreTrainedModel":
    """The model of a directory, or an adapter's merged one: in `dtype`, or as stored (a merged one: in float32)."""
    import torch

    if (pair := adapter_and_base(path, base)) is None:
        return load_model(path, dtype=dtype)
    adapter, base_path = pair
    merged = _merge(adapter, base_path, load_model(base_path, dtype=torch.float32))
    return merged if dtype is None else merged.to(dtype)  # pyright: ignore[reportArgumentType]


def add_into_base(adapters: Any) -> Any:
    """The base with its adapters added in, without peft's modules. The base is changed: copy it first if it is needed.

    `adapters` is a PeftModel. Weights that the sum leaves equal keep their bits."""
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    with _without_warnings(), torch.no_grad():
        for layer in adapters.modules():
            if isinstance(layer, BaseTunerLayer):
                before = {name: weight.clone() for name, weight in _own_weights(layer)}
                layer.merge()
                for name, weight in _own_weights(layer):
                    weight.data = torch.where(weight == before[name], before[name], weight)
        return adapters.merge_and_unload()


def _own_weights(layer: Any) -> Iterator[tuple[str, Any]]:
    return layer.get_base_layer().named_parameters(recurse=False)


def _merge(adapter: Adapter, base_path: Path, base: "PreTrainedModel") -> "PreTrainedModel":
    """The base with the adapter added in. Refused if the adapter is that of another base."""
    try:
        from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    except ImportError as error:
        raise BadInput(f"{adapter.path}: expected peft, to open an adapter: pip install 'interp[peft]'") from error
    from safetensors.torch import load_file

    path, embeddings = adapter.path, _tied_embeddings(base)
    options = {**adapter.options, "init_lora_weights": False}
    with whatever_it_raises(path, "an adapter that peft opens"), _without_warnings():
        config = LoraConfig(task_type="CAUSAL_LM", **options)
        try:
            adapters: Any = get_peft_model(base, config)
        except ValueError as error:  # peft finds none of the modules that the adapter is for
            raise BadInput(
                f"{path}: expected an adapter of {base_path}, got another's ({error}): {ITS_BASE}"
            ) from error
        _expect_weights_of(path, base_path, adapters)
        _expect_untied(path, adapters, embeddings)
        set_peft_model_state_dict(adapters, load_file(path / ADAPTER_WEIGHTS))
        return add_into_base(adapters).eval().requires_grad_(True)  # peft had frozen the base


def _expect_weights_of(path: Path, base_path: Path, adapters: Any) -> None:
    """Refuse weights on disk that are not those of the adapter in this base. Its embeddings may lie with them."""
    from peft import get_peft_model_state_dict

    required, allowed = (
        {name: tuple(weight.shape) for name, weight in state.items()}
        for state in (
            get_peft_model_state_dict(adapters, save_embedding_layers=False),
            get_peft_model_state_dict(adapters, save_embedding_layers=True),
        )
    )
    stored = read_header(path / ADAPTER_WEIGHTS)
    names = sorted(stored.keys() | required.keys())
    if wrong := [name for name in names if stored.get(name) != allowed.get(name)]:
        expected, got = (shapes.get(wrong[0], "none") for shapes in (allowed, stored))
        raise BadInput(
            f"{path}: expected an adapter of {base_path}, got another's: {len(wrong)} of {len(names)} weights differ, "
            f"e.g. {wrong[0]}: expected {expected}, got {got}: {ITS_BASE}"
        )


def _tied_embeddings(model: "PreTrainedModel") -> set[str]:
    """The names of the two embeddings of a model, if they share one weight."""
    ends: Any = (model.get_input_embeddings(), model.get_output_embeddings())
    if None in ends or ends[0].weight is not ends[1].weight:
        return set()
    return {name for name, module in model.named_modules() if any(module is end for end in ends)}


def _expect_untied(path: Path, adapters: Any, embeddings: set[str]) -> None:
    """Refuse an adapter of one of two tied embeddings: there is no weight that is the sum for both."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    adapted = {
        name
        for name, module in adapters.get_base_model().named_modules()
        if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)
    }
    if shared := sorted(adapted & embeddings):
        raise BadInput(
            f"{path}: expected an adapter of weights that are used once, got one of {shared[0]}, which is tied to the "
            f"other embedding: untie them in the base (tie_word_embeddings) and train again"
        )


@contextmanager
def _without_warnings() -> Iterator[None]:
    """peft warns of what is meant here: weights are merged before it merges them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
