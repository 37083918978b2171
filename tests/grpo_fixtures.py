"""GRPO runs that take a second: a task that random weights solve half the time, hand-made rollouts, and runs in
processes of their own that are killed at a chosen call."""

import functools
import importlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from interp.artifacts.locks import lock_file
from interp.grpo.config import GRPOConfig, UpdateConfig
from interp.grpo.run import Run
from interp.policy.config import SampleConfig
from interp.rollouts.record import Rollout, TokenStep
from interp.tasks.base import Problem, Step, Task, Verdict, seeded_rng

INTERRUPTED = 130


@dataclass(frozen=True)
class FirstWord(Task):
    """Rewards a completion whose first word is an even number; it is valid if it also has fewer than five words."""

    rewards: str = "even"
    """Which completions are rewarded: even, all or none."""
    name: str = "first-word"

    def fingerprint(self) -> str:
        return f"{self.name} {self.rewards}"

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        rng = seeded_rng("first-word", split, level, index)
        prompt = f"{rng.randrange(20)} + {rng.randrange(20)} ="
        depth = level if isinstance(level, int) else None
        return Problem(f"{split}/{level}/{index}", prompt, "even", split, depth)

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        return [self.problem(split, level, start + offset) for offset in range(n)]

    def verify(self, problem: Problem, completion: str) -> Verdict:
        words = completion.split()
        even = bool(words) and words[0].isdigit() and int(words[0]) % 2 == 0
        correct = {"even": even, "all": True, "none": False}[self.rewards]
        valid = correct and len(words) < 5
        steps = (Step(0, len(words[0]), even, even),) if words else ()
        format = {0: "malformed", 1: "direct"}.get(len(words), "chain")
        first_error = None if valid else len(completion) // 2
        return Verdict(correct, correct, valid, format, steps=steps, first_error=first_error)


def small_config(*, group: int = 4, seed: int = 0, update: dict[str, Any] | None = None, **changes: Any) -> GRPOConfig:
    """Six steps of four prompts, a checkpoint every second step."""
    sizes: dict[str, Any] = {"steps": 6, "prompts": 4, "save_every": 2, "kl_every": 3}
    sampling = SampleConfig(group=group, max_new_tokens=8, seed=seed)
    return GRPOConfig(sampling=sampling, update=UpdateConfig(**{"lr": 1e-2} | (update or {})), **sizes | changes)


def train_tiny(out: Path, config: Any = None, *, task: Any = None, base: Any = None, **rest: Any) -> Any:
    """Train the tiny policy in this process."""
    from conftest import tiny_policy

    from interp.grpo import train

    return train(base or tiny_policy(), task or FirstWord(), out=out, config=config or small_config(), **rest)


def make_rollout(
    reward: float = 0.0,
    *,
    length: int = 4,
    valid: bool | None = False,
    steps: Sequence[tuple[int, int, bool | None, bool | None]] = (),
    **changes: Any,
) -> Rollout:
    """A rollout with the given fields; the others have neutral values."""
    correct = bool(reward)
    values: dict[str, Any] = {
        "run": "hand",
        "step": 0,
        "problem": "p",
        "sample": 0,
        "split": "train",
        "depth": None,
        "level": None,
        "prompt": "5 + 6 =",
        "label": "0",
        "completion": "",
        "prompt_ids": (9, 24, 10, 27),
        "tokens": tuple(range(4, 4 + length)),
        "logprobs": (-1.0,) * length,
        "entropies": (0.5,) * length,
        "roles": ("text",) * length,
        "truncated": False,
        "reward": float(reward),
        "correct": correct,
        "valid": valid,
        "lucky": None if correct and valid is None else correct and not valid,
        "coherent": None,
        "format": "chain",
        "answer": None,
        "shortcut": None,
        "first_error": None,
        "steps": tuple(TokenStep(*step) for step in steps),
    }
    return Rollout(**values | changes)


# --- runs in their own process ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A call of `train`, to be made in a process of its own."""

    out: Path
    config: GRPOConfig = field(default_factory=small_config)
    policy: str = "tiny"
    credit: str | None = None
    has_strategies: bool = False
    """Whether the problems follow a curriculum, with hints and replay."""
    kill_at: tuple[str, int] | None = None
    """A key of `KILL_POINTS`, and at which call of that function the process is killed."""
    pause: float = 0.0
    """Seconds after each step, so that a signal from outside arrives while the run trains."""


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["grpo_preload"])


@functools.cache
def _start_forkserver() -> None:
    """Until Python 3.12 the server looks for modules to preload on its own path alone."""
    previous = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    forkserver.ensure_running()
    os.environ.pop("PYTHONPATH")
    os.environ.update({"PYTHONPATH": previous} if previous else {})


def start(job: Job) -> Any:
    _start_forkserver()
    process = _processes.Process(target=_work, args=(job,))
    process.start()
    return process


def exit_code(process: Any) -> int:
    process.join(60)
    if process.exitcode is None:
        process.kill()  # or the tests would wait for it at their end
        raise AssertionError("a run that takes a second did not end within a minute")
    return process.exitcode


