"""Problems in a fixed order, and the answers to them in that order, from any place on.

Answers are drawn a wave at a time, each twice as large as the one before, so that little is drawn in vain where few
are wanted. Waves begin at the same problems wherever one starts: what is sampled beside a row touches the last bit of
its logits, and so an answer is the same whether or not its reader was stopped before it.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from interp.artifacts import BadInput
from interp.policy.config import SampleConfig
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import encode, judge
from interp.tasks.base import SPLITS, Problem, Task, hash_of

if TYPE_CHECKING:
    from interp.policy import Policy

PURPOSE = "collect"
EVERYTHING = "all"
"""In place of a level, where there are none."""
FIRST = 64
"""Answers in the first wave."""


class Questions:
    """The problems of a split: of several levels, one of each in turn."""

    def __init__(self, task: Task, split: str, levels: Sequence[int | str] = ()) -> None:
        self.task, self.split, self.levels = task, split, tuple(levels) or (None,)
        self._held = self._all()

    def __call__(self, start: int, n: int) -> list[Problem]:
        """The next `n` from `start` on; fewer where a task holds so many and no more."""
        if self._held is not None:
            return self._held[start : start + n]
        places = (divmod(at, len(self.levels)) for at in range(start, start + n))
        problems = [self.task.problem(self.split, self.levels[which], index) for index, which in places]
        if len({problem.id for problem in problems}) < len(problems):
            raise BadInput(f"expected levels that share no problem, got {', '.join(map(str, self.levels))}")
        return problems

    def _all(self) -> list[Problem] | None:
        """Of a task that holds so many and no more. A level that runs out leaves its turns to the others."""
        size = getattr(self.task, "size", None)
        if size is None:
            for level in self.levels:  # one that there is not is refused at once
                self.task.problem(self.split, level, 0)
            return None
        held = {level: self.task.problems(self.split, level, size(self.split, level)) for level in self.levels}
        if empty := [level for level, problems in held.items() if not problems]:
            where = self.split if empty[0] is None else f"{self.split} at level {empty[0]!r}"
            raise BadInput(
                f"{self.task.name}: expected problems of {where}, got none: give its lines a split or a level"
            )
        longest = max(map(len, held.values()))
        in_turn = (problems[at] for at in range(longest) for problems in held.values() if at < len(problems))
        return list({problem.id: problem for problem in in_turn}.values())


def by_level(task: Task, split: str, levels: Sequence[int | str], n: int) -> dict[str, list[Problem]]:
    """`n` of each level, or as many as a task holds if that is less. Where its problems are of no level at all, as
    those of a file that says nothing of buckets, as many of all that it has."""
    size = getattr(task, "size", None)
    if size is None:
        return {str(level): task.problems(split, level, n) for level in levels}
    if not any(size(one, level) for one in SPLITS for level in levels):
        if there := _levels_of(problem for one in SPLITS for problem in task.problems(one, None, size(one, None))):
            asked = ", ".join(map(str, levels))
            raise BadInput(f"{task.name}: expected problems of a level of {there}, got {asked}: name some that it has")
        found = {EVERYTHING: task.problems(split, None, min(n * len(levels), size(split, None)))}
    else:
        found = {str(level): task.problems(split, level, min(n, size(split, level))) for level in levels}
    if fewer := ", ".join(f"{level} {len(held)}" for level, held in found.items() if len(held) < n):
        warnings.warn(
            f"{task.name}: asked for {n} problems of the split {split}, it holds fewer: {fewer}", stacklevel=2
        )
    return found


def _levels_of(problems: Iterable[Problem]) -> str:
    """In words, those that occur."""
    held = {level for problem in problems for level in (problem.bucket, problem.depth) if level is not None}
    return ", ".join(sorted(map(str, held)))


def answers(
    policy: "Policy",
    questions: Questions,
    sampling: SampleConfig,
    *,
    run: str,
    step: int,
    chat: bool = False,
    start: int = 0,
) -> Iterator[Rollout]:
    """What a policy answers to one problem after another, a group of times each, from the `start`-th answer on."""
    at, wave, most = 0, max(1, min(FIRST, sampling.rows) // sampling.group), max(1, sampling.rows // sampling.group)
    while (at + wave) * sampling.group <= start:
        at, wave = at + wave, min(2 * wave, most)
    skipped = start - at * sampling.group
    while problems := questions(at, wave):
        prompts = encode(policy, problems, chat=chat)
        keys = [hash_of(PURPOSE, step, problem.id) for problem in problems]
        samples = policy.sample(prompts, sampling, keys=keys, bar=False)
        yield from judge(policy, questions.task, problems, prompts, samples, run=run, step=step, bar=False)[skipped:]
        at, wave, skipped = at + wave, min(2 * wave, most), 0


class Pile(Iterator[Rollout]):
    """Answers of which one can be put back."""

    def __init__(self, rollouts: Iterator[Rollout]) -> None:
        self._rollouts, self._back = rollouts, list[Rollout]()

    def __next__(self) -> Rollout:
        return self._back.pop() if self._back else next(self._rollouts)

    def put_back(self, rollout: Rollout) -> None:
        self._back.append(rollout)
