"""Credit schemes, each on rollouts made by hand; and on any rollouts at all, what they return is valid credit."""

from dataclasses import replace

import pytest
import torch
from grpo_world import a_row
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.credit import (
    SCHEMES,
    RewardSubsample,
    FirstError,
    PositionMatched,
    RandomTokens,
    StepValidity,
    TopEntropy,
    Uniform,
    scheme,
)
from interp.credit.base import Credit, RolloutBatch, of_mean_one, with_credit
from interp.credit.entropy import chosen

EVERY = SCHEMES | {
    "dial": RewardSubsample(0.3, 0.6),
    "nothing spared": StepValidity(spared=0.0),
    "few": TopEntropy(0.01),
    "few at random": RandomTokens(0.01),
    "few in place": PositionMatched(0.01),
    "all": TopEntropy(1.0),
}
SCHEME = pytest.mark.parametrize("name", EVERY)


def of(*rows, group=2, seed=0):
    return RolloutBatch.of(rows, group, seed=seed)


def asked(rows, **changes):
    """The same, each under its own key."""
    return [replace(row, problem=f"p{at // 2}", sample=at % 2, **changes) for at, row in enumerate(rows)]


# --- on any rollouts ---------------------------------------------------------------------------------------------

judged = st.sampled_from([True, False, None])


@st.composite
def rows(draw):
    length = draw(st.integers(1, 9))
    cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
    steps = [(start, end, draw(judged), draw(judged)) for start, end in zip(cuts, cuts[1:], strict=False)]
    entropies = draw(st.lists(st.sampled_from([0.0, 0.1, 1.0, 3.0]), min_size=length, max_size=length))
    first_error = draw(st.none() | st.integers(0, length - 1))
    reward, valid = draw(st.booleans()), draw(judged)
    given = {"entropies": tuple(entropies), "first_error": first_error, "truncated": draw(st.booleans())}
    return a_row(reward, length=length, valid=valid and reward, steps=steps, **given)