def finish(job: Job) -> Path:
    assert exit_code(start(job)) == 0
    return job.out


def kill(process: Any) -> None:
    process.kill()
    exit_code(process)


def wait_until_training(process: Any, out: Path) -> None:
    """Wait until a process holds its place. One that ends without is a failure at once."""
    lock = lock_file(out)
    _wait(lambda: not process.is_alive() or (lock.exists() and lock.read_text().startswith(f"{process.pid} ")))
    assert process.is_alive(), f"a run ended, with exit code {process.exitcode}, and never held its place"


def wait_for_lines(out: Path, lines: int) -> None:
    _wait(lambda: (out / "metrics.jsonl").exists() and len((out / "metrics.jsonl").read_text().splitlines()) >= lines)


def _undated(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest without its date, and without the checksums that cover one."""
    files = {name: record for name, record in manifest["files"].items() if not name.endswith("manifest.json")}
    dated = ("date", "checksum", "checkpoints")
    return {key: value for key, value in manifest.items() if key not in dated} | {"files": files}


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "a condition that takes a second was not met within a minute"
        time.sleep(0.002)


def policy_of(kind: str) -> Any:
    from conftest import tiny_policy

    if kind == "organism":
        from interp.organism import shipped_path
        from interp.policy import Policy

        return Policy.load(shipped_path(), device="cpu")
    policy = tiny_policy()
    return type(policy)(policy.model.bfloat16(), policy.tokenizer) if kind == "bfloat16" else policy


def curriculum_with_strategies(base: Any, task: Any) -> tuple[Any, Any]:
    """A curriculum that moves at almost every step, hints of the base, and a replay of valid answers."""
    from interp.grpo import Curriculum, PrefixHints, Replay
    from interp.rollouts import roll_out

    sampling = SampleConfig(group=32, max_new_tokens=8, seed=7)
    rollouts = roll_out(base, task, task.problems("train", 2, 4), sampling, progress=False)
    strategies = (PrefixHints(rollouts, share=0.25, length_from=1.0), Replay(share=0.5, capacity=3, audits=32))
    return Curriculum((3, 5, 9), margin=0.0, window=1), strategies


def _work(job: Job) -> None:
    from interp.credit import make_scheme
    from interp.grpo import train
    from interp.tasks import Chain

    task, problems = (Chain(), 3) if job.policy == "organism" else (FirstWord(), None)
    if job.kill_at:
        _kill_this_process_at(*job.kill_at)
    base, strategies = policy_of(job.policy), ()
    if job.has_strategies:
        problems, strategies = curriculum_with_strategies(base, task)
    train_job = functools.partial(train, base, task, problems, strategies=strategies, out=job.out, config=job.config)
    credit = make_scheme(job.credit) if job.credit else None
    try:
        train_job(credit=credit, sinks=[lambda *_: time.sleep(job.pause)], progress=False)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)


KILL_POINTS = {
    "flush": ("interp.artifacts.writing", "_fsync"),
    "rename": ("pathlib", "Path.rename"),
    "replace": ("pathlib", "Path.replace"),
    "sample": ("interp.policy.sample", "Sampler.sample"),
    "checkpoint": ("interp.grpo.loop", "save_checkpoint"),
    "state": ("interp.grpo.loop", "save_training_state"),
    "step": ("interp.grpo.learner", "Optimizer.step"),
    "log": ("interp.grpo.loop", "append_metrics"),
    "half a line": ("interp.grpo.loop", "append_metrics"),
}
"""Functions at whose entry a process can be killed: module and qualified name."""


def _kill_this_process_at(point: str, n: int) -> None:
    """Kill this process when it calls a function for the n-th time."""
    module, qualified = KILL_POINTS[point]
    *owners, name = qualified.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    original, calls = getattr(owner, name), 0

    def killing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < n:
            return original(*args, **kwargs)
        if point == "half a line":
            with (args[0].path / "metrics.jsonl").open("a") as handle:
                handle.write('{"step": 1, "rew')
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, killing)


# --- the files of a run ----------------------------------------------------------------------------------------------


def run_files(out: Path) -> dict[str, Any]:
    """The content of every file of a run, without dates and seconds."""
    files: dict[str, Any] = {}
    for file in sorted(p for p in out.rglob("*") if p.is_file()):
        name = str(file.relative_to(out))
        if file.name == "metrics.jsonl":
            files[name] = metric_lines(out)
        elif file.name == "manifest.json":
            files[name] = _undated(json.loads(file.read_text()))
        else:
            files[name] = file.read_bytes()
    return files


def metric_lines(out: Path) -> list[dict[str, Any]]:
    lines = Run(out).metrics()
    return [{key: value for key, value in line.items() if not key.startswith("seconds_")} for line in lines]


def assert_same_run(out: Path, whole: Path) -> None:
    """Two runs have the same files, bit for bit."""
    ours, theirs = run_files(out), run_files(whole)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
