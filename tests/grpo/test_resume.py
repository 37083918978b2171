"""A run that is killed anywhere and started again ends in the same bits. No two processes share a run."""

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
from grpo_fixtures import (
    INTERRUPTED,
    FirstWord,
    Job,
    assert_same_run,
    exit_code,
    finish,
    kill,
    metric_lines,
    run_files,
    small_config,
    start,
    train_tiny,
    wait_for_lines,
    wait_until_training,
)
from safetensors.torch import load_file

from interp.artifacts import BadInput, InUse, Mismatch, read_manifest, with_checksum
from interp.grpo import Run
from interp.rollouts.series import Series

JOBS = {
    "plain": Job(Path(), small_config()),
    "redraw": Job(Path(), small_config(redraw=True, max_draws=3)),
    "dapo": Job(Path(), small_config(loss="dapo")),
    "kl and two epochs": Job(Path(), small_config(update={"inner_epochs": 2, "beta": 0.02, "warm_up": 4})),
    "lora": Job(Path(), small_config(update={"lora_rank": 2})),
    "bfloat16": Job(Path(), small_config(), policy="bfloat16"),
    "strategies": Job(Path(), small_config(redraw=True, max_draws=2), has_strategies=True),
    "organism": Job(Path(), small_config(prompts=8), policy="organism", credit="step-validity"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Job], Path]:
    """Makes the run of a job without killing it, once per job."""
    done: dict[Job, Path] = {}

    def run(job: Job) -> Path:
        key = replace(job, out=Path(), kill_at=None, pause=0.0)
        if key not in done:
            done[key] = finish(replace(key, out=tmp_path_factory.mktemp("whole") / "run"))
        return done[key]

    return run


def kill_at(job: Job, point: str, n: int) -> Path:
    """Start a run that is killed at the n-th call of a function."""
    assert exit_code(start(replace(job, kill_at=(point, n)))) == -signal.SIGKILL
    return job.out


# --- killed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JOBS)
def test_a_run_killed_at_random_points_ends_in_the_same_bits(name, whole, tmp_path):
    job, rng = replace(JOBS[name], out=tmp_path / "run"), random.Random(name)
    for place, first, last in (("flush", 30, 80), ("step", 1, 3)):
        kill_at(job, place, rng.randint(first, last))
    finish(job)
    assert_same_run(job.out, whole(job))


def test_what_source_and_strategies_learned_is_resumed(whole, tmp_path):
    job = replace(JOBS["strategies"], out=tmp_path / "run")
    kill_at(job, "step", 6)
    learned = load_file(job.out / "state" / "more.safetensors")
    assert set(learned) == {
        "source/part",
        "source/rates",
        *(f"strategies/replay/{x}" for x in ("successes", "audits_done")),
    }
    assert learned["strategies/replay/audits_done"] > 0 and len(learned["strategies/replay/successes"]) > len("[]")
    finish(job)
    assert_same_run(job.out, whole(job))
    assert metric_lines(job.out)[-1]["replay_share"] > 0


def test_a_run_killed_from_outside_ends_in_the_same_bits(whole, tmp_path):
    job, rng = replace(JOBS["plain"], out=tmp_path / "run"), random.Random(0)
    for _ in range(3):
        process = start(job)
        wait_until_training(process, job.out)
        time.sleep(rng.uniform(0, 0.4))
        kill(process)
    finish(job)
    assert_same_run(job.out, whole(job))


def partial_files(out: Path) -> set[str]:
    """Names of the files and directories that a killed process was writing."""
    return {p.name[1:].rsplit(".", 2)[0] + p.suffix for p in out.iterdir() if p.suffix in (".partial", ".retired")}


def complete_directories(out: Path) -> set[str]:
    return {p.name for p in out.glob("[!.]*") if (p / "manifest.json").exists()}


