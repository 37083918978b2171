"""Tracks as arrays: level and change of every latent shown, in every bucket, at every checkpoint, with the controls.

Changes, intervals, q and verdicts are those of `Tracks.changes`, each checkpoint against the base, on what is active at
any checkpoint. False-discovery rates are over all latents of the dictionary, shown or not. The floor is the base
against the base sampled again. Each table of sums is read once, if all of them fit in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from tqdm import tqdm

from interp.dashboard.report import Report
from interp.display import bar_settings
from interp.stats.bootstrap import last_minus_first
from interp.tracking.activation_sums import ActivationSums
from interp.tracking.config import ON_POLICY, PROBE, RESAMPLED
from interp.tracking.drift import TRUSTED, Drift
from interp.tracking.measures import FIRING_RATE, MEAN_ACTIVATION, bucket_sums
from interp.tracking.tracks import Tracks
from interp.tracking.verdicts import TOO_FEW_PROMPTS, TOO_RARE, UNDECIDED, VERDICTS, LatentVerdicts

CORPORA, MEASURES = (ON_POLICY, PROBE), (MEAN_ACTIVATION, FIRING_RATE)
ESTIMATE = ("change", "low", "high")
MAX_BYTES = 2 * 10**9
"""Bytes of tables that are kept in memory."""
ByBucket = Mapping[str, LatentVerdicts]


@dataclass(frozen=True)
class TrackedMeasure:
    """One measure of the latents of tracks on one corpus, in every bucket and at every checkpoint."""

    corpus: str
    measure: str
    level: Mapping[str, Float[ndarray, "T F"]]
    """The measure itself, by bucket."""
    by_step: Mapping[int, ByBucket]
    """Change from the base to each later checkpoint."""
    control: ByBucket | None = None
    """The base against the base sampled again. None on the probe corpus, and of one checkpoint alone."""


@dataclass(frozen=True)
class TrackedRun:
    """Tracks with all that a report shows of them."""

    tracks: Tracks
    run: int
    """Number of the run in the report."""
    checkpoints: list[int]
    """Numbers of the checkpoints in the report, the base first."""
    measures: Mapping[tuple[str, str], TrackedMeasure]
    """By corpus and measure."""
    drift: Drift

    def is_judged_F(self) -> Bool[ndarray, " F"]:
        """Latents with another verdict than too rare and too few prompts, anywhere."""
        judged_F = np.zeros(self.tracks.width, bool)
        for one in self.measures.values():
            for verdicts in (each for by_bucket in one.by_step.values() for each in by_bucket.values()):
                judged_F |= ~np.isin(verdicts.verdict_F, (TOO_RARE, TOO_FEW_PROMPTS))
        return judged_F

    @property
    def changes(self) -> ByBucket:
        """Change of the mean activation to the last checkpoint, on its own text. Empty of one checkpoint alone."""
        return self.measures[ON_POLICY, MEAN_ACTIVATION].by_step.get(self.tracks.steps[-1], {})

    @property
    def same_text(self) -> ByBucket:
        """The same on text of the base."""
        return self.measures[PROBE, MEAN_ACTIVATION].by_step.get(self.tracks.steps[-1], {})

    @property
    def control(self) -> ByBucket:
        """The same of the base sampled again."""
        return self.measures[ON_POLICY, MEAN_ACTIVATION].control or {}


class Tables:
    """Sums by prompt of each checkpoint and corpus, read once as long as they fit."""

    def __init__(self, tracks: Tracks) -> None:
        self.tracks, self.bytes = tracks, 0
        self._tables: dict[tuple[int, str], ActivationSums] = {}

    def __call__(self, step: int, corpus: str) -> ActivationSums:
        if (step, corpus) not in self._tables:
            table = self.tracks.activation_sums(step, corpus)
            self.bytes += table.active_RF.nbytes + table.sum_RF.nbytes
            if self.bytes > MAX_BYTES:
                return table
            self._tables[step, corpus] = table
        return self._tables[step, corpus]


def measure_tracks(tracks: Tracks, run: int, checkpoints: list[int], *, progress: bool = True) -> TrackedRun:
    """Everything that a report shows of tracks."""
    parts = [(corpus, measure) for corpus in CORPORA for measure in MEASURES]
    bar = tqdm(
        parts, desc=f"testing latents of {tracks.config['run']}", unit="measure", delay=1, leave=False,
        **bar_settings(progress),
    )  # fmt: skip
    tables = Tables(tracks)
    measures = {(corpus, measure): _measure(tracks, tables, corpus, measure) for corpus, measure in bar}
    return TrackedRun(tracks, run, checkpoints, measures, tracks.drift())


def _measure(tracks: Tracks, tables: Tables, corpus: str, measure: str) -> TrackedMeasure:
    base, *later = tracks.steps
    if not later:
        values = tracks.latent_values(base, corpus=corpus, measure=measure)
        return TrackedMeasure(corpus, measure, {bucket: value_F[None] for bucket, value_F in values.items()}, {})
    by_step: dict[int, dict[str, LatentVerdicts]] = {step: {} for step in later}
    level, control = {}, {}
    for bucket, prompts in tracks.prompts.items():
        sums = bucket_sums((tables(step, corpus) for step in tracks.steps), bucket, prompts, measure)
        for t, step in enumerate(later, 1):
            weights_T = np.zeros(len(tracks.steps))
            weights_T[0], weights_T[t] = -1, 1
            by_step[step][bucket] = sums.verdicts(weights_T)
        level[bucket] = by_step[later[-1]][bucket].change.ratio_TF
        if corpus == ON_POLICY:
            twice_sampled = (tables(base, each) for each in (ON_POLICY, RESAMPLED))
            control[bucket] = bucket_sums(twice_sampled, bucket, prompts, measure).verdicts(last_minus_first(2))
    return TrackedMeasure(corpus, measure, level, by_step, control or None)


def add_tracks(
    report: Report, tracked: TrackedRun, number: int, latents: Int[ndarray, " A"], buckets: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Add the arrays of tracks: an entry of the index for each corpus and measure."""
    tracks = tracked.tracks
    drift = list(_drift_rows(tracked))
    for (corpus, measure), one in tracked.measures.items():
        same = tracked.measures[PROBE, measure] if corpus == ON_POLICY else None
        prefix = f"track.{number}.{one.corpus}.{one.measure}"
        arrays = _arrays(tracks.steps, one, latents, buckets)
        for name, by_bucket in (("floor", one.control), ("same", same and same.by_step.get(tracks.steps[-1]))):
            arrays |= _control(name, by_bucket or {}, latents, buckets)
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
    """Level, changes and verdicts by checkpoint and bucket. NaN where there is nothing."""
    shape = (len(steps), len(buckets), len(latents))
    arrays = {name: np.full(shape, np.nan) for name in ("level", *ESTIMATE, "q")}
    arrays["verdict"] = np.full(shape, VERDICTS.index(TOO_FEW_PROMPTS))
    for t, step in enumerate(steps):
        for b, bucket in enumerate(buckets):
            if bucket not in one.level:
                continue
            arrays["level"][t, b] = one.level[bucket][t][latents]
            if step not in one.by_step:
                arrays["verdict"][t, b] = VERDICTS.index(UNDECIDED)
                continue
            verdicts = one.by_step[step][bucket]
            for name, values in _estimates(verdicts, latents).items():
                arrays[name][t, b] = values
            arrays["q"][t, b] = verdicts.q_F[latents]
            arrays["verdict"][t, b] = [VERDICTS.index(str(verdict)) for verdict in verdicts.verdict_F[latents]]
    return arrays


def _control(name: str, by_bucket: ByBucket, latents: Int[ndarray, " A"], buckets: Sequence[str]) -> dict[str, ndarray]:
    """A change with its interval, by bucket. NaN where there is none."""
    parts = {end: np.full((len(buckets), len(latents)), np.nan) for end in ESTIMATE}
    for b, bucket in enumerate(buckets):
        if bucket in by_bucket:
            for end, values in _estimates(by_bucket[bucket], latents).items():
                parts[end][b] = values
    return {name if end == "change" else f"{name}_{end}": values for end, values in parts.items()}


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
