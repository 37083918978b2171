"""Every command that writes, stopped at a random point and run again: it ends in the bits of an undisturbed run.

The point is a moment, or the entry or exit of a call that changes the file system. The signal is SIGKILL, SIGINT
(Ctrl-C) or SIGTERM. One case in five is stopped twice. Afterwards nothing may be missing, other, or left over.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from attack.artifacts import NAMES, inputs, make_all
from attack.hooks import counting, signalled_at
from attack.outcome import HANG, LOST, SILENT, TRACEBACK, WHOLE, Outcome, cases
from attack.processes import Ending, run_child, start, wait
from attack.stages import STAGES, Place, Stage
from attack.trees import Tree, differences, read_tree

NAME = "kills"
CASES = 400
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGINT, signal.SIGTERM)
SECONDS = 60.0
INTERRUPTED = 130


@dataclass(frozen=True)
class Undisturbed:
    """A stage that nobody stopped: its files, its seconds, and the calls that change the file system."""

    tree: Tree
    seconds: float
    calls: int


def run(seed: int, budget_s: float, workdir: Path, *, only: int | None = None) -> Outcome:
    outcome, work, folder = Outcome(NAME, seed), workdir / "artifacts", workdir / "killed"
    make_all(work)
    place, undisturbed = inputs(work), {}
    (workdir / "kills.jsonl").unlink(missing_ok=True)
    for number in [only] if only is not None else cases(outcome, budget_s, CASES):
        rng, name = Random(f"{seed} {number}"), list(STAGES)[number % len(STAGES)]
        if name not in undisturbed:
            undisturbed[name] = _undisturbed(STAGES[name], place, folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        how, what, message = _case(STAGES[name], place, folder, undisturbed[name], rng)
        outcome.add(how, f"{name}: {what}", message)
        with (workdir / "kills.jsonl").open("a") as handle:
            handle.write(
                json.dumps({"case": number, "ending": how, "what": f"{name}: {what}", "message": message}) + "\n"
            )
    return outcome


def _undisturbed(stage: Stage, place: Place, folder: Path) -> Undisturbed:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ending = run_child(counting(stage.run(place, 0, _out(stage, folder))), seconds=SECONDS)
    if ending.code != 0:
        raise RuntimeError(f"{stage.name}: expected exit code 0, got {ending.code}: {ending.message}{ending.output}")
    return Undisturbed(read_tree(folder), ending.seconds, ending.value)


def _out(stage: Stage, folder: Path) -> Path:
    return folder / NAMES.get(stage.name, stage.name)


def _case(stage: Stage, place: Place, folder: Path, whole: Undisturbed, rng: Random) -> tuple[str, str, str]:
    """Stop the stage once or twice, run it again, and compare. How it ended, what was done, and what was wrong."""
    work = stage.run(place, 0, _out(stage, folder))
    done = []
    for _ in range(1 if rng.random() < 0.8 else 2):
        sent = rng.choice(SIGNALS)
        if rng.random() < 0.7:
            at, when = rng.randrange(whole.calls), rng.choice(("before", "after"))
            done.append(f"{sent.name} {when} call {at} of {whole.calls}")
            stopped = run_child(signalled_at(work, at, when, sent), seconds=SECONDS)
        else:
            delay = rng.uniform(0, 1.1 * whole.seconds)
            done.append(f"{sent.name} after {delay:.2f} s of {whole.seconds:.2f}")
            stopped = _signalled_after(work, delay, sent, folder.with_name("scratch"))
        if problem := _bad_stop(stopped, sent, stage):
            return problem[0], ", then ".join(done), problem[1]
    again = run_child(work, seconds=SECONDS)
    return _compare(again, stage, folder, whole, ", then ".join(done))


def _signalled_after(work: Callable[[], Any], delay: float, sent: signal.Signals, scratch: Path) -> Ending:
    pid = start(work, scratch, seconds=SECONDS)
    time.sleep(delay)
    os.kill(pid, sent)  # not reaped yet, so the number is still its own
    return wait(pid, scratch, seconds=SECONDS)


def _bad_stop(stopped: Ending, sent: signal.Signals, stage: Stage) -> tuple[str, str] | None:
    """What is wrong with how the signal ended the process, if anything."""
    if stopped.hung:
        return HANG, f"no end {SECONDS:g} s after the signal"
    allowed = {0, -sent} | ({INTERRUPTED} if sent == signal.SIGINT else set())
    is_interrupt = sent == signal.SIGINT and stopped.error == "KeyboardInterrupt"  # before the command began
    is_repeat = stopped.code == 2 and "exists already" in stopped.output + stopped.message
    if stopped.code in allowed or is_interrupt or is_repeat:
        return None
    return TRACEBACK, f"exit code {stopped.code} on {sent.name}: {stopped.message}{stopped.output[-800:]}"


def _compare(again: Ending, stage: Stage, folder: Path, whole: Undisturbed, what: str) -> tuple[str, str, str]:
    if again.hung:
        return HANG, what, f"run again: no end after {SECONDS:g} s"
    said = again.message + again.output[-800:]
    is_repeat = not stage.resumes and again.code == 2 and "exists already" in said
    if again.code != 0 and not is_repeat:
        return (TRACEBACK if again.code != 2 else LOST), what, f"run again: exit code {again.code}: {said}"
    missing, more, other = differences(read_tree(folder), whole.tree)
    if missing:
        return LOST, what, f"missing: {', '.join(missing)}"
    if more:
        return LOST, what, f"left over: {', '.join(more)}"
    if other:
        return SILENT, what, f"other content: {', '.join(other)}"
    return WHOLE, what, ""
