"""Train a policy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from interp.cli.app import Flat, FlatThroughout, app, say, say_json, warn_of_skipped
from interp.cli.args import Opened, Trained, World
from interp.grpo.config import GRPOConfig


@dataclass(frozen=True)
class Grpo:
    out: Path
    """The run's directory. Asked for again, a run that was stopped goes on."""
    opened: Annotated[Opened, Flat] = field(default_factory=Opened)
    world: Annotated[World, Flat] = field(default_factory=World)
    trained: Annotated[Trained, Flat] = field(default_factory=Trained)
    training: Annotated[GRPOConfig, Flat, FlatThroughout] = field(default_factory=GRPOConfig)


@app.command(name="grpo")
def grpo_command(config: Annotated[Grpo, Flat]) -> None:
    """Train a policy with GRPO on a bucket, and keep its checkpoints and what they wrote."""
    from interp.credit import FeatureCredit
    from interp.grpo import train
    from interp.report.training import over_steps

    task = config.world.open(config.opened.path)
    skipped, credit, sinks = warn_of_skipped(task), config.trained.scheme(), config.trained.sinks()
    config.trained.settle_in()
    base = config.opened.load()
    if isinstance(credit, FeatureCredit):
        credit.expect_base(base)
    bucket = config.trained.problems(base)
    run = train(base, task, bucket=bucket, config=config.training, credit=credit, out=config.out, sinks=sinks)
    metrics = run.metrics()
    if config.opened.json:
        say_json({"run": run.path, "checkpoints": run.series.steps, "skipped": skipped, "last": metrics.to_dicts()[-1]})
    else:
        say(over_steps(metrics, config.training.save_every), f"the run is {run.path}: {run.metrics_path}, {run.series}")
