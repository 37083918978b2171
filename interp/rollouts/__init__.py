"""Rollouts: a policy on a task, one joined record each; and difficulty, measured by them."""

from interp.rollouts.buckets import BucketConfig, Buckets, bucket
from interp.rollouts.evaluate import EvaluateConfig, evaluate
from interp.rollouts.evaluation import Evaluation
from interp.rollouts.intervals import Share, exact, share
from interp.rollouts.pass_at import pass_at, pass_at_k
from interp.rollouts.record import Rollout, Rollouts, TokenStep
from interp.rollouts.roll_out import judge, roll_out
from interp.rollouts.summary import Summary, summarise

__all__ = [
    "BucketConfig",
    "Buckets",
    "EvaluateConfig",
    "Evaluation",
    "Rollout",
    "Rollouts",
    "Share",
    "Summary",
    "TokenStep",
    "bucket",
    "evaluate",
    "exact",
    "judge",
    "pass_at",
    "pass_at_k",
    "roll_out",
    "share",
    "summarise",
]
