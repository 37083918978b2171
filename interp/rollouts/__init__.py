"""Rollouts: completions of a policy with their verdicts; difficulty buckets, evaluation, series of checkpoints.

problems     problems of a task in a fixed order
roll_out     sample completions and verify them
record       one joined record per rollout: problem, tokens, verdict
summary      shares by depth, level or any column
pass_at_k    pass@k
values       how often a completion that begins like this ends well; `prefix_values` is the result
buckets      easy, medium and hard problems, by base pass rate
evaluate     evaluate a policy or every checkpoint of a series on the same problems; `evaluation` is the result
series       the checkpoints of one policy
gallery      examples for a terminal, coloured step by step
"""

from interp.rollouts.buckets import BucketConfig, BucketedProblem, Buckets, bucket
from interp.rollouts.evaluate import EvaluateConfig, evaluate
from interp.rollouts.evaluation import Evaluation
from interp.rollouts.pass_at_k import mean_pass_at_k, pass_at_k
from interp.rollouts.prefix_values import PrefixValue, PrefixValues, RolloutValues
from interp.rollouts.record import Rollout, Rollouts, TokenStep
from interp.rollouts.roll_out import roll_out, verify_samples
from interp.rollouts.series import Checkpoint, Series
from interp.rollouts.summary import Summary, summarize
from interp.rollouts.values import measure_values

__all__ = [
    "BucketConfig",
    "BucketedProblem",
    "Buckets",
    "Checkpoint",
    "EvaluateConfig",
    "Evaluation",
    "PrefixValue",
    "PrefixValues",
    "Rollout",
    "RolloutValues",
    "Rollouts",
    "Series",
    "Summary",
    "TokenStep",
    "bucket",
    "evaluate",
    "mean_pass_at_k",
    "measure_values",
    "pass_at_k",
    "roll_out",
    "summarize",
    "verify_samples",
]
