"""The training loop on runs of a second: checkpoints, metrics, and the problems it draws."""

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord, metric_lines, small_config, train_tiny
from safetensors.torch import load_file

from interp.artifacts import BadInput, read_manifest
from interp.credit import Uniform
from interp.grpo import Run
from interp.grpo.metrics import tensorboard, wandb
from interp.grpo.sources import TaskProblems, draw_from_epochs
from interp.rollouts import Rollouts
from interp.rollouts.series import Series
from interp.tasks import Chain


@pytest.fixture(scope="module")
def received() -> list[tuple[int, dict[str, Any]]]:
    """What a sink of the run below received."""
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, received: list[Any]) -> Run:
    return train_tiny(
        tmp_path_factory.mktemp("loop") / "run", sinks=[lambda step, metrics: received.append((step, metrics))]
    )


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_the_checkpoints_are_a_series_that_begins_with_the_base(run):
    series = Series.from_dir(run.path)
    assert series.steps == (0, 2, 4, 6) and series == run.series == Run.open(run.path).series
    assert series.base.fingerprint() == tiny_policy().fingerprint()
    assert len({checkpoint.fingerprint() for checkpoint in series}) == 4
    assert run.policy().fingerprint() == series.last.fingerprint()


@pytest.mark.parametrize("steps", [3, 4])
def test_the_first_and_the_last_checkpoint_are_always_saved(steps, tmp_path):
    run = train_tiny(tmp_path / "run", small_config(steps=steps, save_every=10))
    assert run.checkpoint_steps() == [0, steps] and len(metric_lines(run.path)) == steps + 1


def test_saved_rollouts_are_of_their_checkpoint_and_carry_credit(run):
    for checkpoint in run.series:
        rollouts = Rollouts.load(checkpoint.path / "rollouts", made_from={"policy": checkpoint.fingerprint()})
        assert {(row.run, row.step) for row in rollouts} == {("run", checkpoint.step)} and len(rollouts) == 16
        scored, _ = checkpoint.load(device="cpu").score(
            [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts]
        )
        for row, logprobs in zip(rollouts, scored.tolist(), strict=True):
            assert row.logprobs == pytest.approx(logprobs[: len(row.tokens)], abs=1e-4)
            assert row.gate == 1 and row.credit == (1,) * len(row.tokens) and len(set(row.advantages)) == 1
        for first in range(0, 16, 4):
            assert sum(row.advantages[0] for row in rollouts[first : first + 4]) == pytest.approx(0, abs=1e-5)


def test_training_leaves_the_base_unchanged(tmp_path):
    base = tiny_policy().__class__(tiny_policy().model.train(), tiny_policy().tokenizer)
    before = base.fingerprint()
    train_tiny(tmp_path / "run", small_config(steps=2), base=base)
    assert base.fingerprint() == before and base.model.training
    assert all(p.requires_grad and p.grad is None for p in base.model.parameters())


def test_uniform_credit_equals_no_credit_bit_for_bit(tmp_path):
    none = train_tiny(tmp_path / "none" / "run", small_config(steps=3))
    uniform = train_tiny(tmp_path / "uniform" / "run", small_config(steps=3), credit=Uniform())
    for step in none.checkpoint_steps():
        ours, theirs = (load_file(run.checkpoint(step) / "model.safetensors") for run in (none, uniform))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert metric_lines(none.path) == metric_lines(uniform.path)


def test_a_run_in_a_thread_gives_the_same_metrics(run, tmp_path):
    thread = threading.Thread(target=train_tiny, args=(tmp_path / "run",))
    thread.start()
    thread.join()
    assert metric_lines(tmp_path / "run") == metric_lines(run.path)


def test_training_raises_the_reward(tmp_path):
    rewards = [
        line["reward"]
        for line in metric_lines(train_tiny(tmp_path / "run", small_config(steps=25, save_every=25)).path)
    ]
    assert sum(rewards[-5:]) / 5 > 0.9 > 0.6 > sum(rewards[:2]) / 2


# --- metrics ---------------------------------------------------------------------------------------------------------

SAMPLING = {"reward", "pass_rate", "valid_rate", "lucky_share", "direct_share", "malformed_share", "truncated_share"}
SAMPLING |= {"length", "entropy_nats_per_token", "zero_variance_share", "all_right_share", "lone_success_share"}
SAMPLING |= {"mixed_groups", "groups_drawn", "gate", "tokens", "step", "seconds_sampling", "seconds_learning"}
SAMPLING |= {"paid_valid_share", "turned_share", "screened_share"}
UPDATE = {"loss", "clipped_share", "gradient_norm", "sampler_gap"}


def test_every_step_writes_one_line_of_metrics(run):
    lines = run.metrics()
    assert [line["step"] for line in lines] == [*range(7)]
    for line in lines:
        update = UPDATE if line["step"] < 6 else set()
        assert set(line) == SAMPLING | update | ({"kl_to_base"} if line["step"] % 3 == 0 else set())
    assert run.table()["reward"].to_list() == [line["reward"] for line in lines]


def test_the_first_inner_epoch_is_at_ratio_one(run, tmp_path):
    for line in metric_lines(run.path)[:-1]:
        assert line["sampler_gap"] < 1e-4 and line["clipped_share"] == 0 and line["gradient_norm"] > 0
    more = metric_lines(train_tiny(tmp_path / "run", small_config(update={"inner_epochs": 3, "lr": 0.03})).path)[:-1]
    assert all(line["sampler_gap"] < 1e-4 for line in more) and all(line["clipped_share"] > 0 for line in more)


