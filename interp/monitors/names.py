"""Names of the monitors. Help lists them, and help does not import torch, which the monitors need."""

from typing import Literal, get_args

DriftName = Literal["length", "entropy", "malformed", "lucky"]
"""Metrics against their values in the first steps."""
ReadoutName = Literal["pay-precision", "frozen-live", "causal-effect", "outside"]
"""Of credit by a readout; frozen-live and causal-effect read policies."""
MonitorName = Literal["usual", DriftName, ReadoutName, "judge"]
"""usual stands for all that the credit of the run allows, but for the judge, which needs a second dictionary."""
USUAL, JUDGE = "usual", "judge"
DRIFT_NAMES: tuple[str, ...] = get_args(DriftName)
MONITOR_NAMES: tuple[str, ...] = get_args(MonitorName)
