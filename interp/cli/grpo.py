"""Train a policy with GRPO."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from interp.cli.app import Args, Flat, FlatThroughout, app, explain, report_skipped, say, say_json, say_saved
from interp.cli.args import PolicyArgs, TaskArgs, TrainArgs
from interp.cli.grpo_monitors import MonitorArgs
from interp.cli.grpo_strategies import StrategyArgs
from interp.display import text_table
from interp.grpo.config import GRPOConfig
from interp.policy.directory import check_weights


@dataclass(frozen=True)
class Grpo(Args):
    out: Path
    """The run's directory. A repeated command continues a run that was stopped."""
    policy: Annotated[PolicyArgs, Flat] = field(default_factory=PolicyArgs)
    task: Annotated[TaskArgs, Flat] = field(default_factory=TaskArgs)
    train: Annotated[TrainArgs, Flat] = field(default_factory=TrainArgs)
    strategies: Annotated[StrategyArgs, Flat] = field(default_factory=StrategyArgs)
    watch: Annotated[MonitorArgs, Flat] = field(default_factory=MonitorArgs)
    config: Annotated[GRPOConfig, Flat, FlatThroughout] = field(default_factory=GRPOConfig)


@app.command(name="grpo")
def grpo_command(config: Annotated[Grpo, Flat]) -> None:
    """Train a policy with GRPO, and save its checkpoints with the rollouts they wrote."""
    # before the policy is loaded
    config.config.expect_affordable(config.out, sum(file.stat().st_size for file in check_weights(config.policy.path)))
    from interp.grpo import train
    from interp.grpo.learner import expect_rank

    task = config.task.open(config.policy.path)
    skipped, credit = report_skipped(task), config.train.scheme(task, config.config)
    monitors, sinks = config.watch.make(credit), config.train.sinks()
    config.train.set_threads()
    base = config.policy.load()
    expect_rank(base.model, config.config.update.lora_rank)
    problems, strategies = config.strategies.problems(config.train), config.strategies.strategies()
    is_json = config.policy.json
    run = train(
        base,
        task,
        problems,
        strategies=strategies,
        config=config.config,
        credit=credit,
        monitors=monitors,
        on_alarm=config.watch.on_alarm,
        out=config.out,
        sinks=sinks,
        progress=not is_json,
    )
    if is_json:
        checkpoints = {"out": run.path, "checkpoints": run.series.steps, "skipped": skipped}
        summary, last = run.summary().to_dicts(), run.table().to_dicts()[-1]
        alarms = {"alarms": run.alarms().to_dicts()} if config.watch.monitors else {}
        return say_json({**checkpoints, "summary": summary, "last": last, **alarms})
    say(f"{run}")
    text = f"Metrics of the rollouts in training, at each checkpoint (every step: {run.metrics_path}):"
    explain(text, text_table(run.summary()))
    if config.watch.monitors:
        alarms = run.alarms()
        explain(*(("Alarms of monitors:", text_table(alarms)) if len(alarms) else ("Monitors raised no alarm.",)))
    return say_saved(run.path)
