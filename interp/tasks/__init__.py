"""Tasks: problems, verifiers, and the role of each token of an answer."""

from interp.tasks.base import BUCKETS, SPLITS, TOKEN_ROLES, Problem, Span, Step, Task, Verdict
from interp.tasks.chain import Chain
from interp.tasks.gym import GymTask
from interp.tasks.jsonl import JsonlTask

__all__ = [
    "BUCKETS",
    "SPLITS",
    "TOKEN_ROLES",
    "Chain",
    "GymTask",
    "JsonlTask",
    "Problem",
    "Span",
    "Step",
    "Task",
    "Verdict",
]
