"""From credit to advantages: gates, bonuses and screens before the baseline, weights after it."""

import itertools
from dataclasses import replace

import pytest
import torch
from grpo_fixtures import make_rollout
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.credit.base import Credit, RolloutBatch
from interp.grpo import OBJECTIVES
from interp.grpo.advantages import advantages, assign_advantages
from interp.grpo.batches import StepBatch
from interp.grpo.metrics import step_metrics

PLAIN = replace(OBJECTIVES["grpo"], scale="none")


def hand_batch(*rewards, group=4, length=2, **changes):
    return RolloutBatch.from_rollouts([make_rollout(reward, length=length, **changes) for reward in rewards], group)


def test_the_gate_is_applied_before_the_baseline():
    batch = hand_batch(1, 1, 0, 0)

    def gated(batch):
        return Credit(torch.tensor([0.0, 1, 1, 1]), batch.mask_BL.float())

    assigned = assign_advantages(batch, gated, PLAIN, 8)
    rewards_B, advantages_BL = assigned.shaped_rewards_B, assigned.advantages_BL
    assert rewards_B.tolist() == [0, 1, 0, 0]
    assert advantages_BL.tolist() == [[-0.25, -0.25], [0.75, 0.75], [-0.25, -0.25], [-0.25, -0.25]]


def test_weights_are_applied_after_the_baseline_and_the_overlong_penalty_before():
    batch = hand_batch(1, 0, 0, 1, length=8)

    def tilted(batch):
        return Credit(torch.ones(4), torch.tensor([2.0, 0.0] * 4).repeat(4, 1))

    assigned = assign_advantages(batch, tilted, PLAIN, 8)
    rewards_B, advantages_BL = assigned.shaped_rewards_B, assigned.advantages_BL
    assert rewards_B.tolist() == [1, 0, 0, 1] and advantages_BL[:2, :3].tolist() == [[1, 0, 1], [-1, 0, -1]]
    rewards_B = assign_advantages(batch, None, replace(PLAIN, overlong_from=0.5), 10).shaped_rewards_B
    assert rewards_B.tolist() == pytest.approx([0.4, -0.6, -0.6, 0.4])


def test_a_gate_of_zero_on_all_successes_leaves_no_advantage():
    batch = hand_batch(1, 1, 0, 0, 1, 0, 0, 0)
    shut = Credit(1 - batch.rewards_B, batch.mask_BL.float())
    assert not assign_advantages(batch, lambda batch: shut, OBJECTIVES["grpo"], 8).advantages_BL.any()


def test_a_scheme_that_returns_invalid_credit_is_refused():
    with pytest.raises(BadInput, match=r"a gate must lie in \[-1, 1\]"):
        assign_advantages(
            hand_batch(1, 0, group=2), lambda batch: Credit(torch.full((2,), 2.0), batch.mask_BL.float()), PLAIN, 8
        )


def credit_of(gate=(1, 1, 1, 1), bonus=None, counts=None):
    """A scheme that gives this gate, bonus and screen, and even weights."""

    def scheme(batch):
        bonus_B = None if bonus is None else torch.tensor(bonus)
        counts_B = None if counts is None else torch.tensor(counts).bool()
        return Credit(torch.tensor(gate), batch.mask_BL.float(), bonus_B, counts_B)

    return scheme


def advantages_of(scheme, *rewards, scale="none"):
    assigned = assign_advantages(hand_batch(*rewards), scheme, replace(PLAIN, scale=scale), 8)
    return assigned.advantages_BL[:, 0].tolist()


def test_a_turned_success_falls_below_an_honest_failure():
    assert advantages_of(credit_of((-1, 1, 1, 1)), 1, 1, 0, 0) == [-1, 1, 0, 0]


def test_a_bonus_gives_a_group_of_failures_a_gradient():
    assert advantages_of(None, 0, 0, 0, 0) == [0, 0, 0, 0]
    assert advantages_of(credit_of(bonus=(0.4, 0, 0, 0)), 0, 0, 0, 0) == pytest.approx([0.3, -0.1, -0.1, -0.1])


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
def test_a_rollout_that_is_screened_out_has_no_part_in_its_group(scale):
    screened = advantages_of(credit_of(counts=(0, 1, 1, 1)), 1, 1, 0, 0, scale=scale)
    others = RolloutBatch.from_rollouts([make_rollout(reward, length=2) for reward in (1, 0, 0)], 3)
    expected = assign_advantages(others, None, replace(PLAIN, scale=scale), 8).advantages_BL[:, 0].tolist()
    assert screened == pytest.approx([0, *expected])


def test_a_group_of_which_one_or_none_counts_has_no_advantage():
    for counts in ((1, 0, 0, 0), (0, 0, 0, 0)):
        for scale in ("none", "group", "batch"):
            assert advantages_of(credit_of(counts=counts), 1, 1, 0, 0, scale=scale) == [0, 0, 0, 0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=4, max_size=12).filter(lambda x: len(x) % 4 == 0))
def test_whatever_counts_the_advantages_of_a_group_sum_to_zero(rewards):
    rewards_B = torch.tensor(rewards)
    for bits in ((1, 1, 1, 1), (1, 0, 1, 1), (0, 1, 0, 1)):
        counts_B = torch.tensor(bits * (len(rewards) // 4)).bool()
        for scale in ("none", "group", "batch"):
            got_B = advantages(rewards_B, 4, scale, counts_B)
            assert got_B.view(-1, 4).sum(1).abs().max() < 1e-4 and not got_B[~counts_B].any()
            if all(bits):
                assert torch.equal(got_B, advantages(rewards_B, 4, scale))


def test_a_credit_that_keeps_and_counts_everything_is_plain_grpo_to_the_bit():
    everything = credit_of(bonus=(0.0,) * 4, counts=(1,) * 4)
    for scale in ("none", "group", "batch"):
        for rewards in itertools.product((0, 1), repeat=4):
            assert advantages_of(everything, *rewards, scale=scale) == advantages_of(None, *rewards, scale=scale)


def test_the_share_of_the_pay_that_is_valid_counts_gates_and_screens():
    rows = [make_rollout(1, valid=True), make_rollout(1), make_rollout(1), make_rollout(1, valid=None)]
    batch = RolloutBatch.from_rollouts(rows, 4)
    for scheme, share in (
        (None, 1 / 3),
        (credit_of((1.0, 0.5, -1.0, 1.0)), 2 / 3),
        (credit_of(counts=(1, 0, 0, 1)), 1),
        (credit_of((0, 0, -1, 1)), None),
    ):
        metrics = step_metrics(StepBatch(batch, assign_advantages(batch, scheme, PLAIN, 8), batch.mask_BL, 1, rows), 4)
        assert metrics["paid_valid_share"] == (None if share is None else pytest.approx(share))


def test_the_share_of_the_pay_that_is_valid_is_that_of_the_policys_own_answers_and_of_their_rewards():
    replayed = make_rollout(1, valid=True, replayed_from=3)
    rows = [make_rollout(1, valid=True), make_rollout(1), make_rollout(0), replayed]
    batch = RolloutBatch.from_rollouts(rows, 4)
    added = replace(Credit.uniform(batch), added_B=torch.tensor([1.0, 0.0, 0.0, 0.0]))
    for scheme, share in ((None, 1 / 2), (lambda _: added, None)):
        metrics = step_metrics(StepBatch(batch, assign_advantages(batch, scheme, PLAIN, 8), batch.mask_BL, 1, rows), 4)
        assert metrics["paid_valid_share"] == share
