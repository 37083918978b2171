"""The loop.

    1. draw prompts, and sample a group of completions for each
    2. verify them: the task says what is right, and which step was
    3. credit: what share of its reward a rollout keeps, what share of its advantage a token gets
    4. advantage: the reward above the group's mean
    5. one update, in micro-batches, by the loss's row in `objectives.py`
    6. every few steps, first and last among them, a checkpoint and the rollouts it wrote

Whatever is drawn is drawn from the hash of what it is for, so that a run killed anywhere and started again ends, on
the CPU and with as many threads, in the same bits as one that was not.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from interp.artifacts import BadInput, to_json
from interp.credit.base import CreditScheme
from interp.grpo.advantages import Collected, Collector
from interp.grpo.config import GRPOConfig
from interp.grpo.learner import Learner, merged
from interp.grpo.metrics import Sink, measured
from interp.grpo.prompts import Level, prompts_for
from interp.grpo.run import Run, begin, drop_checkpoint, forget_after, identity_of, locked, log, save_checkpoint
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tasks.base import Problem, Task
from interp.training_state import interruptible, load_training_state, save_training_state

logger = logging.getLogger(__name__)


class NoSignal(BadInput):
    """Group after group of rollouts that were all rewarded alike."""


class Diverged(ArithmeticError):
    """Loss or gradient stopped being a number. The last checkpoint is whole."""


def train(
    base: Policy,
    task: Task,
    *,
    out: str | Path,
    bucket: Level | Sequence[Level] | Sequence[Problem] | None = None,
    config: GRPOConfig | None = None,
    credit: CreditScheme | None = None,
    sinks: Sequence[Sink] = (),
    bar: bool = True,
) -> Run:
    """Train a copy of `base` on problems of a bucket (or depth; several in turn make a curriculum; None is all of
    them), or on given problems. Killed and called again, it goes on where it was; called on what is finished, it
    opens it."""
    config, out = config or GRPOConfig(), Path(out)
    if credit is not None and not callable(credit):
        raise BadInput(
            f"credit must be a function of a batch, as interp.credit has some (StepValidity()), or None; got {credit!r}"
        )
    prompts = prompts_for(task, bucket, steps=config.steps, seed=config.seed)
    made_from = {"policy": base.fingerprint(), "task": task.fingerprint()}
    with locked(out), interruptible() as stop:
        making = {"prompts": prompts.describe(), "credit": identity_of(credit), "world": identity_of(task)}
        run = begin(out, config, making=making, made_from=made_from)
        training = _Training(
            run=run,
            config=config,
            learner=Learner(base, config),
            collector=Collector(task, prompts, config, credit, run.name),
            made_from=made_from,
            sinks=sinks,
        )
        training.go(stop, bar=bar)
    return run


class _Training:
    def __init__(
        self,
        *,
        run: Run,
        config: GRPOConfig,
        learner: Learner,
        collector: Collector,
        made_from: dict[str, str],
        sinks: Sequence[Sink],
    ) -> None:
        self.run, self.config, self.learner, self.collector = run, config, learner, collector
        self.made_from, self.sinks = made_from, sinks
        self.step = self.drawn = self.silent = 0
        """Updates done, prompts drawn, and steps in a row without contrast."""

    def go(self, stop: threading.Event, *, bar: bool) -> None:
        self._resume()
        steps = self.config.steps
        hidden: dict[str, Any] = {} if bar else {"disable": True}
        with tqdm(total=steps, initial=min(self.step, steps), desc=self.run.name, unit="step", **hidden) as shown:
            while self.step <= steps:
                metrics = self._one_step()
                shown.set_postfix({name: _short(metrics[name]) for name in ("reward", "valid_rate", "length")})
                if self.step <= steps:
                    shown.update()
                if stop.is_set() and self.step <= steps:
                    self._save()
                    raise KeyboardInterrupt(f"stopped before step {self.step}; the same call goes on from there")

    def _one_step(self) -> dict[str, Any]:
        """Roll out, keep what is due, learn. After the last update there is one more roll-out, and no update."""
        at, started = self.step, time.perf_counter()
        with self._expecting_numbers():
            collected = self.collector.collect(self.learner.policy, at, self.drawn)
        sampled = time.perf_counter()
        if self._due(at):
            self._save(collected.rows)
        metrics = {"step": at, **measured(collected, self.config.sampling.group)}
        if self.config.measures_kl(at) or (self.config.kl_every and at == self.config.steps):
            metrics["kl_to_base"] = self.learner.kl_to_base(collected.batch)
        began = time.perf_counter()
        if at < self.config.steps:
            metrics |= self._learn(collected)
        metrics |= {"seconds_sampling": sampled - started, "seconds_learning": time.perf_counter() - began}
        log(self.run, metrics)
        for sink in self.sinks:
            sink(at, metrics)
        self.drawn, self.step = collected.drawn, at + 1
        self._expect_signal(collected, metrics)
        if at == self.config.steps:
            self._save_state()
        return metrics

    def _learn(self, collected: Collected) -> Mapping[str, float]:
        with self._expecting_numbers():
            told = self.learner.update(collected.batch, collected.settled.advantages_BL, collected.train_BL, self.step)
        return asdict(told)

    @contextmanager
    def _expecting_numbers(self) -> Iterator[None]:
        try:
            yield
        except FloatingPointError as error:
            last = max(self.run.kept(), default=0)
            raise Diverged(
                f"{self.run.path}: at step {self.step}: {error}. The last good checkpoint, checkpoint-{last}, is whole."
                " Lower the learning rate or the largest norm of the gradient, and train in another place."
            ) from error

    def _expect_signal(self, collected: Collected, metrics: Mapping[str, Any]) -> None:
        self.silent = 0 if metrics["mixed_groups"] else self.silent + 1
        if self.silent < self.config.patience or self.step > self.config.steps:
            return
        rewarded = sum(row.reward > 0 for row in collected.rows)
        told = (
            f"no signal: in {self.silent} steps in a row no group had both better and worse rollouts "
            f"(rewarded in the last step: {rewarded} of {len(collected.rows)}, gate {metrics['gate']:.2f})"
        )
        if self.config.without_signal == "stop":
            self._save()
            raise NoSignal(f"{self.run.path}: {told}. Take another bucket, or set without_signal to 'go on'.")
        if self.silent == self.config.patience:
            logger.warning("%s: %s; going on", self.run.path, told)

    def _resume(self) -> None:
        weights, adam = self.learner.optimiser.weights(), self.learner.optimiser.adam
        self.step, facts = load_training_state(self.run.state, weights, adam, config=self._making())
        self.drawn, self.silent = facts.get("drawn", 0), facts.get("silent", 0)
        self.learner.optimiser.publish()
        forget_after(self.run, self.step)
        for step in self.run.kept():
            if not self._due(step):  # where it was stopped: a run never stopped has none there
                drop_checkpoint(self.run, step)
        if facts and facts["threads"] != torch.get_num_threads():
            before = facts["threads"]
            logger.warning("%s was begun with %d threads: with another number bits may differ", self.run.path, before)

    def _due(self, step: int) -> bool:
        return step % self.config.save_every == 0 or step == self.config.steps

    def _save(self, rows: list[Rollout] | None = None) -> None:
        policy = merged(self.learner.policy, self.learner.adapters)
        save_checkpoint(self.run, policy, self.step, rows)
        self._save_state()

    def _save_state(self) -> None:
        """As it is before the next step."""
        save_training_state(
            self.run.state,
            self.learner.optimiser.weights(),
            self.learner.optimiser.adam,
            step=self.step,
            config=self._making(),
            facts={"drawn": self.drawn, "silent": self.silent, "threads": torch.get_num_threads()},
        )

    def _making(self) -> Any:
        return to_json({"config": self.config, "made_from": self.made_from})


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
