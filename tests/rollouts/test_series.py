"""A series: checkpoints read from a trainer's directory or a list, in order of step; bad ones are refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import tiny_policy

import interp
from interp.artifacts import BadInput
from interp.policy import Policy
from interp.rollouts import Checkpoint, Series


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """What a TRL trainer leaves: checkpoints with a trainer's state beside the model, and the final model on top."""
    root = tmp_path_factory.mktemp("trainer")
    for step in (2, 10, 9):
        tiny_policy(seed=step).save(root / f"checkpoint-{step}")
        (root / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (root / "runs").mkdir()
    (root / "README.md").touch()
    tiny_policy(seed=0).save(root / "base")
    return root


@pytest.fixture
def trainer(shared, tmp_path) -> Path:
    """A copy, for tests that damage it."""
    return Path(shutil.copytree(shared, tmp_path / "trainer"))


def test_checkpoints_of_a_trainer_are_read_in_order_of_step_and_not_of_name(shared):
    series = Series.from_dir(shared)
    assert series.steps == (2, 9, 10)
    assert series.base == Checkpoint(2, shared / "checkpoint-2") and series.last.step == 10
    assert [member.path.name for member in series] == ["checkpoint-2", "checkpoint-9", "checkpoint-10"]
    assert repr(series) == "Series(3 checkpoints, steps 2, 9, 10)"


def test_a_base_is_added_as_step_0(shared):
    series = Series.from_dir(str(shared), base=shared / "base")
    assert series.steps == (0, 2, 9, 10) and series.base.path == shared / "base"


def test_a_checkpoint_loads_its_policy_and_has_the_fingerprint_of_its_weights(shared):
    member = Series.from_dir(shared).checkpoint(9)
    loaded = member.load(device="cpu", dtype="float32")
    assert isinstance(loaded, Policy) and loaded.path == member.path
    assert member.fingerprint() == loaded.fingerprint() == tiny_policy(seed=9).fingerprint()
    assert member.fingerprint() != Series.from_dir(shared).checkpoint(10).fingerprint()


def test_directories_may_be_given_as_a_mapping_as_pairs_or_in_order(shared):
    one, two = shared / "checkpoint-9", str(shared / "checkpoint-2")
    assert Series.from_dirs([one, two]).steps == (0, 1)
    assert Series.from_dirs([one, two]).checkpoint(0).path == one
    assert Series.from_dirs([(50, one), (7, two)]).base == Checkpoint(7, Path(two))
    assert Series.from_dirs({50: one, 7: two}) == Series.from_dirs([(50, one), (7, two)])


def test_a_series_is_a_sequence_and_a_slice_of_it_a_series(shared):
    series = Series.from_dir(shared)
    assert len(series) == 3 and series[-1] is series.last and series.checkpoint(9) in series
    assert series[::2].steps == (2, 10) and isinstance(series[1:], Series) and len(series[3:]) == 0


def test_a_checkpoint_caught_between_two_renames_of_a_killed_writer_is_restored(trainer):
    (trainer / "checkpoint-9").rename(trainer / ".checkpoint-9.999999999.retired")
    (trainer / ".checkpoint-12.999999999.partial").mkdir()
    assert Series.from_dir(trainer).steps == (2, 9, 10)
    assert not list(trainer.glob(".*"))


def test_a_series_is_opened_without_torch(shared):
    code = "import sys, interp; interp.Series.from_dir(sys.argv[1]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(shared)], check=False).returncode == 0
    assert interp.Series is Series and interp.rollouts.Series is Series


@pytest.mark.parametrize(
    "manifest",
    [
        *({"checkpoints": ["checkpoint-2"]}, {"checkpoints": {"best": "checkpoint-2"}}, {"checkpoints": {"7": "x"}}),
        *({"checkpoints": {"2": "x"}, "kind": "run"}, {"kind": "checkpoint", "step": 1}, {"checksum": "x"}, ["a"]),
    ],
    ids=json.dumps,
)
def test_the_manifests_of_another_trainer_are_not_read(trainer, manifest):
    for directory in (trainer, *trainer.glob("checkpoint-*"), trainer / "base"):
        (directory / "manifest.json").write_text(json.dumps(manifest))
    series = Series.from_dir(trainer, base=trainer / "base", skip_bad=True)
    assert series.steps == (0, 2, 9, 10) and series.skipped == ()
    assert series.checkpoint(9).fingerprint() == tiny_policy(seed=9).fingerprint()


def test_a_manifest_of_a_run_that_does_not_parse_may_have_been_ours_and_is_refused(trainer):
    (trainer / "manifest.json").write_text('{"schema": 1, "kind": "grpo-run", "chec')
    with pytest.raises(BadInput, match="manifest.json: expected a JSON manifest, got text that does not parse"):
        Series.from_dir(trainer)


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("nowhere", "expected directories called checkpoint-<step>, got nothing there"),
        ("README.md", "got a file"),
        ("runs", "got an empty one"),
        ("checkpoint-2", r"got a model: for a single checkpoint, use from_dirs\(\[path\]\) \(--policy\)"),
        ("others", "got checkpoint-last, notes.txt"),
    ],
)
def test_a_directory_without_checkpoints_is_refused_naming_its_contents(trainer, inside, message):
    (trainer / "others" / "checkpoint-last").mkdir(parents=True)
    (trainer / "others" / "notes.txt").touch()
    with pytest.raises(BadInput, match=message) as caught:
        Series.from_dir(trainer / inside)
    assert str(trainer / inside) in str(caught.value)


