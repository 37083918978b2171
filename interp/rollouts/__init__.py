"""Rollouts: a policy on a task, one joined record each; and difficulty, measured by them."""

from interp.rollouts.buckets import BucketConfig, Buckets, bucket
from interp.rollouts.evaluate import EvaluateConfig, Evaluation, evaluate, pass_at, pass_at_k
from interp.rollouts.intervals import Share, exact, share
from interp.rollouts.record import Rollout, Rollouts, TokenStep
from interp.rollouts.roll_out import judge, roll_out
from interp.rollouts.series import Checkpoint, Series
from interp.rollouts.summary import Summary, summarise

__all__ = [
    "BucketConfig",
    "Buckets",
    "Checkpoint",
    "EvaluateConfig",
    "Evaluation",
    "Rollout",
    "Rollouts",
    "Series",
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
