"""The demo: the whole loop on the shipped organism, in a few minutes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from interp.artifacts import BadInput
from interp.checks import CountOrZero, Seed
from interp.cli.app import Args, Flat, app, expect_no_artifact, say, say_json
from interp.cli.args import PolicyArgs
from interp.organism import load_task_or_default
from interp.tasks import Chain


@dataclass(frozen=True)
class Demo(Args):
    policy: Annotated[PolicyArgs, Flat] = field(default_factory=PolicyArgs)
    preset: Literal["demo", "full", "tiny"] = "demo"
    """How much of everything: minutes, the sizes of the studies, or next to nothing (for tests)."""
    train_steps: CountOrZero | None = None
    """GRPO steps of each arm. 0 only measures the base. Default: the preset's."""
    fit_steps: CountOrZero | None = None
    """Steps of fitting the dictionary. 0 stops after training. Default: the preset's."""
    out: Path = Path("runs/demo")
    """Directory for everything that is made, and for the report. A repeated command continues there."""
    seed: Seed | None = None
    """Seed of sampling, training and fitting. Default: the preset's."""


@app.command(name="demo")
def demo_command(config: Annotated[Demo, Flat]) -> None:
    """Run the whole loop: buckets, training, a dictionary, roles, tracks, a comparison, feature credit, a report."""
    expect_no_artifact(config.out)
    from interp.demo.plan import Plan
    from interp.demo.run import run_demo

    is_json = config.policy.json
    base, task = config.policy.load(), load_task_or_default(config.policy.path)
    if not isinstance(task, Chain):
        raise BadInput(f"expected a policy of the chain task for the demo, got one of {task.name}: leave out --policy")
    plan = Plan.of_preset(
        config.preset, config.out, steps=config.train_steps, fit_steps=config.fit_steps, seed=config.seed
    )
    result = run_demo(base, task, plan, _silent if is_json else say, progress=not is_json)
    if is_json:
        say_json({"policy": base.fingerprint(), **result})


def _silent(*_: str) -> None:
    """Print nothing: with --json there is one object at the end."""
