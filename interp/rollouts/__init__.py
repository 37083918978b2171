"""Rollouts: a policy on a task, one joined record each; and difficulty, measured by them."""

from interp.rollouts.buckets import BucketConfig, Buckets, bucket
from interp.rollouts.intervals import Share, exact, share
from interp.rollouts.record import Rollout, Rollouts, TokenStep
from interp.rollouts.roll_out import judge, roll_out
from interp.rollouts.summary import Summary, summarise

__all__ = [
    "BucketConfig",
    "Buckets",
    "Rollout",
    "Rollouts",
    "Share",
    "Summary",
    "TokenStep",
    "bucket",
    "exact",
    "judge",
    "roll_out",
    "share",
    "summarise",
]
