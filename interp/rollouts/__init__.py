"""Rollouts: a policy on a task, one joined record each; and difficulty, measured by them."""

from typing import TYPE_CHECKING

from interp.rollouts.buckets import BucketConfig, Buckets, bucket
from interp.rollouts.collect_config import CollectConfig
from interp.rollouts.evaluate import EvaluateConfig, evaluate
from interp.rollouts.evaluation import Evaluation
from interp.rollouts.intervals import Share, exact, share
from interp.rollouts.pass_at import pass_at, pass_at_k
from interp.rollouts.record import Rollout, Rollouts, TokenStep
from interp.rollouts.roll_out import judge, roll_out
from interp.rollouts.series import Checkpoint, Series
from interp.rollouts.summary import Summary, summarise

if TYPE_CHECKING:
    from interp.rollouts.batch import Credit, CreditScheme, RolloutBatch, of_mean_one, with_credit

__all__ = [
    "BucketConfig",
    "Buckets",
    "Checkpoint",
    "CollectConfig",
    "Credit",
    "CreditScheme",
    "EvaluateConfig",
    "Evaluation",
    "Rollout",
    "RolloutBatch",
    "Rollouts",
    "Series",
    "Share",
    "Summary",
    "TokenStep",
    "bucket",
    "evaluate",
    "exact",
    "judge",
    "of_mean_one",
    "pass_at",
    "pass_at_k",
    "roll_out",
    "share",
    "summarise",
    "with_credit",
]


def __getattr__(name: str) -> object:  # torch takes seconds to import, a command's --help must not
    if name in ("Credit", "CreditScheme", "RolloutBatch", "of_mean_one", "with_credit"):
        from interp.rollouts import batch

        return getattr(batch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
