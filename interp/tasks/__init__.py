"""Tasks: problems, verifiers, and the role of each token of a completion.

base          the contract: `Task`, `Problem`, `Verdict`
chain         modular arithmetic with checkable steps and plantable shortcuts
words         English word problems with checkable steps and plantable shortcuts
jsonl, gym    a user's own file; any reasoning-gym dataset
reopening     the task of a run, from its manifest
text, traces  the verifier of ordinary mathematical text: answers; written equations
adversarial   tables of completions that try to fool the verifiers
"""

from interp.tasks.base import BUCKETS, SPLITS, TOKEN_ROLES, Problem, Span, Step, Task, Verdict
from interp.tasks.chain import Chain
from interp.tasks.gym import GymTask
from interp.tasks.jsonl import JsonlTask
from interp.tasks.words import Words

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
    "Words",
]
