"""A run knows its task again: by its settings, and for a file of problems by its place and its problems."""

import json
import warnings
from pathlib import Path

import pytest
from conftest import tiny_policy
from grpo_fixtures import small_config, train_tiny

from interp.activations import CollectConfig, collect
from interp.artifacts import BadInput, Mismatch, fingerprint, read_manifest, to_json, with_checksum
from interp.grpo import Run
from interp.organism import load_task_or_default
from interp.policy import SampleConfig
from interp.rollouts.series import Series
from interp.tasks import Chain, GymTask, JsonlTask, Words
from interp.tasks.reopening import reopen_task, source_of


def write_problems(file: Path, n: int = 12, *, first: int = 0) -> Path:
    """Sums in the words of the tiny tokenizer, in all three splits."""
    splits = ("train", "train", "eval", "probe")
    lines = [
        {"id": str(i), "prompt": f"{i} + {first} =", "answer": str(i + first), "split": splits[i % 4]} for i in range(n)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Run, Path]:
    """A run on the problems of a file, which it was given by a relative path."""
    root = tmp_path_factory.mktemp("jsonl")
    file = write_problems(root / "sums.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return train_tiny(root / "run", small_config(steps=2), task=JsonlTask("sums.jsonl")), file


@pytest.fixture
def run(trained) -> tuple[Run, Path]:
    """The run, with its file as it was at first."""
    write_problems(trained[1])
    return trained


def test_a_run_on_a_file_collects_without_being_told_its_task_again(run, tmp_path):
    series = Run.open(run[0].path).series
    assert isinstance(series.task, JsonlTask) and Path(series.task.path) == run[1]
    sampling = SampleConfig(group=2, max_new_tokens=4, rows=16)
    config = CollectConfig((1,), tokens=600, sampling=sampling)
    store = collect(series, config=config, out=tmp_path / "store", progress=False)
    assert store.made_from["task"] == JsonlTask(run[1]).fingerprint()


@pytest.mark.parametrize("change", ["other problems", "gone"])
def test_a_file_that_has_changed_or_is_gone_is_left_out_with_what_to_do(change, run):
    path, file = run[0].path, run[1]
    if change == "gone":
        file.unlink()
    else:
        write_problems(file, first=1)
    with pytest.warns(UserWarning, match=r"its task is left out.*sums.jsonl: expected the problems.*JsonlTask\(path\)"):
        series = Run.open(path).series
    assert series.task is None and series.steps == (0, 2)
    with pytest.raises(BadInput, match="expected a task for these checkpoints, got none"):
        collect(series, layer=1, progress=False)
    error = BadInput if change == "gone" else Mismatch
    with pytest.raises(error, match="put the file back, or pass the problems anew"):
        reopen_task(read_manifest(path, "grpo-run"))


def test_a_checkpoint_says_where_its_problems_are_too(run):
    manifest = json.loads((run[0].checkpoint(2) / "manifest.json").read_text())
    reopened = reopen_task(manifest)
    assert isinstance(reopened, JsonlTask) and reopened.fingerprint() == JsonlTask(run[1]).fingerprint()


def test_a_run_of_an_earlier_version_does_not_say_where_its_file_was(run):
    manifest = {name: entry for name, entry in run[0].manifest.items() if name != "task_source"}
    assert reopen_task(manifest) is None


@pytest.mark.parametrize("task", [Chain(), Words(), GymTask("basic_arithmetic")], ids=lambda task: task.name)
def test_tasks_without_a_file_are_reopened_from_their_settings(task):
    kind = type(task).__name__
    manifest = {"task": {"kind": kind, "settings": to_json(task)}, "made_from": {"task": fingerprint("any")}}
    assert reopen_task(manifest) == task and source_of(task) is None


def test_a_task_of_the_users_own_class_is_not_reopened(tmp_path):
    run = train_tiny(tmp_path / "run", small_config(steps=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run.series.task is None
    assert "task_source" not in run.manifest
    assert Series.from_dir(run.path).task is None


def test_settings_that_a_task_does_not_have_are_refused():
    with pytest.raises(BadInput, match="Chain has no color"):
        reopen_task({"task": {"kind": "Chain", "settings": {"color": 1}}})
    with pytest.raises(BadInput, match="expected the settings of a GymTask in the manifest, got others"):
        reopen_task({"task": {"kind": "GymTask", "settings": {}}})


def test_a_run_resumes_with_its_file_in_another_place(run, tmp_path):
    moved = tmp_path / "sums.jsonl"
    moved.write_bytes(run[1].read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        again = train_tiny(run[0].path, small_config(steps=2), task=JsonlTask("sums.jsonl"), base=tiny_policy())
    assert again.checkpoint_steps() == [0, 2]


def test_commands_take_the_problems_of_a_checkpoint_from_its_run(run):
    checkpoint = run[0].checkpoint(2)
    task = load_task_or_default(checkpoint)
    assert isinstance(task, JsonlTask) and task.fingerprint() == JsonlTask(run[1]).fingerprint()
    write_problems(run[1], first=1)
    with pytest.raises(Mismatch, match="pass the problems anew: .*--jsonl"):
        load_task_or_default(checkpoint)


def test_a_checkpoint_of_an_earlier_run_on_a_file_does_not_become_one_of_the_chain_task(run, tmp_path):
    manifest = json.loads((run[0].checkpoint(2) / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(
        json.dumps(with_checksum({name: entry for name, entry in manifest.items() if name != "task_source"}))
    )
    with pytest.raises(BadInput, match=r"its run was trained on a file of problems .*: pass it \(--jsonl\)"):
        load_task_or_default(tmp_path)
