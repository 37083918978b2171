"""The difficulty study in small: one base, trained on medium problems, on hard ones, on hard with perfect credit."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from interp.artifacts import fingerprint_config
from interp.credit import StepValidity
from interp.grpo.config import GRPOConfig
from interp.policy.config import SampleConfig
from interp.tasks.base import BUCKETS, Task

if TYPE_CHECKING:
    from interp.policy import Policy
    from interp.rollouts import Evaluation

ARMS = {
    "medium": ("medium", None),
    "hard": ("hard", None),
    "hard, only valid answers paid": ("hard", StepValidity(weights=False)),
}
PROBLEMS, ANSWERS = 40, 8
"""Of each bucket, and to each: what is measured."""


def hard_against_medium(
    base: "Policy", task: Task, out: Path, *, steps: int, seed: int
) -> "Iterator[tuple[str, Evaluation]]":
    """The base and each arm as they are done. Killed and called again, it goes on where it was."""
    from interp.grpo import train
    from interp.rollouts import EvaluateConfig, evaluate

    measuring = EvaluateConfig(problems=PROBLEMS, levels=BUCKETS, group=ANSWERS, k=(1,), seed=seed)
    yield "(the base)", evaluate(base, task, measuring)
    training = GRPOConfig(
        steps=steps, sampling=SampleConfig(rows=1024, seed=seed), save_every=steps, without_signal="go on"
    )
    for name, (bucket, credit) in ARMS.items():
        place = out / f"{name.replace(', ', '-').replace(' ', '-')}-{fingerprint_config(training)[:6]}"
        run = train(base, task, bucket=bucket, config=training, credit=credit, out=place)
        yield name, evaluate(run.series.last, task, measuring, device=str(base.device))
