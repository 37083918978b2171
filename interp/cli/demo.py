"""The demo: the whole loop on the shipped organism, in a few minutes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from interp.artifacts import BadInput
from interp.checks import CountOrZero, Seed
from interp.cli.app import Args, Flat, app, expect_no_artifact, say, say_json
from interp.cli.args import PolicyArgs
from interp.organism import load_task_or_default
from interp.tasks import Chain


@dataclass(frozen=True)
class Demo(Args):
    policy: Annotated[PolicyArgs, Flat] = field(default_factory=PolicyArgs)
    train_steps: CountOrZero = 40
    """GRPO steps of each arm. 0 only measures the base."""
    fit_steps: CountOrZero = 1500
    """Steps of fitting the dictionary. 0 stops after training."""
    out: Path = Path("runs/demo")
    """Directory for everything that is made, and for the page. A repeated command continues there."""
    seed: Seed = 0
    """Seed of training, fitting and evaluation."""


@app.command(name="demo")
def demo_command(config: Annotated[Demo, Flat]) -> None:
    """Run the whole loop: train, fit a dictionary, earn roles, track latents, compare runs, train by feature credit."""
    expect_no_artifact(config.out)
    from interp.demo.plan import Plan
    from interp.demo.run import run_demo

    is_json = config.policy.json
    base, task = config.policy.load(), load_task_or_default(config.policy.path)
    if not isinstance(task, Chain):
        raise BadInput(f"expected a policy of the chain task for the demo, got one of {task.name}: leave out --policy")
    plan = Plan(config.out, config.train_steps, config.fit_steps, config.seed)
    result = run_demo(base, task, plan, _silent if is_json else say, progress=not is_json)
    if is_json:
        say_json({"policy": base.fingerprint(), **result})


def _silent(*_: str) -> None:
    """Print nothing: with --json there is one object at the end."""
