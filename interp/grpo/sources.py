"""Problems of a run, each batch a function of how many were drawn before: a run that resumes draws the same.

`TaskProblems` draws from levels of a task, `ProblemList` from given problems, in passes.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from interp.artifacts import BadInput, fingerprint, to_json
from interp.tasks.base import BUCKETS, Problem, Task, seeded_rng

Item = TypeVar("Item")
PROBLEMS_PER_SEED = 10**9
"""Indices that one seed has for itself, where a task generates problems without end: no two seeds share a problem."""
Level = str | int
Problems = Level | Sequence[Level] | Sequence[Problem] | None


class ProblemSource(Protocol):
    def __call__(self, step: int, already_drawn: int, n: int) -> list[Problem]:
        """The next `n` problems, after `already_drawn` problems."""
        ...

    def spec(self) -> Any:
        """What decides which problems are drawn, for the manifest of the run."""
        ...


def problem_source(task: Task, problems: Problems, *, steps: int, seed: int) -> ProblemSource:
    """Problems of one level of a task, of several levels in turn, of the whole training split (None), or of a list."""
    if isinstance(problems, str | int):
        problems = [problems]
    for level in problems or ():
        if level in BUCKETS and level not in task.levels:
            raise BadInput(
                f"expected a level of {task.name}, got {level!r}, the name of a measured bucket: pass its problems, "
                f"buckets.problems({level!r}) with buckets = interp.rollouts.bucket(base, task)"
            )
    if problems is not None and (not problems or isinstance(problems[0], Problem)):
        return ProblemList(problems, seed=seed)  # pyright: ignore[reportArgumentType]
    return TaskProblems(task, problems or (), steps=steps, seed=seed)  # pyright: ignore[reportArgumentType]


class TaskProblems:
    """Training problems of a task. With several levels, each has an equal share of the steps, in turn."""

    def __init__(self, task: Task, levels: Sequence[Level], *, steps: int, seed: int) -> None:
        self.task, self.levels, self.steps, self.seed = task, tuple(levels), steps, seed
        self.finite = {level: self._all_problems(level) for level in self.levels or (None,)}

    def __call__(self, step: int, already_drawn: int, n: int) -> list[Problem]:
        level = self.levels[min(step * len(self.levels) // self.steps, len(self.levels) - 1)] if self.levels else None
        if (problems := self.finite[level]) is not None:
            return draw_from_epochs(problems, already_drawn, n, self.seed)
        return self.task.problems("train", level, n, start=self.seed * PROBLEMS_PER_SEED + already_drawn)

    def spec(self) -> Any:
        return {"task": self.task.name, "levels": list(self.levels)}

    def _all_problems(self, level: Level | None) -> list[Problem] | None:
        """All problems of a level, or None if the task generates them without end."""
        count = self.task.size("train", level)
        if count is None:
            self.task.problem("train", level, 0)  # the task refuses a level it does not have
            return None
        if not count:
            raise BadInput(
                f"expected a level with training problems, got {level!r}, of which {self.task.name} has none: "
                "choose another level"
            )
        return self.task.problems("train", level, count)


class ProblemList:
    """Given problems, in a new order for each pass over them."""

    def __init__(self, problems: Sequence[Problem], *, seed: int) -> None:
        if not problems:
            raise BadInput("expected at least one problem to train on, got an empty list: is the bucket empty?")
        self.problems, self.seed = list(problems), seed

    def __call__(self, step: int, already_drawn: int, n: int) -> list[Problem]:
        return draw_from_epochs(self.problems, already_drawn, n, self.seed)

    def spec(self) -> Any:
        return {"problems": len(self.problems), "content": fingerprint(*(str(to_json(p)) for p in self.problems))}


def draw_from_epochs(items: Sequence[Item], already_drawn: int, n: int, seed: int) -> list[Item]:
    """The next `n` of an endless series of shuffled passes over `items`, after `already_drawn` of them."""
    chosen: list[Item] = []
    while len(chosen) < n:
        epoch, start = divmod(already_drawn + len(chosen), len(items))
        order = list(items)
        seeded_rng("epoch", seed, epoch).shuffle(order)
        chosen += order[start : start + n - len(chosen)]
    return chosen
