"""Runs and series of checkpoints as a report takes them: where their policies are, and what is unfinished."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from interp.artifacts import BadInput, own_manifest
from interp.policy.fingerprints import weights_fingerprint_of, weights_of
from interp.rollouts.series import Checkpoint, Series

if TYPE_CHECKING:
    from interp.dashboard.inputs import Inputs
    from interp.grpo import Run
    from interp.tracking import Tracks

RUN, SERIES = "run", "series"


@dataclass(frozen=True)
class Subject:
    """A policy in training: its checkpoints and, of a run of ours, the rollouts of training."""

    name: str
    kind: str
    """run or series."""
    steps: tuple[int, ...]
    """Steps of its checkpoints, the base first."""
    series: Series | None = None
    """Where its checkpoints are, if they are there."""
    run: "Run | None" = None
    fingerprints: Mapping[int, str] = field(default_factory=dict)
    """Fingerprint of the policy at each step, or of its weights, as far as it is known without reading weights."""
    note: str = ""
    """Why it is partial."""

    @cached_property
    def base(self) -> str | None:
        """Fingerprint of its base; read from disk if need be."""
        if (recorded := self.fingerprints.get(self.steps[0])) is not None or self.series is None:
            return recorded
        return self.series.base.fingerprint()

    def checkpoint(self, step: int) -> Checkpoint | None:
        """The checkpoint of a step, if it is there."""
        if self.series is None or step not in self.series.steps:
            return None
        return self.series.checkpoint(step)

    def temperature(self) -> float:
        """The temperature at which its rollouts were sampled."""
        recorded = (self.series.sampling if self.series is not None else None) or {}
        return float(recorded.get("temperature") or 1.0)


def subject_of_run(run: "Run", name: str | None = None) -> Subject:
    """A run, finished or not."""
    manifest = run.manifest
    planned, done = run.config.steps, len(run.metrics())
    notes = [] if done >= planned else [f"unfinished: step {done} of {planned}"]
    series = run.series
    notes += [f"step {step} is left out: {reason}" for step, reason in series.skipped]
    fingerprints = {checkpoint.step: _recorded_weights(checkpoint) for checkpoint in series}
    recorded = {step: each for step, each in fingerprints.items() if each is not None}
    recorded[series.base.step] = manifest["made_from"]["policy"]
    return Subject(name or run.name, RUN, series.steps, series, run, recorded, "; ".join(notes))


def subject_of_series(series: Series, name: str | None = None) -> Subject:
    """Checkpoints of any trainer."""
    if not len(series):
        raise BadInput("expected at least one checkpoint, got a series without any")
    directory = series.directory
    own_name = series.run if series.run != "base" or directory is None else directory.name
    fingerprints = {each.step: weights for each in series if (weights := _recorded_weights(each)) is not None}
    note = "; ".join(f"step {step} is left out: {reason}" for step, reason in series.skipped)
    return Subject(name or own_name, SERIES, series.steps, series, None, fingerprints, note)


def subject_of_tracks(tracks: "Tracks") -> Subject:
    """The checkpoints that tracks were measured on, wherever they still are."""
    fingerprints = {step: tracks.made_from[f"policy-{step}"] for step in tracks.steps}
    paths = {step: path for step in tracks.steps if (path := tracks.paths.get(step)) is not None}
    series = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            series = Series.from_dirs(paths) if len(paths) == len(tracks.steps) else None
    except BadInput:
        series = None  # they have moved: what needs them is left out
    return Subject(tracks.config["run"], SERIES, tracks.steps, series, None, fingerprints)


def with_shipped_policies(inputs: "Inputs") -> None:
    """Add the shipped organisms that wrote rollouts, where no run has them: their tokens are then shown as text."""
    from interp.organism import shipped_path

    unknown = {weights_of(each) for named in inputs.rollouts if (each := named.result.made_from.get("policy"))}
    own = [each for subject in inputs.subjects for each in (subject.base, *subject.fingerprints.values())]
    unknown -= {weights_of(each) for each in own if each is not None}
    for kind in ("chain", "words"):
        path = shipped_path(kind)
        if unknown and weights_fingerprint_of(path) in unknown:
            series = Series([Checkpoint(0, path)])  # without its task: nobody asked for more answers
            inputs.subjects.append(replace(subject_of_series(series, path.name), kind=SERIES))


def _recorded_weights(checkpoint: Checkpoint) -> str | None:
    """Fingerprint of a checkpoint's weights as its manifest states it."""
    return (own_manifest(checkpoint.path) or {}).get("weights")
