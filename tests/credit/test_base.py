"""The contract of credit: batches of whole groups, gates and bonuses in [-1, 1], weights of mean 1."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput
from interp.credit import Credit, RolloutBatch, StepValidity, attach_credit, normalize_weights
from interp.credit.base import check_scheme

NAN, INF = float("nan"), float("inf")


def batch_of(*rollouts, group: int = 2) -> RolloutBatch:
    return RolloutBatch.from_rollouts(rollouts, group)


def uniform_except(batch: RolloutBatch, gate: float = 1.0, weight: float = 1.0, row: int = 1) -> Credit:
    """Uniform credit with another gate and weight for one rollout."""
    credit = Credit.uniform(batch)
    credit.gate_B[row] = gate
    credit.weights_BL[row] *= weight
    return credit


def test_a_batch_has_whole_groups_and_zeros_beyond_the_end_of_a_rollout():
    batch = batch_of(make_rollout(1, length=3, truncated=True), make_rollout(length=1))
    assert batch.mask_BL.tolist() == [[True, True, True], [True, False, False]]
    assert batch.lengths_B.tolist() == [3, 1] and batch.truncated_B.tolist() == [True, False]
    assert batch.tokens_BL.tolist() == [[4, 5, 6], [4, 0, 0]] and batch.rewards_B.tolist() == [1, 0]
    assert batch.per_token(lambda rollout: [2.0] * len(rollout.tokens)).tolist() == [[2, 2, 2], [2, 0, 0]]


@pytest.mark.parametrize("n", [0, 3])
def test_rollouts_that_are_no_whole_groups_are_refused(n):
    with pytest.raises(BadInput, match=f"expected whole groups of 2 rollouts, got {n} rollouts"):
        batch_of(*[make_rollout()] * n)


@pytest.mark.parametrize("value", [NAN, -1.01, 1.01, INF])
def test_a_gate_or_bonus_outside_minus_one_and_one_is_refused(value):
    batch = batch_of(make_rollout(), make_rollout())
    with pytest.raises(BadInput, match=r"a gate must lie in \[-1, 1\]; got "):
        uniform_except(batch, gate=value).validate(batch)
    with pytest.raises(BadInput, match=r"a bonus must lie in \[-1, 1\]; got "):
        replace(Credit.uniform(batch), bonus_B=torch.tensor([0.0, value])).validate(batch)


def test_a_bonus_or_a_screen_of_another_shape_is_refused():
    batch = batch_of(make_rollout(), make_rollout())
    for name, x_B in (("bonus", torch.zeros(3)), ("counts", torch.ones(3, dtype=torch.bool))):
        with pytest.raises(BadInput, match=rf"expected {name} of shape \(2,\), got \(3,\)"):
            replace(Credit.uniform(batch), **{f"{name}_B": x_B}).validate(batch)


@pytest.mark.parametrize("weight", [NAN, 0.0, 1.01, -1.0, INF])
def test_weights_of_another_mean_than_one_are_refused_with_the_rollout(weight):
    batch = batch_of(make_rollout(), make_rollout(length=2))
    with pytest.raises(BadInput, match="mean 1 over the tokens of each rollout; rollout 1 has .*normalize_weights"):
        uniform_except(batch, weight=weight).validate(batch)


def test_credit_of_another_shape_is_refused():
    batch, wider = batch_of(make_rollout(), make_rollout()), batch_of(make_rollout(length=9), make_rollout())
    with pytest.raises(BadInput, match=r"gate of shape \(2,\) and weights of shape \(2, 4\), got \(2,\) and \(2, 9\)"):
        Credit.uniform(wider).validate(batch)
    with pytest.raises(BadInput, match=r"got \(4,\) and \(4, 4\)"):
        Credit.uniform(batch_of(*[make_rollout()] * 4)).validate(batch)


def test_normalized_weights_keep_their_proportions_and_ignore_padding():
    mask_BL = torch.arange(3) < torch.tensor([[3], [2]])
    weights_BL = normalize_weights(torch.tensor([[1.0, 2, 3], [0, 0, 5]]), mask_BL)
    assert weights_BL.tolist() == [[0.5, 1, 1.5], [1, 1, 0]]


def test_rollouts_record_what_their_tokens_received():
    batch = batch_of(make_rollout(length=3), make_rollout(length=1))
    advantages_BL = torch.tensor([[1.0, 2, 3], [4, 0, 0]])
    first, second = attach_credit(batch, uniform_except(batch, gate=0.5), advantages_BL)
    assert (first.advantages, first.credit, first.gate) == ((1, 2, 3), (1, 1, 1), 1)
    assert (second.advantages, second.credit, second.gate) == ((4,), (1,), 0.5)
    assert first.bonus is None and first.counts is None
    credit = replace(Credit.uniform(batch), bonus_B=torch.tensor([0.25, 0.0]), counts_B=torch.tensor([True, False]))
    assert [(row.bonus, row.counts) for row in attach_credit(batch, credit, advantages_BL)] == [
        (0.25, True),
        (0, False),
    ]


def test_tokens_are_whole_numbers_even_of_rollouts_that_are_all_empty():
    batch = batch_of(*[make_rollout(length=0, tokens=()) for _ in range(2)])
    assert batch.tokens_BL.shape == (2, 0) and batch.tokens_BL.dtype == torch.long
    assert batch.logprobs_BL.dtype == batch.entropies_BL.dtype == torch.float32


def test_a_mean_weight_may_differ_from_one_by_a_ten_thousandth():
    batch = batch_of(make_rollout(length=2), make_rollout(length=2))
    for weight, is_valid in ((1 + 0.9e-4, True), (1 + 1.1e-4, False), (1 - 0.9e-4, True), (1 - 1.1e-4, False)):
        credit = uniform_except(batch, weight=weight)
        if is_valid:
            credit.validate(batch)
        else:
            with pytest.raises(BadInput, match="rollout 1 has"):
                credit.validate(batch)


def test_a_scheme_is_a_function_of_a_batch_and_not_its_class():
    base: Any = None
    for scheme in (None, Credit.uniform, StepValidity()):
        check_scheme(scheme, base)
    for scheme, message in ((StepValidity, "make an instance of it"), (3, "got 3$")):
        with pytest.raises(BadInput, match=message):
            check_scheme(scheme, base)  # type: ignore[arg-type]
