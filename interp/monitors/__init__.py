"""Monitors of a run in training: is it going wrong, and since when?

base           the contract: a step in; a value, its limit, and whether that is an alarm, out
watch          the monitors of one run, and the alarms that stand
drift          metrics against their values in the first steps, with a stated rate of false alarms
frozen_live    the same readout read from the frozen base and from the policy in training
judge          a second readout, over a dictionary of another seed, that is never paid by
causal_effect  what ablating the latents does that a readout pays
pay_precision  which share of the pay goes to answers that audits find valid
paid           the successes and the readout that these look at
registry       monitors by name
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.monitors.base import Measurement, Monitor, MonitoredRun, MonitoredStep
    from interp.monitors.causal_effect import CausalEffect
    from interp.monitors.drift import (
        Drift,
        entropy_drift,
        length_drift,
        lucky_drift,
        malformed_drift,
        outside_drift,
    )
    from interp.monitors.frozen_live import FrozenLive
    from interp.monitors.judge import Judge, judge_by, judge_over
    from interp.monitors.pay_precision import PayPrecision
    from interp.monitors.registry import make_monitors, usual_monitors
    from interp.monitors.watch import Alarm, Watch

__all__ = [
    "Alarm",
    "CausalEffect",
    "Drift",
    "FrozenLive",
    "Judge",
    "Measurement",
    "Monitor",
    "MonitoredRun",
    "MonitoredStep",
    "PayPrecision",
    "Watch",
    "entropy_drift",
    "judge_by",
    "judge_over",
    "length_drift",
    "lucky_drift",
    "make_monitors",
    "malformed_drift",
    "outside_drift",
    "usual_monitors",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "Measurement": "interp.monitors.base",
        "Monitor": "interp.monitors.base",
        "MonitoredRun": "interp.monitors.base",
        "MonitoredStep": "interp.monitors.base",
        "CausalEffect": "interp.monitors.causal_effect",
        "Drift": "interp.monitors.drift",
        "entropy_drift": "interp.monitors.drift",
        "length_drift": "interp.monitors.drift",
        "lucky_drift": "interp.monitors.drift",
        "malformed_drift": "interp.monitors.drift",
        "outside_drift": "interp.monitors.drift",
        "FrozenLive": "interp.monitors.frozen_live",
        "Judge": "interp.monitors.judge",
        "judge_by": "interp.monitors.judge",
        "judge_over": "interp.monitors.judge",
        "PayPrecision": "interp.monitors.pay_precision",
        "make_monitors": "interp.monitors.registry",
        "usual_monitors": "interp.monitors.registry",
        "Alarm": "interp.monitors.watch",
        "Watch": "interp.monitors.watch",
    },
)
