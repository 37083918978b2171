"""A process advantage apart: what it adds to that of the outcome, among whom, and its controls."""

import itertools
from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from features_fixtures import axes_dictionary
from grpo_fixtures import FirstWord, assert_same_run, make_rollout, small_config, train_tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput, Mismatch
from interp.credit import (
    Credit,
    ProcessAdvantage,
    RandomGate,
    ReadoutCredit,
    RolloutBatch,
    StepValidity,
    credit_controls,
    make_scheme,
)
from interp.credit.base import Learning, check_scheme
from interp.grpo import OBJECTIVES, NoSignal, Run
from interp.grpo.advantages import assign_advantages
from interp.readouts import Completeness, Format, Latents, Likelihood, Residual, TextCounts, label_rollouts
from interp.tsae import TSAE

ORACLE = ProcessAdvantage(StepValidity(weights=False))
FORMATS = [Format(("steps",))]


def objective(scale: str):
    return replace(OBJECTIVES["grpo"], scale=scale)


def rows_of(*outcomes, **changes):
    """A rollout for each (reward, valid)."""
    return [
        make_rollout(reward, valid=valid, sample=i, length=2, format="steps" if valid else "direct", **changes)
        for i, (reward, valid) in enumerate(outcomes)
    ]


def batch_of(*outcomes, group: int = 4, **fields) -> RolloutBatch:
    return RolloutBatch.from_rollouts(rows_of(*outcomes), group, **fields)


FAIL, VALID, LUCKY = (0, False), (1, True), (1, False)


def scored(*scores, counts=None):
    """A scheme that gives these gates."""

    def scheme(batch):
        counts_B = None if counts is None else torch.tensor(counts).bool()
        return Credit(torch.tensor(scores), batch.mask_BL.float(), counts_B=counts_B)

    return scheme


def added(scheme, batch) -> list[float]:
    credit = scheme(batch).validate(batch)
    assert credit.added_B is not None
    return credit.added_B.tolist()


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_success_gains_what_its_score_is_above_the_others_in_units_of_their_deviation():
    """Scores 0.9, 0.5 and 0.1: mean 0.5, deviation 0.4 sqrt(2/3). The failure has no part in it."""
    unit = (2 / 3) ** 0.5
    batch = batch_of(VALID, LUCKY, FAIL, LUCKY)
    assert added(ProcessAdvantage(scored(0.9, 0.5, 1.0, 0.1)), batch) == pytest.approx(
        [1 / unit, 0, 0, -1 / unit], abs=1e-6
    )
    assert added(ProcessAdvantage(scored(0.9, 0.5, 1.0, 0.1), beta=0.5), batch)[0] == pytest.approx(0.5 / unit)


def test_it_is_added_to_the_advantage_of_the_outcome_whatever_its_scale():
    batch = batch_of(VALID, LUCKY, FAIL, FAIL)
    for scale in ("none", "group", "batch"):
        plain_BL = assign_advantages(batch, None, objective(scale), 8).advantages_BL
        advantages_BL = assign_advantages(batch, ORACLE, objective(scale), 8).advantages_BL
        assert (advantages_BL - plain_BL)[:, 0].tolist() == pytest.approx([1, -1, 0, 0])
        assert advantages_BL[:, 0].equal(advantages_BL[:, 1])
    assert assign_advantages(batch, ORACLE, objective("none"), 8).advantages_BL[:, 0].tolist() == [
        1.5,
        -0.5,
        -0.5,
        -0.5,
    ]


def test_successes_are_compared_across_groups_and_a_group_in_which_all_succeed_has_a_gradient():
    batch = batch_of(*[VALID] * 4, *[LUCKY] * 4, *[FAIL] * 4)
    assigned = assign_advantages(batch, ORACLE, objective("group"), 8)
    assert assigned.advantages_BL[:, 0].tolist() == [1] * 4 + [-1] * 4 + [0] * 4
    assert assigned.mixed_groups(4).tolist() == [True, True, False]
    assert assigned.mixed_groups(4, with_penalty=False).tolist() == [True, True, False]
    assert assign_advantages(batch, None, objective("group"), 8).mixed_groups(4).tolist() == [False] * 3


def test_successes_of_a_level_can_be_compared_among_themselves():
    rows = rows_of(VALID, LUCKY, VALID, VALID)
    rows = [replace(row, level="hard" if i < 2 else "easy") for i, row in enumerate(rows)]
    batch = RolloutBatch.from_rollouts(rows, 4)
    assert added(replace(ORACLE, pool="level"), batch) == [1, -1, 0, 0]
    assert added(ORACLE, batch) == pytest.approx([3**-0.5, -(3**0.5), 3**-0.5, 3**-0.5])


