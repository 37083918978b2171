"""Track one dictionary through a series: every checkpoint on the same problems, and on the very same text."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from interp.artifacts import BadInput, fingerprint, open_or_create, to_json, write_manifest
from interp.rollouts.buckets import Buckets
from interp.rollouts.problems import problems_by_level
from interp.rollouts.record import Rollouts
from interp.rollouts.series import Checkpoint, Series
from interp.tasks.base import BUCKETS, Task
from interp.tracking.checkpoint_sums import TrackedRollout, sums_path
from interp.tracking.collector import SumsCollector, collect_sums
from interp.tracking.config import CORPORA, ON_POLICY, PROBE, RESAMPLED, SPLITS, CorpusProblems, TrackConfig
from interp.tracking.provenance import expect_measured_on, expect_width, track_spec
from interp.tracking.tracks import KIND, Tracks
from interp.tsae import TSAE
from interp.tsae.provenance import expect_shared_policy, resolve_layer

PROBE_ROLLOUTS = "probe-rollouts"
"""Directory of the probe corpus, in that of the tracks."""


def track(
    tsae: TSAE,
    series: Series,
    task: Task | None = None,
    config: TrackConfig | None = None,
    *,
    buckets: Buckets | None = None,
    layer: int | None = None,
    resampled_steps: Sequence[int] = (),
    out: str | Path | None = None,
    allow_unrelated_policies: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    progress: bool = True,
) -> Tracks:
    """Measure every checkpoint's latents on its own rollouts, and on the probe corpus that the base wrote.

    The task is that of the series, unless another is given. `buckets`, measured on the base, replace the task's own
    levels. `layer` is needed if the dictionary does not say. The base, and the steps in `resampled_steps`, are sampled
    a second time, as a control. `out` is by default beside the checkpoints, if they lie in one directory. Repeated
    calls open what is finished and continue what was stopped."""
    config, task = config or TrackConfig(), task if task is not None else series.task
    if task is None:
        raise BadInput("expected a task for these checkpoints, got none: track(tsae, series, task)")
    layer, checkpoints = resolve_layer(tsae, layer), _select_checkpoints(series, config)
    expect_measured_on(buckets, checkpoints[0])
    problems = {corpus: corpus_problems(task, corpus, config, buckets) for corpus in CORPORA}
    spec = track_spec(
        tsae, checkpoints, task, config, problems,
        layer=layer, run=series.run, skipped=list(series.skipped), resampled_steps=list(resampled_steps),
        loaded_in=dtype,
    )  # fmt: skip
    if not allow_unrelated_policies:
        expect_shared_policy(tsae, spec["made_from"], "series")
    name = f"tracks-{fingerprint(str(to_json(spec)))}"
    out = Path(out) if out is not None else series.path_for(name, content="tracks")
    if open_or_create(out, KIND, spec) is None:
        paths = {str(checkpoint.step): str(checkpoint.path) for checkpoint in checkpoints}
        write_manifest(out, KIND, **spec, paths=paths, fitted_on=tsae.fitted_steps(spec["made_from"]))
    collectors: dict[int, SumsCollector] = {}  # of one checkpoint at a time
    for checkpoint, corpus in _plan(checkpoints, resampled_steps):
        if (path := sums_path(out, checkpoint.step, corpus)).exists():
            continue
        if checkpoint.step not in collectors:
            policy = checkpoint.load(device=device, dtype=dtype)
            expect_width(tsae, policy, checkpoint)
            collectors = {checkpoint.step: SumsCollector(tsae, policy, layer, config)}
        collector = collectors[checkpoint.step]
        if corpus == PROBE:
            base, probe = checkpoints[0], problems[PROBE]
            waves = _probe_rollouts(collector, task, probe, out, run=series.run, base=base, made_from=spec["made_from"])
        else:
            waves = collector.sample(task, problems[corpus], run=series.run, step=checkpoint.step)
        sums = collect_sums(collector, problems[corpus], waves, step=checkpoint.step, progress=progress)
        sums.save(path, made_from=spec["made_from"])
    return Tracks.open(out)


def corpus_problems(task: Task, corpus: str, config: TrackConfig, buckets: Buckets | None = None) -> CorpusProblems:
    """The problems of one corpus: those of the task's levels, or of measured buckets. Of a bucket, the probe corpus has
    every other problem, and the on-policy corpora the rest."""
    if buckets is None:
        return CorpusProblems(corpus, problems_by_level(task, SPLITS[corpus], config.levels, config.problems))
    first = 1 if corpus == PROBE else 0
    by_bucket = {str(level): buckets.problems(str(level)) for level in config.levels or BUCKETS}
    return CorpusProblems(corpus, {name: each[first::2][: config.problems] for name, each in by_bucket.items()})


def _select_checkpoints(series: Series, config: TrackConfig) -> tuple[Checkpoint, ...]:
    """The base and the checkpoints of `config.steps`; all if no steps are named."""
    if not len(series):
        raise BadInput("expected at least one checkpoint, got a series without any")
    if not config.steps:
        return series.checkpoints
    return tuple(series.checkpoint(step) for step in sorted({series.base.step, *config.steps}))


def _plan(checkpoints: Sequence[Checkpoint], resampled_steps: Sequence[int]) -> list[tuple[Checkpoint, str]]:
    """Every checkpoint and corpus, checkpoint by checkpoint, so that each policy is loaded once."""
    resampled = {checkpoints[0].step, *resampled_steps}
    return [
        (checkpoint, corpus)
        for checkpoint in checkpoints
        for corpus in (ON_POLICY, RESAMPLED, PROBE)
        if corpus != RESAMPLED or checkpoint.step in resampled
    ]


def _probe_rollouts(
    collector: SumsCollector,
    task: Task,
    problems: CorpusProblems,
    out: Path,
    *,
    run: str,
    base: Checkpoint,
    made_from: dict[str, str],
) -> Iterator[list[TrackedRollout]]:
    """The base's rollouts on the problems of the probe corpus, wave by wave. They are saved before any checkpoint is
    measured on them, and if they are lost it is the base again that writes them."""
    path, group = out / PROBE_ROLLOUTS, collector.config.sampling.group
    inputs = {name: made_from[name] for name in (f"policy-{base.step}", "task", PROBE)}
    if not path.exists():
        writer = collector
        if collector.policy.fingerprint() != inputs[f"policy-{base.step}"]:
            writer = replace(collector, policy=base.load(device=str(collector.policy.device)))
        waves = writer.sample(task, problems, run=run, step=base.step)
        rows = [tracked.rollout for wave in waves for tracked in wave]
        Rollouts(rows, config=to_json(collector.config), made_from=inputs).save(path)
    rows, numbered = Rollouts.load(path, made_from=inputs).rows, problems.numbered
    wave = max(group, collector.config.sampling.rows)
    for start in range(0, len(rows), wave):
        part = rows[start : start + wave]
        yield [TrackedRollout(*numbered[(start + n) // group][:2], rollout) for n, rollout in enumerate(part)]
