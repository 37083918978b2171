"""Which problems a run is given, and in what order: a function of how many were drawn before, so that it resumes."""

from collections.abc import Sequence
from typing import Any, Protocol

from interp.artifacts import BadInput, fingerprint, to_json
from interp.tasks.base import Problem, Task, seeded

STREAM = 10**9
"""Problems of a task without end that belong to one seed: seeds share none."""
Level = str | int


class Prompts(Protocol):
    def __call__(self, step: int, drawn: int, n: int) -> list[Problem]:
        """The next `n`, when `drawn` have been given before."""
        ...

    def describe(self) -> Any:
        """What decides which they are, for the manifest of the run."""
        ...


class OfTask:
    """Training problems of a task. Several levels make a curriculum: each has its share of the run, in turn."""

    def __init__(self, task: Task, levels: Sequence[Level], *, steps: int, seed: int) -> None:
        self.task, self.levels, self.steps, self.seed = task, tuple(levels), steps, seed
        self.held = {level: self._held(level) for level in self.levels or (None,)}

    def __call__(self, step: int, drawn: int, n: int) -> list[Problem]:
        level = self.levels[min(step * len(self.levels) // self.steps, len(self.levels) - 1)] if self.levels else None
        held = self.held[level]
        if held is not None:
            return shuffled(held, drawn, n, self.seed)
        return self.task.problems("train", level, n, start=self.seed * STREAM + drawn)

    def describe(self) -> Any:
        return {"task": self.task.name, "levels": list(self.levels)}

    def _held(self, level: Level | None) -> list[Problem] | None:
        """All problems of a task that holds so many and no more."""
        size = getattr(self.task, "size", None)
        if size is None:
            self.task.problem("train", level, 0)  # refused by the task if there is no such level
            return None
        if not (count := size("train", level)):
            raise BadInput(
                f"the train split of {self.task.name} holds no problem of level {level!r}: nothing to train on"
            )
        return self.task.problems("train", level, count)


class OfList:
    """Given problems, in an order shuffled anew each time all have been seen."""

    def __init__(self, problems: Sequence[Problem], *, seed: int) -> None:
        if not problems:
            raise BadInput("expected at least one problem to train on, got none: is the bucket empty?")
        self.problems, self.seed = list(problems), seed

    def __call__(self, step: int, drawn: int, n: int) -> list[Problem]:
        return shuffled(self.problems, drawn, n, self.seed)

    def describe(self) -> Any:
        return {"problems": len(self.problems), "content": fingerprint(*(str(to_json(p)) for p in self.problems))}


def shuffled(problems: Sequence[Problem], drawn: int, n: int, seed: int) -> list[Problem]:
    taken: list[Problem] = []
    while len(taken) < n:
        epoch, place = divmod(drawn + len(taken), len(problems))
        order = list(problems)
        seeded("epoch", seed, epoch).shuffle(order)
        taken += order[place : place + n - len(taken)]
    return taken


def prompts_for(
    task: Task, bucket: Level | Sequence[Level] | Sequence[Problem] | None, *, steps: int, seed: int
) -> Prompts:
    """Of a level, of levels in turn, of all levels (None), or given problems."""
    if isinstance(bucket, str | int):
        bucket = [bucket]
    if bucket is not None and (not bucket or isinstance(bucket[0], Problem)):
        return OfList(bucket, seed=seed)  # pyright: ignore[reportArgumentType]
    return OfTask(task, bucket or (), steps=steps, seed=seed)  # pyright: ignore[reportArgumentType]
