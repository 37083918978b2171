"""The training loop on a world of a second: what it keeps, what it tells, and what it is given."""

import json
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import tiny_policy
from grpo_world import FirstWord, lines_of, small, trained
from safetensors.torch import load_file

from interp.artifacts import BadInput, read_manifest
from interp.credit import Uniform
from interp.grpo import Run
from interp.grpo.metrics import tensorboard, wandb
from interp.grpo.prompts import OfTask, shuffled
from interp.rollouts import Rollouts
from interp.rollouts.series import Series
from interp.tasks import Chain


@pytest.fixture(scope="module")
def told() -> list[tuple[int, dict[str, Any]]]:
    """What a sink of the run below received."""
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, told: list[Any]) -> Run:
    return trained(tmp_path_factory.mktemp("loop") / "run", sinks=[lambda step, metrics: told.append((step, metrics))])


# --- what it keeps -----------------------------------------------------------------------------------------------


def test_the_checkpoints_are_a_series_from_the_base_on(run):
    series = Series.from_dir(run.path)
    assert series.steps == (0, 2, 4, 6) and series == run.series == Run.open(run.path).series
    assert series.base.fingerprint() == tiny_policy().fingerprint()
    assert len({member.fingerprint() for member in series}) == 4
    assert run.policy().fingerprint() == series.last.fingerprint()


@pytest.mark.parametrize("steps", [3, 4])
def test_the_first_and_the_last_checkpoint_are_always_kept(steps, tmp_path):
    run = trained(tmp_path / "run", small(steps=steps, save_every=10))
    assert run.kept() == [0, steps] and len(lines_of(run.path)) == steps + 1


def test_rollouts_are_those_of_the_checkpoint_beside_them_with_what_each_token_received(run):
    for member in run.series:
        rollouts = Rollouts.load(member.path / "rollouts", made_from={"policy": member.fingerprint()})
        assert {(row.run, row.step) for row in rollouts} == {("run", member.step)} and len(rollouts) == 16
        scored, _ = member.load(device="cpu").score(
            [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts]
        )
        for row, logprobs in zip(rollouts, scored.tolist(), strict=True):
            assert row.logprobs == pytest.approx(logprobs[: len(row.tokens)], abs=1e-4)
            assert row.gate == 1 and row.credit == (1,) * len(row.tokens) and len(set(row.advantages)) == 1
        for at in range(0, 16, 4):
            assert sum(row.advantages[0] for row in rollouts[at : at + 4]) == pytest.approx(0, abs=1e-5)


def test_the_base_is_left_as_it_was(tmp_path):
    base = tiny_policy().__class__(tiny_policy().model.train(), tiny_policy().tokenizer)
    before = base.fingerprint()
    trained(tmp_path / "run", small(steps=2), base=base)
    assert base.fingerprint() == before and base.model.training
    assert all(p.requires_grad and p.grad is None for p in base.model.parameters())


def test_uniform_credit_is_no_credit_bit_for_bit(tmp_path):
    none = trained(tmp_path / "none" / "run", small(steps=3))
    uniform = trained(tmp_path / "uniform" / "run", small(steps=3), credit=Uniform())
    for step in none.kept():
        ours, theirs = (load_file(run.checkpoint(step) / "model.safetensors") for run in (none, uniform))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert lines_of(none.path) == lines_of(uniform.path)


def test_it_trains_in_a_thread_too(run, tmp_path):
    thread = threading.Thread(target=trained, args=(tmp_path / "run",))
    thread.start()
    thread.join()
    assert lines_of(tmp_path / "run") == lines_of(run.path)


def test_a_policy_learns_what_is_rewarded(tmp_path):
    rewards = [line["reward"] for line in lines_of(trained(tmp_path / "run", small(steps=25, save_every=25)).path)]
    assert sum(rewards[-5:]) / 5 > 0.9 > 0.6 > sum(rewards[:2]) / 2


# --- what it tells -----------------------------------------------------------------------------------------------

ROLLED = {"reward", "pass_rate", "valid_rate", "lucky_share", "direct_share", "malformed_share", "truncated_share"}
ROLLED |= {"length", "entropy_nats_per_token", "zero_variance_share", "all_right_share", "lone_success_share"}
ROLLED |= {"mixed_groups", "groups_drawn", "gate", "tokens", "step", "seconds_sampling", "seconds_learning"}
LEARNT = {"loss", "clipped", "gradient_norm", "sampler_gap"}


def test_every_step_tells_a_line(run):
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [*range(7)]
    for line in lines:
        learnt = LEARNT if line["step"] < 6 else set()
        assert set(line) == ROLLED | learnt | ({"kl_to_base"} if line["step"] % 3 == 0 else set())
    assert run.metrics()["reward"].to_list() == [line["reward"] for line in lines]


def test_the_first_pass_over_a_batch_is_at_ratio_one(run, tmp_path):
    for line in lines_of(run.path)[:-1]:
        assert line["sampler_gap"] < 1e-4 and line["clipped"] == 0 and line["gradient_norm"] > 0
    more = lines_of(trained(tmp_path / "run", small(update={"inner_epochs": 3, "lr": 0.03})).path)[:-1]
    assert all(line["sampler_gap"] < 1e-4 for line in more) and all(line["clipped"] > 0 for line in more)


