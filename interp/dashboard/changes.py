"""What training changed in answers: for each run its last checkpoint less its base, beside the base sampled again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from interp.artifacts import BadInput
from interp.dashboard.answers import COLUMNS, Answers, Counted, Ends, Key, Rated, Sources
from interp.dashboard.checkpoints import Checkpoints
from interp.dashboard.config import DashboardConfig
from interp.dashboard.inputs import Inputs
from interp.dashboard.tracked import ByBucket, TrackedRun
from interp.dashboard.verdicts import interval
from interp.rollouts.record import Rollout
from interp.stats.estimate import Estimate
from interp.tracking.drift import TRUSTED
from interp.tracking.verdicts import STRENGTHENED, WEAKENED

BASE, RUN, CONTROL, AGAINST = "base", "run", "control", "against"
"""Kinds of rows: rates of a base; changes of a run; of a control; and of a run less its control."""
KINDS = (BASE, RUN, CONTROL, AGAINST)
"""In the order of their rows."""
SAMPLED_TWICE = "base again"
CONTROL_SCHEMES = ("RandomTokens", "PositionMatched", "RewardSubsample")
"""Schemes of credit that are controls of others."""
Row = dict[str, Any]


def change_rows(
    inputs: Inputs,
    checkpoints: Checkpoints,
    tracked: Sequence[TrackedRun],
    compared: Sequence[tuple[int, int]],
    level_of: Callable[[Rollout], str | None],
    config: DashboardConfig,
) -> list[Row]:
    """A row for each base, run, control, and run less its control, as the index of a report has it. `compared` are the
    runs of B and A of comparisons: their difference has a row too."""
    ends = _ends_of_runs(Sources(inputs, tracked, level_of), checkpoints)
    controls = _named_controls(config, checkpoints)
    own = {subject.name for subject in inputs.subjects if is_control_run(subject.run)}
    by_tracks = {each.run: each for each in tracked if len(each.tracks.steps) > 1}
    pairs = [pair for pair in dict.fromkeys([*controls.items(), *compared]) if pair[0] != pair[1]]
    rows = [
        *_base_rows(ends, by_tracks),
        *(
            _run_row(run, run in controls.values() or checkpoints.runs[run].name in own, last, base, checkpoints)
            | _latents_of(by_tracks.get(run))
            for run, (base, last, _) in ends.items()
        ),
        *_difference_rows(ends, pairs, checkpoints),
    ]
    return sorted(rows, key=lambda row: KINDS.index(row["kind"]))


def _ends_of_runs(sources: Sources, checkpoints: Checkpoints) -> dict[int, Ends]:
    """Answers at both ends of every run that has any."""
    ends = {}
    for run in range(len(checkpoints.runs)):
        weights = [checkpoints.entries[number].weights for number in checkpoints.of_run(run)]
        if len(weights) > 1 and (answers := sources.ends(run, weights)) is not None:
            ends[run] = answers
    return ends


def _base_rows(ends: Mapping[int, Ends], by_tracks: Mapping[int, TrackedRun]) -> list[Row]:
    """Each base once, and what changes in it when it is sampled again."""
    bases: list[Answers] = []
    rows, controls = [], []
    for run, (base, _, resampled) in ends.items():
        if any(_same(base, each) for each in bases):
            continue
        bases.append(base)
        rows.append(_row(BASE, f"base ({base.source})", base, None))
        if resampled is not None:
            latents = {"latents": _counts(by_tracks.get(run), "control")}
            controls.append(_row(CONTROL, SAMPLED_TWICE, resampled, base) | latents)
    if len(rows) == 1:
        rows[0]["name"] = BASE
    return rows + controls


def _run_row(run: int, is_control: bool, last: Answers, base: Answers, checkpoints: Checkpoints) -> Row:
    row = _row(CONTROL if is_control else RUN, checkpoints.runs[run].name, last, base)
    return row | {"run": run, "checkpoint": checkpoints.of_run(run)[-1]}


def _latents_of(tracked: TrackedRun | None) -> Row:
    """What the tracks of a run add to its row."""
    return {"latents": _counts(tracked, "changes"), "trusted": None if tracked is None else _trusted(tracked)}


def _difference_rows(
    ends: Mapping[int, Ends], pairs: Sequence[tuple[int, int]], checkpoints: Checkpoints
) -> Iterator[Row]:
    """The last answers of the first run of each pair less those of the second, where both come from one source."""
    for run, other in pairs:
        if run in ends and other in ends and ends[run][1].source == ends[other][1].source:
            name = f"{checkpoints.runs[run].name} less {checkpoints.runs[other].name}"
            yield _row(AGAINST, name, ends[run][1], ends[other][1])


def _same(one: Answers, other: Answers) -> bool:
    return one is other or (isinstance(one, Counted) and isinstance(other, Counted) and one.counts == other.counts)


def _row(kind: str, name: str, answers: Answers, base: Answers | None) -> Row:
    keys = [(bucket, measure) for measure in COLUMNS for bucket in _buckets(answers)]
    numbers = {key: answers.rate(key) if base is None else _change(answers, base, key) for key in keys}
    cells = [
        {"bucket": bucket, "measure": measure, **interval(estimate)}
        for (bucket, measure), estimate in numbers.items()
        if not np.isnan(estimate.value)
    ]
    defaults = {"run": None, "checkpoint": None, "latents": None, "trusted": None}
    return {"kind": kind, "name": name, "source": answers.source, "paired": isinstance(answers, Counted), **defaults,
            "cells": cells}  # fmt: skip


def _change(answers: Answers, base: Answers, key: Key) -> Estimate:
    if isinstance(answers, Counted) and isinstance(base, Counted):
        return answers.change_from(base, key)
    assert isinstance(answers, Rated) and isinstance(base, Rated), "both are of one source"
    return answers.change_from(base, key)


def _buckets(answers: Answers) -> list[str]:
    keys = answers.counts if isinstance(answers, Counted) else answers.rates
    return list(dict.fromkeys(bucket for bucket, _ in keys))


def _counts(tracked: TrackedRun | None, part: str) -> list[Row] | None:
    """Latents strengthened and weakened in each bucket."""
    if tracked is None:
        return None
    verdicts: ByBucket = getattr(tracked, part)
    return [
        {
            "bucket": bucket,
            "strengthened": int((each.verdict_F == STRENGTHENED).sum()),
            "weakened": int((each.verdict_F == WEAKENED).sum()),
        }
        for bucket, each in verdicts.items()
    ]


def _trusted(tracked: TrackedRun) -> bool:
    return all(tracked.drift.verdict(step) == TRUSTED for step in tracked.drift.steps)


def is_control_run(run: Any) -> bool:
    """Whether a run's credit is a control of another scheme's: random tokens, or random latents."""
    credit = ({} if run is None else run.manifest.get("credit")) or {}
    settings = credit.get("settings") or {}
    return credit.get("kind") in CONTROL_SCHEMES or settings.get("control_seed") is not None


def _named_controls(config: DashboardConfig, checkpoints: Checkpoints) -> dict[int, int]:
    """The control of each run that has one, by number."""
    return dict(_numbers_of(pair, checkpoints) for pair in config.controls)


def _numbers_of(pair: str, checkpoints: Checkpoints) -> tuple[int, int]:
    names = pair.split(":")
    numbers = [checkpoints.run_named(name) for name in names]
    if len(names) != 2 or None in numbers:
        names = ", ".join(run.name for run in checkpoints.runs)
        raise BadInput(f"expected controls as RUN:CONTROL, of the runs {names}; got {pair!r}")
    return numbers[0], numbers[1]  # pyright: ignore[reportReturnType]
