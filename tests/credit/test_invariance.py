"""What a scheme gives a rollout depends on its group: not on padding, nor on where in the batch the group stands."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord, make_rollout
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.credit import KTAE, FirstError, InputGradient, MonteCarloValues, RolloutBatch, StepValidity, Uniform
from interp.policy import SampleConfig

LONGEST = 9
POLICY = tiny_policy()
SCHEMES = {
    "uniform": Uniform(),
    "first error": FirstError(),
    "step validity": StepValidity(),
    "ktae": KTAE(),
    "input gradient": InputGradient(),
    "input gradient, live": InputGradient("live", micro_tokens=32),
    "monte carlo": MonteCarloValues(FirstWord(), n=4, sampling=SampleConfig(max_new_tokens=LONGEST)),
}


@st.composite
def any_rollout(draw):
    length = draw(st.integers(0, LONGEST))
    tokens = draw(st.lists(st.integers(4, 29), min_size=length, max_size=length))
    roles = draw(st.lists(st.sampled_from(["carry", "result", "answer", "text"]), min_size=length, max_size=length))
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=4)))
    steps = [(start, end, draw(st.booleans()), True) for start, end in zip(cuts, cuts[1:], strict=False)]
    prompt = draw(st.sampled_from([(9, 24, 10, 27), (5, 25, 6, 24, 7, 27)]))
    values = {"tokens": tuple(tokens), "roles": tuple(roles), "prompt_ids": prompt}
    return make_rollout(draw(st.sampled_from([0, 1])), length=length, steps=steps, **values)


def batch_of(groups) -> RolloutBatch:
    rollouts = [row for group in groups for row in group]
    return RolloutBatch.from_rollouts(rollouts, 2, policy=POLICY, base=POLICY)


def named(groups) -> list[list]:
    """The rollouts with a problem for each group."""
    return [[replace(row, problem=f"p{p}", sample=i) for i, row in enumerate(group)] for p, group in enumerate(groups)]


@pytest.mark.parametrize("name", SCHEMES)
@settings(max_examples=15)
@given(st.lists(st.lists(any_rollout(), min_size=2, max_size=2), min_size=2, max_size=3).map(named))
def test_credit_is_that_of_the_group_alone_whatever_the_batch(name, groups):
    batch = batch_of(groups)
    credit = SCHEMES[name](batch).validate(batch)
    assert credit.weights_BL.isfinite().all() and (credit.weights_BL >= 0).all()
    reversed_BL = SCHEMES[name](batch_of(groups[::-1])).weights_BL
    weights_PGL = credit.weights_BL.view(len(groups), 2, -1)
    assert torch.allclose(reversed_BL.view_as(weights_PGL).flip(0), weights_PGL, atol=1e-4)
    for group, weights_GL in zip(groups, weights_PGL, strict=True):
        alone_GL = SCHEMES[name](batch_of([group])).weights_BL
        assert torch.allclose(alone_GL, weights_GL[:, : alone_GL.shape[1]], atol=1e-4)
        assert not weights_GL[:, alone_GL.shape[1] :].any()
