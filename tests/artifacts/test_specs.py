"""A repeated call opens what it made before; a call with other inputs is refused, field by field."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from interp.artifacts import BadInput, Mismatch, flatten, open_or_create, write_manifest, writing_dir


@dataclass(frozen=True)
class TrainConfig:
    lr: float = 0.1
    steps: tuple[int, ...] = (1, 2)


SPEC = {"config": TrainConfig(), "made_from": {"policy": "aaa"}, "layers": [1, 3]}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with writing_dir(tmp_path / "run") as aside:
        write_manifest(aside, "run", **SPEC, tokens=7)
    return tmp_path / "run"


def test_the_same_spec_opens_the_artifact_and_gives_its_manifest(run):
    manifest = open_or_create(run, "run", SPEC)
    assert manifest is not None and manifest["tokens"] == 7
    assert manifest["config"] == {"lr": 0.1, "steps": [1, 2]}


def test_a_free_or_empty_path_returns_none_and_is_not_touched(tmp_path):
    assert open_or_create(tmp_path / "deep" / "run", "run", SPEC) is None
    assert not (tmp_path / "deep").exists()
    (tmp_path / "run").mkdir()
    assert open_or_create(tmp_path / "run", "run", SPEC) is None
    (tmp_path / "run" / "lock").touch()
    assert open_or_create(tmp_path / "run", "run", SPEC, may_contain={"lock"}) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"config": TrainConfig(lr=0.2)}, "inputs: config.lr (expected 0.2, got 0.1). Repeat the call with the stored"),
        ({"config": TrainConfig(steps=(1,))}, "config.steps (expected [1], got [1, 2])"),
        ({"made_from": {"policy": "bbb"}}, "made_from.policy (expected bbb, got aaa)"),
        ({"made_from": {"policy": "aaa", "task": "t"}}, "made_from.task (expected t, got None)"),
        ({"made_from": {}}, "made_from.policy (expected None, got aaa)"),
        ({"layers": [2], "made_from": {"policy": "b"}}, "made_from.policy (expected b, got aaa), layers (expected [2]"),
    ],
)
def test_another_spec_is_refused_with_expected_and_got_for_every_field(run, changed, message):
    with pytest.raises(Mismatch) as refused:
        open_or_create(run, "run", SPEC | changed)
    assert message in str(refused.value) and str(refused.value).startswith(f"{run} (run) was made from other inputs: ")


def test_an_entry_that_is_none_equals_one_that_is_missing(run):
    assert open_or_create(run, "run", SPEC | {"start": None}) is not None


def test_a_path_that_holds_anything_else_is_refused(run, tmp_path):
    with pytest.raises(BadInput, match="exists already and is not of kind 'tracks': choose another place"):
        open_or_create(run, "tracks", SPEC)
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(BadInput, match=r"expected a directory of kind 'run' or an empty place, got a file"):
        open_or_create(tmp_path / "notes.txt", "run", SPEC)
    with pytest.raises(BadInput, match=r"or an empty place, got notes\.txt, run and no manifest\.json: choose another"):
        open_or_create(tmp_path, "run", SPEC)


def test_an_artifact_caught_between_its_two_renames_is_restored_and_opened(run):
    run.rename(run.with_name(".run.4194305.retired"))  # no process can have this id
    assert open_or_create(run, "run", SPEC) is not None


def test_nested_mappings_are_flattened_to_dotted_names():
    assert dict(flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None})) == {"a.b": 1, "a.c.d": [2], "e": None}
