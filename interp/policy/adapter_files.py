"""The files of a LoRA adapter, as peft and trainers save it: which base it belongs to, and whether it can be merged.

Only what merging needs is taken from adapter_config.json. What has no place in a merged model is refused by name, and
so is what would run code or change the base as it is read. Nothing here imports torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput, parse_json, read_header

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLED_ADAPTER = "adapter_model.bin"
MERGED = (
    *("r", "lora_alpha", "target_modules", "exclude_modules", "fan_in_fan_out", "bias", "use_rslora", "use_dora"),
    *("modules_to_save", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "lora_bias"),
)
"""Entries that decide what the merged model is."""
WITHOUT_EFFECT = (
    *("peft_type", "peft_version", "task_type", "base_model_name_or_path", "revision", "auto_mapping"),
    *("inference_mode", "lora_dropout", "init_lora_weights", "megatron_core", "qalora_group_size", "eva_config"),
    *("loftq_config", "runtime_config", "ensure_weight_tying"),
)
"""Entries that training used, or that name something: a merged model does not depend on them."""
KEEPS_BASE = ("gaussian", "orthogonal", "eva")
"""Ways in which an adapter begins that leave the weights of its base as they are."""
MERGE_YOURSELF = "merge it into its base with peft (merge_and_unload), save that, and name it instead"


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter on disk."""

    path: Path
    options: Mapping[str, Any]
    """The entries of its config that decide what the merged model is."""
    base_name: str
    """What its config calls the base. A trainer writes the name that it was given."""


def is_adapter(path: Path) -> bool:
    """Whether a directory holds a LoRA adapter."""
    return (path / ADAPTER_CONFIG).exists()


def read_adapter(path: Path) -> Adapter:
    """The config of an adapter; refused if the adapter cannot be merged, or if its weights cannot be read."""
    file = path / ADAPTER_CONFIG
    config = parse_json(file, constants=True)
    if not isinstance(config, dict):
        raise BadInput(f"{file}: expected JSON with entries by name, got a {type(config).__name__}: copy it again")
    if (kind := config.get("peft_type")) != "LORA":
        raise BadInput(f"{path}: expected a LoRA adapter, got one of type {kind}: {MERGE_YOURSELF}")
    begins = config.get("init_lora_weights")
    if isinstance(begins, str) and begins not in KEEPS_BASE:
        raise BadInput(
            f"{path}: expected an adapter that leaves its base as it is, got one that began by changing it "
            f"({begins}): {MERGE_YOURSELF}"
        )
    if unknown := sorted(name for name, value in config.items() if value and name not in (*MERGED, *WITHOUT_EFFECT)):
        raise BadInput(
            f"{path}: expected an adapter that can be added into its base, got one with {unknown[0]}: {MERGE_YOURSELF}"
        )
    _expect_ranks(path, config)
    name = config.get("base_model_name_or_path")
    return Adapter(
        path, {name: config[name] for name in MERGED if name in config}, name if isinstance(name, str) else ""
    )


def _expect_ranks(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse ranks that no weight of the adapter has: peft makes matrices of that size."""
    weights = path / ADAPTER_WEIGHTS
    if not weights.exists():
        pickled = (path / PICKLED_ADAPTER).exists()
        got = f"a pickle ({PICKLED_ADAPTER}), which is never opened" if pickled else "none"
        raise BadInput(f"{path}: expected {ADAPTER_WEIGHTS}, got {got}: save the adapter with safe_serialization=True")
    largest = max((size for shape in read_header(weights).values() for size in shape), default=0)
    pattern = config.get("rank_pattern") or {}
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else [pattern])]
    if wrong := [rank for rank in ranks if type(rank) is not int or not 1 <= rank <= largest]:
        raise BadInput(
            f"{path / ADAPTER_CONFIG}: expected ranks from 1 to {largest:,}, by the weights beside it, got "
            f"{wrong[0]!r}: is it the config of these weights?"
        )


def base_of(adapter: Adapter, base: str | Path | None) -> Path:
    """The directory of an adapter's base: `base`, or the one that its config names if that is here."""
    if base is not None:
        return Path(base)
    named = Path(adapter.base_name)
    if adapter.base_name and named.is_dir():
        return named
    got = f"the name {adapter.base_name!r}, and no such directory here" if adapter.base_name else "no name"
    raise BadInput(
        f"{adapter.path}: expected an adapter whose base can be found, got {got}: name the directory of its base "
        "(base; with --series and --checkpoints: --base), or write it as base_model_name_or_path into its "
        f"{ADAPTER_CONFIG}"
    )
