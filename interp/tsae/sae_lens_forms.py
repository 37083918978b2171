"""The dictionaries that SAELens saves, in the one form that is computed with here.

    z = JumpReLU((x - b_dec) W_enc + b_enc)        or the `top_k` largest of these; xhat = z W_dec + b_dec

A ReLU is a JumpReLU with threshold 0. A gated encoder is one too: with u = x W_enc, it is exp(r) u + b_mag where
u > -b_gate, so the threshold is b_mag - exp(r) b_gate. Where b_dec is not subtracted from the input, b_enc takes it in.
Norms of the decoder that rescale the codes are folded into the weights. What remains beside the weights is a `Form`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interp.artifacts import BadInput, parse_json, reading

TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
SAVED_TENSORS = {
    "jumprelu": TENSORS,
    "standard": TENSORS[:-1],
    "topk": TENSORS[:-1],
    "gated": ("W_enc", "b_gate", "r_mag", "b_mag", "W_dec", "b_dec"),
}
"""Tensors of each architecture of SAELens that is read here."""
FOLDED_NORMALIZATIONS = ("none", "expected_average_only_in", "covariance_whitening")
"""Normalizations of the input that SAELens folds into the weights at the end of training, so that nothing is left."""
NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale")
"""Normalizations of the input that are left: a token is divided by its own scale, and its reconstruction multiplied."""
LAYER_NORM_EPS = 1e-5
SCALER = "activation_scaler.json"
"""Beside a training checkpoint, the scale that is not folded into its weights yet."""
NOT_READ = {
    "transcoder": "it reads one place and writes another",
    "skip_transcoder": "it reads one place and writes another",
    "jumprelu_transcoder": "it reads one place and writes another",
    "abstopk": "its codes may be negative",
    "temporal": "its codes depend on the tokens before",
    "matching_pursuit": "its codes are found step by step",
}
"""Architectures of SAELens that are not read here, each with the reason."""


@dataclass(frozen=True)
class Form:
    """What decides the codes beside the weights."""

    top_k: int | None = None
    """Latents that are active at a token, at most. None: all above their thresholds."""
    normalization: str = "none"
    """One of `NORMALIZATIONS`."""


def expect_form(path: Path, cfg: Mapping[str, Any]) -> None:
    """Refuse a cfg.json whose dictionary cannot be read here, with what to do."""
    architecture, normalization = cfg.get("architecture"), cfg.get("normalize_activations", "none")
    if "metadata" not in cfg and ("hook_name" in cfg or "hook_point" in cfg):
        raise BadInput(
            f"{path}: expected a dictionary saved by SAELens 6, got an older one: save it anew with "
            "SAE.load_from_disk(path).save_model(new_path)"
        )
    if architecture in NOT_READ:
        raise BadInput(
            f"{path}: expected a dictionary of {', '.join(SAVED_TENSORS)}, got {architecture}: {NOT_READ[architecture]}"
        )
    if architecture not in SAVED_TENSORS:
        raise BadInput(
            f"{path}: expected a dictionary saved for inference ({', '.join(SAVED_TENSORS)}), got {architecture!r}: if "
            "it is a training checkpoint, save it by TrainingSAE.load_from_disk(path).save_inference_model(new_path)"
        )
    if normalization not in {*FOLDED_NORMALIZATIONS, *NORMALIZATIONS}:
        raise BadInput(
            f"{path}: expected activations normalized by {', '.join(NORMALIZATIONS)} or folded, got {normalization!r}: "
            "train it with another normalize_activations"
        )
    if (reshaping := cfg.get("reshape_activations", "none")) != "none":
        raise BadInput(
            f"{path}: expected a dictionary of a block's residual or outputs, got one of attention heads "
            f"({reshaping}): train it at hook_attn_out"
        )
    if _scale_not_folded(path):
        raise BadInput(
            f"{path}: expected weights with their scale folded in, got a training checkpoint with {SCALER}: load it "
            "with TrainingSAE.load_from_disk, call fold_activation_norm_scaling_factor with that factor, and save it "
            "by save_inference_model"
        )


def _scale_not_folded(path: Path) -> bool:
    if not (path / SCALER).exists():
        return False
    scaler = parse_json(path / SCALER, "the scale of a training checkpoint")
    with reading(path / SCALER, "the scale of a training checkpoint"):
        return any(value not in (None, False) for value in scaler.values())


def form_of(cfg: Mapping[str, Any]) -> Form:
    """The form that a cfg.json states."""
    normalization = cfg.get("normalize_activations", "none")
    k = int(cfg["k"]) if cfg["architecture"] == "topk" else None
    if k is not None and not 1 <= k <= cfg.get("d_sae", k):
        raise ValueError(f"k {k} of {cfg.get('d_sae')} latents")
    return Form(k, "none" if normalization in FOLDED_NORMALIZATIONS else normalization)


def convert_tensors(cfg: Mapping[str, Any], saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`TENSORS` from those that SAELens saved, computed in float64. What needs no change keeps its bits."""
    tensors = {name: saved[name] for name in TENSORS if name in saved}
    if cfg["architecture"] == "gated":
        scale_F = saved["r_mag"].double().exp()
        tensors["W_enc"] = saved["W_enc"].double() * scale_F
        tensors["b_enc"] = saved["b_mag"].double()
        tensors["threshold"] = saved["b_mag"].double() - scale_F * saved["b_gate"].double()
    elif cfg["architecture"] != "jumprelu":
        tensors["threshold"] = torch.zeros_like(saved["b_enc"])
    if cfg.get("rescale_acts_by_decoder_norm"):
        norm_F = saved["W_dec"].double().norm(dim=-1)
        tensors |= {name: tensors[name].double() * norm_F for name in ("W_enc", "b_enc")}
        tensors["W_dec"] = saved["W_dec"].double() / norm_F[:, None]
    if not cfg.get("apply_b_dec_to_input", True):
        tensors["b_enc"] = tensors["b_enc"].double() + saved["b_dec"].double() @ tensors["W_enc"].double()
    return {name: tensors[name].to(saved["W_enc"].dtype) for name in TENSORS}
