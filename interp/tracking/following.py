"""Hold one dictionary against every checkpoint of a series, on the same problems and on the very same text."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput, fingerprint, is_kind, read_manifest, to_json, write_manifest
from interp.differences import differing
from interp.rollouts.buckets import Buckets
from interp.rollouts.record import Rollouts
from interp.rollouts.series import Checkpoint, Series
from interp.tasks.base import Task
from interp.tracking.belonging import expect_measured_on, expect_width, making
from interp.tracking.config import AGAIN, ON_POLICY, PROBE, TrackConfig
from interp.tracking.reading import Document
from interp.tracking.streaming import Asked, Reader, questions, read_corpus
from interp.tracking.tracks import KIND, Tracks, place_of
from interp.tsae import TSAE
from interp.tsae.belonging import expect_kin, layer_of


def track(
    tsae: TSAE,
    series: Series,
    task: Task | None = None,
    config: TrackConfig | None = None,
    *,
    buckets: Buckets | None = None,
    layer: int | None = None,
    twice: Sequence[int] = (),
    out: str | Path | None = None,
    any_policy: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    bar: bool = True,
) -> Tracks:
    """A run's series knows its task; another has to be given one. `buckets` are problems as they were measured on the
    base, in place of the task's own; `layer` is asked for where the dictionary does not say. The steps in `twice` are
    asked a second time, as the base is. `out` is beside the checkpoints if they lie in one directory. Asked for again,
    what is there is opened; what was stopped goes on."""
    config, task = config or TrackConfig(), task if task is not None else series.task
    if task is None:
        raise BadInput("expected a task to ask these checkpoints, got none: track(tsae, series, task)")
    layer, chosen = layer_of(tsae, layer), _chosen(series, config)
    expect_measured_on(buckets, chosen[0])
    asked = {corpus: _asked(task, corpus, config, buckets) for corpus in (ON_POLICY, PROBE, AGAIN)}
    made_from = making(tsae, chosen, task, asked)
    if not any_policy:
        expect_kin(tsae, made_from, "series")
    told = {
        **to_json(config),
        "layer": layer,
        "steps": [member.step for member in chosen],
        "run": series.run,
        "skipped": list(series.skipped),
    }
    told |= {"twice": list(twice)} if twice else {}
    told |= {"loaded_in": dtype, "prompts": {name: len(held) for name, held in asked[ON_POLICY].buckets.items()}}
    name = f"tracks-{fingerprint(str(told), *made_from.values())}"
    out = Path(out) if out is not None else series.beside(name, keeping="tracks")
    paths = {str(member.step): str(member.path) for member in chosen}
    _begin(out, told, made_from, paths=paths, fitted_on=tsae.fitted_on(made_from))
    opened: dict[int, Reader] = {}
    for member, corpus in _plan(chosen, twice):
        if (place_of(out, member.step, corpus)).exists():
            continue
        if member.step not in opened:
            opened = {member.step: Reader(member.load(device=device, dtype=dtype), tsae, layer, config)}
        reader, step = opened[member.step], member.step
        expect_width(reader.policy, tsae, member)
        if corpus == PROBE:
            waves = _probe(reader, task, asked[PROBE], out, run=series.run, base=chosen[0], made_from=made_from)
        else:
            waves = reader.answers(task, asked[corpus], run=series.run, step=step)
        reading = read_corpus(reader, asked[corpus], waves, step=step, bar=bar)
        reading.save(place_of(out, step, corpus), made_from=made_from)
    return Tracks.open(out)


def _plan(chosen: tuple[Checkpoint, ...], twice: Sequence[int]) -> list[tuple[Checkpoint, str]]:
    """Checkpoint after checkpoint. The base is asked twice, and whoever else is to be."""
    more = {chosen[0].step, *twice}
    return [
        (m, corpus) for m in chosen for corpus in ((ON_POLICY, AGAIN, PROBE) if m.step in more else (ON_POLICY, PROBE))
    ]


def _probe(
    reader: Reader, task: Task, asked: Asked, out: Path, *, run: str, base: Checkpoint, made_from: dict[str, str]
) -> Iterator[list[Document]]:
    """What the base wrote: written down before anyone reads it, and by nobody else if it is lost."""
    place, group = out / "probe-text", reader.config.sampling.group
    wanted = {name: made_from[name] for name in (f"policy-{base.step}", "task", PROBE)}
    if not place.exists():
        writer = reader
        if reader.policy.fingerprint() != made_from[f"policy-{base.step}"]:
            writer = replace(reader, policy=base.load(device=str(reader.policy.device)))
        rows = [row for wave in writer.answers(task, asked, run=run, step=base.step) for _, _, row in wave]
        Rollouts(rows, config=to_json(reader.config), made_from=wanted).save(place)
    rows, everything = Rollouts.load(place, made_from=wanted).rows, asked.everything
    wave = max(group, reader.config.sampling.rows)
    for start in range(0, len(rows), wave):
        part = rows[start : start + wave]
        yield [(*everything[(start + at) // group][:2], row) for at, row in enumerate(part)]


def _asked(task: Task, corpus: str, config: TrackConfig, buckets: Buckets | None) -> Asked:
    if buckets is None:
        return questions(task, corpus, config)
    held = {str(level): buckets.problems(str(level)) for level in config.levels}
    half = {name: (problems[::2], problems[1::2]) for name, problems in held.items()}
    which = 1 if corpus == PROBE else 0  # the fixed text is of other problems than those that are asked anew
    return Asked(corpus, {name: parts[which][: config.problems] for name, parts in half.items()})


def _chosen(series: Series, config: TrackConfig) -> tuple[Checkpoint, ...]:
    if not len(series):
        raise BadInput("expected at least one checkpoint, got a series without any")
    if not config.steps:
        return series.members
    return tuple(series.at(step) for step in sorted({series.base.step, *config.steps}))


def _begin(out: Path, told: dict[str, Any], made_from: dict[str, str], **known: Any) -> None:
    if not out.exists():
        return write_manifest(out, KIND, config=told, made_from=made_from, **known)
    if not is_kind(out, KIND):
        raise BadInput(f"{out} exists already and holds no tracks: choose another place")
    before = read_manifest(out, KIND)
    if changed := differing({**before["config"], **before["made_from"]}, {**told, **made_from}):
        raise BadInput(f"{out} holds tracks of another {', '.join(changed)}: choose another place, or delete it")
    return None
