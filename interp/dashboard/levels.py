"""Names of buckets or levels, easiest first, and the one that each rollout belongs to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interp.dashboard.inputs import Inputs
from interp.rollouts.record import Rollout
from interp.tasks.base import BUCKETS

ALL = "all"


class Levels:
    """Measured buckets, if they were given; else the levels that a task names."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        buckets = () if inputs.buckets is None else inputs.buckets.result.rows
        self._measured = {row.problem.id: row.bucket for row in buckets}

    def of(self, rollout: Rollout) -> str | None:
        """The measured bucket of a rollout's problem; of one that was not measured, its level."""
        return self._measured.get(rollout.problem, rollout.level)

    @property
    def are_of_rollouts(self) -> bool:
        """Whether the levels in records are the buckets of the report."""
        return not self._measured

    def names(self, rows: Iterable[Rollout], learning: Iterable[Mapping[str, Any]]) -> list[str]:
        """All buckets that the report refers to, easiest first, as far as that is known."""
        task = self.inputs.task
        in_order = [*BUCKETS, *(task.levels if task is not None else ())]
        named = [bucket for tracks in self.inputs.all_tracks for bucket in tracks.buckets]
        named += [str(row["bucket"]) for row in learning if row["bucket"] != ALL]
        named += [level for row in rows if (level := self.of(row)) is not None]
        names = list(dict.fromkeys(named))
        return sorted(names, key=lambda name: _order(name, in_order))


def _order(name: str, in_order: Sequence[str]) -> tuple[int, float]:
    """Names of buckets and levels in their order, then numbers by size, then the others as they came."""
    if name in in_order:
        return 0, in_order.index(name)
    return (1, float(name)) if name.isascii() and name.isdigit() else (2, 0)
