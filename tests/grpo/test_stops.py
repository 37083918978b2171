"""When training stops by itself, with its last checkpoint whole, and what it refuses before it begins."""

import re
from pathlib import Path

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord, assert_same_run, metric_lines, small_config, train_tiny

from interp.artifacts import BadInput, Mismatch
from interp.credit import Credit, RolloutBatch, Uniform
from interp.grpo import Diverged, NoSignal, Run
from interp.grpo import learner as learning
from interp.policy import Policy
from interp.rollouts.series import Series
from interp.tasks import Chain


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_tiny(tmp_path_factory.mktemp("stops") / "run")


# --- no signal -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rewards", "count"), [("none", "0 of 16"), ("all", "16 of 16")])
def test_equal_rewards_for_patience_steps_raise_no_signal(rewards, count, tmp_path):
    config = small_config(patience=3)
    with pytest.raises(NoSignal, match=rf"in 3 steps in a row.*last step: {count} rollouts rewarded.*Choose other"):
        train_tiny(tmp_path / "run", config, task=FirstWord(rewards))
    assert len(metric_lines(tmp_path / "run")) == 3
    with pytest.raises(NoSignal, match="in 4 steps in a row"):
        train_tiny(tmp_path / "run", config, task=FirstWord(rewards))


def test_without_signal_go_on_finishes_with_the_bases_weights(tmp_path):
    run = train_tiny(tmp_path / "run", small_config(patience=3, without_signal="go on"), task=FirstWord("none"))
    assert run.checkpoint_steps() == [0, 2, 4, 6]
    assert {checkpoint.fingerprint() for checkpoint in run.series} == {tiny_policy().fingerprint()}


# --- not finite ------------------------------------------------------------------------------------------------------


def test_a_nan_loss_stops_the_run_with_its_last_checkpoint_whole(run, tmp_path, monkeypatch):
    calls = 0

    def failing(objective, logprobs, *rest):
        nonlocal calls
        calls += 1
        gain, clipped = surrogate(objective, logprobs, *rest)
        return gain * (float("nan") if calls == 4 else 1), clipped

    surrogate = learning.surrogate
    monkeypatch.setattr(learning, "surrogate", failing)
    out = tmp_path / "run"
    with pytest.raises(Diverged, match=r"at step 3: loss nan.*The last good checkpoint, checkpoint-2, is whole.*Lower"):
        train_tiny(out)
    series = Series.from_dir(out)
    assert series.steps == (0, 2) and series.last.load(device="cpu").model(torch.tensor([[5]])).logits.isfinite().all()
    monkeypatch.undo()
    assert_same_run(train_tiny(out).path, run.path)


def test_a_learning_rate_that_overflows_stops_the_run(tmp_path):
    config = small_config()
    object.__setattr__(config.update, "lr", 1e30)  # more than a config takes
    with pytest.raises(Diverged, match="at step 1: .*checkpoint-0, is whole"):
        train_tiny(tmp_path / "run", config)
    assert Series.from_dir(tmp_path / "run").last.fingerprint() == tiny_policy().fingerprint()


def test_weights_that_are_not_finite_stop_the_run_before_the_first_checkpoint(tmp_path):
    base = tiny_policy()
    base.model.lm_head.weight.data.fill_(float("inf"))
    with pytest.raises(Diverged, match="at step 0: the policy's logits are not finite"):
        train_tiny(tmp_path / "run", base=base)
    assert Run.open(tmp_path / "run").checkpoint_steps() == []


# --- refused calls ---------------------------------------------------------------------------------------------------

SETTINGS = [
    ({"group": 1}, "group must be at least 2; got 1: a rollout is compared with the others"),
    ({"loss": "ppo"}, "loss must be one of grpo, dr-grpo, .*; got 'ppo'"),
    ({"steps": 0}, "steps must be at least 1; got 0"),
    ({"save_every": 0}, "save_every must be at least 1; got 0"),
    ({"kl_every": -1}, "kl_every must not be negative; got -1"),
    ({"update": {"lr": -1.0}}, r"lr must not be negative; got -1\.0"),
    ({"update": {"lr": float("nan")}}, "lr must be a number, "),
    ({"update": {"inner_epochs": 0}}, "inner_epochs must be at least 1; got 0"),
    ({"update": {"max_norm": 0.0}}, r"max_norm must be positive; got 0\.0"),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        small_config(**settings)


class Empty(FirstWord):
    def size(self, split: str, level: object) -> int:
        return 0


@pytest.mark.parametrize(
    ("task", "problems", "message"),
    [
        (FirstWord(), [], "expected at least one problem to train on, got an empty list: is the bucket empty?"),
        (Empty(), "last", "expected a level with training problems, got 'last', of which first-word has none"),
        (Chain(), "deeper", "level must be a depth or one of shallow, middle, deep; got 'deeper'"),
        (Chain(), "hard", r"got 'hard', the name of a measured bucket: pass its problems, buckets.problems\('hard'\)"),
    ],
)
def test_problems_that_do_not_exist_are_refused_before_the_run_begins(task, problems, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        train_tiny(tmp_path / "run", task=task, problems=problems)
    assert not (tmp_path / "run").exists()


class ForAnotherBase:
    """A credit scheme that was made for another base."""

    def __call__(self, batch: RolloutBatch) -> Credit:
        return Credit.uniform(batch)

    def expect_base(self, base: Policy) -> None:
        raise Mismatch(f"expected another base, got {base.fingerprint()}")


@pytest.mark.parametrize(
    ("credit", "message"),
    [
        (ForAnotherBase(), f"expected another base, got {re.escape(tiny_policy().fingerprint())}"),
        ("step-validity", "credit must be a function of a batch, .* got 'step-validity'"),
        (Uniform, "credit must be a function of a batch, .*Uniform.*: make an instance of it"),
    ],
)
def test_a_scheme_for_another_base_or_no_scheme_is_refused_before_the_run_begins(credit, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        train_tiny(tmp_path / "run", credit=credit)
    assert not (tmp_path / "run").exists()


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("here")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(BadInput, match=f"{path}.* expected a directory "):
            train_tiny(path)
    with pytest.raises(BadInput, match=r"expected at most the 0\.0 GB that are free at /proc"):
        train_tiny(Path("/proc/x"))


def test_a_directory_with_other_contents_is_refused_and_left_unchanged(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "lock").write_text("mine too")
    with pytest.raises(BadInput, match=r"expected a directory of kind 'grpo-run' or an empty place, got notes\.txt"):
        train_tiny(tmp_path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"notes.txt": "mine", "lock": "mine too"}
    with pytest.raises(BadInput, match="exists already and is not of kind 'grpo-run'"):
        train_tiny(run.checkpoint(2))
    assert not (run.checkpoint(2) / "lock").exists()
