"""Training on a measured bucket: the run must ask the same policy the same questions in the same way.

Refused: problems measured on another base, of another task, with other prompts, or of splits that are kept for
evaluation. A warning: another temperature or length of completions, with which pass rates are others.
"""

from interp.artifacts import BadInput, Mismatch, same_fingerprint
from interp.grpo.config import GRPOConfig
from interp.grpo.sources import Problems
from interp.grpo.strategies.curriculum import Curriculum
from interp.policy.policy import Policy
from interp.policy.prompts import PromptFormat, same_prompts
from interp.rollouts.buckets import MeasuredProblems
from interp.tasks.base import Task

REMEDY = (
    "measure these problems again (interp bucket), or pass list(problems), and the prompts (chat, prefix, suffix), to "
    "train on them all the same"
)


def with_measured(config: GRPOConfig, problems: Problems | Curriculum, base: Policy, task: Task) -> GRPOConfig:
    """The config with the prompt format in which the problems were measured; for other problems with that of the run
    which the base is a checkpoint of, if it is one."""
    parts = list(problems.named_parts().values()) if isinstance(problems, Curriculum) else [problems]
    measured = [part for part in parts if isinstance(part, MeasuredProblems)]
    if not measured:
        return same_prompts(config, PromptFormat.of_checkpoint(base.path), of="the run of this base")
    for part in measured:
        config = _as_measured(config, part, base, task)
    return config


def _as_measured(config: GRPOConfig, problems: MeasuredProblems, base: Policy, task: Task) -> GRPOConfig:
    inputs = {"policy": base.fingerprint(), "task": task.fingerprint()}
    for name, own in inputs.items():
        if (measured := problems.made_from.get(name)) is not None and not same_fingerprint(own, measured):
            raise Mismatch(f"expected problems measured with this {name} ({own}), got {measured}: {REMEDY}")
    if others := sorted({problem.split for problem in problems} - {"train"}):
        count = sum(problem.split in others for problem in problems)
        raise BadInput(
            f"expected problems of the split train, got {count} of {' and '.join(others)}, which are kept to measure "
            "on: bucket the training split alone (--split train)"
        )
    config = same_prompts(config, PromptFormat.from_config(problems.config), of="the buckets", is_strict=True)
    config.sampling.warn_if_other(problems.config, of="the buckets")
    return config
