"""Track one dictionary through a series: every checkpoint on the same problems, and on the very same text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interp.artifacts import (
    CHECKSUM,
    MANIFEST,
    BadInput,
    Mismatch,
    add_checksums,
    describe_changes,
    fingerprint,
    locked,
    open_or_create,
    parse_manifest,
    read_manifest,
    recover_inside,
    same_fingerprint,
    to_json,
    write_manifest,
)
from interp.policy.prompts import PromptFormat, same_prompts
from interp.rollouts.buckets import Buckets
from interp.rollouts.problems import problems_by_level
from interp.rollouts.record import Rollouts
from interp.rollouts.series import Checkpoint, Series
from interp.tasks.base import BUCKETS, Task
from interp.tracking.checkpoint_sums import TrackedRollout
from interp.tracking.collector import SumsCollector, collect_sums
from interp.tracking.config import CORPORA, ON_POLICY, PROBE, RESAMPLED, SPLITS, CorpusProblems, TrackConfig
from interp.tracking.layout import KIND, PROBE_ROLLOUTS, sums_path
from interp.tracking.provenance import expect_measured_on, expect_width, track_spec
from interp.tracking.tracks import Tracks
from interp.tsae import TSAE
from interp.tsae.provenance import expect_shared_policy, resolve_layer


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
    config = same_prompts(config, series.prompt_format, of="the run of these checkpoints")
    if buckets is not None:
        config = same_prompts(config, PromptFormat.stated_in(buckets.config), of="the buckets")
    config.sampling.warn_if_other(series.sampling, of="the run of these checkpoints")
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

    def prepare(checkpoint: Checkpoint) -> SumsCollector:
        policy = checkpoint.load(device=device, dtype=dtype)
        expect_width(tsae, policy, checkpoint)
        return SumsCollector(tsae, policy, layer, config)

    if not _is_finished(out, spec):
        with locked(out):
            tracks, plan = _begin(out, spec, tsae, checkpoints), _plan(checkpoints, resampled_steps)
            _measure_missing(tracks, task, problems, plan, prepare, run=series.run, progress=progress)
            _add_checksums(out, plan)
    return Tracks.open(out)


def _add_checksums(out: Path, plan: Sequence[tuple[Checkpoint, str]]) -> None:
    """Record the files of finished tracks. Sums that an earlier version wrote get checksums of their own first."""
    for checkpoint, corpus in plan:
        sums = sums_path(out, checkpoint.step, corpus)
        if CHECKSUM not in parse_manifest(sums / MANIFEST):
            add_checksums(sums)
    add_checksums(out)


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


def _is_finished(out: Path, spec: dict[str, Any]) -> bool:
    """Whether tracks of this spec are complete at `out`. Those of another spec are refused."""
    if (manifest := open_or_create(out, KIND, spec)) is None:
        return False
    recorded = manifest.get("files")  # None in earlier versions; empty until the tracks are finished
    is_recorded = recorded is None or (bool(recorded) and all((out / name).exists() for name in recorded))
    return is_recorded and not Tracks.from_manifest(out, manifest).missing_sums()


def _begin(out: Path, spec: dict[str, Any], tsae: TSAE, checkpoints: Sequence[Checkpoint]) -> Tracks:
    """The unfinished tracks at `out`, or new ones. What a killed call left half written is cleared."""
    recover_inside(out)
    for lock in out.glob(".*.lock"):  # nobody else writes here now
        lock.unlink()
    if open_or_create(out, KIND, spec) is None:
        paths = {str(checkpoint.step): str(checkpoint.path) for checkpoint in checkpoints}
        fitted_on = tsae.fitted_steps(spec["made_from"])
        write_manifest(out, KIND, **spec, files={}, width=tsae.width, paths=paths, fitted_on=fitted_on)
    tracks = Tracks.from_manifest(out, read_manifest(out, KIND))
    if (width := tracks.manifest.get("width", tsae.width)) != tsae.width:
        raise Mismatch(f"{out}: expected tracks of {tsae.width} latents, as the dictionary's; got {width}: delete it")
    return tracks


def _measure_missing(
    tracks: Tracks,
    task: Task,
    problems: Mapping[str, CorpusProblems],
    plan: Sequence[tuple[Checkpoint, str]],
    prepare: Callable[[Checkpoint], SumsCollector],
    *,
    run: str,
    progress: bool,
) -> None:
    """Measure what the tracks lack of the plan."""
    collectors: dict[int, SumsCollector] = {}  # of one checkpoint at a time
    for checkpoint, corpus in plan:
        step = checkpoint.step
        if tracks.has_sums(step, corpus):
            tracks.open_sums(step, corpus)  # refuses what does not belong there
            continue
        if step not in collectors:
            collectors = {step: prepare(checkpoint)}
        collector = collectors[step]
        if corpus == PROBE:
            waves = _probe_rollouts(collector, task, problems[corpus], tracks, run=run, base=plan[0][0])
        else:
            waves = collector.sample(task, problems[corpus], run=run, step=step)
        sums = collect_sums(collector, problems[corpus], waves, step=step, progress=progress)
        path = sums_path(tracks.path, step, corpus)
        sums.save(path, made_from=tracks.made_from, settings=tracks.settings, overwrite=True)


def _probe_rollouts(
    collector: SumsCollector, task: Task, problems: CorpusProblems, tracks: Tracks, *, run: str, base: Checkpoint
) -> Iterator[list[TrackedRollout]]:
    """The base's rollouts on the problems of the probe corpus, wave by wave. They are saved before any checkpoint is
    measured on them, and if they are lost it is the base again that writes them."""
    path, config = tracks.path / PROBE_ROLLOUTS, to_json(collector.config)
    inputs = {name: tracks.made_from[name] for name in (f"policy-{base.step}", "task", PROBE)}
    if not (path / MANIFEST).exists():
        writer = collector
        if not same_fingerprint(inputs[f"policy-{base.step}"], collector.policy.fingerprint()):
            writer = replace(collector, policy=base.load(device=str(collector.policy.device)))
        waves = writer.sample(task, problems, run=run, step=base.step)
        rows = [tracked.rollout for wave in waves for tracked in wave]
        Rollouts(rows, config=config, made_from=inputs).save(path, overwrite=True)
    else:
        tracks.expect_recorded(PROBE_ROLLOUTS)
    rollouts, group = Rollouts.load(path, made_from=inputs), collector.config.sampling.group
    _expect_answers(path, rollouts, problems, group, config)
    numbered, wave = problems.numbered, max(group, collector.config.sampling.rows)
    for start in range(0, len(rollouts), wave):
        part = rollouts.rows[start : start + wave]
        yield [TrackedRollout(*numbered[(start + n) // group][:2], rollout) for n, rollout in enumerate(part)]


def _expect_answers(
    path: Path, rollouts: Rollouts, problems: CorpusProblems, group: int, config: Mapping[str, Any]
) -> None:
    """Refuse rollouts that are not a group of answers to each of these problems, in order, sampled as `config` says."""
    remedy = "delete it, and repeat the call that made it"
    if changed := describe_changes(rollouts.config, config):
        raise Mismatch(f"{path}: expected rollouts of these tracks, got some with another {changed}: {remedy}")
    expected = [(problem.id, sample) for _, _, problem in problems.numbered for sample in range(group)]
    if len(rollouts) != len(expected):
        raise Mismatch(f"{path}: expected {len(expected)} rollouts, got {len(rollouts)}: {remedy}")
    for row, (problem, sample) in zip(rollouts, expected, strict=True):
        if (row.problem, row.sample) != (problem, sample):
            raise Mismatch(
                f"{path}: expected answer {sample} to problem {problem}, got answer {row.sample} to {row.problem}: "
                f"{remedy}"
            )
