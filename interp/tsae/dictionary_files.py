"""Files of a dictionary, and the facts that must agree before they are read.

Tensors, `cfg.json` and, of a dictionary fitted here, the manifest say the same of widths, dimension, blocks and layer.
They are compared whether or not the manifest has checksums: older ones have none, and SAELens writes no manifest.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interp.artifacts import (
    MANIFEST,
    Artifact,
    BadInput,
    Mismatch,
    from_json,
    is_kind,
    open_artifact,
    reading,
    recover,
)
from interp.policy.site import RESID_POST, Site, parse_hook
from interp.tsae.config import TSAEConfig
from interp.tsae.sae_lens_forms import SAVED_TENSORS, Form, convert_tensors, expect_form, form_of

KIND = "tsae"
CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
RENAMED_ENTRIES = {"widths": "block_widths", "facts": "fit_metrics", "making": "spec"}
"""Names of manifest entries in dictionaries saved by earlier versions."""
ARCHITECTURE = "contrastive_temporal"
"""The SAELens class that trains dictionaries here; `cfg.json` names it."""


@dataclass(frozen=True)
class DictionaryFiles:
    """What the files of a dictionary hold. A dictionary of SAELens has one block, and no config."""

    tensors: dict[str, Tensor]
    cfg: dict[str, Any]
    block_widths: tuple[int, ...]
    layer: int | None
    site: str | None
    form: Form
    config: TSAEConfig | None
    made_from: dict[str, str]
    fit_metrics: dict[str, Any]


def read_dictionary(path: Path, *, made_from: Mapping[str, str] | None = None) -> DictionaryFiles:
    """What the files at `path` hold, after all that must agree was compared."""
    recover(path)
    is_ours = is_kind(path, KIND)
    if not is_ours:
        _expect_dictionary(path)
        if made_from:
            raise Mismatch(f"{path}: expected a dictionary that says what it was made from, got one without a manifest")
    artifact = open_artifact(path, KIND, made_from=made_from) if is_ours else Artifact(path, {})
    cfg = artifact.json(CONFIG, "the config of a dictionary")
    with reading(path / CONFIG, "the config of a dictionary as SAELens writes it"):
        expect_form(path, cfg)
        form, hook = form_of(cfg), hook_site(cfg)
    saved = artifact.tensors(WEIGHTS)
    with reading(path / WEIGHTS, "the weights of a dictionary"):
        D, F = _expect_tensors(saved, SAVED_TENSORS[cfg["architecture"]])
        if (cfg.get("d_in", D), cfg.get("d_sae", F)) != (D, F):
            got = (cfg.get("d_in"), cfg.get("d_sae"))
            raise Mismatch(f"{path}: expected {CONFIG} with d_in {D} and d_sae {F}, as the weights; got {got}")
        tensors = convert_tensors(cfg, saved)
    layer, site = (hook.layer, hook.kind) if isinstance(hook, Site) else (None, RESID_POST if hook is None else None)
    if not is_ours:
        _warn_without_manifest(path, cfg)
        return DictionaryFiles(tensors, cfg, (F,), layer, site, form, None, {}, {})
    with reading(path / MANIFEST, "the manifest of a dictionary"):
        files = _from_manifest(artifact.manifest, tensors, cfg, site, form)
    if layer not in (None, files.layer):
        raise Mismatch(f"{path}: expected layer {files.layer}, as {MANIFEST}; got layer {layer} in {CONFIG}")
    return files


def _from_manifest(
    manifest: Mapping[str, Any], tensors: dict[str, Tensor], cfg: dict[str, Any], site: str | None, form: Form
) -> DictionaryFiles:
    manifest = {RENAMED_ENTRIES.get(name, name): entry for name, entry in manifest.items()}
    widths, layer, made_from = tuple(manifest["block_widths"]), manifest["layer"], manifest["made_from"]
    try:
        config = from_json(TSAEConfig, manifest["config"])
    except BadInput as error:
        raise ValueError(error) from error
    F = len(tensors["b_enc"])
    if not all(type(width) is int and width > 0 for width in widths) or sum(widths) != F:
        raise ValueError(f"blocks of {list(widths)} latents, and tensors of {F}")
    if config.width is not None and (config.width, config.block_widths()) != (F, widths):
        raise ValueError(f"a config of blocks {config.block_widths()}, and a dictionary of {widths}")
    if _cfg_ends(cfg) not in (None, list(accumulate(widths))):
        raise ValueError(f"blocks of {list(widths)} latents, and blocks that end at {_cfg_ends(cfg)} in {CONFIG}")
    if layer is not None and not (type(layer) is int and layer >= 0):
        raise ValueError(f"layer {layer!r}")
    steps = [name.removeprefix("policy-") for name in made_from if name.startswith("policy-")]
    if not all(isinstance(text, str) for text in made_from.values()) or not all(map(str.isdecimal, steps)):
        raise ValueError(f"inputs without fingerprints, or policies without steps: {made_from}")
    metrics = manifest["fit_metrics"]
    if not all(isinstance(value, int | float | None) for value in metrics.values()):
        raise ValueError(f"metrics that are no numbers: {metrics}")
    return DictionaryFiles(tensors, cfg, widths, layer, site, form, config, made_from, metrics)


def _expect_dictionary(path: Path) -> None:
    """Refuse a path that holds no dictionary, with what it holds instead."""
    if not path.is_dir():
        got = "a file" if path.exists() else "nothing there"
        raise BadInput(f"{path}: expected a dictionary's directory, got {got}: is the path right?")
    if is_kind(path, "activations"):
        raise BadInput(f"{path}: expected a dictionary, got a store of activations: fit one on it (interp tsae)")
    for name in (CONFIG, WEIGHTS):
        if not (path / name).exists():
            raise BadInput(f"{path}: expected {CONFIG} and {WEIGHTS}, as SAELens saves a dictionary; {name} is missing")


def _expect_tensors(tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> tuple[int, int]:
    """d_model and width, if the tensors of a dictionary are all there, of fitting shapes, and finite."""
    if missing := [name for name in names if name not in tensors]:
        raise ValueError(f"{', '.join(missing)} missing")
    shapes = {name: tuple(tensors[name].shape) for name in names}
    D, F = (*shapes["W_enc"], 0, 0)[:2]
    expected = {"W_enc": (D, F), "W_dec": (F, D), "b_dec": (D,)}
    if shapes != {name: expected.get(name, (F,)) for name in names} or not D or not F:
        raise ValueError(f"tensors of shapes that do not fit together: {shapes}")
    for name in names:
        if not tensors[name].is_floating_point() or not bool(torch.isfinite(tensors[name]).all()):
            raise ValueError(f"{name} with numbers that are not finite, or whole")
    return D, F


def _warn_without_manifest(path: Path, cfg: Mapping[str, Any]) -> None:
    if (cfg.get("metadata") or {}).get("training_architecture") == ARCHITECTURE:
        warnings.warn(
            f"{path} was fitted here, but has no {MANIFEST}: it is read as a dictionary of one block that does not say "
            "what it was made from. Copy the whole directory",
            stacklevel=4,
        )


def _cfg_ends(cfg: Mapping[str, Any]) -> Any:
    """Where the blocks end, if `cfg.json` says it."""
    return ((cfg.get("metadata") or {}).get("training_architecture_details") or {}).get("matryoshka_widths")


def hook_site(cfg: Mapping[str, Any]) -> Site | str | None:
    """The site of the hook that `cfg.json` names; the name itself of a place that cannot be read here; None without."""
    name = (cfg.get("metadata") or {}).get("hook_name")
    if name is None:
        return None
    try:
        return parse_hook(str(name))
    except BadInput:
        return str(name)
