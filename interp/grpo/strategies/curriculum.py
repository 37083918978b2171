"""A curriculum on the live pass rate: problems become harder when the policy passes them, easier when it does not.

    parts    kinds of problems, easiest first: levels of the task, or measured buckets
    rate     the pass rate of the last `window` batches of the present part
    move     one part up if the rate is above target + margin, one down if it is below target - margin

A rate near one half is where groups have the most different rewards, so where a step teaches most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from interp.artifacts import BadInput
from interp.checks import Range, Share, expect_plausible
from interp.grpo.sources import Level, ProblemSource, problem_source
from interp.grpo.strategies.base import Group
from interp.tasks.base import Problem, Task

if TYPE_CHECKING:
    from torch import Tensor

Parts = Sequence[Level] | Mapping[str, Level | Sequence[Problem]]


@dataclass(frozen=True, kw_only=True)
class CurriculumConfig:
    """When a curriculum moves."""

    target: Share = 0.5
    """Pass rate at which the problems are as hard as they should be."""
    margin: Annotated[float, Range(0, 0.5)] = 0.2
    """Distance from the target at which the curriculum moves."""
    window: Annotated[int, Range(1, 1000)] = 2
    """Batches of a part, one after another, whose pass rate decides."""
    rate: Literal["pass_rate", "valid_rate"] = "pass_rate"
    """What is measured. The valid rate needs a label of every rollout."""

    def __post_init__(self) -> None:
        expect_plausible(self)


@dataclass(frozen=True)
class Curriculum(CurriculumConfig):
    """Problems of a run, by its own pass rate: `train(base, task, Curriculum(("shallow", "middle", "deep")))`."""

    parts: Parts
    """Levels of the task, or lists of problems by name, easiest first: {"easy": buckets.problems("easy"), ...}."""

    def __post_init__(self) -> None:
        expect_plausible(self, "target", "margin", "window", "rate")
        if isinstance(self.parts, str) or len(self.parts) < 2:
            raise BadInput(f"parts must be two levels or more, easiest first; got {self.parts!r:.60}")
        if not isinstance(self.parts, Mapping) and len(set(self.parts)) < len(self.parts):
            raise BadInput(f"parts must be named once each; got {list(self.parts)}")

    def named_parts(self) -> dict[str, Level | Sequence[Problem]]:
        """The parts by name, easiest first."""
        if isinstance(self.parts, Mapping):
            return dict(self.parts)
        return {str(level): level for level in self.parts}

    def start(self, task: Task, *, steps: int, seed: int) -> "CurriculumProblems":
        """The curriculum at the beginning of a run. Refuse a level that the task does not have, and an empty part."""
        sources = {
            name: problem_source(task, part, steps=steps, seed=seed) for name, part in self.named_parts().items()
        }
        return CurriculumProblems(self, list(sources), list(sources.values()))


@dataclass
class CurriculumProblems:
    """The problems of one run, by its own pass rate.

    All parts count on from the problems drawn so far, whichever part they came from."""

    config: CurriculumConfig
    names: list[str]
    sources: list[ProblemSource]
    part: int = 0
    """Index of the present part."""
    rates: list[float] = field(default_factory=list)
    """Pass rates of the last batches of the present part."""

    def __call__(self, step: int, already_drawn: int, n: int) -> list[Problem]:
        return self.sources[self.part](step, already_drawn, n)

    def spec(self) -> Any:
        parts = {name: source.spec() for name, source in zip(self.names, self.sources, strict=True)}
        settings = {name: getattr(self.config, name) for name in ("target", "margin", "window", "rate")}
        return {"curriculum": settings, "parts": parts}

    def observe(self, step: int, groups: Sequence[Group]) -> Mapping[str, float]:
        """Move by the pass rate of the problems that no strategy has changed."""
        part = self.part
        rows = [row for draw, rollouts in groups if draw.strategy is None for row in rollouts]
        judgements = [row.correct if self.config.rate == "pass_rate" else row.valid for row in rows]
        if passed := [judgement for judgement in judgements if judgement is not None]:
            self.rates = [*self.rates, sum(passed) / len(passed)][-self.config.window :]
        self._move()
        return {"curriculum_part": part}

    def _move(self) -> None:
        if len(self.rates) < self.config.window:
            return
        distance = sum(self.rates) / len(self.rates) - self.config.target
        if abs(distance) <= self.config.margin:
            return
        part = min(max(self.part + (1 if distance > 0 else -1), 0), len(self.sources) - 1)
        if part != self.part:
            self.part, self.rates = part, []

    def state(self) -> "Mapping[str, Tensor]":
        import torch

        return {"part": torch.tensor(self.part), "rates": torch.tensor(self.rates, dtype=torch.float64)}

    def load_state(self, state: "Mapping[str, Tensor]") -> None:
        self.part, self.rates = int(state["part"]), state["rates"].tolist()
