"""Tracks of a dictionary's latents through a series of checkpoints, opened from disk."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from interp.artifacts import (
    MANIFEST,
    Artifact,
    BadInput,
    Mismatch,
    fingerprint_config,
    open_artifact,
    read_manifest,
    reading,
)
from interp.display import HtmlSummary
from interp.stats.bootstrap import last_minus_first, slope_weights
from interp.tracking.activation_sums import ActivationSums
from interp.tracking.breakdown import BREAKDOWN_TABLES, breakdown_groups, expect_breakdown
from interp.tracking.changes import Changes
from interp.tracking.checkpoint_sums import CheckpointSums, load_table
from interp.tracking.config import ON_POLICY, PROBE, RESAMPLED
from interp.tracking.drift import Drift, TrustThresholds, measure_drift
from interp.tracking.layout import KIND, expect_sums_of, expect_tracks_entries, open_sums, sums_path
from interp.tracking.measures import (
    MEAN_ACTIVATION,
    MEASURES,
    bucket_sums,
    expect_matchable,
    expect_measure,
    measure_from_sums,
)
from interp.tracking.provenance import role_of_each_latent
from interp.tracking.verdicts import LatentVerdicts

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.features import Roles


class Tracks(HtmlSummary):
    """Activation sums of every checkpoint on each corpus; `changes` tests which latents changed."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path, self.manifest = path, manifest
        self.config: dict[str, Any] = manifest["config"]
        self.steps: tuple[int, ...] = tuple(self.config["steps"])
        self.prompts: dict[str, int] = self.config["prompts"]
        """Number of on-policy prompts by bucket."""
        self.skipped: list[tuple[int, str]] = [(step, reason) for step, reason in self.config["skipped"]]
        """Steps of the series that were left out, with the reason."""
        self.resampled_steps: tuple[int, ...] = tuple(sorted({self.steps[0], *self.config["resampled_steps"]}))
        """Steps with a second set of rollouts. The base is one of them."""
        self.paths: dict[int, str] = {int(step): path for step, path in manifest.get("paths", {}).items()}
        """Directory of each checkpoint at the time."""
        self.fitted_on: list[int] | None = manifest.get("fitted_on")
        """Steps on whose weights the dictionary was fitted, if it says."""

    @classmethod
    def open(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Tracks":
        path = Path(path)
        tracks = cls.from_manifest(path, read_manifest(path, KIND, made_from=made_from))
        if missing := tracks.missing_sums():
            raise BadInput(
                f"{path}: expected finished tracks, got none of {', '.join(missing)}: repeat the call that made them, "
                "and it continues where it stopped"
            )
        open_artifact(path, KIND)  # refuses what is missing of the files that the manifest records
        return tracks

    @classmethod
    def from_manifest(cls, path: Path, manifest: dict[str, Any]) -> "Tracks":
        """Tracks, finished or not."""
        with reading(path / MANIFEST, "the manifest of tracks"):
            expect_tracks_entries(manifest)
            return cls(path, manifest)

    def has_sums(self, step: int, corpus: str) -> bool:
        return (sums_path(self.path, step, corpus) / MANIFEST).exists()

    def missing_sums(self) -> list[str]:
        """The sums that finished tracks have and these have not, as text."""
        expected = [(step, corpus) for step in self.steps for corpus in (ON_POLICY, PROBE)]
        expected += [(step, RESAMPLED) for step in self.resampled_steps]
        return [f"{corpus} of step {step}" for step, corpus in expected if not self.has_sums(step, corpus)]

    def __repr__(self) -> str:
        steps, buckets = ", ".join(map(str, self.steps)), ", ".join(self.buckets)
        left_out = f", without {', '.join(str(step) for step, _ in self.skipped)}" if self.skipped else ""
        return f"Tracks({self.path}, steps {steps}{left_out}, buckets {buckets})"

    @property
    def buckets(self) -> tuple[str, ...]:
        return tuple(self.prompts)

    @property
    def made_from(self) -> dict[str, str]:
        return self.manifest["made_from"]

    # --- sums ------------------------------------------------------------------------------------------------------

    def checkpoint_sums(self, step: int, corpus: str = ON_POLICY) -> CheckpointSums:
        return CheckpointSums.read(self.open_sums(step, corpus))

    def activation_sums(
        self, step: int, corpus: str = ON_POLICY, table: str = "prompts", latents: Sequence[int] | None = None
    ) -> ActivationSums:
        """One table of a checkpoint's sums, without reading the others; of some latents alone if they are named."""
        return load_table(self.open_sums(step, corpus), table, latents=latents)

    def latent_values(
        self, step: int, *, corpus: str = ON_POLICY, measure: str = MEAN_ACTIVATION
    ) -> dict[str, Float[np.ndarray, " F"]]:
        """A measure of every latent at one checkpoint, by bucket. mean_when_active is NaN where a latent is never
        active."""
        expect_measure(measure)
        table, values = self.activation_sums(step, corpus), {}
        for bucket in self.buckets:
            rows = [row for row, key in enumerate(table.keys) if key[0] == bucket]
            active_F, total_F = table.active_RF[rows].sum(0), table.sum_RF[rows].sum(0)
            tokens = table.tokens_R[rows].sum().clamp(min=1)
            value_F = measure_from_sums(measure, tokens=tokens, active=active_F, total=total_F)
            values[bucket] = value_F.double().numpy()
        return values

    def breakdown(
        self,
        *,
        by: str,
        latents: Sequence[int] | None = None,
        steps: Sequence[int] | None = None,
        corpus: str = ON_POLICY,
        buckets: Sequence[str] | None = None,
    ) -> "pl.DataFrame":
        """Where latents are active, `by` role, position or outcome: a row for each step, bucket, group and latent, with
        the tokens of the group and the three measures. All latents, steps and buckets unless some are named; a few
        latents are read quickly, however wide the dictionary."""
        import polars as pl

        expect_breakdown(by)
        buckets = self.buckets if buckets is None else buckets
        if set(buckets) - set(self.buckets):
            raise BadInput(f"buckets must be some of {', '.join(self.buckets)}; got {list(buckets)}")
        latents = None if latents is None else tuple(dict.fromkeys(latents))
        schema = {"step": pl.Int64, "bucket": pl.String, by: pl.String, "latent": pl.Int64, "tokens": pl.Int64}
        schema |= dict.fromkeys(MEASURES, pl.Float64)
        parts = [pl.DataFrame(schema=schema)]
        for step in self.steps if steps is None else steps:
            table = self.activation_sums(step, corpus, BREAKDOWN_TABLES[by], latents)
            names = range(table.width) if latents is None else latents
            for bucket in buckets:
                for group, values in breakdown_groups(table, by, bucket):
                    row = {"step": step, "bucket": bucket, by: group, "latent": names, **values}
                    parts.append(pl.DataFrame(row, schema))
        return pl.concat(parts).fill_nan(None)

    def open_sums(self, step: int, corpus: str) -> Artifact:
        """The sums of a checkpoint on a corpus, after all that must agree was compared."""
        path = sums_path(self.path, step, corpus)
        if not path.exists():
            steps = ", ".join(map(str, self.steps))
            raise BadInput(f"{self.path}: expected one of the steps {steps}; got {corpus} text of step {step}")
        self.expect_recorded(path.name)
        sums = open_sums(path, made_from=self.made_from)
        expect_sums_of(sums, width=self.width, prompts=self.prompts, settings=self.settings)
        return sums

    def expect_recorded(self, name: str) -> None:
        """Refuse a directory inside if its manifest is another than when the tracks were finished."""
        Artifact(self.path, self.manifest).file(f"{name}/{MANIFEST}")

    @property
    def settings(self) -> str:
        """Fingerprint of the config."""
        return fingerprint_config(self.config)

    @cached_property
    def width(self) -> int:
        """Latents of the dictionary. Earlier versions recorded it with the sums alone."""
        if "width" in self.manifest:
            return self.manifest["width"]
        sources = [
            (step, corpus) for step in self.steps for corpus in (ON_POLICY, PROBE) if self.has_sums(step, corpus)
        ]
        widths = {open_sums(sums_path(self.path, *source)).manifest["width"] for source in sources}
        if len(widths) > 1:
            raise Mismatch(f"{self.path}: expected sums of one dictionary, got widths {widths}: make the tracks again")
        return widths.pop()

    # --- changes ---------------------------------------------------------------------------------------------------

    def changes(
        self,
        *,
        corpus: str = ON_POLICY,
        measure: str = MEAN_ACTIVATION,
        over: str = "end",
        match: Sequence[str] = (),
        steps: Sequence[int] | None = None,
        roles: "Roles | None" = None,
    ) -> Changes:
        """Change of every latent in every bucket, from the first of `steps` to the last (of all, if none are named).

        `over` is "end" (last less first) or "slope" (rise of the least-squares line). `match` compares each prompt with
        itself within rollouts of one outcome, of like length, or of both. On-policy changes come with two controls: the
        base's rollouts against a second set of them, and the same checkpoints on the probe corpus (never matched, since
        the text is the same). With `roles`, latents can be counted by role."""
        role_F = role_of_each_latent(roles, self.made_from["tsae"], self.width)
        steps = tuple(self.steps if steps is None else steps)
        verdicts = self.verdicts(steps, corpus=corpus, measure=measure, over=over, match=match)
        control = same_text = None
        if corpus == ON_POLICY:
            base = self.steps[0]
            control = self._verdicts([(base, ON_POLICY), (base, RESAMPLED)], last_minus_first(2), measure, match)
            same_text = self.verdicts(steps, corpus=PROBE, measure=measure, over=over)
        return Changes(verdicts, control, same_text, steps, corpus, measure, over, tuple(match), role_F)

    def verdicts(
        self,
        steps: Sequence[int],
        *,
        corpus: str = ON_POLICY,
        measure: str = MEAN_ACTIVATION,
        over: str = "end",
        match: Sequence[str] = (),
    ) -> dict[str, LatentVerdicts]:
        """The verdicts of `changes` by bucket, without controls."""
        if corpus not in (ON_POLICY, PROBE):
            raise BadInput(f"corpus must be {ON_POLICY} or {PROBE}; got {corpus!r}")
        if over not in ("end", "slope"):
            raise BadInput(f"over must be end or slope; got {over!r}")
        weights_T = last_minus_first(len(steps)) if over == "end" else slope_weights(np.array(steps))
        return self._verdicts([(step, corpus) for step in steps], weights_T, measure, match)

    def _verdicts(
        self,
        sources: Sequence[tuple[int, str]],
        weights_T: Float[np.ndarray, " T"],
        measure: str,
        match: Sequence[str],
    ) -> dict[str, LatentVerdicts]:
        """`sources` are the step and corpus of each checkpoint's sums."""
        expect_measure(measure)
        expect_matchable(match)
        verdicts = {}
        for bucket, prompts in self.prompts.items():
            tables = (self.activation_sums(step, corpus) for step, corpus in sources)
            verdicts[bucket] = bucket_sums(tables, bucket, prompts, measure, match).verdicts(weights_T)
        return verdicts

    def table(
        self,
        *,
        corpus: str = ON_POLICY,
        measure: str = MEAN_ACTIVATION,
        over: str = "end",
        match: Sequence[str] = (),
        steps: Sequence[int] | None = None,
        roles: "Roles | None" = None,
    ) -> "pl.DataFrame":
        """A row for each bucket and latent: change, interval, q, verdict. Parameters as in `changes`."""
        return self.changes(corpus=corpus, measure=measure, over=over, match=match, steps=steps, roles=roles).table()

    def summary(
        self,
        *,
        corpus: str = ON_POLICY,
        measure: str = MEAN_ACTIVATION,
        over: str = "end",
        match: Sequence[str] = (),
        steps: Sequence[int] | None = None,
        roles: "Roles | None" = None,
    ) -> "pl.DataFrame":
        """Number of latents with each verdict, by bucket, and by role if `roles` are given; with controls. Parameters
        as in `changes`."""
        changes = self.changes(corpus=corpus, measure=measure, over=over, match=match, steps=steps, roles=roles)
        return changes.summary(by_role=roles is not None)

    def figure(
        self,
        *,
        corpus: str = ON_POLICY,
        measure: str = MEAN_ACTIVATION,
        n_latents: int = 2,
        roles: "Roles | None" = None,
    ) -> "go.Figure":
        """Change since the base by step, of the latents that changed most certainly in each bucket: at most `n_latents`
        strengthened and as many weakened. With `roles`, each is labelled with its role."""
        from interp.tracking.plots import plot_tracks

        role_F = role_of_each_latent(roles, self.made_from["tsae"], self.width)
        base, *later = self.steps
        if not later:
            raise BadInput(f"{self.path}: expected two checkpoints or more to draw changes, got 1")
        by_step = {step: self.verdicts((base, step), corpus=corpus, measure=measure) for step in later}
        return plot_tracks(by_step, base=base, corpus=corpus, measure=measure, n_latents=n_latents, role_F=role_F)

    def drift(self, thresholds: TrustThresholds | None = None) -> Drift:
        """How well the dictionary fits each checkpoint, and whether it can be trusted there."""
        sums = (self.checkpoint_sums(step, corpus) for step in self.steps for corpus in (ON_POLICY, PROBE))
        fitted_on = None if self.fitted_on is None else tuple(self.fitted_on)
        return measure_drift(sums, thresholds or TrustThresholds(), self.buckets, fitted_on=fitted_on)

    def _repr_html_(self) -> str:
        return super()._repr_html_() if len(self.steps) > 1 else f"<p><code>{self!r}</code></p>"
