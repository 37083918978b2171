"""Backward problems: the answer of a problem is stated, and one of its numbers is asked for.

A problem that the policy never solves teaches it nothing. Turned round, it asks for the same relations, and may be
within reach. The task makes the variants, in two templates, and checks that no other number fits. The method is that
of arXiv 2605.28388; what the paper leaves open is ours: a variant is drawn anew each time, and a problem of which no
number alone fits is asked forwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from interp.artifacts import BadInput
from interp.checks import Share, expect_plausible
from interp.grpo.specs import spec_of
from interp.grpo.strategies.base import Draw, RunSetting
from interp.tasks.base import Problem, Task, seeded_rng

PROBLEMS_TRIED = 64
"""Problems of a run that are looked at before it begins."""


@runtime_checkable
class HasBackward(Protocol):
    """The optional part of a task: it turns its problems round."""

    def backward(self, problem: Problem) -> list[Problem]:
        """Problems that state the answer and ask for a number of `problem`. Empty if no number alone fits."""
        ...


@dataclass(frozen=True)
class Backward:
    """A share of the problems is asked backwards: the answer is stated, one of the numbers is asked for.

    For tasks that turn their problems round, such as `Chain` and `Words`. A valid answer fills the number in, computes
    the result step by step, and answers with the number."""

    share: Share = 0.25
    """Share of the groups of each batch."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    @property
    def name(self) -> str:
        return "backward"

    def spec(self) -> Any:
        return spec_of(self)

    def start(self, setting: RunSetting) -> "BackwardProblems":
        task = setting.task
        if not isinstance(task, HasBackward):
            raise BadInput(
                f"expected a task that turns its problems round, such as Chain or Words, for backward problems; got "
                f"{task.name}: give it a method backward(problem), or leave the strategy out"
            )
        problems = setting.source(0, 0, PROBLEMS_TRIED)
        if not any(map(task.backward, problems)):
            raise BadInput(
                f"expected problems with a number that the answer leaves no choice of; among the first "
                f"{PROBLEMS_TRIED}, such as {problems[0].prompt!r:.80}, there is none: choose other problems"
            )
        return BackwardProblems(self.share, task, setting.config.seed)


@dataclass(frozen=True)
class BackwardProblems:
    """Backward problems within one run."""

    share: float
    task: Task
    seed: int
    name: str = "backward"

    def fill(self, draws: Sequence[Draw], step: int, position: int) -> list[Draw]:
        return [self._turn_round(draw, position + index) for index, draw in enumerate(draws)]

    def _turn_round(self, draw: Draw, number: int) -> Draw:
        assert isinstance(self.task, HasBackward), "checked at the start"
        if not (variants := self.task.backward(draw.problem)):
            return draw
        chosen = seeded_rng("backward", self.seed, number).choice(variants)
        return replace(draw, problem=chosen, strategy=self.name)
