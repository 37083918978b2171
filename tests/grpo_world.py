"""A world in which a GRPO run takes a second: a task that random weights half know, and runs in processes of their
own, which die where they are told to."""

import functools
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

from interp.grpo.config import GRPOConfig, UpdateConfig
from interp.policy.config import SampleConfig
from interp.rollouts.record import Rollout, TokenStep
from interp.tasks.base import Problem, Step, Verdict, seeded

INTERRUPTED = 130


@dataclass(frozen=True)
class FirstWord:
    """Rewarded if the first word is an even number; valid if it also comes to an end soon."""

    rewards: str = "even"
    """Or `all`, or `none`."""
    name: str = "first-word"

    def fingerprint(self) -> str:
        return f"{self.name} {self.rewards}"

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        rng = seeded("first-word", split, level, index)
        prompt = f"{rng.randrange(20)} + {rng.randrange(20)} ="
        depth = level if isinstance(level, int) else None
        return Problem(f"{split}/{level}/{index}", prompt, "even", split, depth)

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        return [self.problem(split, level, start + at) for at in range(n)]

    def verify(self, problem: Problem, completion: str) -> Verdict:
        words = completion.split()
        even = bool(words) and words[0].isdigit() and int(words[0]) % 2 == 0
        correct = {"even": even, "all": True, "none": False}[self.rewards]
        valid = correct and len(words) < 5
        steps = (Step(0, len(words[0]), even, even),) if words else ()
        kind = {0: "malformed", 1: "direct"}.get(len(words), "chain")
        return Verdict(correct, correct, valid, kind, steps=steps, first_error=None if valid else len(completion) // 2)


def small(*, group: int = 4, seed: int = 0, update: dict[str, Any] | None = None, **changes: Any) -> GRPOConfig:
    sizes: dict[str, Any] = {"steps": 6, "prompts": 4, "save_every": 2, "kl_every": 3}
    sampling = SampleConfig(group=group, max_new_tokens=8, seed=seed)
    return GRPOConfig(sampling=sampling, update=UpdateConfig(**{"lr": 1e-2} | (update or {})), **sizes | changes)


def trained(out: Path, config: Any = None, *, task: Any = None, base: Any = None, **rest: Any) -> Any:
    """A run of the tiny policy, in this process."""
    from conftest import tiny_policy

    from interp.grpo import train

    return train(base or tiny_policy(), task or FirstWord(), out=out, config=config or small(), **rest)


def a_row(
    reward: float = 0.0,
    *,
    length: int = 4,
    valid: bool | None = False,
    steps: Sequence[tuple[int, int, bool | None, bool | None]] = (),
    **changes: Any,
) -> Rollout:
    """A hand-made rollout; what is not told is dull."""
    correct = bool(reward)
    told: dict[str, Any] = {
        "run": "hand",
        "step": 0,
        "problem": "p",
        "sample": 0,
        "split": "train",
        "depth": None,
        "bucket": None,
        "prompt": "5 + 6 =",
        "label": "0",
        "completion": "",
        "prompt_ids": (9, 24, 10, 27),
        "tokens": tuple(4 + at for at in range(length)),
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
    return Rollout(**told | changes)


# --- processes of their own --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A call of `train`."""

    out: Path
    config: GRPOConfig = field(default_factory=small)
    policy: str = "tiny"
    credit: str | None = None
    doom: tuple[str, int] | None = None
    """Where the process is killed, and at which passage."""
    pause: float = 0.0
    """After each step, so that a signal from outside meets the run at work."""


_apart = multiprocessing.get_context("forkserver")
_apart.set_forkserver_preload(["grpo_preload"])


@functools.cache
def _nursery() -> None:
    """Until Python 3.12 the server looks for what to preload on its own path alone."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    forkserver.ensure_running()
    os.environ.pop("PYTHONPATH")
    os.environ.update({"PYTHONPATH": before} if before else {})


def start(job: Job) -> Any:
    _nursery()
    process = _apart.Process(target=_work, args=(job,))
    process.start()
    return process


def ended(process: Any) -> int:
    process.join(60)
    assert process.exitcode is not None, "a run of a second takes a minute"
    return process.exitcode


def finish(job: Job) -> Path:
    assert ended(start(job)) == 0
    return job.out


def kill(process: Any) -> None:
    process.kill()
    ended(process)


def wait_until_at_work(process: Any, out: Path) -> None:
    _wait(lambda: (out / "lock").exists() and (out / "lock").read_text() == str(process.pid))


def wait_for_lines(out: Path, lines: int) -> None:
    _wait(lambda: (out / "metrics.jsonl").exists() and len((out / "metrics.jsonl").read_text().splitlines()) >= lines)


def _wait(met: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not met():
        assert time.monotonic() < end, "what takes a second takes a minute"
        time.sleep(0.002)


def policy_of(kind: str) -> Any:
    from conftest import tiny_policy

    if kind == "organism":
        from interp.organism import shipped
        from interp.policy import Policy

        return Policy.load(shipped(), device="cpu")
    policy = tiny_policy()
    return type(policy)(policy.model.bfloat16(), policy.tokenizer) if kind == "bfloat16" else policy


def _work(job: Job) -> None:
    from interp.credit import scheme
    from interp.grpo import train
    from interp.tasks import Chain

    base = policy_of(job.policy)
    task, bucket = (Chain(), 3) if job.policy == "organism" else (FirstWord(), None)
    if job.doom:
        _doom(*job.doom)
    credit, sinks = scheme(job.credit) if job.credit else None, [lambda *_: time.sleep(job.pause)]
    try:
        train(base, task, bucket=bucket, out=job.out, config=job.config, credit=credit, sinks=sinks, bar=False)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)


def _doom(place: str, passage: int) -> None:
    """Have this process killed as it enters a function for the n-th time."""
    from interp import artifacts
    from interp.grpo import loop
    from interp.grpo.learner import Optimiser
    from interp.policy.sample import Sampler

    owner, name = {
        "flush": (artifacts, "_fsync"),
        "rename": (Path, "rename"),
        "replace": (Path, "replace"),
        "sample": (Sampler, "sample"),
        "checkpoint": (loop, "save_checkpoint"),
        "state": (loop, "save_training_state"),
        "step": (Optimiser, "step"),
        "publish": (Optimiser, "publish"),
        "log": (loop, "log"),
        "half a line": (loop, "log"),
    }[place]
    original, passed = getattr(owner, name), 0

    def doomed(*args: Any, **kwargs: Any) -> Any:
        nonlocal passed
        passed += 1
        if passed < passage:
            return original(*args, **kwargs)
        if place == "half a line":
            with (args[0].path / "metrics.jsonl").open("a") as handle:
                handle.write('{"step": 1, "rew')
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, doomed)


# --- what a run left ---------------------------------------------------------------------------------------------


def left_by(out: Path) -> dict[str, Any]:
    """Every file of a run by its content; without the dates, the seconds, and the lock."""
    found: dict[str, Any] = {}
    for file in sorted(p for p in out.rglob("*") if p.is_file() and p.name != "lock"):
        name = str(file.relative_to(out))
        if file.name == "metrics.jsonl":
            found[name] = lines_of(out)
        elif file.name == "manifest.json":
            found[name] = {key: value for key, value in json.loads(file.read_text()).items() if key != "date"}
        else:
            found[name] = file.read_bytes()
    return found


def lines_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("seconds_")} for line in lines]


def expect_same(out: Path, whole: Path) -> None:
    """Bit for bit, and nothing is left over."""
    ours, theirs = left_by(out), left_by(whole)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