def drop_config(checkpoint: Path) -> None:
    (checkpoint / "config.json").unlink()


def cut_weights(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])


def leave_an_adapter(checkpoint: Path) -> None:
    (checkpoint / "adapter_config.json").write_text("{}")


def pickle_weights(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_config, r"checkpoint-9: expected config\.json"),
        (cut_weights, r"checkpoint-9/model\.safetensors: expected \d+ bytes by its own header"),
        (leave_an_adapter, "checkpoint-9: expected a model or an adapter, got both"),
        (pickle_weights, r"checkpoint-9: expected model\.safetensors, got pickled weights"),
    ],
)
def test_a_checkpoint_that_cannot_be_loaded_is_refused_by_name(trainer, damage, message):
    damage(trainer / "checkpoint-9")
    with pytest.raises(BadInput, match=message):
        Series.from_dir(trainer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 16}, r"\(hidden_size 32\), got hidden_size 16"),
        ({"num_hidden_layers": 2}, r"\(num_hidden_layers 3\), got num_hidden_layers 2"),
        (
            {"vocab_size": 40, "model_type": "llama"},
            r"\(model_type qwen3, vocab_size 30\), got model_type llama, vocab_size 40",
        ),
    ],
)
def test_checkpoints_of_different_architectures_are_refused_naming_both(trainer, changes, message):
    file = trainer / "checkpoint-9" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(BadInput, match=rf"checkpoint-9: expected the architecture of \S+/checkpoint-2 {message}"):
        Series.from_dir(trainer)


def test_a_step_that_occurs_twice_is_refused(trainer):
    (trainer / "checkpoint-9").rename(trainer / "checkpoint-002")
    with pytest.raises(BadInput, match=r"got step 2 twice: \S+checkpoint-002 and \S+checkpoint-2: leave one out$"):
        Series.from_dir(trainer)
    with pytest.raises(BadInput, match="got step 5 twice"):
        Series.from_dirs([(5, trainer / "base"), (5, trainer / "checkpoint-10")])
    (trainer / "checkpoint-2").rename(trainer / "checkpoint-0")
    (trainer / "checkpoint-002").rename(trainer / "checkpoint-9")
    with pytest.raises(BadInput, match=r"got step 0 twice: \S+base and \S+checkpoint-0: .* needs no other"):
        Series.from_dir(trainer, base=trainer / "base")


@pytest.mark.parametrize(
    ("dirs", "message"),
    [
        ([], "expected at least one checkpoint, got none"),
        ({}, "expected at least one checkpoint, got none"),
        ("runs/a", "expected a list of directories, got 'runs/a' alone: did you mean from_dir?"),
        (["nowhere"], "nowhere: expected a local Hugging Face directory, got nothing there"),
        ([(-1, "nowhere")], "expected a step of 0 or more, got -1"),
        (["a", (1, "b")], "expected a step for every directory or for none"),
    ],
)
def test_a_list_that_is_not_a_series_is_refused(dirs, message):
    with pytest.raises(BadInput, match=message):
        Series.from_dirs(dirs)


def test_a_missing_step_is_refused_naming_the_existing_ones(shared):
    with pytest.raises(BadInput, match="expected one of the steps 2, 9, 10; got 3: .*, not a count"):
        Series.from_dir(shared).checkpoint(3)


def test_a_series_shows_its_checkpoints_and_those_left_out(trainer):
    drop_config(trainer / "checkpoint-9")
    series = Series.from_dir(trainer, skip_bad=True)
    table = series.table()
    assert table["step"].to_list() == [2, 10]
    assert table["fingerprint"].to_list() == [checkpoint.fingerprint() for checkpoint in series]
    summary = series.summary()
    assert summary["step"].to_list() == [2, 9, 10]
    assert ["expected config.json" in (reason or "") for reason in summary["skipped"]] == [False, True, False]
    assert "Series(2 checkpoints, steps 2, 10)" in series._repr_html_()
