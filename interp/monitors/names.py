"""Names of the monitors. Help lists them, and help does not import torch, which the monitors need."""

DRIFT_NAMES = ("length", "entropy", "malformed", "lucky")
"""Metrics against their values in the first steps."""
READOUT_NAMES = ("pay-precision", "frozen-live", "causal-effect")
"""Of credit by a readout; all but the first read policies."""
JUDGE = "judge"
"""It needs a second dictionary."""
USUAL = "usual"
"""Stands for those that the credit of the run allows, without a second dictionary."""
MONITOR_NAMES = (USUAL, *DRIFT_NAMES, *READOUT_NAMES, JUDGE)
