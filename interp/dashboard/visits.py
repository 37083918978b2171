"""Checkpoints visited one after another: they answer questions and read their rollouts; the base reads all of them
last. One policy at a time is in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from interp.artifacts import BadInput, same_fingerprint
from interp.dashboard.config import DashboardConfig
from interp.dashboard.inputs import Inputs
from interp.dashboard.readings import Reading, read_codes, read_logprobs, split_codes
from interp.dashboard.rollouts import (
    PROBE_TEXT,
    QUESTION_SPLIT,
    QUESTIONS,
    TRAINING,
    Batch,
    as_probe_rollouts,
    ask,
    expect_readable,
    groups_of,
    level_problems,
    probe_rollouts,
    select_groups,
    select_steps,
    training_rollouts,
)
from interp.dashboard.subjects import Subject
from interp.display import bar_settings
from interp.rollouts.record import Rollout
from interp.tsae.provenance import resolve_layer

if TYPE_CHECKING:
    from interp.dashboard.report import Report
    from interp.dashboard.tokens import TokenTexts
    from interp.policy import Policy
    from interp.tsae.codes import Codes

TOKENS_AT_ONCE = 2**15
"""Tokens whose residuals are in memory at once, or those of one batch."""
Place = tuple[str, int]
"""The name of a subject, and a step."""


@dataclass(eq=False)
class Visit:
    """A checkpoint, and what it reads."""

    subject: Subject
    step: int
    checkpoint: int
    """Its number in the report."""
    readings: list[Reading] = field(default_factory=list)

    @property
    def is_base(self) -> bool:
        return self.step == self.subject.steps[0]


def rows_of(readings: Iterable[Reading]) -> list[Rollout]:
    """The rollouts of all batches, one batch after another."""
    return [row for reading in readings for row in reading.batch.rows]


def parts_of(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """Readings in parts of about `TOKENS_AT_ONCE` tokens."""
    part: list[Reading] = []
    for reading in readings:
        part.append(reading)
        if sum(each.batch.tokens for each in part) >= TOKENS_AT_ONCE:
            yield part
            part = []
    if part:
        yield part


@dataclass
class Visitor:
    """Visits checkpoints for a report."""

    inputs: Inputs
    config: DashboardConfig
    report: "Report"
    texts: "TokenTexts"
    numbers: Mapping[Place, int]
    """The number in the report of each checkpoint."""
    extra: Mapping[int, list[Rollout]]
    """Rollouts that were given, by the number of the checkpoint that wrote them."""
    level_of: Callable[[Rollout], object]
    device: str = "auto"
    dtype: str = "auto"
    progress: bool = True
    on_base: "Callable[[Policy, list[Reading]], None]" = lambda policy, readings: None
    """Called with the base, while it is in memory, and with all that was read."""
    training: dict[int, list[Rollout]] = field(default_factory=dict, init=False)
    """All rollouts of training, by the number of their checkpoint: `read` fills it."""

    def read(self) -> list[Reading]:
        """Every batch of rollouts with all that could be read of it, in order of checkpoints."""
        visits = self._plan()
        loadable = [visit for visit in visits if visit.subject.checkpoint(visit.step) is not None]
        bases = list({visit.subject.base: visit for visit in reversed(loadable) if visit.is_base}.values())
        later = [visit for visit in loadable if not visit.is_base] if self._reads_policies else []
        probe = probe_rollouts(self.inputs.all_tracks, self.config, self.level_of)
        if not probe and self.config.probe and bases and self.inputs.task is not None and self.inputs.tsae is not None:
            policy = self._load(bases[0])
            probe = as_probe_rollouts(policy, self.inputs.task, bases[0].subject, self.config)
        for visit in self._with_progress(later + bases):
            policy = self._load(visit)
            if visit.is_base:
                self._visit_base(policy, visit, visits, probe)
            else:
                self._visit(policy, visit, probe)
            if bases and visit is bases[-1]:
                self.on_base(policy, [reading for each in visits for reading in each.readings])
            del policy
        unread = [visit for visit in visits if visit not in loadable]
        for visit in unread:
            self._say_unread(visit)
        readings = [reading for visit in visits for reading in visit.readings if reading.batch.rows]
        self._add_texts(None, readings)
        return sorted(readings, key=lambda reading: (reading.batch.checkpoint, reading.batch.source))

    @property
    def _reads_policies(self) -> bool:
        return self.inputs.tsae is not None or bool(self.config.questions and self.inputs.task is not None)

    def _plan(self) -> list[Visit]:
        """The checkpoints to visit, with the rollouts that are there already."""
        visits = []
        for subject in self.inputs.subjects:
            for step in select_steps(subject.steps, self.config.checkpoints):
                visit = Visit(subject, step, self.numbers[subject.name, step])
                self.training[visit.checkpoint] = training_rollouts(subject, step)
                rows = self._select(self.training[visit.checkpoint], subject.name, step)
                visit.readings = [Reading(Batch(visit.checkpoint, TRAINING, rows))] if rows else []
                visits.append(visit)
        return self._with_given(visits)

    def _with_given(self, visits: list[Visit]) -> list[Visit]:
        """The visits, with the rollouts that were given to the report."""
        shown_groups, all_groups = 0, 0
        for checkpoint, rows in self.extra.items():
            chosen = self._select(rows, "given", checkpoint)
            shown_groups, all_groups = shown_groups + len(groups_of(chosen)), all_groups + len(groups_of(rows))
            visit = next((each for each in visits if each.checkpoint == checkpoint), None)
            if visit is None:
                place = next((place for place, number in self.numbers.items() if number == checkpoint), None)
                subject = next((each for each in self.inputs.subjects if place and each.name == place[0]), None)
                subject = subject or Subject("", "series", (0,))
                visit = Visit(subject, place[1] if place else 0, checkpoint)
                visits.append(visit)
            source = TRAINING if any(row.advantages for row in chosen) else QUESTIONS
            visit.readings.append(Reading(Batch(checkpoint, source, chosen)))
            self.training[checkpoint] = [*self.training.get(checkpoint, ()), *rows]
        if shown_groups < all_groups:
            self.report.leave_out(
                f"Of the rollouts that were given, {shown_groups:,} of {all_groups:,} groups are shown; the overview "
                "counts all of them."
            )
        return visits

    def _select(self, rows: list[Rollout], *key: object) -> list[Rollout]:
        return select_groups(rows, self.config.rollouts, self.level_of, self.config.seed, *key)

    # --- one checkpoint ----------------------------------------------------------------------------------------------

    def _load(self, visit: Visit) -> "Policy":
        checkpoint = visit.subject.checkpoint(visit.step)
        assert checkpoint is not None, "only checkpoints that are there are visited"
        return checkpoint.load(device=self.device, dtype=self.dtype)

    def _visit(self, policy: "Policy", visit: Visit, probe: list[Rollout]) -> None:
        """Answers to questions, probe text if it is the last checkpoint, and the codes of all that it reads."""
        self._ask(policy, visit)
        if probe and visit.step == visit.subject.steps[-1] and self.inputs.tsae is not None:
            visit.readings.append(self._probe_reading(policy, visit, probe))
        for part in parts_of(visit.readings):
            for reading, codes in zip(part, self._codes(policy, part), strict=True):
                reading.live = codes
        self._add_texts(policy, visit.readings)

    def _visit_base(self, policy: "Policy", visit: Visit, visits: list[Visit], probe: list[Rollout]) -> None:
        """What the base writes and reads itself, and then its reading of what every other checkpoint wrote."""
        self._ask(policy, visit)
        if probe:
            visit.readings.append(self._probe_reading(policy, visit, probe))
        own = [other for other in visits if same_fingerprint(other.subject.base, visit.subject.base)]
        by_temperature: dict[float, list[Reading]] = {}
        for other in own:
            by_temperature.setdefault(other.subject.temperature(), []).extend(other.readings)
        parts = [(each, part) for each, readings in by_temperature.items() for part in parts_of(readings)]
        for temperature, part in parts:
            rows = rows_of(part)
            expect_readable(policy, rows)
            logprobs = read_logprobs(policy, rows, temperature=temperature, micro_tokens=self.config.micro_tokens)[0]
            ends = np.cumsum([reading.batch.tokens for reading in part])
            for reading, codes, own_N in zip(
                part, self._codes(policy, part), np.split(logprobs, ends[:-1]), strict=True
            ):
                reading.base, reading.base_logprobs = codes, own_N
            self._add_texts(policy, part)
        for reading in (reading for other in own if other.is_base for reading in other.readings):
            reading.live = reading.base

    def _add_texts(self, policy: "Policy | None", readings: Sequence[Reading]) -> None:
        self.texts.add(policy, (token for row in rows_of(readings) for token in row.tokens))

    def _ask(self, policy: "Policy", visit: Visit) -> None:
        task, buckets = self.inputs.task, self.inputs.buckets
        if task is None or not self.config.questions:
            return
        measured = None if buckets is None else buckets.result
        problems = level_problems(task, QUESTION_SPLIT, self.config.questions, measured)
        try:
            rows = ask(policy, task, problems, visit.subject, visit.step, self.config) if problems else []
        except BadInput as error:
            self.report.leave_out(f"The checkpoints answer no questions: {error}.")
            return
        visit.readings.append(Reading(Batch(visit.checkpoint, QUESTIONS, rows)))

    def _probe_reading(self, policy: "Policy", visit: Visit, probe: list[Rollout]) -> Reading:
        """Text of the base, read by a checkpoint: with its own log-probabilities."""
        rows = [replace(row, run=visit.subject.name, advantages=None, credit=None, gate=None) for row in probe]
        logprobs, entropies = read_logprobs(
            policy, rows, temperature=visit.subject.temperature(), micro_tokens=self.config.micro_tokens
        )
        return Reading(Batch(visit.checkpoint, PROBE_TEXT, rows), logprobs=logprobs, entropies=entropies)

    def _codes(self, policy: "Policy", readings: Sequence[Reading]) -> "list[Codes | None]":
        """The codes of each batch, read together. None without a dictionary, or without a token."""
        tsae, layer = self.inputs.tsae, self.inputs.layer
        if tsae is None:
            return [None] * len(readings)
        if layer is None:
            self.report.leave_out(
                "The dictionary does not say its layer, and no tracks or roles of it do: activations are left out."
            )
            return [None] * len(readings)
        if policy.d_model != tsae.result.d_model:
            raise BadInput(
                f"{policy.path}: expected a policy of d_model {tsae.result.d_model}, as the dictionary's; got "
                f"{policy.d_model}: give the dictionary of these checkpoints"
            )
        resolved, rows = resolve_layer(tsae.result, layer), rows_of(readings)
        codes = read_codes(tsae.result, policy, resolved, rows, micro_tokens=self.config.micro_tokens)
        counts = [reading.batch.tokens for reading in readings]
        return [None] * len(readings) if codes is None else split_codes(codes, counts)

    # --- progress and what is missing --------------------------------------------------------------------------------

    def _with_progress(self, visits: list[Visit]) -> Iterator[Visit]:
        bar = tqdm(
            visits, desc="reading checkpoints", unit="checkpoint", delay=1, leave=False, **bar_settings(self.progress)
        )
        for visit in bar:
            bar.set_postfix({"run": visit.subject.name, "step": visit.step}, refresh=False)
            yield visit

    def _say_unread(self, visit: Visit) -> None:
        if visit.subject.name and self.inputs.tsae is not None:
            self.report.leave_out(
                f"The checkpoints of {visit.subject.name} are not where they were: what they read is left out."
            )
        elif visit.readings:
            self.report.leave_out(
                "Some rollouts are shown by the numbers of their tokens: give the policy that wrote them, for its "
                "tokenizer."
            )