ALL = {"checkpoint-0", "checkpoint-2", "checkpoint-4", "checkpoint-6", "state"}
KILLS = {
    "in the manifest of the run": ("replace", 1, {"manifest.json.partial"}, set()),
    "before the first step": ("sample", 1, set(), set()),
    "in the first checkpoint": ("flush", 5, {"checkpoint-0.partial"}, set()),
    "in the rollouts of a checkpoint": ("rename", 4, {"checkpoint-2.partial"}, {"checkpoint-0", "state"}),
    "between a checkpoint and its state": ("state", 2, set(), {"checkpoint-0", "checkpoint-2", "state"}),
    "in a state": ("rename", 6, {"state.partial"}, {"checkpoint-0", "checkpoint-2", "state"}),
    "between a state and the next": ("rename", 7, {"state.partial", "state.retired"}, {"checkpoint-0", "checkpoint-2"}),
    "in a line of metrics": ("half a line", 2, set(), {"checkpoint-0", "state"}),
    "after the last step was measured": ("log", 7, set(), ALL),
    "before the last state": ("state", 5, set(), ALL),
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_run_killed_between_two_writes_ends_in_the_same_bits(moment, whole, tmp_path):
    point, n, partial, complete = KILLS[moment]
    job = replace(JOBS["plain"], out=tmp_path / "run")
    kill_at(job, point, n)
    assert (partial_files(job.out), complete_directories(job.out)) == (partial, complete)
    finish(job)
    assert_same_run(job.out, whole(job))


def test_a_run_killed_while_it_truncates_metrics_ends_in_the_same_bits(whole, tmp_path):
    job = replace(JOBS["plain"], out=tmp_path / "run")
    kill_at(job, "step", 2)
    kill_at(job, "replace", 1)
    assert partial_files(job.out) == {"metrics.jsonl.partial"}
    finish(job)
    assert_same_run(job.out, whole(job))


def test_with_redraw_the_number_of_problems_drawn_is_resumed(whole):
    redraw = whole(JOBS["redraw"])
    state = read_manifest(redraw / "state", "training-state")
    drawn = sum(line["groups_drawn"] for line in metric_lines(redraw))
    assert state["step"] == 7 and state["facts"]["problems_drawn"] == drawn > 7 * 4


def test_calling_a_finished_run_again_opens_it_unchanged(whole, tmp_path):
    out = Path(shutil.copytree(whole(JOBS["plain"]), tmp_path / "run"))
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in out.rglob("*") if p.is_file()}
    run = train_tiny(out, sinks=[lambda *_: pytest.fail("a step was run")])
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before
    assert run.series == Run.open(out).series and run.series.steps == (0, 2, 4, 6)
    assert run.table()["step"].to_list() == [*range(7)]


# --- interrupted -----------------------------------------------------------------------------------------------------


def test_ctrl_c_from_outside_finishes_and_saves_the_step(whole, tmp_path):
    job = replace(JOBS["plain"], out=tmp_path / "run", pause=0.3)
    process = start(job)
    wait_for_lines(job.out, 2)
    os.kill(process.pid, signal.SIGINT)
    assert exit_code(process) == INTERRUPTED
    lines = metric_lines(job.out)
    assert 2 <= len(lines) < 7 and lines == metric_lines(whole(job))[: len(lines)]
    assert read_manifest(job.out / "state", "training-state")["step"] == len(lines)
    finish(job)
    assert_same_run(job.out, whole(job))


def interrupting(at: int, times: int = 1) -> Callable[..., None]:
    def sink(step: int, metrics: Any) -> None:
        for _ in range(times * (step == at)):
            os.kill(os.getpid(), signal.SIGINT)

    return sink


def test_ctrl_c_says_where_it_stopped_and_restores_the_handler(whole, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="stopped before step 4: the same call resumes there"):
        train_tiny(tmp_path / "run", sinks=[interrupting(3)])
    assert signal.getsignal(signal.SIGINT) is before
    train_tiny(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole(JOBS["plain"]))


def test_a_second_ctrl_c_interrupts_at_once(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path / "run", sinks=[interrupting(3, times=2)])
    assert read_manifest(tmp_path / "run" / "state", "training-state")["step"] == 2
    train_tiny(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole(JOBS["plain"]))


