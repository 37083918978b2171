"""Killed anywhere and started again, a run leaves the same bits as one never killed. No two processes share a run."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_policy
from grpo_world import (
    INTERRUPTED,
    FirstWord,
    Job,
    ended,
    expect_same,
    finish,
    kill,
    left_by,
    lines_of,
    small,
    start,
    trained,
    wait_for_lines,
    wait_until_at_work,
)

from interp.artifacts import BadInput, Mismatch, read_manifest
from interp.grpo import Run

JOBS = {
    "plain": Job(Path(), small()),
    "redraw": Job(Path(), small(redraw=True, max_draws=3)),
    "dapo": Job(Path(), small(loss="dapo")),
    "kl and two epochs": Job(Path(), small(update={"inner_epochs": 2, "beta": 0.02, "warm_up": 4})),
    "lora": Job(Path(), small(update={"lora_rank": 2})),
    "bfloat16": Job(Path(), small(), policy="bfloat16"),
    "organism": Job(Path(), small(prompts=8), policy="organism", credit="step-validity"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Job], Path]:
    """The same run, never killed."""
    done: dict[Job, Path] = {}

    def run(job: Job) -> Path:
        key = replace(job, out=Path(), doom=None, pause=0.0)
        if key not in done:
            done[key] = finish(replace(key, out=tmp_path_factory.mktemp("whole") / "run"))
        return done[key]

    return run


def die(job: Job, place: str, passage: int) -> Path:
    assert ended(start(replace(job, doom=(place, passage)))) == -signal.SIGKILL
    return job.out


# --- killed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JOBS)
def test_killed_at_random_again_and_again_it_ends_in_the_same_bits(name, whole, tmp_path):
    job, rng = replace(JOBS[name], out=tmp_path / "run"), random.Random(name)
    for place, first, last in (("flush", 30, 80), ("step", 1, 3)):
        die(job, place, rng.randint(first, last))
    finish(job)
    expect_same(job.out, whole(job))


def test_killed_from_outside_at_any_moment_it_ends_in_the_same_bits(whole, tmp_path):
    job, rng = replace(JOBS["plain"], out=tmp_path / "run"), random.Random(0)
    for _ in range(3):
        process = start(job)
        wait_until_at_work(process, job.out)
        time.sleep(rng.uniform(0, 0.4))
        kill(process)
    finish(job)
    expect_same(job.out, whole(job))


def halves(out: Path) -> set[str]:
    """What a killed writer left, by the name it was to have."""
    return {p.name[1:].rsplit(".", 2)[0] + p.suffix for p in out.iterdir() if p.suffix in (".partial", ".retired")}


def kept(out: Path) -> set[str]:
    return {p.name for p in out.glob("[!.]*") if (p / "manifest.json").exists()}


ALL = {"checkpoint-0", "checkpoint-2", "checkpoint-4", "checkpoint-6", "state"}
PLACES = {
    "in the run's own manifest": ("replace", 1, {"manifest.json.partial"}, set()),
    "before the first step": ("sample", 1, set(), set()),
    "in the first checkpoint": ("flush", 5, {"checkpoint-0.partial"}, set()),
    "in the rollouts of a checkpoint": ("rename", 4, {"checkpoint-2.partial"}, {"checkpoint-0", "state"}),
    "between a checkpoint and its state": ("state", 2, set(), {"checkpoint-0", "checkpoint-2", "state"}),
    "in a state": ("rename", 6, {"state.partial"}, {"checkpoint-0", "checkpoint-2", "state"}),
    "between a state and the next": ("rename", 7, {"state.partial", "state.retired"}, {"checkpoint-0", "checkpoint-2"}),
    "in a line of metrics": ("half a line", 2, set(), {"checkpoint-0", "state"}),
    "when the last step was measured": ("log", 7, set(), ALL),
    "before the last state": ("state", 5, set(), ALL),
}


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_the_worst_of_places_it_ends_in_the_same_bits(place, whole, tmp_path):
    where, passage, left, there = PLACES[place]
    job = replace(JOBS["plain"], out=tmp_path / "run")
    die(job, where, passage)
    assert (halves(job.out), kept(job.out)) == (left, there)
    finish(job)
    expect_same(job.out, whole(job))


def test_killed_while_it_drops_lines_it_ends_in_the_same_bits(whole, tmp_path):
    job = replace(JOBS["plain"], out=tmp_path / "run")
    die(job, "step", 2)
    die(job, "replace", 1)
    assert halves(job.out) == {"metrics.jsonl.partial"}
    finish(job)
    expect_same(job.out, whole(job))


def test_where_prompts_are_drawn_anew_the_place_in_the_data_is_resumed_too(whole):
    redraw = whole(JOBS["redraw"])
    state = read_manifest(redraw / "state", "training-state")
    drawn = sum(line["groups_drawn"] for line in lines_of(redraw))
    assert state["step"] == 7 and state["facts"]["drawn"] == drawn > 7 * 4


def test_a_finished_run_called_again_does_nothing_and_opens(whole, tmp_path):
    out = Path(shutil.copytree(whole(JOBS["plain"]), tmp_path / "run"))
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.rglob("*") if p.is_file() and p.name != "lock"}
    run = trained(out, sinks=[lambda *_: pytest.fail("it went on")])
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before
    assert run.series == Run.open(out).series and run.series.steps == (0, 2, 4, 6)
    assert run.metrics()["step"].to_list() == [*range(7)]


# --- interrupted -------------------------------------------------------------------------------------------------


def test_ctrl_c_from_outside_finishes_the_step_and_keeps_it(whole, tmp_path):
    job = replace(JOBS["plain"], out=tmp_path / "run", pause=0.3)
    process = start(job)
    wait_for_lines(job.out, 2)
    os.kill(process.pid, signal.SIGINT)
    assert ended(process) == INTERRUPTED
    lines = lines_of(job.out)
    assert 2 <= len(lines) < 7 and lines == lines_of(whole(job))[: len(lines)]
    assert read_manifest(job.out / "state", "training-state")["step"] == len(lines)
    finish(job)
    expect_same(job.out, whole(job))


def interrupting(at: int, times: int = 1) -> Callable[..., None]:
    def sink(step: int, metrics: Any) -> None:
        for _ in range(times * (step == at)):
            os.kill(os.getpid(), signal.SIGINT)

    return sink


def test_ctrl_c_says_where_it_stopped_and_hands_the_signal_back(whole, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="stopped before step 4; the same call goes on from there"):
        trained(tmp_path / "run", sinks=[interrupting(3)])
    assert signal.getsignal(signal.SIGINT) is before
    trained(tmp_path / "run")
    expect_same(tmp_path / "run", whole(JOBS["plain"]))


def test_a_second_ctrl_c_does_not_wait(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", sinks=[interrupting(3, times=2)])
    assert read_manifest(tmp_path / "run" / "state", "training-state")["step"] == 2
    trained(tmp_path / "run")
    expect_same(tmp_path / "run", whole(JOBS["plain"]))


# --- one at a time -----------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_while_the_first_lives_and_not_after(whole, tmp_path):
    job = replace(JOBS["plain"], out=tmp_path / "run", pause=0.3)
    process = start(job)
    wait_for_lines(job.out, 1)
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(BadInput, match=f"is being trained in already, by process {process.pid}: wait for it or stop"):
        trained(job.out)
    kill(process)
    trained(job.out)
    expect_same(job.out, whole(job))


# --- not of the same making --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return die(Job(tmp_path_factory.mktemp("halfway") / "run"), "sample", 4)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "the learning rate": ({"config": small(update={"lr": 0.5})}, r"config\.update\.lr was 0\.01, now 0\.5"),
    "two settings": ({"config": small(steps=8, group=2)}, r"steps was 6, now 8; config\.sampling\.group was 4, now 2"),
    "the bucket": ({"bucket": 3}, r"prompts\.levels was \[\], now \[3\]"),
    "given problems": ({"bucket": FirstWord().problems("train", None, 3)}, r"prompts\.problems was None, now 3"),
    "the credit": ({"credit": lambda batch: None}, r"credit\.kind was None, now '<lambda>'"),
    "the task": ({"task": FirstWord("all")}, r"made from another task: expected first-word all, got first-word even"),
    "the policy": ({"base": tiny_policy(seed=1)}, r"made from another policy: expected \w{16}, got \w{16}"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_run_of_another_making_is_refused_and_left_as_it_is(changed, halfway):
    change, told = CHANGES[changed]
    before = left_by(halfway)
    with pytest.raises(BadInput, match=told):
        trained(halfway, **change)
    assert left_by(halfway) == before


def test_the_state_of_another_run_is_refused(halfway, tmp_path):
    other, out = tiny_policy("llama"), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        trained(out, base=other, sinks=[interrupting(0)])
    manifest = out / "state" / "manifest.json"
    own = json.loads(manifest.read_text())
    shutil.copytree(halfway / "state", out / "state", dirs_exist_ok=True)
    with pytest.raises(BadInput, match="is of a run of another made_from"):
        trained(out, base=other)
    manifest.write_text(json.dumps(own))
    with pytest.raises(Mismatch, match=r"another architecture: 6 weights differ, e\.g\. \S*k_norm"):
        trained(out, base=other)
