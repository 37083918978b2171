"""A dictionary (T-SAE): encodes residuals into codes, and decodes codes into residuals.

For a residual x and latent f, z_f = c_f if c_f > max(threshold_f, 0) else 0, where c = (x - b_dec) W_enc + b_enc. The
reconstruction is z W_dec + b_dec.

On disk it is what SAELens writes for a JumpReLU dictionary (`cfg.json`, `sae_weights.safetensors`), so
`sae_lens.SAE.load_from_disk` reads it without this package, and it is read here without SAELens. A manifest beside it
holds the rest: blocks, layer, config, and the fingerprints of the store and policies it was fitted on.
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
    reading,
    same_fingerprint,
    write_manifest,
    writing_dir,
)
from interp.display import HtmlSummary
from interp.tsae.config import TSAEConfig
from interp.tsae.dictionary_files import CONFIG, KIND, TENSORS, WEIGHTS, read_dictionary

if TYPE_CHECKING:
    import polars as pl
    from sae_lens import SAE


@dataclass(frozen=True, repr=False)
class TSAE(HtmlSummary):
    """Weights of a dictionary, and what is known about its fit."""

    W_enc: Float[Tensor, "D F"]
    b_enc: Float[Tensor, " F"]
    W_dec: Float[Tensor, "F D"]
    b_dec: Float[Tensor, " D"]
    threshold: Float[Tensor, " F"]
    block_widths: tuple[int, ...]
    """Latents of each block, the slow block first. A single block if the blocks are not known."""
    layer: int | None = None
    config: TSAEConfig | None = None
    made_from: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the store (`store`) and of each policy whose residuals it holds (`policy-<step>`)."""
    fit_metrics: dict[str, Any] = field(default_factory=dict)
    """Of the last batch of the fit: `fve`, `l0`, `dead` (a share), and every term of the loss."""
    sae_lens_cfg: dict[str, Any] = field(default_factory=dict)
    """Contents of SAELens' cfg.json."""
    path: Path | None = None

    @property
    def d_model(self) -> int:
        return self.W_enc.shape[0]

    @property
    def width(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[1]

    @property
    def n_slow(self) -> int:
        """Latents of the slow block. They come first."""
        return self.block_widths[0]

    @property
    def trained_on_prompts(self) -> bool:
        """Whether it was fitted on tokens of prompts too."""
        return self.config is not None and self.config.training.prompts

    def __repr__(self) -> str:
        blocks = " + ".join(f"{width:,}" for width in self.block_widths)
        return f"TSAE({self.width:,} latents ({blocks}) of d_model {self.d_model}, layer {self.layer})"

    def summary(self) -> "pl.DataFrame":
        """Sizes of the dictionary, and what its fit measured last."""
        import polars as pl

        sizes = {"layer": self.layer, "d_model": self.d_model, "latents": self.width, "slow_latents": self.n_slow}
        return pl.DataFrame([sizes | {name: self.fit_metrics.get(name) for name in ("fve", "l0", "dead")}])

    # --- codes -----------------------------------------------------------------------------------------------------

    def encode(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Codes of residuals."""
        hidden_BF = self.pre_activations(x_BD)
        return hidden_BF.relu() * (hidden_BF > self.threshold)

    def pre_activations(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """(x - b_dec) W_enc + b_enc: codes before the thresholds."""
        if x_BD.shape[-1] != self.d_model:
            raise BadInput(f"expected activations of dimension {self.d_model}, got {tuple(x_BD.shape)}: of this layer?")
        return (x_BD.to(self.W_enc) - self.b_dec) @ self.W_enc + self.b_enc

    def encode_latent(self, x_BD: Float[Tensor, "*B D"], latent: int) -> Float[Tensor, "*B"]:
        """The code of one latent."""
        hidden_B = (x_BD.to(self.W_enc) - self.b_dec) @ self.W_enc[:, latent] + self.b_enc[latent]
        return hidden_B.relu() * (hidden_B > self.threshold[latent])

    def decode(self, z_BF: Float[Tensor, "*B F"]) -> Float[Tensor, "*B D"]:
        """Reconstructions of residuals from codes."""
        if z_BF.shape[-1] != self.width:
            raise BadInput(f"expected codes of {self.width} latents, got {tuple(z_BF.shape)}: are they residuals?")
        return z_BF @ self.W_dec + self.b_dec

    def decode_slow(self, z_BF: Float[Tensor, "*B F"]) -> Float[Tensor, "*B D"]:
        """Reconstructions by the slow block alone."""
        return z_BF[..., : self.n_slow] @ self.W_dec[: self.n_slow] + self.b_dec

    def select_latents(self, latents: Sequence[int]) -> "TSAE":
        """A dictionary of these latents alone. Their codes stay the same: each latent has its own threshold."""
        at = torch.tensor(list(latents), dtype=torch.long, device=self.W_enc.device)
        return replace(
            self,
            W_enc=self.W_enc[:, at],
            b_enc=self.b_enc[at],
            W_dec=self.W_dec[at],
            threshold=self.threshold[at],
            block_widths=(len(at),),
            config=None,
            fit_metrics={},
            sae_lens_cfg={},
            path=None,
        )

    def to(self, device: torch.device | str) -> "TSAE":
        return replace(self, **{name: getattr(self, name).to(device) for name in TENSORS})

    # --- provenance ------------------------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Of the weights alone."""
        return fingerprint_tensors(TENSORS, lambda name: getattr(self, name))

    def fitted_steps(self, made_from: Mapping[str, str]) -> list[int] | None:
        """The steps of `made_from` whose policy it was fitted on. None if its own policies are not known."""
        own = set(_policy_fingerprints(self.made_from).values())
        if not own:
            return None
        policies = _policy_fingerprints(made_from).items()
        return [int(step) for step, policy in policies if any(same_fingerprint(each, policy) for each in own)]

    def unrelated_policies(self, made_from: Mapping[str, str]) -> tuple[str, str] | None:
        """The policies it was fitted on and those of `made_from`, as text, if the two have none in common. None if
        they share one, or if either is not known."""
        own, other = (set(_policy_fingerprints(names).values()) for names in (self.made_from, made_from))
        unrelated = own and other and not any(same_fingerprint(a, b) for a in own for b in other)
        return (", ".join(sorted(own)), ", ".join(sorted(other))) if unrelated else None

    # --- files -----------------------------------------------------------------------------------------------------

    def to_sae_lens(self) -> "SAE[Any]":
        """The same dictionary as an object of SAELens."""
        from sae_lens import SAE

        if self.path is None:
            raise BadInput("expected a dictionary that was saved, got one without a path: fit it with out=")
        read_dictionary(self.path)  # SAELens does not refuse damaged files
        with reading(self.path, "a dictionary that SAELens can load"):
            return SAE.load_from_disk(self.path)

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None, layer: int | None = None) -> "TSAE":
        """Load a dictionary fitted here, or any JumpReLU dictionary that SAELens saved.

        Another layer than `layer` is refused; so are other fingerprints than those in `made_from`, for instance
        {"policy-0": policy.fingerprint()}."""
        path = Path(path)
        files = read_dictionary(path, made_from=made_from)
        if layer is not None and files.layer != layer:
            raise Mismatch(f"{path}: expected a dictionary of layer {layer}, got one of layer {files.layer}")
        return cls(
            **files.tensors,
            block_widths=files.block_widths,
            layer=files.layer,
            config=files.config,
            made_from=files.made_from,
            fit_metrics=files.fit_metrics,
            sae_lens_cfg=files.cfg,
            path=path,
        )

    def save(self, path: str | Path, *, spec: dict[str, Any] | None = None, overwrite: bool = False) -> "TSAE":
        """Save in SAELens' format, with a manifest. `spec` is everything that decided the weights, if known."""
        from safetensors.torch import save_file

        if not self.sae_lens_cfg or self.config is None:
            raise BadInput(
                "expected a dictionary fitted here, got one without its config: copy the directory SAELens saved"
            )
        with writing_dir(path, overwrite=overwrite) as partial:
            (partial / CONFIG).write_text(json.dumps(self.sae_lens_cfg, indent=1, sort_keys=True) + "\n")
            save_file({name: getattr(self, name).contiguous() for name in TENSORS}, partial / WEIGHTS)
            write_manifest(
                partial,
                KIND,
                config=self.config,
                made_from=self.made_from,
                layer=self.layer,
                block_widths=self.block_widths,
                fit_metrics=self.fit_metrics,
                spec=spec or {},
            )
        return TSAE.load(path)


def _policy_fingerprints(made_from: Mapping[str, str]) -> dict[str, str]:
    """The fingerprint of each policy, by its step."""
    prefix = "policy-"
    return {name.removeprefix(prefix): value for name, value in made_from.items() if name.startswith(prefix)}