def test_a_deviation_below_the_floor_is_not_blown_up():
    batch = batch_of(LUCKY, LUCKY, FAIL, FAIL)
    assert added(ProcessAdvantage(scored(0.02, 0.0, 1.0, 1.0), floor=0.1), batch) == pytest.approx([0.1, -0.1, 0, 0])
    assert added(ProcessAdvantage(scored(0.02, 0.0, 1.0, 1.0)), batch) == pytest.approx([1, -1, 0, 0])


def test_the_readout_that_knows_validity_adds_what_the_oracle_adds():
    batch = batch_of(VALID, LUCKY, FAIL, LUCKY, *[LUCKY, FAIL, VALID, FAIL])
    labels = label_rollouts(FORMATS, None, [row for row in batch.rollouts if row.reward > 0])
    readout = ProcessAdvantage(ReadoutCredit(FORMATS, threshold=0.0, labels=labels, ridge=1e-6))
    assert added(readout, batch) == pytest.approx(added(ORACLE, batch), abs=1e-3)


def test_a_readout_that_knows_nothing_adds_nothing():
    batch = batch_of(VALID, LUCKY, FAIL, LUCKY)
    assert added(make_scheme("process-likelihood"), replace(batch, base=tiny_policy())) == [0] * 4
    assert added(ProcessAdvantage(scored(0.1, 0.1, 1.0, 0.1)), batch) == [0] * 4


def test_what_is_not_known_adds_nothing_and_keeps_its_outcome():
    batch = batch_of(VALID, LUCKY, LUCKY, FAIL)
    credit = ProcessAdvantage(scored(1.0, 0.0, 0.3, 1.0, counts=(1, 1, 0, 1)))(batch).validate(batch)
    assert credit.added_B is not None and credit.added_B.tolist() == [1, -1, 0, 0] and credit.counts_B is None
    unreadable = RolloutBatch.from_rollouts([replace(row, depth=None) for row in batch.rollouts], 4)
    assert added(ProcessAdvantage(ReadoutCredit([Completeness()], threshold=0.0)), unreadable) == [0] * 4


def test_completions_without_tokens_and_batches_without_successes_add_nothing():
    rows = [make_rollout(1, length=0, roles=()), *rows_of(VALID, LUCKY, FAIL)]
    assert added(ORACLE, RolloutBatch.from_rollouts(rows, 4)) == [0, 1, -1, 0]
    assert added(ORACLE, batch_of(*[FAIL] * 4)) == [0] * 4
    empty = RolloutBatch.from_rollouts([make_rollout(1, length=0, roles=())] * 2, 2)
    assert added(ORACLE, empty) == [0, 0]


# --- any batch -------------------------------------------------------------------------------------------------------

outcomes = st.lists(st.sampled_from([FAIL, VALID, LUCKY]), min_size=4, max_size=16).filter(lambda x: len(x) % 4 == 0)


@settings(max_examples=50)
@given(outcomes, st.data(), st.sampled_from(["none", "group", "batch"]))
def test_process_advantages_sum_to_zero_over_the_successes_and_spare_failures(outcomes, data, scale):
    scores = data.draw(st.lists(st.floats(-1, 1, width=32), min_size=len(outcomes), max_size=len(outcomes)))
    beta = data.draw(st.floats(0, 3))
    batch, scheme = batch_of(*outcomes), ProcessAdvantage(scored(*scores), beta=beta)
    added_B = torch.tensor(added(scheme, batch))
    assert abs(float(added_B.sum())) < 1e-4 and not added_B[batch.rewards_B == 0].any()
    assert float((added_B**2).mean()) <= beta**2 * 1.001
    plain_BL = assign_advantages(batch, None, objective(scale), 8).advantages_BL
    advantages_BL = assign_advantages(batch, scheme, objective(scale), 8).advantages_BL
    assert torch.allclose(advantages_BL, plain_BL + added_B[:, None] * batch.mask_BL, atol=1e-5)
    own = batch.rewards_B > 0
    for row, other in itertools.combinations(own.nonzero()[:, 0].tolist(), 2):
        assert (scores[row] - scores[other]) * float(added_B[row] - added_B[other]) >= -1e-6


@settings(max_examples=30)
@given(outcomes, st.sampled_from(["none", "group", "batch"]))
def test_adding_nothing_is_plain_grpo_to_the_bit(outcomes, scale):
    batch = batch_of(*outcomes)
    plain = assign_advantages(batch, None, objective(scale), 8)
    for added_B in (None, torch.zeros(len(outcomes))):
        assigned = assign_advantages(
            batch, lambda b, x=added_B: replace(Credit.uniform(b), added_B=x), objective(scale), 8
        )
        assert assigned.advantages_BL.equal(plain.advantages_BL)
        assert assigned.mixed_groups(4).equal(plain.mixed_groups(4))
    assert assign_advantages(batch, replace(ORACLE, beta=0.0), objective(scale), 8).advantages_BL.equal(
        plain.advantages_BL
    )


