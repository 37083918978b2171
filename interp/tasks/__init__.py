"""Problems, verifiers, and what each token of an answer did."""

from interp.tasks.base import BUCKETS, ROLES, SPLITS, Problem, Span, Step, Task, Verdict
from interp.tasks.chain import Chain

__all__ = ["BUCKETS", "ROLES", "SPLITS", "Chain", "Problem", "Span", "Step", "Task", "Verdict"]
