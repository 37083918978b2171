"""A dictionary: residuals in, codes out, and back. In SAELens' own format, read here without it.

On disk it is what SAELens writes for a JumpReLU dictionary (`cfg.json`, `sae_weights.safetensors`), so that
`sae_lens.SAE.load_from_disk` reads it where this package has never been; beside it lies a manifest with what only we
know: the blocks, the layer, the weights it was fitted on, and every choice that made it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from interp.artifacts import (
    BadInput,
    Mismatch,
    fingerprint_tensors,
    from_json,
    is_kind,
    read_manifest,
    write_manifest,
    writing_dir,
)
from interp.tsae.config import TSAEConfig

if TYPE_CHECKING:
    from sae_lens import SAE

KIND = "tsae"
CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


@dataclass(frozen=True)
class TSAE:
    W_enc: Float[Tensor, "D F"]
    b_enc: Float[Tensor, " F"]
    W_dec: Float[Tensor, "F D"]
    b_dec: Float[Tensor, " D"]
    threshold: Float[Tensor, " F"]
    block_widths: tuple[int, ...]
    """Of the blocks, the slow one first. One block alone, if they are not known."""
    layer: int | None = None
    config: TSAEConfig | None = None
    made_from: dict[str, str] = field(default_factory=dict)
    """Fingerprints: of the store, and of the policies whose activations it holds."""
    fit_metrics: dict[str, Any] = field(default_factory=dict)
    """What was measured when it was fitted."""
    sae_lens_cfg: dict[str, Any] = field(default_factory=dict)
    """What SAELens' cfg.json says."""
    path: Path | None = None

    @property
    def d_model(self) -> int:
        return self.W_enc.shape[0]

    @property
    def width(self) -> int:
        return self.W_enc.shape[1]

    @property
    def n_slow(self) -> int:
        return self.block_widths[0]

    def __repr__(self) -> str:
        blocks = " + ".join(f"{width:,}" for width in self.block_widths)
        return f"TSAE({self.width:,} latents ({blocks}) of d_model {self.d_model}, layer {self.layer})"

    def encode(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        hidden_BF = self.pre_activations(x_BD)
        return hidden_BF.relu() * (hidden_BF > self.threshold)

    def pre_activations(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Before it is told what is on: what lies above its threshold, and above zero."""
        if x_BD.shape[-1] != self.d_model:
            raise BadInput(f"expected activations of dimension {self.d_model}, got {tuple(x_BD.shape)}")
        return (x_BD.to(self.W_enc) - self.b_dec) @ self.W_enc + self.b_enc

    def encode_latent(self, x_BD: Float[Tensor, "*B D"], latent: int) -> Float[Tensor, "*B"]:
        """Of one latent alone."""
        hidden_B = (x_BD.to(self.W_enc) - self.b_dec) @ self.W_enc[:, latent] + self.b_enc[latent]
        return hidden_B.relu() * (hidden_B > self.threshold[latent])

    def decode(self, z_BF: Float[Tensor, "*B F"]) -> Float[Tensor, "*B D"]:
        if z_BF.shape[-1] != self.width:
            raise BadInput(f"expected codes of {self.width} latents, got {tuple(z_BF.shape)}: are they residuals?")
        return z_BF @ self.W_dec + self.b_dec

    def decode_slow(self, z_BF: Float[Tensor, "*B F"]) -> Float[Tensor, "*B D"]:
        """What the slow block alone makes of it."""
        return z_BF[..., : self.n_slow] @ self.W_dec[: self.n_slow] + self.b_dec

    def select_latents(self, latents: Sequence[int]) -> "TSAE":
        """Some of its latents alone. Each has a threshold of its own, so they are what they are among all."""
        at = torch.tensor(list(latents), dtype=torch.long, device=self.W_enc.device)
        encoding = {"W_enc": self.W_enc[:, at], "b_enc": self.b_enc[at], "threshold": self.threshold[at]}
        known = {"block_widths": (len(at),), "config": None, "fit_metrics": {}, "sae_lens_cfg": {}, "path": None}
        return replace(self, **encoding, W_dec=self.W_dec[at], **known)

    def to(self, device: torch.device | str) -> "TSAE":
        return replace(self, **{name: getattr(self, name).to(device) for name in TENSORS})

    def fingerprint(self) -> str:
        return fingerprint_tensors(TENSORS, lambda name: getattr(self, name))

    def fitted_steps(self, made_from: Mapping[str, str]) -> list[int] | None:
        """The steps named here whose weights it was fitted on. None where it does not say on which it was."""
        mine = set(_policies(self.made_from).values())
        return [int(step) for step, weights in _policies(made_from).items() if weights in mine] if mine else None

    def unrelated_policies(self, made_from: Mapping[str, str]) -> tuple[str, str] | None:
        """The weights it was fitted on and those named here, to be told, where the two have none in common."""
        mine, theirs = (set(_policies(named).values()) for named in (self.made_from, made_from))
        strange = mine and theirs and not mine & theirs
        return (", ".join(sorted(mine)), ", ".join(sorted(theirs))) if strange else None

    def to_sae_lens(self) -> "SAE[Any]":
        """As SAELens sees it."""
        from sae_lens import SAE

        if self.path is None:
            raise BadInput("this dictionary was never saved: fit it with out=")
        return SAE.load_from_disk(self.path)

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None, layer: int | None = None) -> "TSAE":
        """One of ours, or any JumpReLU dictionary that SAELens saved. Refused if it is of another layer, or was not
        `made_from` what the caller names, e.g. {"policy-0": policy.fingerprint()}."""
        path = Path(path)
        ours = is_kind(path, KIND)
        manifest = read_manifest(path, KIND, made_from=made_from) if ours else {}
        tensors, told = _read(path)
        if made_from and not ours:
            raise Mismatch(f"{path}: expected a dictionary that says what it was made from, got one without a manifest")
        found = manifest["layer"] if ours else _layer_of(told)
        if layer is not None and found != layer:
            raise Mismatch(f"{path}: expected a dictionary of layer {layer}, got one of layer {found}")
        return cls(
            **tensors,
            block_widths=tuple(manifest["block_widths"]) if ours else (tensors["b_enc"].shape[0],),
            layer=found,
            config=from_json(TSAEConfig, manifest["config"]) if ours else None,
            made_from=manifest.get("made_from", {}),
            fit_metrics=manifest.get("fit_metrics", {}),
            sae_lens_cfg=told,
            path=path,
        )

    @classmethod
    def from_files(cls, path: Path, **known: Any) -> "TSAE":
        """What SAELens wrote, with what is `known` beside it."""
        tensors, told = _read(path)
        return cls(**tensors, sae_lens_cfg=told, **known)

    def save(self, path: str | Path, *, spec: dict[str, Any] | None = None, overwrite: bool = False) -> "TSAE":
        """In SAELens' format, with our manifest. `making` is all that decided what it became, if that is known."""
        from safetensors.torch import save_file

        if not self.sae_lens_cfg or self.config is None:
            raise BadInput("only dictionaries fitted here are saved; one that SAELens saved is copied as it is")
        with writing_dir(path, overwrite=overwrite) as aside:
            (aside / CONFIG).write_text(json.dumps(self.sae_lens_cfg, indent=1) + "\n")
            save_file({name: getattr(self, name).contiguous() for name in TENSORS}, aside / WEIGHTS)
            known = {
                "layer": self.layer,
                "block_widths": self.block_widths,
                "fit_metrics": self.fit_metrics,
                "spec": spec or {},
            }
            write_manifest(aside, KIND, config=self.config, made_from=self.made_from, **known)
        return TSAE.load(path)


def _policies(made_from: Mapping[str, str]) -> dict[str, str]:
    """Fingerprints of weights, by step."""
    return {name.removeprefix("policy-"): told for name, told in made_from.items() if name.startswith("policy-")}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_dir():
        raise BadInput(
            f"{path}: expected a dictionary's directory, got {'a file' if path.exists() else 'nothing there'}"
        )
    if is_kind(path, "activations"):
        raise BadInput(f"{path}: expected a dictionary, got a store of activations: fit one on it (interp tsae)")
    for name in (CONFIG, WEIGHTS):
        if not (path / name).exists():
            raise BadInput(f"{path}: expected {CONFIG} and {WEIGHTS}, as SAELens saves a dictionary; {name} is missing")
    try:
        told = json.loads((path / CONFIG).read_text())
    except json.JSONDecodeError as error:
        raise BadInput(f"{path / CONFIG}: expected whole JSON, got text that does not parse ({error})") from error
    kind = (told.get("architecture"), told.get("normalize_activations"), told.get("apply_b_dec_to_input"))
    if kind != ("jumprelu", "none", True):
        raise BadInput(
            f"{path}: expected a jumprelu dictionary that subtracts b_dec and normalises nothing, got architecture, "
            f"normalize_activations and apply_b_dec_to_input {kind}: save it by save_inference_model"
        )
    try:
        tensors = load_file(path / WEIGHTS)
    except SafetensorError as error:
        raise BadInput(f"{path / WEIGHTS}: expected whole safetensors, got: {error}") from error
    if missing := set(TENSORS) - set(tensors):
        raise BadInput(f"{path / WEIGHTS}: expected {', '.join(TENSORS)}; {', '.join(sorted(missing))} missing")
    return {name: tensors[name] for name in TENSORS}, told


def _layer_of(told: dict[str, Any]) -> int | None:
    """`blocks.7.hook_resid_post`: layer 7, if that is what it was fitted on."""
    place = str((told.get("metadata") or {}).get("hook_name") or "").split(".")
    known = len(place) == 3 and place[0] == "blocks" and place[2] == "hook_resid_post"
    return int(place[1]) if known and place[1].isdigit() else None
