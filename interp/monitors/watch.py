"""The monitors of one run, and the alarms that stand.

Columns of a monitor in the metrics of a step; None where nothing was measured:

    <name>           its value
    <name>_limit     the limit of that value
    <name>_alarm     the step since when its alarm has stood; None while there is none
    <name>_<number>  other numbers of the monitor

`alarms` is the number of alarms that stand. One clears at the third measurement in a row that is within its limit: a
value that wavers about its limit is one alarm, not many.
"""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interp.artifacts import BadInput, fingerprint_config
from interp.monitors.base import Measurement, Monitor, MonitoredRun, MonitoredStep

logger = logging.getLogger(__name__)
NEVER = -1
CALM = 3
"""Measurements in a row within the limit after which an alarm clears."""
LATER = (
    *("loss", "clipped_share", "gradient_norm", "sampler_gap", "alarms", "checksum"),
    *("seconds_sampling", "seconds_learning", "seconds_monitoring"),
)
"""Columns that training adds to the metrics of a step after its monitors."""


@dataclass(frozen=True)
class Alarm:
    """A monitor's value beyond its limit."""

    monitor: str
    since: int
    """The step since when it has stood."""
    value: float | None
    """The value when it was raised; None if that was no number."""
    limit: float | None
    text: str

    def __str__(self) -> str:
        value = "no number" if self.value is None else f"{self.value:.4g}"
        limit = "none yet" if self.limit is None else f"{self.limit:.4g}"
        return f"{self.monitor}: {self.text} is {value}, limit {limit}, since step {self.since}"


class Watch:
    """Shows each step to every monitor, and keeps since when each alarm has stood."""

    def __init__(self, monitors: Sequence[Monitor], specs: Sequence[Any], run: MonitoredRun, *, name: str = "") -> None:
        self.run = run
        self.monitors = [monitor.fresh(run) for monitor in monitors]
        self.specs = {monitor.name: spec for monitor, spec in zip(monitors, specs, strict=True)}
        """The settings of each, as JSON."""
        self.fingerprints = {name: fingerprint_config(spec) for name, spec in self.specs.items()}
        self.name = name
        """The run, in warnings."""
        self.since = dict.fromkeys((monitor.name for monitor in self.monitors), NEVER)
        self.calm = dict.fromkeys(self.since, 0)
        """Measurements in a row within the limit, since the alarm was raised."""

    def observe(self, step: MonitoredStep) -> tuple[dict[str, Any], list[Alarm]]:
        """What monitors add to the metrics of a step, and the alarms that were raised in it."""
        metrics: dict[str, Any] = {}
        raised: list[Alarm] = []
        for monitor in self.monitors:
            measurement = monitor.observe(step)
            if (alarm := self._update(monitor.name, step.step, measurement)) is not None:
                raised.append(alarm)
            columns = self._columns(monitor.name, measurement)
            _expect_own_columns(monitor.name, columns, {*step.metrics, *metrics, *LATER})
            metrics |= columns
        if self.monitors:
            metrics["alarms"] = sum(since != NEVER for since in self.since.values())
        return metrics, raised

    def _update(self, name: str, step: int, measurement: Measurement | None) -> Alarm | None:
        """Raise or clear the alarm of a monitor, with one warning each. The alarm, if it was raised."""
        if measurement is None:
            return None
        stands = self.since[name] != NEVER
        self.calm[name] = self.calm[name] + 1 if stands and not measurement.is_alarm else 0
        if not stands and not measurement.is_alarm or stands and self.calm[name] < CALM:
            return None
        value, limit = _number(measurement.value), _number(measurement.limit)
        if stands:
            was = Alarm(name, self.since[name], value, limit, measurement.text)
            logger.warning("%s: alarm clears at step %d: %s", self.name, step, was)
            self.since[name], self.calm[name] = NEVER, 0
            return None
        self.since[name] = step
        alarm = Alarm(name, step, value, limit, measurement.text)
        logger.warning("%s: alarm: %s", self.name, alarm)
        return alarm

    def _columns(self, name: str, measurement: Measurement | None) -> dict[str, Any]:
        since = self.since[name]
        columns = {
            name: None if measurement is None else _number(measurement.value),
            f"{name}_limit": None if measurement is None else _number(measurement.limit),
            f"{name}_alarm": None if since == NEVER else since,
        }
        numbers = {} if measurement is None else measurement.numbers
        return columns | {f"{name}_{key}": _number(value) for key, value in numbers.items()}

    def state(self) -> dict[str, Tensor]:
        """What the monitors remember, since when each alarm has stood, and how near it is to clear."""
        state: dict[str, Tensor] = {}
        for monitor in self.monitors:
            place = f"monitors/{monitor.name}"
            state[f"{place}/since"] = torch.tensor(self.since[monitor.name])
            state[f"{place}/calm"] = torch.tensor(self.calm[monitor.name])
            state |= {f"{place}/own/{key}": tensor for key, tensor in monitor.state().items()}
        return state

    def load_state(self, state: Mapping[str, Tensor], fingerprints: Mapping[str, str]) -> None:
        """Take up what `state` gave, among other things, for the monitors whose fingerprints are the same. The others
        begin now: they see the run as it is, with what its credit has learned by then, which must have been loaded."""
        new: list[str] = []
        for at, monitor in enumerate(self.monitors):
            if fingerprints.get(monitor.name) != self.fingerprints[monitor.name]:
                self.monitors[at] = monitor.fresh(self.run)
                new.append(monitor.name)
                continue
            place = f"monitors/{monitor.name}"
            prefix = f"{place}/own/"
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            monitor.load_state(own)
            self.since[monitor.name] = int(state[f"{place}/since"])
            self.calm[monitor.name] = int(state[f"{place}/calm"])
        if new:
            logger.warning("%s: these monitors begin in the middle of the run: %s", self.name, ", ".join(new))


def _number(value: float | None) -> float | None:
    """A plain number; None for what is none, which a line of metrics cannot hold."""
    return None if value is None or not math.isfinite(value) else float(value)


def _expect_own_columns(name: str, columns: Mapping[str, Any], others: Collection[str]) -> None:
    if both := [column for column in columns if column in others]:
        raise BadInput(f"expected the monitor {name} to have columns of its own, got {both[0]}, which is another's: "
                       "give it another name")  # fmt: skip