batches = st.integers(2, 4).flatmap(
    lambda group: st.lists(rows(), min_size=group, max_size=3 * group).map(
        lambda drawn: of(*asked(drawn[: len(drawn) // group * group]), group=group)
    )
)


@SCHEME
@settings(max_examples=40)
@given(batches)
def test_every_scheme_returns_valid_credit(name, batch):
    credit = EVERY[name](batch).checked(batch)
    assert ((credit.gate_B >= 0) & (credit.gate_B <= 1)).all() and (credit.weights_BL >= 0).all()
    assert not credit.weights_BL[~batch.mask_BL].any()
    assert ((credit.weights_BL.sum(1) / batch.lengths_B - 1).abs() < 1e-5).all()


@SCHEME
@settings(max_examples=20)
@given(batches)
def test_every_scheme_says_the_same_twice_and_leaves_the_batch_alone(name, batch):
    before = {name: value.clone() for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    one, other = EVERY[name](batch), EVERY[name](replace(batch))
    assert torch.equal(one.gate_B, other.gate_B) and torch.equal(one.weights_BL, other.weights_BL)
    assert all(torch.equal(getattr(batch, name), value) for name, value in before.items())


@given(batches)
def test_uniform_credit_is_one_everywhere(batch):
    credit = Uniform()(batch)
    assert credit.gate_B.eq(1).all() and torch.equal(credit.weights_BL, batch.mask_BL.float())


def test_schemes_go_by_name():
    assert scheme("uniform") == Uniform() and scheme("step-validity-gate") == StepValidity(weights=False)
    with pytest.raises(BadInput, match="credit must be one of uniform, entropy, .*; got 'magic'"):
        scheme("magic")


@pytest.mark.parametrize("kind", [TopEntropy, RandomTokens, PositionMatched])
@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_of_nothing_or_of_more_than_all_is_refused(kind, share):
    with pytest.raises(BadInput, match=r"share must lie in \(0, 1\]; got"):
        kind(share)


# --- entropy, and chance in its place ----------------------------------------------------------------------------


def with_entropies(*entropies):
    return of(*asked([a_row(length=len(of_row), entropies=tuple(of_row)) for of_row in entropies]))


def test_the_fifth_of_the_batch_in_most_doubt_is_taught_and_a_rollout_without_any_evenly():
    batch = with_entropies([0.1, 3.0, 0.2, 0.3, 0.1, 0.4], [0.5, 0.6, 0.7, 0.1])
    assert chosen(batch, 0.2).nonzero().tolist() == [[0, 1], [1, 2]]
    assert TopEntropy()(batch).weights_BL.tolist() == [[0, 6, 0, 0, 0, 0], [0, 0, 4, 0, 0, 0]]
    batch = with_entropies([2.0, 3.0, 0.2, 0.3, 0.1, 0.4], [0.5, 0.6, 0.7, 0.1])
    assert TopEntropy()(batch).weights_BL.tolist() == [[3, 3, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]


def test_among_equals_it_is_exactly_so_many_and_the_earlier_ones():
    batch = with_entropies([1.0] * 7, [1.0] * 3)
    assert chosen(batch, 0.2).nonzero().tolist() == [[0, 0], [0, 1]]
    assert chosen(with_entropies([0.0] * 7, [0.0] * 3), 1.0).equal(batch.mask_BL)  # and never padding


@given(batches, st.sampled_from([0.1, 0.2, 0.5, 0.9]))
def test_as_many_are_chosen_as_the_share_makes_and_none_in_more_doubt_is_left(batch, share):
    picked = chosen(batch, share)
    assert int(picked.sum()) == round(share * int(batch.mask_BL.sum())) and not picked[~batch.mask_BL].any()
    left = batch.mask_BL & ~picked
    if picked.any() and left.any():
        assert batch.entropies_BL[picked].min() >= batch.entropies_BL[left].max()


def test_matched_by_position_the_picks_are_dealt_among_other_rollouts():
    rows = [[3.0, 0.1, 0.2, 3.0, 0.1]] * 10 + [[0.1, 3.0, 0.2, 0.3, 0.1]] * 10
    batch = with_entropies(*rows)
    picked, dealt = chosen(batch, 0.3), PositionMatched(0.3)(batch).weights_BL
    even_B = (dealt == 1).all(1)
    assert picked.sum(0).tolist() == [10, 10, 0, 10, 0]
    assert ((dealt > 0) & ~even_B[:, None]).sum(0).tolist() == [10, 10, 0, 10, 0]
    assert not torch.equal((dealt > 0) & ~even_B[:, None], picked)


def test_random_tokens_are_about_the_share_and_no_two_steps_seeds_or_batches_have_the_same():
    rows = asked([a_row(length=50) for _ in range(40)])
    taught = (RandomTokens()(of(*rows)).weights_BL > 0).float()
    assert float(taught.mean()) == pytest.approx(0.2, abs=0.04)  # of 2000
    others = [of(*rows, seed=1), of(*asked(rows, step=1)), of(*rows[2:], *rows[:2])]
    for other in others:
        assert not torch.equal((RandomTokens()(other).weights_BL > 0).float(), taught)


# --- oracles -----------------------------------------------------------------------------------------------------


def test_a_success_pays_what_came_before_its_first_error_and_a_failure_what_came_from_there():
    success, failure = (a_row(reward, first_error=1, length=4) for reward in (1, 0))
    spotless = a_row(1, valid=True)
    early = a_row(1, first_error=0)  # nothing came before: evenly
    credit = FirstError()(of(success, failure, spotless, early))
    assert credit.weights_BL.tolist() == [[4, 0, 0, 0], pytest.approx([0, 4 / 3, 4 / 3, 4 / 3]), [1] * 4, [1] * 4]
    assert credit.gate_B.tolist() == [1, 1, 1, 1]


STEPS = ((0, 2, True, True), (2, 3, False, True), (3, 4, True, False), (4, 5, None, True))


def test_the_gate_closes_on_lucky_successes_alone():
    rows = [a_row(1, valid=False), a_row(1, valid=True), a_row(0, valid=False), a_row(1, valid=None)]
    assert StepValidity()(of(*rows)).gate_B.tolist() == [0, 1, 1, 1]
    gate = StepValidity(weights=False)(of(*rows, *rows))
    assert gate.gate_B.tolist() == [0, 1, 1, 1] * 2 and (gate.weights_BL == 1).all()
    assert StepValidity(gate=False)(of(*rows)).gate_B.tolist() == [1] * 4


def test_a_failure_does_not_pay_for_the_steps_that_were_right():
    failure = a_row(0, length=7, steps=STEPS)
    valid = a_row(1, length=7, valid=True, steps=((0, 2, True, True),))
    weights_BL = StepValidity()(of(failure, valid)).weights_BL
    blame = [0.1, 0.1, 1, 1, 1, 1, 1]
    assert weights_BL[0].tolist() == pytest.approx([7 * share / sum(blame) for share in blame])
    assert weights_BL[1].tolist() == [1] * 7


def test_with_the_gate_open_a_lucky_success_pays_the_steps_that_were_right():
    lucky = a_row(1, length=7, valid=False, steps=STEPS)
    paid = [1, 1, 0.1, 0.1, 0.1, 0.1, 0.1]
    weights_BL = StepValidity(gate=False)(of(lucky, lucky)).weights_BL
    assert weights_BL[0].tolist() == pytest.approx([7 * share / sum(paid) for share in paid])
    blamed = StepValidity()(of(lucky, lucky)).weights_BL  # behind a closed gate it counts as a failure
    assert blamed[0, 0] < blamed[0, 2]


def test_a_rewarded_answer_that_nobody_could_judge_pays_the_steps_that_were_right():
    unjudged = a_row(1, length=4, valid=None, steps=((0, 2, True, True),))
    credit = StepValidity()(of(unjudged, unjudged))
    assert credit.gate_B.tolist() == [1, 1] and credit.weights_BL[0, 0] > 1 > credit.weights_BL[0, 3]


def test_a_failure_all_of_whose_tokens_are_spared_pays_evenly():
    failure = a_row(0, length=4, steps=((0, 4, True, True),))
    assert StepValidity(spared=0.0)(of(failure, failure)).weights_BL.tolist() == [[1] * 4] * 2
    with pytest.raises(BadInput, match=r"spared must lie in \[0, 1\]; got 2"):
        StepValidity(spared=2)


# --- the dose ----------------------------------------------------------------------------------------------------


def paid(dial, rows, **where):
    return dial(of(*rows, **where)).gate_B


LUCKY, VALID, FAILED = (asked([a_row(r, valid=v) for _ in range(1000)]) for r, v in ((1, False), (1, True), (0, False)))


def test_a_dial_at_none_or_all_is_exact():
    rows = [LUCKY[0], VALID[1], FAILED[2], a_row(1, valid=None)]
    assert paid(RewardSubsample(), rows).tolist() == [1, 1, 1, 1]
    assert (
        paid(RewardSubsample(lucky_paid=0), rows).tolist() == [0, 1, 1, 1] == StepValidity()(of(*rows)).gate_B.tolist()
    )
    assert paid(RewardSubsample(valid=0), rows).tolist() == [1, 0, 1, 1]
    assert (
        not paid(RewardSubsample(lucky_paid=0), LUCKY).any()
        and paid(RewardSubsample(lucky_paid=0), VALID + FAILED).all()
    )


@pytest.mark.parametrize("share", [0.1, 0.25, 0.75])
def test_in_between_it_is_about_the_share_drawn_by_key(share):
    at_once = paid(RewardSubsample(lucky_paid=share), LUCKY)
    assert float(at_once.mean()) == pytest.approx(share, abs=0.05)
    assert torch.equal(
        paid(RewardSubsample(lucky_paid=share), LUCKY[500:]), at_once[500:]
    )  # whatever else is in the batch
    assert torch.equal(paid(RewardSubsample(valid=share), VALID), at_once)
    for other in (
        paid(RewardSubsample(lucky_paid=share), LUCKY, seed=1),
        paid(RewardSubsample(lucky_paid=share), asked(LUCKY, step=1)),
    ):
        assert float((other != at_once).float().mean()) > 0.1


def test_a_dial_turned_up_takes_nothing_back():
    assert (paid(RewardSubsample(lucky_paid=0.3), LUCKY) <= paid(RewardSubsample(lucky_paid=0.5), LUCKY)).all()


@pytest.mark.parametrize("shares", [{"luck": 1.5}, {"valid": -0.1}, {"luck": float("nan")}])
def test_a_dial_beyond_its_ends_is_refused(shares):
    with pytest.raises(BadInput, match=r"(luck|valid) must lie in \[0, 1\]; got"):
        RewardSubsample(**shares)


# --- what is credit ----------------------------------------------------------------------------------------------


def spoilt(batch, gate=1.0, weight=1.0, row=1):
    credit = Credit.uniform(batch)
    credit.gate_B[row] = gate
    credit.weights_BL[row] *= weight
    return credit


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("gate", [NAN, -0.01, 1.01, INF])
def test_a_gate_outside_its_bounds_is_refused(gate):
    batch = of(a_row(), a_row())
    with pytest.raises(BadInput, match=r"a gate must lie in \[0, 1\]; got "):
        spoilt(batch, gate=gate).checked(batch)


@pytest.mark.parametrize("weight", [NAN, 0.0, 1.01, -1.0, INF])
def test_weights_not_of_mean_one_are_refused_naming_the_rollout(weight):
    batch = of(a_row(), a_row(length=2))
    with pytest.raises(BadInput, match="mean 1 over the tokens of each rollout; rollout 1 has .*of_mean_one"):
        spoilt(batch, weight=weight).checked(batch)


def test_credit_of_another_shape_is_refused():
    batch, wider = of(a_row(), a_row()), of(a_row(length=9), a_row())
    with pytest.raises(BadInput, match=r"gate of shape \(2,\) and weights of shape \(2, 4\), got \(2,\) and \(2, 9\)"):
        Credit.uniform(wider).checked(batch)
    with pytest.raises(BadInput, match=r"got \(4,\) and \(4, 4\)"):
        Credit.uniform(of(*[a_row()] * 4)).checked(batch)


def test_weights_scaled_to_mean_one_keep_their_proportions():
    mask_BL = torch.arange(3) < torch.tensor([[3], [2]])
    scaled_BL = of_mean_one(torch.tensor([[1.0, 2, 3], [0, 0, 5]]), mask_BL)
    assert scaled_BL.tolist() == [[0.5, 1, 1.5], [1, 1, 0]]  # what lies beyond the end weighs nothing


def test_rows_say_what_their_tokens_received():
    batch = of(a_row(length=3), a_row(length=1))
    advantages_BL = torch.tensor([[1.0, 2, 3], [4, 0, 0]])
    first, second = with_credit(batch, spoilt(batch, gate=0.5), advantages_BL)
    assert (first.advantages, first.credit, first.gate) == ((1, 2, 3), (1, 1, 1), 1)
    assert (second.advantages, second.credit, second.gate) == ((4,), (1,), 0.5)


def test_a_batch_is_of_whole_groups_and_padded_with_nothing():
    with pytest.raises(BadInput, match="expected whole groups of 2 rollouts, got 3 rollouts"):
        of(*[a_row()] * 3)
    with pytest.raises(BadInput, match="expected whole groups of 2 rollouts, got 0 rollouts"):
        of()
    batch = of(a_row(1, length=3, truncated=True), a_row(length=1))
    assert batch.mask_BL.tolist() == [[True, True, True], [True, False, False]]
    assert batch.lengths_B.tolist() == [3, 1] and batch.truncated_B.tolist() == [True, False]
    assert batch.tokens_BL.tolist() == [[4, 5, 6], [4, 0, 0]] and batch.rewards_B.tolist() == [1, 0]
    assert batch.marked(lambda row: [2.0] * len(row.tokens)).tolist() == [[2, 2, 2], [2, 0, 0]]