def test_an_added_advantage_is_weighted_like_the_rest_and_not_given_to_what_is_screened_out():
    batch = batch_of(VALID, LUCKY, FAIL, FAIL)

    def scheme(batch):
        weights_BL = torch.tensor([[2.0, 0.0]] * 4)
        counts_B, added_B = torch.tensor([True, False, True, True]), torch.tensor([1.0, 5.0, 0.0, 0.0])
        return Credit(torch.ones(4), weights_BL, counts_B=counts_B, added_B=added_B)

    advantages_BL = assign_advantages(batch, scheme, objective("none"), 8).advantages_BL
    assert advantages_BL[:2].tolist() == [[pytest.approx(2 * (2 / 3 + 1)), 0], [0, 0]]


def test_an_added_advantage_that_is_no_number_or_of_another_shape_is_refused():
    batch = batch_of(VALID, LUCKY, FAIL, FAIL)
    for value in (float("nan"), float("inf")):
        with pytest.raises(BadInput, match="an added advantage must be finite; got"):
            replace(Credit.uniform(batch), added_B=torch.tensor([0.0, value, 0.0, 0.0])).validate(batch)
    with pytest.raises(BadInput, match=r"expected added of shape \(4,\), got \(3,\)"):
        replace(Credit.uniform(batch), added_B=torch.zeros(3)).validate(batch)
    with pytest.raises(BadInput, match=r"a gate must lie in \[-1, 1\]"):
        ProcessAdvantage(scored(float("nan"), 1.0, 1.0, 1.0))(batch)


# --- what it is made of ----------------------------------------------------------------------------------------------


def test_a_readout_whose_gates_are_no_probabilities_is_refused():
    for readout in (ReadoutCredit(FORMATS), ReadoutCredit(FORMATS, threshold=0.0, pay="select")):
        for score in (readout, RandomGate(readout)):
            with pytest.raises(
                BadInput, match=r"gates are probabilities, got one with .*ReadoutCredit\(sources, thres"
            ):
                ProcessAdvantage(score)
    with pytest.raises(BadInput, match="floor must be above 0 and at most 1; got 0"):
        ProcessAdvantage(StepValidity(), floor=0.0)
    with pytest.raises(BadInput, match="pool must be one of batch, level; got 'group'"):
        ProcessAdvantage(StepValidity(), pool="group")  # type: ignore[arg-type]


def test_a_readout_of_another_base_or_layer_is_refused():
    policy, encoder_DF, zeros_F = tiny_policy(), torch.randn(tiny_policy().d_model, 12), torch.zeros(12)
    of_another = TSAE(
        encoder_DF, zeros_F, encoder_DF.T.clone(), torch.zeros(len(encoder_DF)), zeros_F, (12,), layer=1,
        made_from={"policy": "sha256:0000"},
    )  # fmt: skip
    for sources, message in (([Latents(of_another, 1)], "fitted on other policies"), ([Residual(99)], "a layer below")):
        with pytest.raises(Mismatch, match=message):
            check_scheme(ProcessAdvantage(ReadoutCredit(sources, threshold=0.0)), policy)
    check_scheme(ProcessAdvantage(ReadoutCredit([Likelihood()], threshold=0.0)), policy)


def test_permuted_controls_deal_the_same_scores_out_anew():
    batch = batch_of(*[VALID, LUCKY, LUCKY, FAIL] * 4)
    own = added(ORACLE, batch)
    controls = credit_controls(ORACLE, tiny_policy(), draws=3)
    assert list(controls) == ["random gate 0", "random gate 1", "random gate 2"]
    dealt = [added(control, batch) for control in controls.values()]
    for values in dealt:
        assert sorted(values) == pytest.approx(sorted(own)) and values != own and values[3::4] == [0] * 4
    assert dealt[0] != dealt[1]
    for control in controls.values():
        assert isinstance(control, ProcessAdvantage) and (control.beta, control.floor) == (ORACLE.beta, ORACLE.floor)


def test_what_the_scores_learn_is_what_it_learns():
    scheme = ProcessAdvantage(ReadoutCredit(FORMATS, threshold=0.0, audits=3))
    batch = batch_of(*[VALID, LUCKY, LUCKY, FAIL] * 4)
    assert isinstance(scheme, Learning) and added(scheme, batch) == [0] * 16
    scheme.observe(batch)
    fresh = scheme.fresh()
    assert added(scheme, batch) != [0] * 16 == added(fresh, batch) and not fresh.state()["x_AF"].numel()
    fresh.load_state(scheme.state())
    assert added(fresh, batch) == added(scheme, batch) and scheme(batch).facts["audited"] == 3
    assert ORACLE.state() == {}


