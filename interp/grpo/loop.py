"""The training loop: `train` runs GRPO from a base, or resumes it.

    1. draw problems (strategies ask some of them otherwise), and sample a group of completions for each
    2. verify them: the task judges answers and steps
    3. credit: the share of its reward each rollout keeps, the weight of each token
    4. advantages: the reward above the group's mean, times the weight
    5. monitors look at the batch and at what it is paid (`interp.monitors`); they change nothing
    6. one update, in micro-batches, by the objective of the loss (`config.py`)
    7. every `save_every` steps, and at the first and last: a checkpoint with the rollouts it sampled

After the last update there is one more round of steps 1 to 5, without an update, so that the last policy is measured.
All randomness comes from hashes of what it is for, so a run that is killed anywhere and started again ends in the same
bits as one that was not, on the CPU with the same number of threads.
"""

import logging
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from interp.artifacts import BadInput, to_json
from interp.credit.base import CreditScheme, Learning, check_scheme
from interp.grpo.batches import Collector, StepBatch
from interp.grpo.config import GRPOConfig
from interp.grpo.learner import Learner, merge_adapters
from interp.grpo.measured import with_measured
from interp.grpo.metrics import Sink, step_metrics
from interp.grpo.run import (
    MONITORS,
    Run,
    append_metrics,
    drop_checkpoint,
    expect_checkpoints,
    locked_run,
    record_monitors,
    save_checkpoint,
    sync_metrics,
    truncate_metrics,
)
from interp.grpo.sources import Problems, ProblemSource, problem_source
from interp.grpo.specs import spec_of
from interp.grpo.strategies.base import RunSetting, Strategy, expect_strategies
from interp.grpo.strategies.curriculum import Curriculum
from interp.monitors.base import Monitor, MonitoredRun, MonitoredStep, OnAlarm, expect_monitors
from interp.monitors.watch import Alarm, Watch
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tasks.base import Task
from interp.tasks.reopening import source_of
from interp.training_state import interruptible, load_tensors, load_training_state, save_training_state

logger = logging.getLogger(__name__)
LARGE = 10**7
"""Parameters above which a learning rate for small models does harm."""


class NoSignal(BadInput):
    """In many steps in a row, the rollouts of every group had equal rewards."""


class AlarmRaised(BadInput):
    """A monitor's value went beyond its limit, in a run that stops at alarms."""


class Diverged(ArithmeticError):
    """Logits, loss or gradient are not finite. The last checkpoint is whole."""


def train(
    base: Policy,
    task: Task,
    problems: Problems | Curriculum = None,
    *,
    strategies: Sequence[Strategy] = (),
    out: str | Path,
    config: GRPOConfig | None = None,
    credit: CreditScheme | None = None,
    monitors: Sequence[Monitor] = (),
    on_alarm: OnAlarm = "go on",
    sinks: Sequence[Sink] = (),
    progress: bool = True,
) -> Run:
    """Train a copy of `base` with GRPO, and return the run.

    `problems` is one of: a level of the task (a depth, or the name of a group, such as "deep"); several levels, each
    for an equal share of the steps, in turn; a list of problems, such as a measured bucket,
    `buckets.problems("hard")`, which must have been measured on this base, on this task's training split, and in this
    prompt format; a `Curriculum` of levels or buckets, which follows the pass rate of the run; or None, the whole
    training split. `strategies` ask a share of them otherwise: `Backward` states the answer and asks for a number,
    `PrefixHints` gives the beginning of a valid answer of the base, `Replay` puts valid answers back into later
    batches. `credit` None is plain GRPO. Each sink is called with (step, metrics) after every step.

    `monitors` look at every step, and warn when something goes wrong (`interp.monitors`, `Run.alarms`). They change
    nothing, so a run may be continued with others. `on_alarm` "stop" saves the run and raises AlarmRaised at the step
    that raises an alarm.

    If `out` holds the same run, it is resumed where it stopped, or opened if it is finished."""
    config, out = with_measured(config or GRPOConfig(), problems, base, task), Path(out)
    config = _with_lr(config, sum(p.numel() for p in base.model.parameters()))
    config.expect_affordable(out, sum(p.numel() * p.element_size() for p in base.model.parameters()))
    check_scheme(credit, base)
    _warn_of_scale(credit, config)
    expect_strategies(strategies)
    expect_monitors(monitors, on_alarm)
    source = _source(task, problems, config)
    fillers = [strategy.start(RunSetting(base, task, config, source)) for strategy in strategies]
    spec = {
        "config": config,
        "made_from": {"policy": base.fingerprint(), "task": task.fingerprint()},
        "problems": _problem_spec(source, strategies),
        "credit": spec_of(credit),
        "task": spec_of(task),
    }
    credit = credit.fresh() if isinstance(credit, Learning) else credit  # pyright: ignore[reportAssignmentType]
    specs = [spec_of(monitor) for monitor in monitors]
    watch = Watch(monitors, specs, MonitoredRun(base, credit, config.steps), name=str(out))
    with locked_run(out, spec, source=source_of(task)) as run, interruptible() as stop:
        learner = Learner(base, config)
        collector = Collector(task, source, config, credit, run.name, base, fillers)
        Trainer(
            run, config, learner, collector, watch, made_from=spec["made_from"], sinks=sinks, on_alarm=on_alarm
        ).run_to_end(stop, progress=progress)
    return run


