"""Metrics of a run against their values in its first steps.

    change_t = mean of the last `window` values - mean of the first `baseline` values
    limit    = max(quantile * s sqrt(1 / baseline + 1 / window), least, least_share |mean of the first|)

s is the standard deviation of the first values, and the quantile is that of Student's t with baseline - 1 degrees of
freedom, at 1 - false_alarms / (number of steps that are tested, times 2 if both directions count).

A policy that does not change draws new problems at every step, so its metrics are independent from step to step. With
normal noise, change / (s sqrt(...)) then follows Student's t exactly, however few the first steps are, and by the union
bound a whole run of such a policy raises an alarm with a probability of at most `false_alarms`. The windows overlap, so
it is less in truth. The limits of a CUSUM or of an EWMA hold for a mean and a spread that are known: with ten steps to
estimate them from, their false alarms are several times what is stated.

`least` and `least_share` are changes too small to matter, whatever the noise. An alarm says that a metric has changed,
not why: with levels in turn, or a curriculum, length changes because the problems do.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Literal

import torch
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Confidence, Count, Name, Range, Weight, expect_plausible
from interp.monitors.base import Measurement, MonitoredRun, MonitoredStep

logger = logging.getLogger(__name__)
Direction = Literal["up", "down", "both"]
ROUNDING = 1e-9
"""The share of a mean by which two means of equal values may differ."""
SOMETIMES = ("kl_to_base",)
"""Metrics that the first step has, and later ones now and then."""
WORDS = {"up": "the rise", "down": "the fall", "both": "the change"}


@dataclass
class Drift:
    """Compares a metric of the last steps with its values in the first."""

    metric: Name
    """A column of `Run.table()`, of what a step samples: `length`, `reward`, `kl_to_base`, ..."""
    name: Name
    direction: Direction = "both"
    """The direction in which a change is an alarm."""
    baseline: Annotated[int, Range(3, 10**6)] = 10
    """First values, with which later ones are compared."""
    window: Count = 5
    """Last values, whose mean is compared."""
    false_alarms: Confidence = 0.01
    """Probability of an alarm in a whole run whose policy does not change, at most."""
    least: Weight = 0.0
    """Changes up to this are no alarm, in the unit of the metric."""
    least_share: Weight = 0.0
    """Nor are changes up to this share of the first mean."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        self._first_K = torch.zeros(0, dtype=torch.float64)
        self._last_W = torch.zeros(0, dtype=torch.float64)
        self._tests = 1
        self._is_known = False
        """Whether a step has been seen to have the metric, or may lack it."""

    def fresh(self, run: MonitoredRun) -> "Drift":
        monitor = replace(self)
        monitor._tests = run.steps + 2 - self.baseline - self.window  # a run measures one step more than it updates
        if monitor._tests < 1:
            logger.warning(
                "the monitor %s needs %d steps, and this run has %d: it will be silent. Lower its baseline or window",
                self.name, self.baseline + self.window, run.steps + 1,
            )  # fmt: skip
        return monitor

    def observe(self, step: MonitoredStep) -> Measurement | None:
        self._expect_metric(step)
        value = step.metrics.get(self.metric)
        if value is None:
            return None
        if not abs(value) < float("inf"):  # kept out of the means, which it would spoil for good
            return Measurement(float("nan"), None, "above", f"{self.metric} of the step")
        value_1 = torch.tensor([value], dtype=torch.float64)
        if len(self._first_K) < self.baseline:
            self._first_K = torch.cat([self._first_K, value_1])
            return None
        self._last_W = torch.cat([self._last_W, value_1])[-self.window :]
        return self._compare() if len(self._last_W) == self.window else None

    def _expect_metric(self, step: MonitoredStep) -> None:
        """Refuse a metric that does not exist, at the first step that is seen."""
        is_due = step.step == 0 or self.metric not in SOMETIMES
        if not self._is_known and is_due and self.metric not in step.metrics:
            raise BadInput(
                f"the monitor {self.name} expected a metric of the step, got {self.metric!r}: choose one of "
                f"{', '.join(step.metrics)}"
            )
        self._is_known = True

    def _compare(self) -> Measurement:
        first, now = float(self._first_K.mean()), float(self._last_W.mean())
        change = {"up": now - first, "down": first - now, "both": abs(now - first)}[self.direction]
        spread = float(self._first_K.std()) * (1 / self.baseline + 1 / self.window) ** 0.5
        quantile = _quantile(self.false_alarms, self._tests, 2 if self.direction == "both" else 1, self.baseline - 1)
        limit = max(quantile * spread, self.least, max(self.least_share, ROUNDING) * abs(first))
        text = f"{WORDS[self.direction]} of {self.metric}, last {self.window} steps against the first {self.baseline},"
        return Measurement(change, limit, "above", text, {"first": first, "now": now})

    def state(self) -> Mapping[str, Tensor]:
        return {"first_K": self._first_K, "last_W": self._last_W}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._first_K, self._last_W = state["first_K"], state["last_W"]
        self._is_known = len(self._first_K) > 0


@cache
def _quantile(false_alarms: float, tests: int, sides: int, degrees_of_freedom: int) -> float:
    """The limit in standard errors. Tests beyond those that were counted do not happen in a run."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 1 - false_alarms / (max(tests, 1) * sides)))


def length_drift() -> Drift:
    """Completions that get longer or shorter, by a fifth or more."""
    return Drift("length", "length_drift", least_share=0.2)


def entropy_drift() -> Drift:
    """Entropy that falls by a fifth or more: the policy stops exploring."""
    return Drift("entropy_nats_per_token", "entropy_drift", "down", least_share=0.2)


def malformed_drift() -> Drift:
    """Five percent or more of the completions become malformed."""
    return Drift("malformed_share", "malformed_drift", "up", least=0.05)


def outside_drift() -> Drift:
    """Five percent or more of the successes leave the range of texts that the readout, or its dictionary, knows."""
    return Drift("outside_share", "outside_drift", "up", least=0.05)


def lucky_drift() -> Drift:
    """Five percent or more of the rewarded answers become lucky. Silent where the task judges no steps."""
    return Drift("lucky_share", "lucky_drift", "up", least=0.05)
