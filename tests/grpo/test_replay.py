"""Replay: audited valid answers come back, at the ratio to the policy that wrote them; audits are counted."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord, make_rollout, small_config, train_tiny

from interp.credit.base import RolloutBatch
from interp.grpo import OBJECTIVES, Replay
from interp.grpo.advantages import assign_advantages
from interp.grpo.batches import Collector, StepBatch
from interp.grpo.learner import Learner, UpdateStats
from interp.grpo.losses import token_weights
from interp.grpo.metrics import step_metrics
from interp.grpo.sources import problem_source
from interp.grpo.strategies.base import Draw
from interp.grpo.strategies.replay import ReplayMemory, Success
from interp.tasks.base import Problem

CONFIG = small_config()


def problem(name):
    return Problem(name, "5 + 6 =", "even", "train", 3)


def group(name, *rows, **draw):
    """A group of one problem: each row gives reward and validity."""
    rollouts = [make_rollout(reward, valid=valid, problem=name, sample=i) for i, (reward, valid) in enumerate(rows)]
    return Draw(problem(name), **draw), rollouts


def memory(**settings):
    return ReplayMemory(Replay(**settings), seed=0)


# --- the memory ------------------------------------------------------------------------------------------------------


def test_valid_rewarded_answers_are_remembered_and_every_label_is_counted():
    replay = memory(audits=10)
    groups = [group("a", (1, True), (1, False), (0, False)), group("b", (1, False), (1, None)), group("c", (0, True))]
    facts = replay.observe(0, groups)
    assert list(replay.successes) == ["a"] and replay.successes["a"].rollout.sample == 0
    assert facts == {"audits": 4, "audits_done": 4, "replay_memory": 1}
    assert replay.observe(1, [group("d", (1, True))]) == {"audits": 1, "audits_done": 5, "replay_memory": 2}


def test_no_more_labels_are_looked_at_than_are_allowed():
    replay = memory(audits=3)
    groups = [group(f"p{n}", (1, True), (1, True)) for n in range(8)]
    assert replay.observe(0, groups)["audits"] == 3 and 2 <= len(replay.successes) <= 3
    first = list(replay.successes)
    again = memory(audits=3)
    again.observe(0, groups)
    assert list(again.successes) == first, "which are audited is drawn from the seed"


def test_answers_that_were_given_or_replayed_are_not_audited():
    replay = memory(audits=10)
    given, replayed = make_rollout(1, valid=True, hint_tokens=0), make_rollout(1, valid=True, replayed_from=0)
    assert replay.observe(0, [(Draw(problem("a")), [given, replayed])])["audits"] == 0 and not replay.successes


def test_a_problem_keeps_its_newest_answer_and_the_oldest_problems_make_room():
    replay = memory(audits=10, capacity=2)
    for step, name in enumerate("abca"):
        draw, (row,) = group(name, (1, True))
        replay.observe(step, [(draw, [replace(row, step=step, advantages=(1.0,) * 4, gate=1.0)])])
    assert {name: each.rollout.step for name, each in replay.successes.items()} == {"c": 2, "a": 3}
    assert all(each.rollout.advantages is None and each.rollout.gate is None for each in replay.successes.values())


def test_what_is_remembered_survives_a_restart_bit_for_bit():
    replay = memory(audits=10)
    steps = ((0, 2, True, None),)
    row = make_rollout(1, valid=True, problem="a", steps=steps, logprobs=(-0.1, -1 / 3, -1e-9, -7.25), completion="é\n")
    replay.observe(0, [(Draw(problem("a")), [row]), group("b", (1, True))])
    restored = memory(audits=10)
    restored.load_state(replay.state())
    assert list(restored.successes.items()) == list(replay.successes.items()) and restored.audits_done == 2
    empty = memory()
    empty.load_state(memory().state())
    assert empty.successes == {} and empty.audits_done == 0


def test_groups_are_replayed_once_each_as_far_as_the_memory_goes():
    replay = memory(audits=10)
    draws = [Draw(problem(name)) for name in "wxyz"]
    assert replay.fill(draws, 0, 0) == draws
    replay.observe(0, [group(name, (1, True)) for name in "ab"])
    for position in range(6):
        filled = replay.fill(draws, 1, position)
        replayed = [draw for draw in filled if draw.replay is not None]
        assert len({draw.problem.id for draw in replayed}) == len(replayed) in (1, 2)
        assert all(draw.problem.id == draw.replay.problem and draw.strategy == "replay" for draw in replayed)
        assert filled[len(replayed) :] == draws[len(replayed) :]


# --- in a batch ------------------------------------------------------------------------------------------------------


def stored_answer():
    """An answer of the tiny policy, as if it were a valid one of step 1."""
    source = problem_source(FirstWord(), None, steps=6, seed=5)
    rollouts = Collector(FirstWord(), source, small_config(seed=5), None, "run").collect(tiny_policy(), 1, 0).rollouts
    row = next(row for row in rollouts if row.reward)
    asked = Problem(row.problem, row.prompt, row.label, row.split, row.depth, row.level)
    return Success(asked, replace(row, valid=True, advantages=None, credit=None, gate=None))


def collect(task, config, share=0.25):
    replay = memory(share=share)
    stored = stored_answer()
    replay.successes[stored.problem.id] = stored
    source = problem_source(task, None, steps=6, seed=0)
    collector = Collector(task, source, config, None, "run", strategies=[replay])
    return stored, collector.collect(tiny_policy(), 4, 16)


def test_a_replayed_answer_takes_the_place_of_the_last_of_its_group():
    stored, batch = collect(FirstWord(), CONFIG)
    (index,) = (i for i, row in enumerate(batch.rollouts) if row.replayed_from is not None)
    row, own = batch.rollouts[index], batch.rollouts[index - 3 : index]
    assert index % 4 == 3 and all(other.problem == row.problem == stored.problem.id for other in own)
    assert (row.run, row.step, row.sample, row.replayed_from) == ("run", 4, 3, 1)
    same = ("prompt_ids", "tokens", "logprobs", "completion", "reward", "valid")
    assert all(getattr(row, name) == getattr(stored.rollout, name) for name in same)
    assert row.advantages is not None and len({(r.problem, r.sample) for r in batch.rollouts}) == 16


def test_metrics_are_of_what_the_policy_wrote_and_count_the_tokens_it_wrote():
    _, batch = collect(FirstWord("none"), small_config(redraw=True, max_draws=1))
    metrics = step_metrics(batch, 4)
    assert metrics["reward"] == metrics["pass_rate"] == metrics["replay_pass_rate"] == 0
    assert metrics["replay_share"] == 0.25 and metrics["mixed_groups"] == 1
    assert metrics["zero_variance_share"] == 0.75 and metrics["lone_success_share"] == 0.25
    replayed = sum(len(row.tokens) for row in batch.rollouts if row.replayed_from is not None)
    written = sum(len(row.tokens) for row in batch.rollouts) - replayed
    assert written < metrics["tokens"] == batch.tokens_sampled <= written + 8


def test_with_redraw_a_group_of_failures_is_trained_on_if_a_success_is_replayed_into_it():
    stored, batch = collect(FirstWord("none"), small_config(redraw=True, max_draws=2))
    trained = [row for row in batch.rollouts if row.advantages is not None]
    assert {row.problem for row in trained} == {stored.problem.id} and len(trained) in (4, 8)
    assert all((row.advantages[0] > 0) == (row.replayed_from is not None) for row in trained)


# --- the ratio -------------------------------------------------------------------------------------------------------


def replayed_batch(shift):
    """Two answers to one prompt: the first is replayed, written by a policy under which each of its tokens was likelier
    by `shift` nats than it is now."""
    source = problem_source(FirstWord(), None, steps=6, seed=0)
    rows = Collector(FirstWord(), source, small_config(), None, "run").collect(tiny_policy(), 0, 0).rollouts[:2]
    logprobs = tuple(logprob + shift for logprob in rows[0].logprobs)
    rows = [replace(rows[0], reward=1.0, logprobs=logprobs, replayed_from=0), replace(rows[1], reward=0.0)]
    return RolloutBatch.from_rollouts(rows, 2)


def gradient(batch, *, rows):
    """The gradient of the given rows alone, with an advantage of 1 for the replayed one."""
    learner = Learner(tiny_policy(), small_config(group=2))
    advantages_BL = torch.where(batch.mask_BL, torch.tensor([[1.0], [-1.0]]), 0.0)
    trained_BL = batch.mask_BL & torch.tensor([[row in rows] for row in (0, 1)])
    weights_BL = token_weights(batch.mask_BL, "rollout", 8)
    stats = UpdateStats()
    learner._accumulate(batch, advantages_BL, weights_BL, trained_BL, None, stats)
    gradients = [p.grad.flatten() for p in learner.policy.model.parameters() if p.grad is not None]
    return torch.cat(gradients), stats.clipped_share


def test_the_ratio_of_a_replayed_answer_is_to_the_policy_that_wrote_it():
    at_one, _ = gradient(replayed_batch(0.0), rows=[0])
    for shift in (0.1, 1.0):  # now less likely than then, or as likely within the clip
        shifted, clipped = gradient(replayed_batch(shift), rows=[0])
        assert torch.allclose(shifted, at_one * torch.tensor(-shift).exp(), rtol=1e-3, atol=1e-7) and clipped == 0
    assert at_one.abs().max() > 1e-3


def test_a_replayed_answer_that_became_likelier_by_the_clip_is_pushed_no_further():
    beyond, clipped = gradient(replayed_batch(-0.3), rows=[0])  # exp(0.3) > 1.2
    assert beyond.abs().max() == 0 and clipped == 1
    within, clipped = gradient(replayed_batch(-0.1), rows=[0])
    assert within.abs().max() > 1e-3 and clipped == 0


def test_an_answer_beside_a_replayed_one_stays_at_ratio_one():
    plain, _ = gradient(replayed_batch(0.0), rows=[1])
    assert torch.equal(plain, gradient(replayed_batch(1.0), rows=[1])[0])


def test_replayed_answers_count_neither_in_the_sampler_gap_nor_in_the_kl():
    batch = replayed_batch(2.0)
    learner = Learner(tiny_policy(), small_config(group=2))
    assert abs(learner.kl_to_base(batch)) < 1e-6
    advantages_BL = torch.where(batch.mask_BL, torch.tensor([[1.0], [-1.0]]), 0.0)
    assert learner.update(batch, advantages_BL, batch.mask_BL, 0).sampler_gap < 1e-4


def test_the_second_epoch_compares_a_replayed_answer_with_the_policy_that_wrote_it_as_well():
    batch, config = replayed_batch(-1.0), small_config(group=2, update={"inner_epochs": 2, "lr": 0.0})
    advantages_BL = torch.where(batch.mask_BL, torch.tensor([[1.0], [0.0]]), 0.0)
    assert Learner(tiny_policy(), config).update(batch, advantages_BL, batch.mask_BL, 0).clipped_share == 1


def test_metrics_of_a_batch_of_hand_made_records():
    rows = [make_rollout(1, valid=True, replayed_from=0), *[make_rollout(0) for _ in range(3)]]
    batch = RolloutBatch.from_rollouts(rows, 4)
    step = StepBatch(batch, assign_advantages(batch, None, OBJECTIVES["grpo"], 8), batch.mask_BL, 1, rows)
    assert step_metrics(step, 4)["reward"] == 0 and step_metrics(step, 4)["tokens"] == 12


def test_a_run_with_replay_puts_valid_answers_back(tmp_path):
    strategies = [Replay(share=0.5, audits=100)]
    run = train_tiny(tmp_path / "run", small_config(steps=8, save_every=1), strategies=strategies, progress=False)
    lines = run.metrics()
    assert lines[-1]["audits_done"] == sum(line["audits"] for line in lines) > 8
    rows = [row for step in run.checkpoint_steps() for row in run.rollouts(step)]
    replayed = [row for row in rows if row.replayed_from is not None]
    originals = {(row.step, row.problem, row.tokens) for row in rows if row.replayed_from is None and row.valid}
    assert replayed and all((row.replayed_from, row.problem, row.tokens) in originals for row in replayed)
    assert all(row.valid and row.replayed_from < row.step for row in replayed)
    assert sum(line["replay_share"] * 4 for line in lines) == pytest.approx(len(replayed))
