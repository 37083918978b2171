"""Credit schemes that need no dictionary: each on rollouts made by hand, and all of them on any rollouts at all."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.credit import (
    FEATURE_SCHEMES,
    SCHEMES,
    TASK_SCHEMES,
    FirstError,
    PositionMatched,
    RandomTokens,
    RewardSubsample,
    RolloutBatch,
    StepValidity,
    TopEntropy,
    Uniform,
    make_scheme,
)
from interp.credit.entropy import top_entropy_tokens
from interp.credit.names import (
    FEATURE_SCHEME_NAMES,
    LATENT_SCHEME_NAMES,
    READOUT_SCHEME_NAMES,
    SCHEME_NAMES,
    TASK_SCHEME_NAMES,
)
from interp.credit.readout import ReadoutCredit
from interp.credit.registry import FIRST_ERROR_SCHEMES, PROCESS_SCHEMES, READOUT_SCHEMES

ALL = SCHEMES | {
    "subsample": RewardSubsample(0.3, 0.6),
    "no rest weight": StepValidity(rest_weight=0.0),
    "few": TopEntropy(0.01),
    "few at random": RandomTokens(0.01),
    "few by position": PositionMatched(0.01),
    "every token": TopEntropy(1.0),
}
BASE = tiny_policy()
EACH_SCHEME = pytest.mark.parametrize("name", ALL)


def batch_of(*rollouts, group: int = 2, seed: int = 0) -> RolloutBatch:
    return RolloutBatch.from_rollouts(rollouts, group, base=BASE, seed=seed)


def with_keys(rollouts, **changes) -> list:
    """The rollouts in pairs of one problem, each with a key of its own."""
    return [replace(row, problem=f"p{i // 2}", sample=i % 2, **changes) for i, row in enumerate(rollouts)]


# --- any rollouts ----------------------------------------------------------------------------------------------------

judgements = st.sampled_from([True, False, None])


@st.composite
def any_rollout(draw):
    length = draw(st.integers(1, 9))
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
    steps = [(start, end, draw(judgements), draw(judgements)) for start, end in zip(cuts, cuts[1:], strict=False)]
    entropies = draw(st.lists(st.sampled_from([0.0, 0.1, 1.0, 3.0]), min_size=length, max_size=length))
    first_error = draw(st.none() | st.integers(0, length - 1))
    roles = draw(st.lists(st.sampled_from(["text", "result", "answer"]), min_size=length, max_size=length))
    reward, valid = draw(st.booleans()), draw(judgements)
    fields = {"entropies": tuple(entropies), "first_error": first_error, "truncated": draw(st.booleans())}
    fields |= {"roles": tuple(roles)}
    return make_rollout(reward, length=length, valid=valid and reward, steps=steps, **fields)


batches = st.integers(2, 4).flatmap(
    lambda group: st.lists(any_rollout(), min_size=group, max_size=3 * group).map(
        lambda rollouts: batch_of(*with_keys(rollouts[: len(rollouts) // group * group]), group=group)
    )
)


@EACH_SCHEME
@settings(max_examples=40)
@given(batches)
def test_every_scheme_returns_valid_credit(name, batch):
    credit = ALL[name](batch).validate(batch)
    assert ((credit.gate_B >= 0) & (credit.gate_B <= 1)).all() and (credit.weights_BL >= 0).all()
    assert not credit.weights_BL[~batch.mask_BL].any()
    assert ((credit.weights_BL.sum(1) / batch.lengths_B - 1).abs() < 1e-5).all()


@EACH_SCHEME
@settings(max_examples=20)
@given(batches)
def test_every_scheme_is_deterministic_and_leaves_the_batch_as_it_is(name, batch):
    before = {name: value.clone() for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    first, second = ALL[name](batch), ALL[name](replace(batch))
    assert torch.equal(first.gate_B, second.gate_B) and torch.equal(first.weights_BL, second.weights_BL)
    assert all(torch.equal(getattr(batch, name), value) for name, value in before.items())


@given(batches)
def test_uniform_credit_is_one_everywhere(batch):
    credit = Uniform()(batch)
    assert credit.gate_B.eq(1).all() and torch.equal(credit.weights_BL, batch.mask_BL.float())


# --- the registry ----------------------------------------------------------------------------------------------------


def test_schemes_are_made_by_name():
    assert make_scheme("uniform") == Uniform() and make_scheme("step-validity-gate") == StepValidity(weights=False)


def test_the_names_in_help_are_those_of_the_registry():
    assert list(SCHEME_NAMES) == list(SCHEMES) and list(TASK_SCHEME_NAMES) == list(TASK_SCHEMES)
    assert list(FEATURE_SCHEME_NAMES) == list(FEATURE_SCHEMES)
    assert list(READOUT_SCHEME_NAMES) == [*READOUT_SCHEMES, *FIRST_ERROR_SCHEMES, *PROCESS_SCHEMES]
    for name in READOUT_SCHEMES:
        scheme = make_scheme(name)
        assert isinstance(scheme, ReadoutCredit) and scheme.sources == READOUT_SCHEMES[name]


def test_an_unknown_scheme_is_refused_with_all_names():
    names = ", ".join([*SCHEMES, *READOUT_SCHEME_NAMES, *TASK_SCHEMES, *LATENT_SCHEME_NAMES, *FEATURE_SCHEMES])
    with pytest.raises(BadInput, match=f"credit must be one of {names}; got 'magic'"):
        make_scheme("magic")


def test_a_dictionary_is_refused_where_the_scheme_reads_none_and_asked_for_where_it_does(tmp_path):
    with pytest.raises(BadInput, match="--tsae is for credit by latents, residual, .*; got it with 'entropy'"):
        make_scheme("entropy", tsae=tmp_path)
    with pytest.raises(BadInput, match="--roles are for credit by features, .*; got them with 'latents'"):
        make_scheme("latents", tsae=tmp_path, roles=tmp_path)
    with pytest.raises(BadInput, match="expected --tsae for credit by latents, got none: interp tsae fits"):
        make_scheme("latents")
    with pytest.raises(BadInput, match="expected --tsae and --roles for credit by features-gate, got .* and none"):
        make_scheme("features-gate", tsae=tmp_path)


# --- entropy and its controls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [TopEntropy, RandomTokens, PositionMatched])
@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_outside_zero_and_one_is_refused(scheme, share):
    with pytest.raises(BadInput, match="share must be (above 0 and at most 1|a number, above 0 to 1); got"):
        scheme(share)


def batch_with_entropies(*rows) -> RolloutBatch:
    return batch_of(*with_keys([make_rollout(length=len(row), entropies=tuple(row)) for row in rows]))


def test_a_fifth_of_the_batch_receives_credit_and_a_rollout_without_any_is_weighted_evenly():
    batch = batch_with_entropies([0.1, 3.0, 0.2, 0.3, 0.1, 0.4], [0.5, 0.6, 0.7, 0.1])
    assert top_entropy_tokens(batch, 0.2).nonzero().tolist() == [[0, 1], [1, 2]]
    assert TopEntropy()(batch).weights_BL.tolist() == [[0, 6, 0, 0, 0, 0], [0, 0, 4, 0, 0, 0]]
    batch = batch_with_entropies([2.0, 3.0, 0.2, 0.3, 0.1, 0.4], [0.5, 0.6, 0.7, 0.1])
    assert TopEntropy()(batch).weights_BL.tolist() == [[3, 3, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]


def test_of_tokens_with_equal_entropy_the_earlier_are_selected_and_padding_never():
    batch = batch_with_entropies([1.0] * 7, [1.0] * 3)
    assert top_entropy_tokens(batch, 0.2).nonzero().tolist() == [[0, 0], [0, 1]]
    assert top_entropy_tokens(batch_with_entropies([0.0] * 7, [0.0] * 3), 1.0).equal(batch.mask_BL)


@given(batches, st.sampled_from([0.1, 0.2, 0.5, 0.9]))
def test_exactly_the_share_is_selected_and_no_token_of_higher_entropy_is_left_out(batch, share):
    selected = top_entropy_tokens(batch, share)
    assert int(selected.sum()) == round(share * int(batch.mask_BL.sum())) and not selected[~batch.mask_BL].any()
    rest = batch.mask_BL & ~selected
    if selected.any() and rest.any():
        assert batch.entropies_BL[selected].min() >= batch.entropies_BL[rest].max()


def test_position_matched_tokens_keep_their_positions_and_change_rollouts():
    rows = [[3.0, 0.1, 0.2, 3.0, 0.1]] * 10 + [[0.1, 3.0, 0.2, 0.3, 0.1]] * 10
    batch = batch_with_entropies(*rows)
    top, weights_BL = top_entropy_tokens(batch, 0.3), PositionMatched(0.3)(batch).weights_BL
    selected = (weights_BL > 0) & ~(weights_BL == 1).all(1)[:, None]  # a rollout without any is weighted evenly
    assert top.sum(0).tolist() == selected.sum(0).tolist() == [10, 10, 0, 10, 0]
    assert not torch.equal(selected, top)


def test_random_tokens_are_about_the_share_and_differ_between_steps_seeds_and_batches():
    rollouts = with_keys([make_rollout(length=50) for _ in range(40)])
    selected = (RandomTokens()(batch_of(*rollouts)).weights_BL > 0).float()
    assert float(selected.mean()) == pytest.approx(0.2, abs=0.04)  # of 2000
    others = (
        batch_of(*rollouts, seed=1),
        batch_of(*with_keys(rollouts, step=1)),
        batch_of(*rollouts[2:], *rollouts[:2]),
    )
    for other in others:
        assert not torch.equal((RandomTokens()(other).weights_BL > 0).float(), selected)


# --- oracles ---------------------------------------------------------------------------------------------------------


def test_a_success_credits_what_came_before_its_first_error_and_a_failure_blames_the_rest():
    success, failure = (make_rollout(reward, first_error=1, length=4) for reward in (1, 0))
    without_error, at_once = make_rollout(1, valid=True), make_rollout(1, first_error=0)
    credit = FirstError()(batch_of(success, failure, without_error, at_once))
    assert credit.weights_BL.tolist() == [[4, 0, 0, 0], pytest.approx([0, 4 / 3, 4 / 3, 4 / 3]), [1] * 4, [1] * 4]
    assert credit.gate_B.tolist() == [1, 1, 1, 1]


STEPS = ((0, 2, True, True), (2, 3, False, True), (3, 4, True, False), (4, 5, None, True))
"""Only the first is right."""


def test_the_gate_closes_on_lucky_successes_only():
    outcomes = ((1, False), (1, True), (0, False), (1, None))
    rollouts = [make_rollout(reward, valid=valid) for reward, valid in outcomes]
    assert StepValidity()(batch_of(*rollouts)).gate_B.tolist() == [0, 1, 1, 1]
    gate_only = StepValidity(weights=False)(batch_of(*rollouts, *rollouts))
    assert gate_only.gate_B.tolist() == [0, 1, 1, 1] * 2 and (gate_only.weights_BL == 1).all()
    assert StepValidity(gate=False)(batch_of(*rollouts)).gate_B.tolist() == [1] * 4


def test_a_failure_spares_the_steps_that_were_right():
    failure = make_rollout(0, length=7, steps=STEPS)
    valid = make_rollout(1, length=7, valid=True, steps=((0, 2, True, True),))
    weights_BL = StepValidity()(batch_of(failure, valid)).weights_BL
    blame = [0.1, 0.1, 1, 1, 1, 1, 1]
    assert weights_BL[0].tolist() == pytest.approx([7 * share / sum(blame) for share in blame])
    assert weights_BL[1].tolist() == [1] * 7


def test_a_lucky_success_credits_its_right_steps_unless_the_gate_makes_it_a_failure():
    lucky = make_rollout(1, length=7, valid=False, steps=STEPS)
    credit = [1, 1, 0.1, 0.1, 0.1, 0.1, 0.1]
    weights_BL = StepValidity(gate=False)(batch_of(lucky, lucky)).weights_BL
    assert weights_BL[0].tolist() == pytest.approx([7 * share / sum(credit) for share in credit])
    gated_BL = StepValidity()(batch_of(lucky, lucky)).weights_BL
    assert gated_BL[0, 0] < gated_BL[0, 2]


def test_a_success_that_nobody_could_judge_keeps_its_reward_and_credits_its_right_steps():
    unjudged = make_rollout(1, length=4, valid=None, steps=((0, 2, True, True),))
    credit = StepValidity()(batch_of(unjudged, unjudged))
    assert credit.gate_B.tolist() == [1, 1] and credit.weights_BL[0, 0] > 1 > credit.weights_BL[0, 3]


def test_a_failure_of_right_steps_only_is_weighted_evenly():
    failure = make_rollout(0, length=4, steps=((0, 4, True, True),))
    assert StepValidity(rest_weight=0.0)(batch_of(failure, failure)).weights_BL.tolist() == [[1] * 4] * 2


def test_a_rest_weight_above_one_is_refused():
    with pytest.raises(BadInput, match="rest_weight must lie between 0 and 1; got 2"):
        StepValidity(rest_weight=2)


# --- the dose of luck ------------------------------------------------------------------------------------------------


def paid(scheme: RewardSubsample, rollouts, **settings) -> torch.Tensor:
    return scheme(batch_of(*rollouts, **settings)).gate_B


LUCKY, VALID, FAILED = (
    with_keys([make_rollout(reward, valid=valid) for _ in range(1000)])
    for reward, valid in ((1, False), (1, True), (0, False))
)


def test_all_or_none_of_the_lucky_and_of_the_valid_successes_are_paid():
    rollouts = [LUCKY[0], VALID[1], FAILED[2], make_rollout(1, valid=None)]
    assert paid(RewardSubsample(), rollouts).tolist() == [1, 1, 1, 1]
    assert paid(RewardSubsample(valid_paid=0), rollouts).tolist() == [1, 0, 1, 1]
    without_luck = paid(RewardSubsample(lucky_paid=0), rollouts).tolist()
    assert without_luck == StepValidity()(batch_of(*rollouts)).gate_B.tolist() == [0, 1, 1, 1]
    assert not paid(RewardSubsample(lucky_paid=0), LUCKY).any()
    assert paid(RewardSubsample(lucky_paid=0), VALID + FAILED).all()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.75])
def test_a_share_of_them_is_paid_chosen_by_the_key_of_the_rollout(share):
    gate_B = paid(RewardSubsample(lucky_paid=share), LUCKY)
    assert float(gate_B.mean()) == pytest.approx(share, abs=0.05)
    assert torch.equal(paid(RewardSubsample(lucky_paid=share), LUCKY[500:]), gate_B[500:]), "whatever the batch"
    assert torch.equal(paid(RewardSubsample(valid_paid=share), VALID), gate_B)
    other_seed = paid(RewardSubsample(lucky_paid=share), LUCKY, seed=1)
    other_step = paid(RewardSubsample(lucky_paid=share), with_keys(LUCKY, step=1))
    for other_B in (other_seed, other_step):
        assert float((other_B != gate_B).float().mean()) > 0.1


def test_a_larger_share_pays_all_that_a_smaller_one_pays():
    assert (paid(RewardSubsample(lucky_paid=0.3), LUCKY) <= paid(RewardSubsample(lucky_paid=0.5), LUCKY)).all()


@pytest.mark.parametrize("shares", [{"lucky_paid": 1.5}, {"valid_paid": -0.1}, {"lucky_paid": float("nan")}])
def test_a_share_of_payment_outside_zero_and_one_is_refused(shares):
    with pytest.raises(BadInput, match=r"(lucky_paid|valid_paid) must (lie between 0 and 1|be a number, 0 to 1); got"):
        RewardSubsample(**shares)
