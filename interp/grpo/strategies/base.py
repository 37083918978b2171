"""The contract of a strategy for hard problems: it takes a share of the groups of every batch, and asks them otherwise.

    source      a problem for each group of the batch
    strategies  one after another, each takes `share` of the groups, which no other has taken
    policy      a group of rollouts for each

Which groups a strategy takes is drawn anew for every batch, so that its share is not tied to a place in the batch. In
batches of few groups, of which strategies take almost all, the last may find none left. All of it is a function of
(seed, step, problems drawn before) and, for a strategy that learns (`Adaptive`), of a state that is saved with the run:
a run that is killed resumes to the same bits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from interp.artifacts import BadInput
from interp.grpo.config import GRPOConfig
from interp.grpo.sources import ProblemSource
from interp.rollouts.record import Rollout
from interp.tasks.base import Problem, Task, seeded_rng

if TYPE_CHECKING:
    from torch import Tensor

    from interp.policy import Policy


@dataclass(frozen=True)
class Draw:
    """What one group of a batch is asked."""

    problem: Problem
    strategy: str | None = None
    """The strategy that took the group. None: the problem is as the source drew it."""
    hint: tuple[int, ...] = ()
    """Tokens given as the beginning of its answers."""
    trains_hint: bool = False
    """Whether the hint counts as written by the policy."""
    replay: Rollout | None = None
    """An earlier rollout that takes the place of the group's last."""


Group = tuple[Draw, Sequence[Rollout]]
"""What a group was asked, and its rollouts."""


@dataclass(frozen=True)
class RunSetting:
    """What a strategy may need to know of the run that it is part of."""

    base: "Policy"
    task: Task
    config: GRPOConfig
    source: ProblemSource


class Filler(Protocol):
    """A strategy within one run."""

    @property
    def name(self) -> str: ...
    @property
    def share(self) -> float: ...

    def fill(self, draws: Sequence[Draw], step: int, position: int) -> list[Draw]:
        """What the groups of `draws` are asked instead. A draw that is left as it is stays with the source.

        `position` is how many groups the strategy has taken in the run before."""
        ...


class Strategy(Protocol):
    """The settings of a strategy."""

    @property
    def name(self) -> str: ...
    @property
    def share(self) -> float: ...

    def start(self, setting: RunSetting) -> Filler:
        """The strategy at the beginning of a run. Refuse a run that it cannot be part of."""
        ...

    def spec(self) -> Any:
        """What decides how it goes, for the manifest of the run."""
        ...


@runtime_checkable
class Adaptive(Protocol):
    """The optional part of a source or a strategy that depends on the rollouts of the run itself."""

    def observe(self, step: int, groups: Sequence[Group]) -> Mapping[str, float]:
        """Learn from all groups of a step, before the next is drawn. Returns numbers for the metrics of the step."""
        ...

    def state(self) -> "Mapping[str, Tensor]":
        """What it has learned."""
        ...

    def load_state(self, state: "Mapping[str, Tensor]") -> None:
        """Take up what `state` gave."""
        ...


def expect_strategies(strategies: Sequence[Strategy]) -> None:
    """Refuse what is no strategy, two of a kind, and shares that are more than the whole batch together."""
    for strategy in strategies:
        if not callable(getattr(strategy, "start", None)) or isinstance(strategy, type):
            raise BadInput(
                "strategies must be such as interp.grpo.Backward(share=0.25), in a list; got "
                f"{strategy!r:.60}{': make an instance of it' if isinstance(strategy, type) else ''}"
            )
    names = [strategy.name for strategy in strategies]
    if len(set(names)) < len(names):
        raise BadInput(f"expected each strategy once, got {', '.join(names)}: give one of them the whole share")
    if (total := sum(strategy.share for strategy in strategies)) > 1 + 1e-9:
        raise BadInput(f"shares of strategies must be at most 1 together; got {total:g} of {', '.join(names)}")


def draw_groups(
    source: ProblemSource, fillers: Sequence[Filler], step: int, already_drawn: int, n: int, *, seed: int
) -> list[Draw]:
    """What the next `n` groups are asked, after `already_drawn` groups."""
    draws = [Draw(problem) for problem in source(step, already_drawn, n)]
    free = list(range(n))
    seeded_rng("strategies", seed, already_drawn).shuffle(free)
    phase = 0.0
    for filler in fillers:
        # rounded down at both ends, so that the share of a whole run is exact, however small its batches; the phase
        # keeps strategies with equal shares from rounding up in the same batch
        start, end = (math.floor(filler.share * count + phase) for count in (already_drawn, already_drawn + n))
        slots, free, phase = free[: end - start], free[end - start :], phase + filler.share
        for slot, draw in zip(slots, filler.fill([draws[slot] for slot in slots], step, start), strict=True):
            draws[slot] = draw
    return draws


def strategy_metrics(groups: Sequence[Group], fillers: Sequence[Filler]) -> dict[str, float | None]:
    """Share of groups, pass rate and valid rate by strategy, and the rates of the groups as the source drew them. They
    are of rollouts that the policy wrote in this step. A rate of no rollouts is None."""
    metrics: dict[str, float | None] = {}
    for name in [None, *(filler.name for filler in fillers)]:
        own = [rollouts for draw, rollouts in groups if draw.strategy == name]
        rows = [row for rollouts in own for row in rollouts if row.replayed_from is None]
        label = name or "plain"
        metrics[f"{label}_share"] = len(own) / len(groups)
        metrics[f"{label}_pass_rate"] = _share([row.correct for row in rows])
        metrics[f"{label}_valid_rate"] = _share([row.valid for row in rows if row.valid is not None])
    return metrics


def _share(flags: Sequence[bool | None]) -> float | None:
    return sum(map(bool, flags)) / len(flags) if flags else None
