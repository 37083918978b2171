"""When training stops of itself, with what it has in order, and what it refuses before it begins."""

from pathlib import Path

import pytest
import torch
from conftest import tiny_policy
from grpo_world import FirstWord, expect_same, lines_of, small, trained

from interp.artifacts import BadInput
from interp.grpo import Diverged, NoSignal, Run
from interp.grpo import learner as learning
from interp.rollouts.series import Series
from interp.tasks import Chain


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("stops") / "run")


# --- no signal ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rewards", "told"), [("none", "0 of 16"), ("all", "16 of 16")])
def test_without_contrast_for_so_many_steps_there_is_no_signal(rewards, told, tmp_path):
    config = small(patience=3)
    with pytest.raises(
        NoSignal, match=rf"in 3 steps in a row no group .*rewarded in the last step: {told}.*Take anoth"
    ):
        trained(tmp_path / "run", config, task=FirstWord(rewards))
    assert len(lines_of(tmp_path / "run")) == 3
    with pytest.raises(NoSignal, match="in 4 steps in a row"):
        trained(tmp_path / "run", config, task=FirstWord(rewards))


def test_without_signal_it_goes_on_if_told_to_and_learns_nothing(tmp_path):
    run = trained(tmp_path / "run", small(patience=3, without_signal="go on"), task=FirstWord("none"))
    assert run.kept() == [0, 2, 4, 6]
    assert {member.fingerprint() for member in run.series} == {tiny_policy().fingerprint()}


# --- not a number ------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_a_number_stops_it_with_the_last_checkpoint_whole(run, tmp_path, monkeypatch):
    passed = 0

    def spoilt(objective, logprobs, *rest):
        nonlocal passed
        passed += 1
        gain, clipped = surrogate(objective, logprobs, *rest)
        return gain * (float("nan") if passed == 4 else 1), clipped

    surrogate = learning.surrogate
    monkeypatch.setattr(learning, "surrogate", spoilt)
    out = tmp_path / "run"
    with pytest.raises(Diverged, match=r"at step 3: loss nan.*The last good checkpoint, checkpoint-2, is whole.*Lower"):
        trained(out)
    series = Series.from_dir(out)
    assert series.steps == (0, 2) and series.last.load(device="cpu").model(torch.tensor([[5]])).logits.isfinite().all()
    monkeypatch.undo()
    expect_same(trained(out).path, run.path)


def test_a_learning_rate_beyond_all_numbers_stops_it(tmp_path):
    with pytest.raises(Diverged, match="at step 1: .*checkpoint-0, is whole"):
        trained(tmp_path / "run", small(update={"lr": 1e30}))
    assert Series.from_dir(tmp_path / "run").last.fingerprint() == tiny_policy().fingerprint()


def test_weights_that_are_not_numbers_stop_it_before_anything_is_kept(tmp_path):
    base = tiny_policy()
    base.model.lm_head.weight.data.fill_(float("inf"))
    with pytest.raises(Diverged, match="at step 0: the policy's logits are not finite"):
        trained(tmp_path / "run", base=base)
    assert Run.open(tmp_path / "run").kept() == []


# --- what it refuses ---------------------------------------------------------------------------------------------

SETTINGS = [
    ({"group": 1}, "group must be at least 2; got 1: an answer is better or worse than the others"),
    ({"loss": "ppo"}, "loss must be one of grpo, dr-grpo, .*; got 'ppo'"),
    ({"steps": 0}, "steps must be at least 1; got 0"),
    ({"save_every": 0}, "save_every must be at least 1; got 0"),
    ({"kl_every": -1}, "kl_every must not be negative; got -1"),
    ({"update": {"lr": -1.0}}, r"lr must not be negative; got -1\.0"),
    ({"update": {"lr": float("nan")}}, "lr must not be negative; got nan"),
    ({"update": {"inner_epochs": 0}}, "inner_epochs must be at least 1; got 0"),
    ({"update": {"max_norm": 0.0}}, r"max_norm must be positive; got 0\.0"),
]


@pytest.mark.parametrize(("settings", "told"), SETTINGS)
def test_settings_that_make_no_sense_are_refused(settings, told):
    with pytest.raises(BadInput, match=told):
        small(**settings)


class Empty(FirstWord):
    def size(self, split: str, level: object) -> int:
        return 0


@pytest.mark.parametrize(
    ("task", "bucket", "told"),
    [
        (FirstWord(), [], "expected at least one problem to train on, got none: is the bucket empty?"),
        (Empty(), "hard", "the train split of first-word holds no problem of level 'hard': nothing to train on"),
        (Chain(), "harder", "harder"),
    ],
)
def test_an_empty_bucket_is_refused_and_nothing_is_begun(task, bucket, told, tmp_path):
    with pytest.raises(BadInput, match=told):
        trained(tmp_path / "run", task=task, bucket=bucket)
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("here")
    for place in (Path("/proc/x"), tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(BadInput, match=f"{place}: expected a directory that may be written, got: "):
            trained(place)


def test_a_place_that_holds_something_else_is_refused_and_left_alone(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "lock").write_text("mine too")
    with pytest.raises(BadInput, match=r"expected a run or an empty directory, got lock, notes\.txt"):
        trained(tmp_path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"notes.txt": "mine", "lock": "mine too"}
    with pytest.raises(BadInput, match="expected kind 'grpo-run', got 'checkpoint'"):
        trained(run.checkpoint(2))
    assert not (run.checkpoint(2) / "lock").exists()
