"""A dictionary (T-SAE): encodes residuals into codes, and decodes codes into residuals.

For a residual x and latent f, z_f = c_f if c_f > max(threshold_f, 0) else 0, where c = (x - b_dec) W_enc + b_enc. The
reconstruction is z W_dec + b_dec. (What it reads may be another site than the residual after a block, and dictionaries
of SAELens may have a `top_k`, or normalize their input.)

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
from jaxtyping import Float, Int
from torch import Tensor

from interp.artifacts import (
    BadInput,
    Mismatch,
    fingerprint,
    fingerprint_tensors,
    reading,
    same_fingerprint,
    write_manifest,
    writing_dir,
)
from interp.display import HtmlSummary
from interp.policy.site import RESID_POST, Site
from interp.tsae.config import TSAEConfig
from interp.tsae.dictionary_files import CONFIG, KIND, WEIGHTS, hook_site, read_dictionary
from interp.tsae.sae_lens_forms import LAYER_NORM_EPS, TENSORS, Form

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
    site: str | None = RESID_POST
    """The kind of `Site` it reads. None if its cfg.json names a place that cannot be read here."""
    form: Form = Form()
    """What decides the codes beside the weights."""
    latents_F: Int[Tensor, " F"] | None = None
    """Which latents of the encoder these are, if some were selected whose codes depend on all."""
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
        return self.W_dec.shape[0]

    @property
    def n_slow(self) -> int:
        """Latents of the slow block. They come first."""
        return self.block_widths[0]

    @property
    def trained_on_prompts(self) -> bool:
        """Whether it was fitted on tokens of prompts too."""
        return self.config is not None and self.config.training.prompts

    @property
    def skip_first(self) -> int:
        """First tokens of each document on which it was not fitted."""
        return (self.config.training.skip_first or 0) if self.config is not None else 0

    def __repr__(self) -> str:
        blocks = " + ".join(f"{width:,}" for width in self.block_widths)
        site = "" if self.site == RESID_POST else f", {self.site or hook_site(self.sae_lens_cfg)}"
        return f"TSAE({self.width:,} latents ({blocks}) of d_model {self.d_model}, layer {self.layer}{site})"

    def at(self, layer: int | Site) -> int | Site:
        """What it reads at this layer: the layer itself, for the residual after the block; else its site there. Another
        kind of site is refused."""
        if self.site is None:
            raise BadInput(
                f"expected a dictionary of a place that can be read, got one of {hook_site(self.sae_lens_cfg)}: "
                "residuals before, within and after a block, and outputs of attention and MLP, can be read"
            )
        if isinstance(layer, Site) and layer.kind != self.site:
            raise Mismatch(f"expected {layer.kind}, got a dictionary of {self.site}: its hook decides the site")
        number = layer.layer if isinstance(layer, Site) else layer
        return number if self.site == RESID_POST else Site(number, self.site)

    def summary(self) -> "pl.DataFrame":
        """Sizes of the dictionary, and what its fit measured last."""
        import polars as pl

        sizes = {"layer": self.layer, "d_model": self.d_model, "latents": self.width, "slow_latents": self.n_slow}
        return pl.DataFrame([sizes | {name: self.fit_metrics.get(name) for name in ("fve", "l0", "dead")}])

    # --- codes -----------------------------------------------------------------------------------------------------

    def encode(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Codes of residuals."""
        hidden_BF = self.pre_activations(x_BD)
        if self.form.top_k is None:
            return hidden_BF.relu() * (hidden_BF > self.threshold)
        largest = hidden_BF.topk(self.form.top_k, sorted=False)
        z_BF = torch.zeros_like(hidden_BF).scatter(-1, largest.indices, largest.values.relu())
        return z_BF if self.latents_F is None else z_BF[..., self.latents_F]

    def pre_activations(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """(x - b_dec) W_enc + b_enc: codes before the thresholds. With a `top_k`, of all latents of the encoder."""
        return self._centred(x_BD) @ self.W_enc + self.b_enc

    def _centred(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """What the encoder is multiplied with: x, normalized if need be, less b_dec."""
        if x_BD.shape[-1] != self.d_model:
            raise BadInput(f"expected activations of dimension {self.d_model}, got {tuple(x_BD.shape)}: of this layer?")
        x_BD = x_BD.to(self.W_enc)
        if self.form.normalization == "layer_norm":
            centred_BD = x_BD - x_BD.mean(-1, keepdim=True)
            return centred_BD / (centred_BD.std(-1, keepdim=True) + LAYER_NORM_EPS) - self.b_dec
        if self.form.normalization == "constant_norm_rescale":
            return x_BD / self.unit(x_BD) - self.b_dec
        return x_BD - self.b_dec

    def unit(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B 1"]:
        """What the decoder is multiplied with at each token, to be in the unit of x: 1 unless it normalizes its input.

        A code that changes by c changes x by `c * W_dec[latent] * unit(x)`."""
        x_BD = x_BD.to(self.W_enc)
        if self.form.normalization == "layer_norm":
            return x_BD.std(-1, keepdim=True)
        if self.form.normalization == "constant_norm_rescale":
            return x_BD.norm(dim=-1, keepdim=True) / self.d_model**0.5
        return torch.ones_like(x_BD[..., :1])

    def encode_latent(self, x_BD: Float[Tensor, "*B D"], latent: int) -> Float[Tensor, "*B"]:
        """The code of one latent."""
        if self.form.top_k is not None:
            return self.encode(x_BD)[..., latent]
        hidden_B = self._centred(x_BD) @ self.W_enc[:, latent] + self.b_enc[latent]
        return hidden_B.relu() * (hidden_B > self.threshold[latent])

    def decode(self, z_BF: Float[Tensor, "*B F"], x_BD: Float[Tensor, "*B D"] | None = None) -> Float[Tensor, "*B D"]:
        """Reconstructions of residuals from codes. A dictionary that normalizes its input needs the residuals too."""
        if z_BF.shape[-1] != self.width:
            raise BadInput(f"expected codes of {self.width} latents, got {tuple(z_BF.shape)}: are they residuals?")
        return self.denormalize(z_BF @ self.W_dec + self.b_dec, x_BD)

    def decode_slow(
        self, z_BF: Float[Tensor, "*B F"], x_BD: Float[Tensor, "*B D"] | None = None
    ) -> Float[Tensor, "*B D"]:
        """Reconstructions by the slow block alone."""
        return self.denormalize(z_BF[..., : self.n_slow] @ self.W_dec[: self.n_slow] + self.b_dec, x_BD)

    def reconstruct(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Residuals through the dictionary."""
        return self.decode(self.encode(x_BD), x_BD)

    def denormalize(self, xhat_BD: Float[Tensor, "*B D"], x_BD: Float[Tensor, "*B D"] | None) -> Float[Tensor, "*B D"]:
        """Reconstructions in the units of the residuals `x_BD`."""
        if self.form.normalization == "none":
            return xhat_BD
        if x_BD is None:
            raise BadInput(
                f"expected residuals beside codes, for a dictionary with {self.form.normalization}; got none: "
                "decode(z, x), or reconstruct(x)"
            )
        x_BD = x_BD.to(self.W_enc)
        mean_B1 = x_BD.mean(-1, keepdim=True) if self.form.normalization == "layer_norm" else 0
        return xhat_BD * self.unit(x_BD) + mean_B1

    def select_latents(self, latents: Sequence[int]) -> "TSAE":
        """A dictionary of these latents alone. Their codes stay the same: each latent has its own threshold. (With a
        `top_k`, the whole encoder decides which are active, so all of it is kept.)"""
        at = torch.tensor(list(latents), dtype=torch.long, device=self.W_enc.device)
        encoder: dict[str, Tensor] = {}
        if self.form.top_k is None:
            encoder = {"W_enc": self.W_enc[:, at], "b_enc": self.b_enc[at], "threshold": self.threshold[at]}
        else:
            encoder["latents_F"] = at if self.latents_F is None else self.latents_F[at]
        return replace(
            self,
            **encoder,
            W_dec=self.W_dec[at],
            block_widths=(len(at),),
            config=None,
            fit_metrics={},
            sae_lens_cfg={},
            path=None,
        )

    def to(self, device: torch.device | str) -> "TSAE":
        latents_F = None if self.latents_F is None else self.latents_F.to(device)
        return replace(self, latents_F=latents_F, **{name: getattr(self, name).to(device) for name in TENSORS})

    # --- provenance ------------------------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Of the weights, and of the form if it is another than that of dictionaries fitted here."""
        weights = fingerprint_tensors(TENSORS, lambda name: getattr(self, name))
        return weights if self.form == Form() else fingerprint(weights, repr(self.form))

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
        """Load a dictionary fitted here, or one that SAELens saved: JumpReLU (as which BatchTopK and Matryoshka
        dictionaries are saved), standard, TopK or gated.

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
            site=files.site,
            form=files.form,
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
