"""Problems of a task in a fixed order: as an endless stream, or a number of them at each level."""

import warnings
from collections.abc import Sequence

from interp.artifacts import BadInput
from interp.tasks.base import SPLITS, Problem, Task

ALL_LEVELS = "all"
"""The name under which `problems_by_level` puts the problems of a task without levels."""


class ProblemStream:
    """The problems of one split in a fixed order; with several levels, one problem of each level in turn."""

    def __init__(self, task: Task, split: str, levels: Sequence[int | str] = ()) -> None:
        self.task, self.split, self.levels = task, split, tuple(levels) or (None,)
        self._all_problems = self._load_all()
        """All problems of a task that has a fixed number of them; None for a task that generates them."""

    def slice(self, start: int, n: int) -> list[Problem]:
        """Problems `start` to `start + n - 1`; fewer where the task has no more."""
        if self._all_problems is not None:
            return self._all_problems[start : start + n]
        places = (divmod(i, len(self.levels)) for i in range(start, start + n))
        problems = [self.task.problem(self.split, self.levels[which], index) for index, which in places]
        if len({problem.id for problem in problems}) < len(problems):
            raise BadInput(f"expected levels that share no problem, got {', '.join(map(str, self.levels))}")
        return problems

    def _load_all(self) -> list[Problem] | None:
        """All problems in order, or None if the task generates them. When a level runs out, the others go on."""
        sizes = {level: self.task.size(self.split, level) for level in self.levels}
        by_level = {
            level: self.task.problems(self.split, level, size) for level, size in sizes.items() if size is not None
        }
        if not by_level:
            for level in self.levels:  # a level that does not exist is refused at once
                self.task.problem(self.split, level, 0)
            return None
        if empty := [level for level, problems in by_level.items() if not problems]:
            place = self.split if empty[0] is None else f"{self.split} at level {empty[0]!r}"
            raise BadInput(
                f"{self.task.name}: expected problems of {place}, got none: give its lines a split or a level"
            )
        longest = max(map(len, by_level.values()))
        in_turn = (problems[i] for i in range(longest) for problems in by_level.values() if i < len(problems))
        return list({problem.id: problem for problem in in_turn}.values())


def problems_by_level(task: Task, split: str, levels: Sequence[int | str], n: int) -> dict[str, list[Problem]]:
    """`n` problems of each level, or as many as the task has if that is less, with a warning.

    Default levels: the task's own levels, or all its problems under the name `all` if it has none."""
    chosen: tuple[int | str | None, ...] = tuple(levels) or task.levels or (None,)
    sizes = {level: task.size(split, level) for level in chosen}
    if levels and not any(task.size(any_split, level) != 0 for any_split in SPLITS for level in levels):
        raise BadInput(
            f"{task.name}: expected problems of a level of {_existing_levels(task) or '(none)'}, got "
            f"{', '.join(map(str, levels))}: name levels that it has, or none for all"
        )
    problems = {
        ALL_LEVELS if level is None else str(level): task.problems(split, level, n if size is None else min(n, size))
        for level, size in sizes.items()
    }
    if fewer := ", ".join(f"{level} {len(listed)}" for level, listed in problems.items() if len(listed) < n):
        warnings.warn(
            f"{task.name}: asked for {n} problems of the split {split}, it holds fewer: {fewer}", stacklevel=2
        )
    return problems


def _existing_levels(task: Task) -> str:
    """Every level and depth that occurs among the problems of a task of fixed size, as text."""
    problems = [problem for split in SPLITS for problem in task.problems(split, None, task.size(split, None) or 0)]
    levels = {level for problem in problems for level in (problem.level, problem.depth) if level is not None}
    return ", ".join(sorted(map(str, levels)))