def test_a_run_in_which_all_fail_stops_since_the_outcome_does_not_wait_for_labels(tmp_path):
    scheme, task = ProcessAdvantage(ReadoutCredit([Likelihood()], threshold=0.0)), FirstWord("none")
    with pytest.raises(NoSignal):
        train_tiny(tmp_path / "run", small_config(patience=2), task=task, credit=scheme, progress=False)


def test_a_run_in_which_all_succeed_goes_on_with_the_process_alone(tmp_path):
    task = FirstWord("all")
    run = train_tiny(tmp_path / "run", small_config(steps=3, patience=2), task=task, credit=ORACLE, progress=False)
    assert [line["zero_variance_share"] for line in run.metrics()] == [1] * 4
    assert any(line["mixed_groups"] for line in run.metrics())
    with pytest.raises(NoSignal):
        train_tiny(tmp_path / "plain", small_config(steps=3, patience=2), task=task, progress=False)


class Killed(Exception):
    pass


def test_a_run_that_is_stopped_resumes_to_the_same_bits(tmp_path):
    readout = ReadoutCredit([Likelihood(), TextCounts(buckets=8)], threshold=0.0, audits=2)
    scheme = credit_controls(ProcessAdvantage(readout), tiny_policy())["random gate 0"]
    whole = train_tiny(tmp_path / "whole" / "run", small_config(), credit=scheme, progress=False)

    def stop_at(step: int):
        def sink(at: int, metrics):
            if at == step:
                raise Killed

        return sink

    for step in (3, 5):
        with pytest.raises(Killed):
            train_tiny(tmp_path / "again" / "run", credit=scheme, sinks=[stop_at(step)], progress=False)
    resumed = train_tiny(tmp_path / "again" / "run", credit=scheme, progress=False)
    assert_same_run(whole.path, resumed.path)
    lines = Run.open(resumed.path).metrics()
    assert lines[-1]["audited"] > 4 and lines[-1]["process_deviation"] > 0


def test_schemes_are_made_by_name_with_what_they_read(tmp_path, monkeypatch):
    scheme = make_scheme("process-likelihood-text")
    assert isinstance(scheme, ProcessAdvantage) and isinstance(scheme.score, ReadoutCredit)
    assert [source.name for source in scheme.score.sources] == ["likelihood", "text"] and scheme.score.threshold == 0
    encoder_DF, zeros_F = torch.eye(16), torch.zeros(16)
    tsae = TSAE(encoder_DF, zeros_F, encoder_DF, zeros_F, zeros_F, (16,), layer=1)
    monkeypatch.setattr(TSAE, "load", lambda path: tsae)
    for name, kind in (("process-latents", Latents), ("process-residual", Residual)):
        scheme = make_scheme(name, tsae=tmp_path)
        assert isinstance(scheme, ProcessAdvantage) and isinstance(scheme.score, ReadoutCredit)
        assert isinstance(scheme.score.sources[1], kind)


def test_answers_that_were_put_back_do_not_make_the_others_look_worse():
    rows = rows_of(VALID, LUCKY, LUCKY, FAIL, VALID, FAIL, FAIL, FAIL)
    alone = added(ProcessAdvantage(StepValidity(weights=False)), RolloutBatch.from_rollouts(rows, 4))
    rows[4] = replace(rows[4], replayed_from=0)
    beside = added(ProcessAdvantage(StepValidity(weights=False)), RolloutBatch.from_rollouts(rows, 4))
    three = added(ProcessAdvantage(StepValidity(weights=False)), RolloutBatch.from_rollouts(rows[:4], 4))
    assert beside == pytest.approx([*three, 0, 0, 0, 0]) and beside != alone


ROLES = ("carry", "result", "marker", "answer")


def test_the_controls_are_itself_with_each_control_of_its_score():
    policy, rows = tiny_policy(), [make_rollout(1, length=4, problem=str(i), roles=ROLES) for i in range(30)]
    latents = Latents(axes_dictionary(policy.d_model, layer=1), 1)
    scheme = ProcessAdvantage(ReadoutCredit([Likelihood(), latents], threshold=0.0), beta=0.5)
    controls, of_score = credit_controls(scheme, policy, rows), credit_controls(scheme.score, policy, rows)
    assert list(controls) == list(of_score) and {"nothing", "residual", "permuted 0", "random gate 4"} < set(controls)
    for control in controls.values():
        assert isinstance(control, ProcessAdvantage) and (control.beta, control.floor) == (0.5, scheme.floor)
