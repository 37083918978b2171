"""Written equations of ordinary mathematical text: found, checked exactly, and their characters given roles."""

from interp.tasks.traces.annotate import Trace, annotate

__all__ = ["Trace", "annotate"]
