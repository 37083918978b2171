"""The contract of monitors: a step of a run in; a number, its limit, and whether that is an alarm, out.

A monitor looks at what a step sampled and was paid, and changes nothing: a run with monitors ends in the same weights,
bit for bit, as one without. It is called after credit is assigned and before the update, so `batch.policy` is the
policy that wrote the batch. What it remembers is part of the run's state, so that a run that is killed resumes with the
same alarms.

A monitor that reads policies costs forwards. It measures every k steps, and gives None in between.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from interp.artifacts import BadInput
from interp.credit.base import Credit, CreditScheme, RolloutBatch

if TYPE_CHECKING:
    from torch import Tensor

    from interp.policy import Policy

Side = Literal["above", "below"]
OnAlarm = Literal["go on", "stop"]


@dataclass(frozen=True)
class MonitoredRun:
    """What a monitor may need to know of the run that it is part of."""

    base: "Policy"
    credit: CreditScheme | None
    """The scheme that pays in the run, with what it learns. None: plain GRPO."""
    steps: int


@dataclass(frozen=True)
class MonitoredStep:
    """What a step sampled, and what it was paid."""

    step: int
    metrics: Mapping[str, Any]
    """Metrics of the step, but for those of its update and of monitors."""
    batch: RolloutBatch
    """The rollouts that the update will learn from, with the policy that wrote them and the frozen base."""
    credit: Credit
    scheme: CreditScheme | None


@dataclass(frozen=True)
class Measurement:
    """What a monitor found in a step."""

    value: float
    limit: float | None
    """None: there is none yet, and only a value that is no number is an alarm."""
    side: Side
    """On which side of the limit the value is an alarm."""
    text: str
    """What the value is, for a warning: "the mean length of the last 5 steps, less that of the first 10"."""
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    """Other numbers for the metrics of the step."""

    @property
    def is_alarm(self) -> bool:
        """Whether the value is beyond its limit. A value or a limit that is no number is an alarm, not silence."""
        if not math.isfinite(self.value) or self.limit is None:
            return not math.isfinite(self.value)
        if not math.isfinite(self.limit):
            return True
        return self.value > self.limit if self.side == "above" else self.value < self.limit


@runtime_checkable
class Monitor(Protocol):
    """Settings of a monitor and, within a run, what it remembers."""

    @property
    def name(self) -> str:
        """The name of its columns in the metrics, such as `length_drift`."""
        ...

    def fresh(self, run: MonitoredRun) -> "Monitor":
        """A monitor of the same settings that remembers nothing. Refuse a run that it cannot be part of.

        If it begins in the middle of a run, this is called again when the run's credit has what it has learned."""
        ...

    def observe(self, step: MonitoredStep) -> Measurement | None:
        """Look at a step, once. None: nothing was measured, and an alarm that stands stands on."""
        ...

    def state(self) -> "Mapping[str, Tensor]":
        """What it remembers."""
        ...

    def load_state(self, state: "Mapping[str, Tensor]") -> None:
        """Take up what `state` gave."""
        ...


def expect_monitors(monitors: Sequence[Monitor], on_alarm: str = "go on") -> None:
    """Refuse what is no monitor, two of one name, and what is nothing to do at an alarm."""
    if on_alarm not in get_args(OnAlarm):
        raise BadInput(f"on_alarm must be one of {', '.join(get_args(OnAlarm))}; got {on_alarm!r:.60}")
    if isinstance(monitors, str) or not isinstance(monitors, Sequence):
        raise BadInput(
            "monitors must be a list, such as interp.monitors.usual_monitors(credit) or [interp.monitors.length_drift()"
            f"]; got {monitors!r:.60}"
        )
    for monitor in monitors:
        if isinstance(monitor, type) or not isinstance(monitor, Monitor):
            raise BadInput(
                f"monitors must be such as interp.monitors.length_drift(); got {monitor!r:.60}"
                f"{': make an instance of it' if isinstance(monitor, type) else ''}"
            )
        if not (isinstance(monitor.name, str) and monitor.name.isidentifier()):
            raise BadInput(f"a monitor's name must be that of a column, such as length_drift; got {monitor.name!r:.60}")
    names = [monitor.name for monitor in monitors]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"expected monitors of different names, got {', '.join(repeated)} twice: give one another name")
