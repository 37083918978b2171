"""One checkpoint reads one corpus: rollouts in, sums out, a wave of rollouts at a time.

Hold one dictionary against every checkpoint of a series, on the same problems and on the very same text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from interp.artifacts import BadInput, differing, fingerprint, is_kind, read_manifest, to_json, write_manifest
from interp.encoding.encoder import look
from interp.encoding.loss_recovered import Splices
from interp.policy.policy import Policy
from interp.rollouts.buckets import Buckets
from interp.rollouts.prompts import by_level
from interp.rollouts.record import Rollout, Rollouts
from interp.rollouts.roll_out import answered
from interp.rollouts.series import Checkpoint, Series
from interp.tasks.base import Problem, Task
from interp.tracking.activation_sums import Document, Reading
from interp.tracking.config import AGAIN, ON_POLICY, PROBE, SPLITS, TrackConfig
from interp.tracking.provenance import expect_measured_on, expect_width, making
from interp.tracking.tracks import KIND, Tracks, place_of
from interp.tsae import TSAE
from interp.tsae.metrics import LossRecovered
from interp.tsae.provenance import expect_kin, layer_of

PIECE = 65_536
"""Tokens whose residuals are held at once."""


@dataclass(frozen=True)
class Asked:
    """The problems of one corpus: of each bucket, in an order that is the same for every checkpoint."""

    corpus: str
    buckets: dict[str, list[Problem]]

    @property
    def everything(self) -> list[tuple[str, int, Problem]]:
        """With bucket, and number there."""
        return [(name, at, problem) for name, held in self.buckets.items() for at, problem in enumerate(held)]


@dataclass
class Reader:
    """A dictionary held against one policy."""

    policy: Policy
    tsae: TSAE
    layer: int
    config: TrackConfig

    def __post_init__(self) -> None:
        self.tsae = self.tsae.to(self.policy.device)

    def answers(self, task: Task, asked: Asked, *, run: str, step: int) -> Iterator[list[Document]]:
        """Wave by wave, with bucket and number of prompt."""
        everything, group = asked.everything, self.config.sampling.group
        wave = max(1, self.config.sampling.rows // group)
        for start in range(0, len(everything), wave):
            part = everything[start : start + wave]
            problems = [problem for _, _, problem in part]
            purpose = f"track {asked.corpus}"
            told = {"run": run, "step": step, "chat": self.config.chat, "purpose": purpose, "bar": False}
            rows = answered(self.policy, task, problems, self.config.sampling, **told)
            yield [(*part[at // group][:2], row) for at, row in enumerate(rows)]

    def read(self, documents: Sequence[Document], reading: Reading) -> None:
        """Into the sums of a reading."""
        held, micro_tokens = [told for told in documents if told[2].tokens], self.config.micro_tokens
        for some in cut(held, PIECE):
            known, rows = reading.known(some), [row for _, _, row in some]
            for part in look(self.policy, self.tsae, self.layer, rows, micro_tokens=micro_tokens):
                reading.update(part, part.codes.decoded(self.tsae), known)

    def recover(self, rollouts: Sequence[Rollout], mean_D: Tensor) -> LossRecovered:
        """What is left of what the policy says, with the dictionary in place of the residual."""
        splices = Splices(self.tsae, self.layer, mean_D, zero=False)
        splices.update(self.policy, [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts])
        return splices.against_mean


def cut(documents: Sequence[Document], tokens: int) -> Iterator[list[Document]]:
    """Into pieces of about so many tokens, a document at least."""
    held, size = list[Document](), 0
    for document in documents:
        held.append(document)
        size += len(document[2].prompt_ids) + len(document[2].tokens)
        if size >= tokens:
            yield held
            held, size = [], 0
    if held:
        yield held


def questions(task: Task, corpus: str, config: TrackConfig) -> Asked:
    """The task's own problems of each level."""
    return Asked(corpus, by_level(task, SPLITS[corpus], config.levels, config.problems))


def read_corpus(reader: Reader, asked: Asked, waves: Iterator[list[Document]], *, step: int, bar: bool) -> Reading:
    """All of a corpus, and on some rollouts of each bucket the loss recovered."""
    reading, spared = Reading(step, asked.corpus, reader.tsae.width), dict[str, list[Rollout]]()
    share = reader.config.recovered // max(1, len(asked.buckets))
    total = len(asked.everything) * reader.config.sampling.group
    told = {"desc": f"step {step}, {asked.corpus}", "unit": "rollout", "delay": 1, "leave": False, "disable": not bar}
    with tqdm(total=total, **told) as shown:
        for documents in waves:
            reader.read(documents, reading)
            reading.tally.update(documents)
            for bucket, at, row in documents:
                if row.tokens and spares(at, row.sample, len(asked.buckets[bucket]), share):
                    spared.setdefault(bucket, []).append(row)
            shown.update(len(documents))
    for bucket, rows in spared.items():
        mean_D = reading.fits[bucket].mean_D
        assert mean_D is not None, "tokens of this bucket were read"
        reading.recovered[bucket] = reader.recover(rows, mean_D.float())
    return reading


def spares(prompt: int, sample: int, prompts: int, share: int) -> bool:
    """Whether a rollout is among about `share` of its bucket: the first samples of as many prompts as it takes, spaced
    evenly, whatever came in the same wave."""
    if sample >= -(-share // max(1, prompts)):
        return False
    return prompt % max(1, prompts // max(1, share)) == 0


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
