"""Tracks as arrays: level and change of every latent shown, in every bucket, at every checkpoint, with the controls.

Changes, intervals, q and verdicts are those of `Tracks`, each checkpoint against the base. False-discovery rates are
over all latents of the dictionary, shown or not. The floor is the base against the base sampled again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from tqdm import tqdm

from interp.dashboard.report import Report
from interp.tracking.changes import Changes
from interp.tracking.config import ON_POLICY, PROBE
from interp.tracking.drift import TRUSTED, Drift
from interp.tracking.measures import FIRING_RATE, MEAN_ACTIVATION
from interp.tracking.tracks import Tracks
from interp.tracking.verdicts import TOO_FEW_PROMPTS, TOO_RARE, UNDECIDED, VERDICTS, LatentVerdicts

CORPORA, MEASURES = (ON_POLICY, PROBE), (MEAN_ACTIVATION, FIRING_RATE)
ESTIMATE = ("change", "low", "high")


@dataclass(frozen=True)
class TrackedMeasure:
    """One measure of the latents of tracks on one corpus, in every bucket and at every checkpoint."""

    corpus: str
    measure: str
    changes: Changes | None
    """From the base to the last checkpoint, with the controls. None if there is one checkpoint alone."""
    by_step: Mapping[int, Mapping[str, LatentVerdicts]]
    """Verdicts by bucket at each checkpoint after the base."""
    level: Mapping[int, Mapping[str, Float[ndarray, " F"]]]
    """The measure itself, by step and bucket."""


@dataclass(frozen=True)
class TrackedRun:
    """Tracks with all that a report shows of them."""

    tracks: Tracks
    run: int
    """Number of the run in the report."""
    checkpoints: list[int]
    """Numbers of the checkpoints in the report, the base first."""
    measures: list[TrackedMeasure]
    drift: Drift

    def is_judged_F(self) -> Bool[ndarray, " F"]:
        """Latents with another verdict than too rare and too few prompts, anywhere."""
        judged_F = np.zeros(self.tracks.width, bool)
        for one in self.measures:
            for verdicts in (each for by_bucket in one.by_step.values() for each in by_bucket.values()):
                judged_F |= ~np.isin(verdicts.verdict_F, (TOO_RARE, TOO_FEW_PROMPTS))
        return judged_F

    def changes(self, measure: str = MEAN_ACTIVATION, corpus: str = ON_POLICY) -> Changes | None:
        return next(one.changes for one in self.measures if (one.corpus, one.measure) == (corpus, measure))


def measure_tracks(tracks: Tracks, run: int, checkpoints: list[int], *, progress: bool = True) -> TrackedRun:
    """Everything that a report shows of tracks."""
    parts = [(corpus, measure) for corpus in CORPORA for measure in MEASURES]
    bar = tqdm(
        parts, desc=f"testing latents of {tracks.config['run']}", unit="measure", delay=1, leave=False,
        disable=not progress,
    )  # fmt: skip
    measures = [_measure(tracks, corpus, measure) for corpus, measure in bar]
    return TrackedRun(tracks, run, checkpoints, measures, tracks.drift())


def _measure(tracks: Tracks, corpus: str, measure: str) -> TrackedMeasure:
    base, *later = tracks.steps
    level = {step: tracks.latent_values(step, corpus=corpus, measure=measure) for step in tracks.steps}
    if not later:
        return TrackedMeasure(corpus, measure, None, {}, level)
    changes = tracks.changes(corpus=corpus, measure=measure)
    by_step = {step: tracks.verdicts((base, step), corpus=corpus, measure=measure) for step in later[:-1]}
    return TrackedMeasure(corpus, measure, changes, {**by_step, later[-1]: changes.buckets}, level)


def add_tracks(
    report: Report, tracked: TrackedRun, number: int, latents: Int[ndarray, " A"], buckets: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Add the arrays of tracks: an entry of the index for each corpus and measure."""
    tracks = tracked.tracks
    drift = list(_drift_rows(tracked))
    for one in tracked.measures:
        prefix = f"track.{number}.{one.corpus}.{one.measure}"
        arrays = _arrays(tracks.steps, one, latents, buckets)
        yield {
            "run": tracked.run,
            "name": tracks.config["run"],
            "corpus": one.corpus,
            "measure": one.measure,
            "checkpoints": tracked.checkpoints,
            "base": tracked.checkpoints[0],
            "arrays": {
                name: report.add(f"{prefix}.{name}", values, "u1" if name == "verdict" else "f2")
                for name, values in arrays.items()
            },
            "drift": [row for row in drift if row["corpus"] == one.corpus],
        }


def _arrays(
    steps: Sequence[int], one: TrackedMeasure, latents: Int[ndarray, " A"], buckets: Sequence[str]
) -> dict[str, ndarray]:
    """Level, changes and verdicts by checkpoint and bucket, and the controls by bucket. NaN where there is nothing."""
    shape = (len(steps), len(buckets), len(latents))
    arrays = {name: np.full(shape, np.nan) for name in ("level", *ESTIMATE, "q")}
    arrays["verdict"] = np.full(shape, VERDICTS.index(TOO_FEW_PROMPTS))
    for t, step in enumerate(steps):
        for b, bucket in enumerate(buckets):
            if bucket not in one.level[step]:
                continue
            arrays["level"][t, b] = one.level[step][bucket][latents]
            if step not in one.by_step:
                arrays["verdict"][t, b] = VERDICTS.index(UNDECIDED)
                continue
            verdicts = one.by_step[step][bucket]
            for name, values in _estimates(verdicts, latents).items():
                arrays[name][t, b] = values
            arrays["q"][t, b] = verdicts.q_F[latents]
            arrays["verdict"][t, b] = [VERDICTS.index(str(verdict)) for verdict in verdicts.verdict_F[latents]]
    return arrays | _controls(one.changes, latents, buckets)


def _controls(changes: Changes | None, latents: Int[ndarray, " A"], buckets: Sequence[str]) -> dict[str, ndarray]:
    """The base against the base sampled again, and the change on the same text, by bucket."""
    arrays: dict[str, ndarray] = {}
    for name in ("floor", "same"):
        control = None if changes is None else changes.control if name == "floor" else changes.same_text
        parts = {end: np.full((len(buckets), len(latents)), np.nan) for end in ESTIMATE}
        for b, bucket in enumerate(buckets):
            if control is not None and bucket in control:
                for end, values in _estimates(control[bucket], latents).items():
                    parts[end][b] = values
        arrays |= {name if end == "change" else f"{name}_{end}": values for end, values in parts.items()}
    return arrays


def _estimates(verdicts: LatentVerdicts, latents: Int[ndarray, " A"]) -> dict[str, ndarray]:
    change = verdicts.change
    return dict(
        zip(ESTIMATE, (part_F[latents] for part_F in (change.value_F, change.low_F, change.high_F)), strict=True)
    )


def _drift_rows(tracked: TrackedRun) -> Iterator[dict[str, Any]]:
    """The fit of the dictionary at each checkpoint, on each corpus and bucket. `trusted` is said of the checkpoint."""
    drift, number_of = tracked.drift, dict(zip(tracked.tracks.steps, tracked.checkpoints, strict=True))
    for fit in drift.fits:
        yield {
            "checkpoint": number_of[fit.step],
            "bucket": fit.bucket,
            "corpus": fit.corpus,
            "fve": fit.fve,
            "threshold": drift.fve_threshold(fit),
            "kl_recovered": fit.kl_recovered,
            "trusted": drift.verdict(fit.step) == TRUSTED,
            "reason": drift.reason(fit.step),
        }
