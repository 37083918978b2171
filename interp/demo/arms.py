"""What training makes of the base: on medium problems, on hard ones, on hard ones where only valid answers are paid."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from interp.credit import StepValidity
from interp.demo.plan import Plan
from interp.tasks.base import BUCKETS, Task

if TYPE_CHECKING:
    from interp.credit import FeatureCredit
    from interp.grpo.run import Run
    from interp.policy import Policy
    from interp.rollouts import Checkpoint, Evaluation

BASE, MEDIUM, HARD = "(the base)", "medium", "hard"
PAID, SEEN = "hard, only valid answers paid", "hard, credit by latents"
ARMS = {MEDIUM: ("medium", None), HARD: ("hard", None), PAID: ("hard", StepValidity(weights=False))}
"""Trained on what, with what credit."""


def hard_against_medium(base: "Policy", task: Task, plan: Plan, *, bar: bool) -> "Iterator[tuple[str, Evaluation]]":
    """The base and each arm as they are done. Killed and called again, it goes on where it was."""
    from interp.grpo import train

    yield BASE, behaviour(base, task, plan)
    for name, (bucket, credit) in ARMS.items():
        run = train(base, task, bucket=bucket, config=plan.training, credit=credit, out=plan.arm(name), bar=bar)
        yield name, behaviour(run.series.last, task, plan, device=str(base.device))


def hard_again(base: "Policy", task: Task, plan: Plan, credit: "FeatureCredit", *, bar: bool) -> "Evaluation":
    """The hard arm once more, paid by what the dictionary sees."""
    from interp.grpo import train

    out = plan.arm(SEEN, plan.key)
    run = train(base, task, bucket="hard", config=plan.training, credit=credit, out=out, bar=bar)
    return behaviour(run.series.last, task, plan, device=str(base.device))


def run_of(plan: Plan, arm: str) -> "Run":
    from interp.grpo.run import Run

    return Run.open(plan.arm(arm))


def behaviour(subject: "Policy | Checkpoint", task: Task, plan: Plan, *, device: str = "auto") -> "Evaluation":
    from interp.rollouts import EvaluateConfig, evaluate

    sizes = plan.sizes
    asked = EvaluateConfig(problems=sizes.problems, levels=BUCKETS, group=sizes.answers, k=(1,), seed=plan.seed)
    return evaluate(subject, task, asked, device=device)
