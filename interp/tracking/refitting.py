"""A dictionary fitted anew on later checkpoints, begun from the old one, and which of its latents are the old ones.

A latent goes on as another where each is the nearest to the other by the cosine of their decoder rows, and near enough
(0.7). What has no partner ends there, and what is new begins there. At a checkpoint that both dictionaries were held
against, a track has two strengths: what lies between them is the refit's doing and not the policy's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch
from interp.tracking.config import ON_POLICY
from interp.tsae import TSAE, TSAEConfig, fit
from interp.tsae.metrics.matching import FOUND, NONE

if TYPE_CHECKING:
    import polars as pl

    from interp.tracking.tracks import Tracks

ROWS = 1024
"""Of the cosines held at once."""


@dataclass(frozen=True)
class Passage:
    """From one dictionary to another."""

    latent_F: Int[Tensor, " F"]
    """Of each old latent, the new one; -1 where it ends."""
    cosine_F: Float[Tensor, " F"]
    """With the nearest of the new ones, its partner or not."""
    made_from: dict[str, str]

    def kept(self, alive: Iterable[int] | None = None) -> float:
        """The share of old latents that go on: of those that are `alive`, where it is said which are. (One that never
        fires is not moved by a refit, and goes on for want of anything else.)"""
        counted = list(range(len(self.latent_F))) if alive is None else sorted(alive)
        return float((self.latent_F[counted] != NONE).double().mean())

    def table(self) -> "pl.DataFrame":
        import polars as pl

        after = [None if latent == NONE else latent for latent in self.latent_F.tolist()]
        return pl.DataFrame({"before": range(len(after)), "after": after, "cosine": self.cosine_F.tolist()})


def refit(
    tsae: TSAE,
    store: Store,
    *,
    steps: int | None = None,
    config: TSAEConfig | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    bar: bool = True,
) -> tuple[TSAE, Passage]:
    """On a store of later checkpoints, in the old one's way unless told otherwise, for a quarter of its steps."""
    config = config or tsae.config
    if config is None:
        raise BadInput("the dictionary does not say how it was fitted: expected a config, got none")
    config = replace(config, width=tsae.width).resolved(tsae.d_model)
    steps = steps or max(1, (config.training.steps or 0) // 4)
    config = replace(config, training=replace(config.training, steps=steps))
    later = fit(store, config, layer=tsae.layer, out=out, start=tsae, device=device, bar=bar)
    return later, passage(tsae, later)


def passage(before: TSAE, after: TSAE, *, found: float = FOUND) -> Passage:
    if before.d_model != after.d_model or before.layer != after.layer:
        raise Mismatch(
            f"expected dictionaries of one layer and dimension, got layer {before.layer} of {before.d_model} and layer "
            f"{after.layer} of {after.d_model}"
        )
    cosine_F, latent_F = nearest(before.W_dec, after.W_dec)
    _, back_F = nearest(after.W_dec, before.W_dec)
    mutual_F = back_F[latent_F] == torch.arange(before.width)
    kept_F = torch.where(mutual_F & (cosine_F >= found), latent_F, NONE)
    return Passage(kept_F, cosine_F, {"before": before.fingerprint(), "after": after.fingerprint()})


def nearest(
    rows_FD: Float[Tensor, "F D"], others_GD: Float[Tensor, "G D"]
) -> tuple[Float[Tensor, " F"], Int[Tensor, " F"]]:
    """Of each row, the cosine with the nearest of the others, and which it is."""
    unit_FD, unit_GD = (x / x.norm(dim=1, keepdim=True).clamp(min=1e-12) for x in (rows_FD.cpu(), others_GD.cpu()))
    parts = [(part @ unit_GD.T).max(1) for part in unit_FD.split(ROWS)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def continued(
    before: "Tracks", after: "Tracks", through: Passage, *, corpus: str = ON_POLICY, measure: str = "strength"
) -> "pl.DataFrame":
    """The tracks of latents that go on, under their old numbers: up to the refit by the old dictionary, from there on
    by the new one."""
    import polars as pl

    for name, tracks in (("before", before), ("after", after)):
        if tracks.made_from["tsae"] != through.made_from[name]:
            raise Mismatch(
                f"{tracks.path}: expected tracks of the dictionary {name} the refit, {through.made_from[name]}; got "
                f"some of {tracks.made_from['tsae']}"
            )
    kept = (through.latent_F != NONE).nonzero()[:, 0]
    parts = []
    for name, tracks, latents in (("before", before, kept), ("after", after, through.latent_F[kept])):
        for step in tracks.steps:
            for bucket, strength_F in tracks.strengths(step, corpus=corpus, measure=measure).items():
                told = {"latent": kept.tolist(), "as": latents.tolist(), "strength": strength_F[latents.numpy()]}
                labels = {"dictionary": name, "step": step, "bucket": bucket}
                parts.append(pl.DataFrame(told).select(*(pl.lit(v).alias(k) for k, v in labels.items()), pl.all()))
    return pl.concat(parts).fill_nan(None)
