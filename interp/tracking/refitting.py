"""Refit a dictionary on later checkpoints, and match the latents of the new dictionary to those of the old one.

Two latents match if each is the nearest to the other by the cosine of their decoder rows, and that is at least 0.7. An
old latent without a match ends; a new one without a match begins. At a checkpoint measured with both dictionaries a
track has two values: their difference comes from the refit, not from the policy.
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
from interp.display import HtmlSummary
from interp.tracking.config import ON_POLICY
from interp.tracking.measures import MEAN_ACTIVATION
from interp.tsae import TSAE, TSAEConfig, fit
from interp.tsae.metrics.matching import MATCH_COSINE, NO_LATENT

if TYPE_CHECKING:
    import polars as pl

    from interp.tracking.tracks import Tracks

ROWS_AT_ONCE = 1024
"""Rows of the matrix of cosines in memory at once."""


@dataclass(frozen=True, repr=False)
class LatentMatch(HtmlSummary):
    """Latents of a dictionary after a refit, matched to those before."""

    latent_F: Int[Tensor, " F"]
    """The new latent that matches each old one; -1 if there is none."""
    cosine_F: Float[Tensor, " F"]
    """Cosine of each old latent with the nearest new one, whether it matches or not."""
    made_from: dict[str, str]

    def __repr__(self) -> str:
        return f"LatentMatch({int((self.latent_F != NO_LATENT).sum())} of {len(self.latent_F)} latents matched)"

    def matched_share(self, latents: Iterable[int] | None = None) -> float:
        """Share of old latents with a match: of all, or of `latents`.

        A refit does not move a latent that never fires, so it matches for that reason alone: name active ones."""
        counted = list(range(len(self.latent_F))) if latents is None else sorted(latents)
        return float((self.latent_F[counted] != NO_LATENT).double().mean())

    def table(self) -> "pl.DataFrame":
        """A row for each old latent: the new one, if it has a match, and the cosine with the nearest."""
        import polars as pl

        after = [None if latent == NO_LATENT else latent for latent in self.latent_F.tolist()]
        return pl.DataFrame({"before": range(len(after)), "after": after, "cosine": self.cosine_F.tolist()})

    def summary(self) -> "pl.DataFrame":
        """One row: the number and share of latents with a match, and the median cosine."""
        import polars as pl

        matched = int((self.latent_F != NO_LATENT).sum())
        row = {"latents": len(self.latent_F), "matched": matched, "matched_share": self.matched_share()}
        return pl.DataFrame([{**row, "median_cosine": float(self.cosine_F.median())}])


def refit(
    tsae: TSAE,
    store: Store,
    *,
    steps: int | None = None,
    config: TSAEConfig | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> tuple[TSAE, LatentMatch]:
    """Fit a dictionary on a store of later checkpoints, starting from an old one, and match their latents.

    By default with the old one's config, for a quarter of its steps."""
    config = config or tsae.config
    if config is None:
        raise BadInput("the dictionary does not say how it was fitted: expected a config, got none (config)")
    config = replace(config, width=tsae.width).resolved(tsae.d_model)
    steps = steps or max(1, (config.training.steps or 0) // 4)
    config = replace(config, training=replace(config.training, steps=steps))
    later = fit(store, config, layer=tsae.layer, out=out, start=tsae, device=device, progress=progress)
    return later, match_latents(tsae, later)


def match_latents(before: TSAE, after: TSAE, *, min_cosine: float = MATCH_COSINE) -> LatentMatch:
    """Match the latents of two dictionaries of one layer: mutual nearest neighbors by decoder cosine."""
    if (before.d_model, before.layer, before.site) != (after.d_model, after.layer, after.site):
        raise Mismatch(
            f"expected dictionaries of one layer and dimension, got layer {before.layer} of {before.d_model} and layer "
            f"{after.layer} of {after.d_model}"
            f"{'' if before.site == after.site else f', at {before.site} and {after.site}'}"
        )
    cosine_F, latent_F = nearest(before.W_dec, after.W_dec)
    _, back_F = nearest(after.W_dec, before.W_dec)
    is_mutual_F = back_F[latent_F] == torch.arange(before.width)
    latent_F = torch.where(is_mutual_F & (cosine_F >= min_cosine), latent_F, NO_LATENT)
    return LatentMatch(latent_F, cosine_F, {"before": before.fingerprint(), "after": after.fingerprint()})


def nearest(
    rows_FD: Float[Tensor, "F D"], others_GD: Float[Tensor, "G D"]
) -> tuple[Float[Tensor, " F"], Int[Tensor, " F"]]:
    """Cosine of each row with the nearest of the others, and its index."""
    unit_FD, unit_GD = (x / x.norm(dim=1, keepdim=True).clamp(min=1e-12) for x in (rows_FD.cpu(), others_GD.cpu()))
    parts = [(part @ unit_GD.T).max(1) for part in unit_FD.split(ROWS_AT_ONCE)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def join_tracks(
    before: "Tracks", after: "Tracks", match: LatentMatch, *, corpus: str = ON_POLICY, measure: str = MEAN_ACTIVATION
) -> "pl.DataFrame":
    """Tracks before and after a refit as one table, of latents that match, under their old numbers.

    A row for each dictionary, step, bucket and latent, with its number in that dictionary and the measure."""
    import polars as pl

    for name, tracks in (("before", before), ("after", after)):
        if tracks.made_from["tsae"] != match.made_from[name]:
            raise Mismatch(
                f"{tracks.path}: expected tracks of the dictionary {name} the refit, {match.made_from[name]}; got "
                f"tracks of {tracks.made_from['tsae']}"
            )
    old = (match.latent_F != NO_LATENT).nonzero()[:, 0]
    parts = []
    for name, tracks, own in (("before", before, old), ("after", after, match.latent_F[old])):
        for step in tracks.steps:
            for bucket, value_F in tracks.latent_values(step, corpus=corpus, measure=measure).items():
                labels = {"dictionary": name, "step": step, "bucket": bucket}
                columns = {"latent": old.tolist(), "latent_in_dictionary": own.tolist(), measure: value_F[own.numpy()]}
                label_columns = (pl.lit(value).alias(label) for label, value in labels.items())
                parts.append(pl.DataFrame(columns).select(*label_columns, pl.all()))
    return pl.concat(parts).fill_nan(None)