def _source(task: Task, problems: Problems | Curriculum, config: GRPOConfig) -> ProblemSource:
    if isinstance(problems, Curriculum):
        return problems.start(task, steps=config.steps, seed=config.seed)
    return problem_source(task, problems, steps=config.steps, seed=config.seed)


def _problem_spec(source: ProblemSource, strategies: Sequence[Strategy]) -> Any:
    """What decides which problems are asked, and how. Without strategies it is that of the source alone."""
    if not strategies:
        return source.spec()
    return {"source": source.spec(), "strategies": [strategy.spec() for strategy in strategies]}


def _warn_of_scale(credit: CreditScheme | None, config: GRPOConfig) -> None:
    if getattr(credit, "needs_no_scale", False) and config.objective().scale == "group":
        warnings.warn(
            'this credit pays by degrees, and the deviation of a group undoes them: set scale to "none" (--scale none)',
            stacklevel=3,
        )


def _with_lr(config: GRPOConfig, parameters: int) -> GRPOConfig:
    """The config with a learning rate. One that is far above what suits the size is used, with a warning."""
    usual = replace(config.update, lr=None).with_lr(parameters).lr or 0.0
    if (lr := config.update.lr) is not None and parameters > LARGE and lr > 5 * usual:
        warnings.warn(
            f"lr {lr:g} is far above {usual:g}, which suits a model of {parameters:,} parameters: it may forget what "
            "it knows within a few steps",
            stacklevel=3,
        )
    return replace(config, update=config.update.with_lr(parameters))


