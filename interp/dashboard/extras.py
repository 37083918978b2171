"""Further colourings of tokens, named by who makes the report: a value per token of some rollouts, such as delta V.

interp.dashboard(run, extras={"delta V": {rollout_key(row): values for row, values in measured}})
interp.dashboard(run, extras={"length so far": lambda row: range(len(row.tokens))})
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from interp.artifacts import BadInput
from interp.dashboard.readings import Reading
from interp.dashboard.report import Report
from interp.rollouts.record import Rollout

RolloutKey = tuple[str, int, str, int]
"""Run, step, problem and sample of a rollout."""
TokenValues = Sequence[float] | np.ndarray
Extra = Mapping[RolloutKey, TokenValues] | Callable[[Rollout], TokenValues | None]
"""A value per token: by the key of the rollout, or from a function of the rollout. None, NaN or no such key: none."""


def rollout_key(rollout: Rollout) -> RolloutKey:
    """What tells a rollout from the others of its run. A step that asks a problem twice has two rollouts of one key:
    their tokens differ."""
    return rollout.run, rollout.step, rollout.problem, rollout.sample


def add_extras(report: Report, readings: Sequence[Reading], extras: Mapping[str, Extra]) -> list[dict[str, Any]]:
    """Add the values of every extra at the tokens of every batch in which some rollout has any."""
    entries = []
    for number, (name, extra) in enumerate(extras.items()):
        arrays = {}
        for block, reading in enumerate(readings):
            values = [value for row in reading.batch.rows for value in _values_of(name, extra, row)]
            if not np.isnan(np.array(values, float)).all():
                arrays[str(block)] = report.add(f"extra.{number}.{block}", values, "f2")
        if not arrays:
            report.leave_out(f"No rollout that is shown has a value of {name!r}.")
        entries.append({"name": name, "what": _meaning(name, extra), "arrays": arrays})
    return entries


def _values_of(name: str, extra: Extra, row: Rollout) -> Iterator[float]:
    values = extra(row) if callable(extra) else extra.get(rollout_key(row))
    if values is None:
        values = [float("nan")] * len(row.tokens)
    if len(values) != len(row.tokens):
        raise BadInput(
            f"extras: expected {len(row.tokens)} values of {name!r}, one per token of sample {row.sample} of "
            f"{row.problem}; got {len(values)}"
        )
    yield from map(float, values)


def _meaning(name: str, extra: Extra) -> str:
    """The first line of the function's docstring, or the name."""
    lines = (getattr(extra, "__doc__", None) or "").strip().splitlines() if callable(extra) else []
    return lines[0] if lines else f"{name}, as it was given to the report."
