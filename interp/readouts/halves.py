"""Two halves of some problems, of which one is fitted on and the other tests, with problems of every depth in both."""

from collections.abc import Iterable
from typing import Protocol

from interp.rollouts.record import Rollout
from interp.tasks.base import Problem, hash_of


class HasDepth(Protocol):
    @property
    def depth(self) -> int | None: ...


def first_half(problems: Iterable[tuple[str, HasDepth]]) -> dict[str, bool]:
    """Whether each problem, by its id, is in the first half. Of each depth as many are, or one more or less; which ones
    is drawn by a hash of their ids, for a list of problems goes through the depths in turn."""
    depths = {name: -1 if one.depth is None else one.depth for name, one in problems}
    ordered = sorted(depths, key=lambda name: (depths[name], hash_of("half", name)))
    return {name: at % 2 == 0 for at, name in enumerate(ordered)}


def halves_of_problems(problems: Iterable[Problem]) -> tuple[list[Problem], list[Problem]]:
    """The problems of each half, in their order."""
    problems = list(problems)
    is_first = first_half((problem.id, problem) for problem in problems)
    return [one for one in problems if is_first[one.id]], [one for one in problems if not is_first[one.id]]


def halves_of_answers(rollouts: Iterable[Rollout]) -> tuple[list[Rollout], list[Rollout]]:
    """The answers to the problems of each half."""
    rollouts = list(rollouts)
    is_first = first_half((rollout.problem, rollout) for rollout in rollouts)
    return [one for one in rollouts if is_first[one.problem]], [one for one in rollouts if not is_first[one.problem]]
