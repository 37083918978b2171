"""Problems, verifiers, and what each token of an answer did."""

from interp.tasks.base import BUCKETS, ROLES, SPLITS, Problem, Span, Step, Task, Verdict
from interp.tasks.chain import Chain
from interp.tasks.gym import GymTask
from interp.tasks.jsonl import JsonlTask

__all__ = ["BUCKETS", "ROLES", "SPLITS", "Chain", "GymTask", "JsonlTask", "Problem", "Span", "Step", "Task", "Verdict"]