def test_the_kl_to_the_base_is_nothing_at_first_and_then_something(run):
    first, *later = [line["kl_to_base"] for line in lines_of(run.path) if "kl_to_base" in line]
    assert abs(first) < 1e-6 and len(later) == 2 and min(later) > 0.01


def test_sinks_are_told_what_the_file_is_told(run, told):
    assert [step for step, _ in told] == [*range(7)]
    assert [metrics for _, metrics in told] == [json.loads(x) for x in (run.path / "metrics.jsonl").open()]


@pytest.mark.parametrize(
    ("module", "sink", "told"),
    [
        ("torch.utils.tensorboard", lambda: tensorboard("x"), "needs tensorboard: pip install tensorboard"),
        ("wandb", lambda: wandb("x"), "needs wandb: pip install wandb"),
    ],
)
def test_a_sink_that_is_not_installed_says_so(module, sink, told, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BadInput, match=told):
        sink()


def test_sinks_pass_numbers_on_and_leave_out_what_is_not_known(monkeypatch):
    passed: list[Any] = []
    writer = SimpleNamespace(add_scalar=lambda *told: passed.append(told), flush=lambda: None)
    service = SimpleNamespace(init=lambda **_: SimpleNamespace(log=lambda told, step: passed.append((told, step))))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=lambda _: writer))
    monkeypatch.setitem(sys.modules, "wandb", service)
    for sink in (tensorboard("x"), wandb("x")):
        sink(3, {"reward": 0.5, "lucky_share": None})
    assert passed == [("reward", 0.5, 3), ({"reward": 0.5}, 3)]


# --- what it is given --------------------------------------------------------------------------------------------


def test_levels_in_turn_make_a_curriculum(tmp_path):
    run = trained(tmp_path / "run", small(save_every=1), bucket=[3, 5, 9])
    depths = [{row.depth for row in run.rollouts(step)} for step in run.kept()]
    assert depths == [{3}, {3}, {5}, {5}, {9}, {9}, {9}]


def test_given_problems_are_what_it_trains_on(tmp_path):
    problems = FirstWord().problems("train", None, 6)
    run = trained(tmp_path / "run", small(save_every=1), bucket=problems)
    asked = [[run.rollouts(step)[at].problem for at in range(0, 16, 4)] for step in range(3)]
    assert sorted(asked[0] + asked[1][:2]) == sorted(asked[1][2:] + asked[2]) == [p.id for p in problems]


def test_the_prompts_of_two_seeds_are_disjoint(tmp_path):
    runs = [trained(tmp_path / str(seed), small(steps=2, save_every=1, seed=seed)) for seed in (0, 1)]
    one, other = ({row.problem for step in range(3) for row in run.rollouts(step)} for run in runs)
    assert len(one) == len(other) == 12 and not one & other


def test_every_problem_comes_once_before_any_comes_again_in_another_order():
    problems = FirstWord().problems("train", None, 5)
    drawn = [problem for start in range(0, 15, 3) for problem in shuffled(problems, start, 3, seed=0)]
    assert drawn == shuffled(problems, 0, 15, seed=0)
    epochs = [drawn[at : at + 5] for at in (0, 5, 10)]
    assert all(sorted(p.id for p in epoch) == sorted(p.id for p in problems) for epoch in epochs)
    assert epochs[0] != epochs[1] and drawn != shuffled(problems, 0, 15, seed=1)


@pytest.mark.parametrize("task", [FirstWord(), Chain()], ids=["first-word", "chain"])
def test_no_problem_comes_twice_in_a_run_or_to_two_seeds(task):
    ids = [p.id for seed in (0, 1, 2) for drawn in (0, 8) for p in OfTask(task, (3,), steps=2, seed=seed)(0, drawn, 8)]
    assert len(set(ids)) == 48


def test_where_prompts_are_drawn_anew_only_groups_with_contrast_are_trained_on(tmp_path):
    run = trained(tmp_path / "run", small(redraw=True, save_every=1, update={"lr": 0.03}))
    drawn_anew = 0
    for line in lines_of(run.path):
        rows = run.rollouts(line["step"])
        groups = [rows[at : at + 4] for at in range(0, len(rows), 4)]
        mixed = [len({row.reward for row in group}) > 1 for group in groups]
        taught = [all(row.advantages is not None for row in group) for group in groups]
        assert all(told <= contrast for told, contrast in zip(taught, mixed, strict=True))
        assert sum(taught) == min(4, sum(mixed)) == line["mixed_groups"] and line["groups_drawn"] == len(groups)
        drawn_anew += len(groups) > 4
    assert drawn_anew > 1


def test_prompts_are_drawn_anew_so_many_times_and_no_more(tmp_path):
    config = small(steps=2, redraw=True, max_draws=3, without_signal="go on")
    run = trained(tmp_path / "run", config, task=FirstWord("none"))
    assert [line["groups_drawn"] for line in lines_of(run.path)] == [12, 12, 12]
    assert all(row.advantages is None for row in run.rollouts(0))
    assert read_manifest(run.state, "training-state")["facts"]["drawn"] == 36