def test_the_kl_to_the_base_is_zero_at_first_and_then_positive(run):
    first, *later = [line["kl_to_base"] for line in metric_lines(run.path) if "kl_to_base" in line]
    assert abs(first) < 1e-6 and len(later) == 2 and min(later) > 0.01


def test_sinks_receive_the_lines_of_the_metrics_file(run, received):
    assert [step for step, _ in received] == [*range(7)]
    assert [metrics for _, metrics in received] == run.metrics()


def test_a_run_shows_a_row_per_step_a_row_per_checkpoint_and_a_figure(run):
    table, summary = run.table(), run.summary()
    assert table["step"].to_list() == [*range(7)]
    assert summary["step"].to_list() == [0, 2, 4, 6]
    assert summary["reward"].to_list() == [table["reward"][step] for step in (0, 2, 4, 6)]
    lines = {trace.name: (list(trace.x), list(trace.y)) for trace in run.figure().data}
    assert lines["reward"] == ([*range(7)], table["reward"].to_list())
    assert "4 checkpoints" in run._repr_html_() and "<td>6</td>" in run._repr_html_()


@pytest.mark.parametrize(
    ("module", "sink", "message"),
    [
        ("torch.utils.tensorboard", lambda: tensorboard("x"), "needs tensorboard: pip install tensorboard"),
        ("wandb", lambda: wandb("x"), "needs wandb: pip install wandb"),
    ],
)
def test_a_sink_without_its_package_says_what_to_install(module, sink, message, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BadInput, match=message):
        sink()


def test_sinks_leave_out_values_that_are_none(monkeypatch):
    sent: list[Any] = []
    writer = SimpleNamespace(add_scalar=lambda *args: sent.append(args), flush=lambda: None)
    service = SimpleNamespace(init=lambda **_: SimpleNamespace(log=lambda metrics, step: sent.append((metrics, step))))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=lambda _: writer))
    monkeypatch.setitem(sys.modules, "wandb", service)
    for sink in (tensorboard("x"), wandb("x")):
        sink(3, {"reward": 0.5, "lucky_share": None})
    assert sent == [("reward", 0.5, 3), ({"reward": 0.5}, 3)]


# --- problems --------------------------------------------------------------------------------------------------------


def test_several_levels_are_trained_on_in_turn(tmp_path):
    run = train_tiny(tmp_path / "run", small_config(save_every=1), problems=[3, 5, 9])
    depths = [{row.depth for row in run.rollouts(step)} for step in run.checkpoint_steps()]
    assert depths == [{3}, {3}, {5}, {5}, {9}, {9}, {9}]


def test_a_list_of_problems_is_trained_on_in_passes(tmp_path):
    problems = FirstWord().problems("train", None, 6)
    run = train_tiny(tmp_path / "run", small_config(save_every=1), problems=problems)
    drawn = [[run.rollouts(step)[first].problem for first in range(0, 16, 4)] for step in range(3)]
    assert sorted(drawn[0] + drawn[1][:2]) == sorted(drawn[1][2:] + drawn[2]) == [p.id for p in problems]


def test_two_seeds_share_no_problem(tmp_path):
    runs = [train_tiny(tmp_path / str(seed), small_config(steps=2, save_every=1, seed=seed)) for seed in (0, 1)]
    one, other = ({row.problem for step in range(3) for row in run.rollouts(step)} for run in runs)
    assert len(one) == len(other) == 12 and not one & other


def test_each_pass_has_every_problem_once_in_a_new_order():
    problems = FirstWord().problems("train", None, 5)
    drawn = [problem for start in range(0, 15, 3) for problem in draw_from_epochs(problems, start, 3, seed=0)]
    assert drawn == draw_from_epochs(problems, 0, 15, seed=0)
    epochs = [drawn[first : first + 5] for first in (0, 5, 10)]
    assert all(sorted(p.id for p in epoch) == sorted(p.id for p in problems) for epoch in epochs)
    assert epochs[0] != epochs[1] and drawn != draw_from_epochs(problems, 0, 15, seed=1)


@pytest.mark.parametrize("task", [FirstWord(), Chain()], ids=["first-word", "chain"])
def test_generated_problems_never_repeat_within_or_between_seeds(task):
    ids = [
        p.id
        for seed in (0, 1, 2)
        for drawn in (0, 8)
        for p in TaskProblems(task, (3,), steps=2, seed=seed)(0, drawn, 8)
    ]
    assert len(set(ids)) == 48


def test_with_redraw_only_mixed_groups_are_trained_on(tmp_path):
    run = train_tiny(tmp_path / "run", small_config(redraw=True, save_every=1, update={"lr": 0.03}))
    redrawn = 0
    for line in metric_lines(run.path):
        rows = run.rollouts(line["step"])
        groups = [rows[first : first + 4] for first in range(0, len(rows), 4)]
        mixed = [len({row.reward for row in group}) > 1 for group in groups]
        trained = [all(row.advantages is not None for row in group) for group in groups]
        assert all(mixed[index] for index, is_trained in enumerate(trained) if is_trained)
        assert sum(trained) == min(4, sum(mixed)) == line["mixed_groups"] and line["groups_drawn"] == len(groups)
        redrawn += len(groups) > 4
    assert redrawn > 1


def test_redraw_stops_after_max_draws(tmp_path):
    config = small_config(steps=2, redraw=True, max_draws=3, without_signal="go on")
    run = train_tiny(tmp_path / "run", config, task=FirstWord("none"))
    assert [line["groups_drawn"] for line in metric_lines(run.path)] == [12, 12, 12]
    assert all(row.advantages is None for row in run.rollouts(0))
    assert read_manifest(run.state, "training-state")["facts"]["problems_drawn"] == 36


def test_a_run_knows_the_config_it_was_trained_with(run):
    assert run.config == Run.open(run.path).config == small_config()
