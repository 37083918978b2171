"""Credit against measured values, by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from grpo_fixtures import make_rollout
from hypothesis import given
from hypothesis import strategies as st

from interp.credit import Credit, RolloutBatch
from interp.rollouts.prefix_values import PrefixValue, RolloutValues
from interp.studies.truth_measures import agreement, kind_of, payment, precision_at_top, segments, spearman
from interp.studies.truth_runs import measure_payment


def value(reward: float, error: float = 0.01) -> PrefixValue:
    return PrefixValue(reward, error, 64, reward, error, 64)


PAIRS = (("p", 0, 1), ("p", 1, 0), ("q", 0, 1), ("q", 1, 1))
STEPS = [(0, 2, True, True), (2, 4, True, False)]


def test_ranks_agree_wholly_not_at_all_or_cannot_be_compared():
    assert spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 90])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert spearman(np.array([1.0, 1, 2, 2]), np.array([1.0, 2, 1, 2])) == pytest.approx(0)
    assert spearman(np.ones(3), np.arange(3.0)) is None and spearman(np.ones(1), np.ones(1)) is None


def test_the_top_fifth_by_weight_against_the_top_fifth_by_delta():
    size = np.arange(10.0)
    assert precision_at_top(size, size) == 1 and precision_at_top(-size, size) == 0
    half = np.array([0.0] * 8 + [5, 0])
    assert precision_at_top(half, size) == pytest.approx((1 + 1 / 9) / 2)  # one is certain, nine share one place
    assert precision_at_top(np.ones(10), size) == pytest.approx(0.2)
    assert precision_at_top(np.ones(2), np.ones(2)) is None


@given(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=30))
def test_a_scheme_that_gives_all_the_same_has_the_precision_of_chance(deltas):
    size = np.abs(np.array(deltas))
    count = round(0.2 * len(deltas))
    assert precision_at_top(np.ones(len(deltas)), size) == (pytest.approx(count / len(deltas)) if count else None)


def test_a_segment_is_decisive_a_shortcut_or_filler():
    row = make_rollout(1, length=6, steps=STEPS, depth=3)
    assert kind_of(row, 0, 2, 0.5, 0.1) == kind_of(row, 0, 2, -0.5, 0.1) == "decisive"
    assert kind_of(row, 0, 2, 0.5, 0.3) == kind_of(row, 0, 2, 0.05, 0.0) == "filler"
    assert kind_of(row, 2, 4, 0.0, 0.1) == "shortcut"
    assert kind_of(row, 4, 6, 0.0, 0.1) == "shortcut", "the answer comes after two steps of three"
    assert kind_of(make_rollout(1, length=6, steps=STEPS, depth=2), 4, 6, 0.0, 0.1) == "filler"


def test_mass_sign_and_weights_of_segments():
    rows = [make_rollout(1, length=6, steps=STEPS, depth=2), make_rollout(0, length=2, depth=2, sample=1)]
    batch = RolloutBatch.from_rollouts(rows, 2)
    weights_BL = batch.mask_BL.float()
    weights_BL[0] = torch.tensor([2.0, 2, 0, 0, 1, 1])
    credit = Credit(torch.ones(2), weights_BL)
    advantages_BL = torch.tensor([[0.5], [-0.5]]) * weights_BL
    values = [
        RolloutValues("hand", 0, "p", 0, (0, 2, 4, 6), (value(0.25), value(0.75), value(0.75), value(1.0, 0.0))),
        RolloutValues("hand", 0, "p", 1, (0, 2), (value(0.25), value(0.0, 0.0))),
    ]
    one = segments(batch, credit, advantages_BL, values, "reward")
    assert one.delta_N.tolist() == pytest.approx([0.5, 0, 0.25, -0.25])
    assert one.weight_N.tolist() == [2, 0, 1, 1] and one.sign_N.tolist() == [1, 1, 1, -1]
    assert one.mass_N.tolist() == pytest.approx([2, 0, 1, 1])
    assert one.kind_N.tolist() == ["decisive", "shortcut", "decisive", "decisive"]
    assert one.is_late_N.tolist() == [False, False, True, False]
    result = agreement(one)
    assert result["sign agreement"] == result["mass on decisive"] == 1 and result["mass on filler"] == 0
    assert result["spearman"] == pytest.approx(1)  # both rank the segments 4, 1, 2.5, 2.5


def test_segments_of_groups_with_one_reward_are_left_out():
    rows = [
        make_rollout(reward, length=2, depth=2, problem=problem, sample=sample) for problem, sample, reward in PAIRS
    ]
    batch = RolloutBatch.from_rollouts(rows, 2)
    values = [RolloutValues("hand", 0, row.problem, 0, (0, 2), (value(0.5), value(row.reward, 0.0))) for row in rows]
    one = segments(batch, Credit.uniform(batch), torch.ones(4, 2), values, "reward")
    assert one.delta_N.tolist() == [0.5, -0.5]


def test_a_success_that_is_screened_out_is_paid_nothing():
    rows = [make_rollout(1, valid=True), make_rollout(1), make_rollout(1), make_rollout(0)]
    batch = RolloutBatch.from_rollouts(rows, 4)
    screens = torch.tensor([True, True, False, True])
    paid = measure_payment(lambda _: replace(Credit.uniform(batch), counts_B=screens), batch)
    assert paid["valid share of the pay"] == pytest.approx(1 / 2)


def test_what_a_gate_pays_to_valid_successes():
    success, valid = np.array([True, True, True, False]), np.array([True, False, False, False])
    assert payment(np.ones(4), success, valid) == {
        "valid share of the pay": pytest.approx(1 / 3),
        "valid successes paid": 1,
    }
    assert payment(np.array([0.9, 0.1, -1, 1]), success, valid)["valid share of the pay"] == pytest.approx(0.9)
    assert payment(np.array([0.0, 1, 1, 1]), success, valid)["valid successes paid"] == 0
    nothing = payment(np.zeros(4), success, valid)
    assert (
        nothing["valid share of the pay"] is None
        and payment(np.ones(4), success, ~success)["valid successes paid"] is None
    )