# --- one process at a time -------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_while_the_first_lives(whole, tmp_path):
    job = replace(JOBS["plain"], out=tmp_path / "run", pause=0.3)
    process = start(job)
    wait_for_lines(job.out, 1)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(InUse, match=f"is in use by process {process.pid} on .*: wait for it, stop it, or choose"):
            train_tiny(job.out)
    finally:
        kill(process)
    train_tiny(job.out)
    assert_same_run(job.out, whole(job))


# --- another spec ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kill_at(Job(tmp_path_factory.mktemp("halfway") / "run"), "sample", 4)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "the learning rate": (
        {"config": small_config(update={"lr": 0.5})},
        r"config\.update\.lr \(expected 0\.5, got 0\.01\)",
    ),
    "two settings": (
        {"config": small_config(steps=8, group=2)},
        r"steps \(expected 8, got 6\), config\.sampling\.group \(expected 2, got 4\)",
    ),
    "the level": ({"problems": 3}, r"problems\.levels \(expected \[3\], got \[\]\)"),
    "given problems": (
        {"problems": FirstWord().problems("train", None, 3)},
        r"problems\.problems \(expected 3, got None\)",
    ),
    "the credit": ({"credit": lambda batch: None}, r"credit\.kind \(expected <lambda>, got None\)"),
    "the task": ({"task": FirstWord("all")}, r"made_from\.task \(expected first-word all, got first-word even\)"),
    "the policy": ({"base": tiny_policy(seed=1)}, r"made_from\.policy \(expected [\w+]{33}, got [\w+]{33}\)"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_call_with_another_spec_is_refused_and_the_run_unchanged(changed, halfway):
    change, message = CHANGES[changed]
    before = run_files(halfway)
    with pytest.raises(BadInput, match=message):
        train_tiny(halfway, **change)
    assert run_files(halfway) == before


def test_the_state_of_another_run_is_refused(halfway, tmp_path):
    other, out = tiny_policy("llama"), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_tiny(out, base=other, sinks=[interrupting(0)])
    manifest = out / "state" / "manifest.json"
    own = json.loads(manifest.read_text())
    shutil.copytree(halfway / "state", out / "state", dirs_exist_ok=True)
    with pytest.raises(BadInput, match="is the state of a run with another made_from"):
        train_tiny(out, base=other)
    stored = json.loads((halfway / "state" / "manifest.json").read_text())
    manifest.write_text(json.dumps(with_checksum(own | {"files": stored["files"]})))
    with pytest.raises(Mismatch, match=r"another architecture: 6 weights differ, e\.g\. \S*k_norm"):
        train_tiny(out, base=other)


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(halfway, tmp_path) -> Path:
    """A copy of a run that was killed after its checkpoint of step 2."""
    return Path(shutil.copytree(halfway, tmp_path / "run"))


@pytest.mark.parametrize("name", ["state/state.safetensors", "state/manifest.json", "metrics.jsonl", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_of_a_stopped_run_is_refused_by_its_name(stopped, name, damage):
    file = stopped / name
    content = bytearray(file.read_bytes())
    at = content.index(b": ") + 2 if file.suffix != ".safetensors" else len(content) - 3
    content[at] ^= 1
    file.write_bytes({"flip": bytes(content), "cut": content[: len(content) // 3], "empty": b""}[damage])
    with pytest.raises(BadInput, match=rf"{stopped / Path(name).parent}"):
        train_tiny(stopped)


def test_a_run_whose_first_checkpoint_was_deleted_is_refused_and_not_finished_without_its_base(stopped):
    shutil.rmtree(stopped / "checkpoint-0")
    with pytest.raises(BadInput, match=r"got no checkpoint-0: put it back, or train in another place"):
        train_tiny(stopped)


def replace_directory(path: Path, other: Path) -> None:
    shutil.rmtree(path)
    shutil.copytree(other, path)


def test_a_checkpoint_of_another_step_in_the_place_of_one_is_refused(stopped):
    replace_directory(stopped / "checkpoint-0", stopped / "checkpoint-2")
    with pytest.raises(BadInput, match="checkpoint-0: expected the checkpoint of step 0, got that of step 2"):
        train_tiny(stopped)
    with pytest.raises(BadInput, match="checkpoint-0: expected the checkpoint of step 0, got that of"):
        Series.from_dir(stopped)


def test_a_checkpoint_that_another_step_stands_in_for_is_left_out_on_request(stopped):
    replace_directory(stopped / "checkpoint-2", stopped / "checkpoint-0")
    assert Series.from_dir(stopped, skip_bad=True).steps == (0,)


def test_a_checkpoint_of_another_run_in_the_place_of_one_is_refused(stopped, whole):
    replace_directory(stopped / "checkpoint-0", whole(JOBS["lora"]) / "checkpoint-0")
    with pytest.raises(BadInput, match=r"expected the checkpoint whose manifest has checksum \w{16}, as its run lists"):
        train_tiny(stopped)


def test_rollouts_of_another_step_in_the_place_of_a_checkpoints_own_are_refused(stopped):
    replace_directory(stopped / "checkpoint-2" / "rollouts", stopped / "checkpoint-0" / "rollouts")
    with pytest.raises(BadInput, match=r"rollouts/manifest\.json: expected"):
        Run.open(stopped).rollouts(2)


def test_a_checkpoint_that_a_stopped_run_will_write_again_need_not_be_the_one_that_is_listed(stopped, whole):
    replace_directory(stopped / "checkpoint-2", whole(JOBS["lora"]) / "checkpoint-2")
    train_tiny(stopped)
    assert_same_run(stopped, whole(JOBS["plain"]))


def test_a_checkpoint_that_a_finished_run_lists_and_lacks_is_refused_or_left_out_by_name(whole, tmp_path):
    run = Path(shutil.copytree(whole(JOBS["plain"]), tmp_path / "run"))
    shutil.rmtree(run / "checkpoint-6")
    with pytest.raises(BadInput, match="got no checkpoint-6: put it back, or leave it out"):
        Series.from_dir(run)
    series = Series.from_dir(run, skip_bad=True)
    assert series.steps == (0, 2, 4) and [step for step, _ in series.skipped] == [6]
    shutil.rmtree(run / "checkpoint-0")
    with pytest.raises(BadInput, match="got no checkpoint-0"):
        Series.from_dir(run, skip_bad=True)


def test_a_state_beyond_the_last_step_does_not_count_as_finished(stopped):
    file = stopped / "state" / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(manifest | {"step": 99}))
    with pytest.raises(BadInput, match="it was changed after it was written"):
        train_tiny(stopped)
    file.write_text(json.dumps(with_checksum(manifest | {"step": 99})))
    with pytest.raises(BadInput, match="expected the state of a run of 6 steps, got step 99"):
        train_tiny(stopped)


def test_what_a_kill_left_half_deleted_is_cleared_when_the_run_goes_on(stopped, whole):
    (stopped / "checkpoint-2").rename(stopped / f".checkpoint-2.{os.getppid()}.retired")
    (stopped / ".checkpoint-1.4194305.dropped").mkdir()
    train_tiny(stopped)
    assert not list(stopped.glob(".*"))
    assert_same_run(stopped, whole(JOBS["plain"]))


def test_a_copy_of_a_checkpoint_beside_the_others_is_no_checkpoint(stopped, whole):
    shutil.copytree(stopped / "checkpoint-2", stopped / "checkpoint-2.bak")
    shutil.copytree(stopped / "checkpoint-2", stopped / "checkpoint-2-backup")
    assert Run.open(stopped).checkpoint_steps() == [0, 2]
    train_tiny(stopped)
    assert Run.open(stopped).checkpoint_steps() == [0, 2, 4, 6]


def test_metrics_of_another_run_in_the_place_of_its_own_are_refused(whole, tmp_path):
    run = Path(shutil.copytree(whole(JOBS["plain"]), tmp_path / "run"))
    shutil.copy(whole(JOBS["lora"]) / "metrics.jsonl", run / "metrics.jsonl")
    with pytest.raises(BadInput, match="line 1: expected a record of this log"):
        train_tiny(run)


def test_a_foreign_line_among_the_metrics_is_refused_at_once(stopped):
    (stopped / "metrics.jsonl").write_text('{"a": 1}\n' * 1000)
    with pytest.raises(BadInput, match=r"metrics\.jsonl: expected one line of metrics per step.*no entry 'step'"):
        train_tiny(stopped)