class Trainer:
    """The state of a run in training, and its steps."""

    def __init__(
        self,
        run: Run,
        config: GRPOConfig,
        learner: Learner,
        collector: Collector,
        watch: Watch,
        *,
        made_from: Mapping[str, str],
        sinks: Sequence[Sink],
        on_alarm: OnAlarm,
    ) -> None:
        self.run, self.config, self.learner, self.collector, self.sinks = run, config, learner, collector, sinks
        self.watch, self.on_alarm = watch, on_alarm
        self.state_config = to_json({"config": config, "made_from": made_from})
        self.step = 0
        """Updates done."""
        self.problems_drawn = 0
        self.steps_without_signal = 0
        """Steps in a row, up to now, in which every group had equal rewards."""
        self.learned: Mapping[str, Tensor] = {}
        """What credit, source, strategies and monitors had learned before step `step`."""

    def run_to_end(self, stop: threading.Event, *, progress: bool) -> None:
        """Resume from the saved state, if any, and train to the last step. If `stop` is set, save and raise
        KeyboardInterrupt after the step under way."""
        self._resume()
        steps = self.config.steps
        # with TQDM_DISABLE set, tqdm hides the bar unless `disable` is given
        hidden: dict[str, Any] = {} if progress else {"disable": True}
        with tqdm(total=steps, initial=min(self.step, steps), desc=self.run.name, unit="step", **hidden) as bar:
            while self.step <= steps:
                metrics = self._one_step()
                bar.set_postfix(
                    {name: _short(metrics[name]) for name in ("reward", "valid_rate", "length")}, refresh=False
                )
                if self.step <= steps:
                    bar.update()
                if stop.is_set() and self.step <= steps:
                    self._save()
                    raise KeyboardInterrupt(f"stopped before step {self.step}: the same call resumes there")

    def _one_step(self) -> dict[str, Any]:
        """Sample, save a checkpoint if one is due, measure, update."""
        step, start = self.step, time.perf_counter()
        self.learned = self._state()
        with self._raising_diverged():
            batch = self.collector.collect(self.learner.policy, step, self.problems_drawn)
        seconds_sampling = time.perf_counter() - start
        if self._checkpoint_due(step):
            self._save(batch.rollouts)
        metrics = {"step": step, **step_metrics(batch, self.config.sampling.group)}
        if self.config.measures_kl(step) or (self.config.kl_every and step == self.config.steps):
            metrics["kl_to_base"] = self.learner.kl_to_base(batch.rollout_batch)
        observed, raised = self._observe(batch, metrics)
        start = time.perf_counter()
        if step < self.config.steps:
            with self._raising_diverged():
                metrics |= asdict(
                    self.learner.update(batch.rollout_batch, batch.advantages_BL, batch.loss_mask_BL, step)
                )
        metrics |= {"seconds_sampling": seconds_sampling, "seconds_learning": time.perf_counter() - start} | observed
        append_metrics(self.run, metrics)
        for sink in self.sinks:
            sink(step, metrics)
        self.problems_drawn, self.step, self.learned = batch.problems_drawn, step + 1, self._state()
        self._expect_signal(batch, metrics)
        self._expect_no_alarm(raised)
        if step == self.config.steps:
            self._save_state()
        return metrics

    def _observe(self, batch: StepBatch, metrics: Mapping[str, Any]) -> tuple[dict[str, Any], list[Alarm]]:
        """What monitors add to the metrics of the step, and the alarms that they raise. The policy is the one that
        wrote the batch."""
        if not self.watch.monitors:
            return {}, []
        start, scheme = time.perf_counter(), self.collector.credit
        credit = batch.advantages.credit
        observed, raised = self.watch.observe(MonitoredStep(self.step, metrics, batch.rollout_batch, credit, scheme))
        return observed | {"seconds_monitoring": time.perf_counter() - start}, raised

    def _state(self) -> dict[str, Tensor]:
        """What credit, source, strategies and monitors have learned."""
        return self.collector.state() | self.watch.state()

    @contextmanager
    def _raising_diverged(self) -> Iterator[None]:
        try:
            yield
        except FloatingPointError as error:
            last = max(self.run.checkpoint_steps(), default=0)
            raise Diverged(
                f"{self.run.path}: at step {self.step}: {error}. The last good checkpoint, checkpoint-{last}, is whole."
                " Lower lr or max_norm, and train into another directory."
            ) from error

    def _expect_signal(self, batch: StepBatch, metrics: Mapping[str, Any]) -> None:
        # a credit that waits for its first labels pays nothing yet
        has_signal = metrics["mixed_groups"] or getattr(self.collector.credit, "is_waiting", False)
        self.steps_without_signal = 0 if has_signal else self.steps_without_signal + 1
        if self.steps_without_signal < self.config.patience or self.step > self.config.steps:
            return
        rewarded = sum(rollout.reward > 0 for rollout in batch.rollouts)
        finding = (
            f"no signal: in {self.steps_without_signal} steps in a row, every group had equal rewards (last step: "
            f"{rewarded} of {len(batch.rollouts)} rollouts rewarded, gate {metrics['gate']:.2f})"
        )
        if self.config.without_signal == "stop":
            self._save()
            raise NoSignal(f"{self.run.path}: {finding}. Choose other problems, or set without_signal to 'go on'.")
        if self.steps_without_signal == self.config.patience:
            logger.warning("%s: %s; going on", self.run.path, finding)

    def _expect_no_alarm(self, raised: Sequence[Alarm]) -> None:
        if raised and self.on_alarm == "stop" and self.step <= self.config.steps:
            self._save()
            raise AlarmRaised(
                f"{self.run.path}: {'; '.join(map(str, raised))}. Stopped and saved before step {self.step}: look at "
                "Run.open(path).alarms(). The same call goes on from there, up to the next alarm; with on_alarm 'go on'"
                " it does not stop for alarms"
            )

    def _resume(self) -> None:
        optimizer = self.learner.optimizer
        self.step, facts = load_training_state(
            self.run.state, optimizer.master_weights(), optimizer.adam, config=self.state_config
        )
        _expect_within(self.run, self.step, self.config.steps)
        if facts:
            learned = load_tensors(self.run.state)
            self.collector.load_state(learned)
            if self.step <= self.config.steps:
                self.watch.load_state(learned, facts.get(MONITORS, {}))
        if self.step <= self.config.steps:
            record_monitors(self.run, self.step, self.watch.specs)
        self.problems_drawn = facts.get("problems_drawn", 0)
        self.steps_without_signal = facts.get("steps_without_signal", 0)
        steps_done = range(min(self.step, self.config.steps) + 1 if facts else 0)
        expect_checkpoints(self.run, filter(self._checkpoint_due, steps_done))
        optimizer.sync_weights()
        truncate_metrics(self.run, self.step)
        for step in self.run.checkpoint_steps():
            if not self._checkpoint_due(step):  # saved when the run was stopped; an unstopped run has none there
                drop_checkpoint(self.run, step)
        if facts and facts["threads"] != torch.get_num_threads():
            logger.warning(
                "%s was begun with %d threads: with another number bits may differ", self.run.path, facts["threads"]
            )

    def _checkpoint_due(self, step: int) -> bool:
        return step % self.config.save_every == 0 or step == self.config.steps

    def _save(self, rollouts: list[Rollout] | None = None) -> None:
        save_checkpoint(self.run, merge_adapters(self.learner.policy, self.learner.adapters), self.step, rollouts)
        self._save_state()

    def _save_state(self) -> None:
        """Save the state before step `self.step`."""
        sync_metrics(self.run)
        save_training_state(
            self.run.state,
            self.learner.optimizer.master_weights(),
            self.learner.optimizer.adam,
            step=self.step,
            config=self.state_config,
            facts={
                "problems_drawn": self.problems_drawn,
                "steps_without_signal": self.steps_without_signal,
                "threads": torch.get_num_threads(),
            }
            | ({MONITORS: self.watch.fingerprints} if self.watch.monitors else {}),
            tensors={name: tensor.clone() for name, tensor in self.learned.items()},  # a monitor may share credit's
        )


def _expect_within(run: Run, step: int, steps: int) -> None:
    if step > steps + 1:  # one round without an update comes after the last
        raise BadInput(f"{run.state}: expected the state of a run of {steps} steps, got step {step}: delete it")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
