"""Credit by a readout: what it audits, what it pays, and that a killed run resumes to the same bits."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord, assert_same_run, make_rollout, small_config, train_tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.credit import RandomGate, ReadoutCredit, RolloutBatch, StepValidity, Uniform, credit_controls
from interp.credit.base import Learning, check_scheme
from interp.grpo import NoSignal, Run
from interp.readouts import (
    Completeness,
    Format,
    Intention,
    Latents,
    Likelihood,
    Residual,
    TextCounts,
    TextRange,
    label_rollouts,
    with_base_rate,
)
from interp.readouts.controls import others
from interp.tsae import TSAE

FORMATS = [Format(("steps",))]
ROLES = ("carry", "operator", "operand", "result", "marker", "answer")


def make_batch(step: int = 0, seed: int = 0, n: int = 40) -> RolloutBatch:
    """Successes and failures in turn. Of the successes half have the format `steps`, and those are valid."""
    rows = [
        make_rollout(i % 2, valid=i % 4 == 1, format="steps" if i % 4 == 1 else "direct", step=step, sample=i)
        for i in range(n)
    ]
    return RolloutBatch.from_rollouts(rows, 4, seed=seed)


def taught(credit: ReadoutCredit, steps: int = 4) -> ReadoutCredit:
    for step in range(steps):
        credit.observe(make_batch(step))
    return credit


def test_until_both_kinds_are_audited_every_success_is_as_likely_as_the_share_of_valid_ones():
    credit, batch = ReadoutCredit(FORMATS, threshold=0.0), make_batch()
    gate_B = credit(batch).gate_B
    assert gate_B[1::2].tolist() == [0.5] * 20 and gate_B[::2].tolist() == [1] * 20
    lucky = RolloutBatch.from_rollouts([make_rollout(1, sample=i) for i in range(8)], 4)
    credit.observe(lucky)
    assert credit(make_batch()).gate_B[1].item() == pytest.approx(1 / 10)


def test_a_readout_that_knows_nothing_pays_nothing():
    assert ReadoutCredit(FORMATS)(make_batch()).gate_B[1::2].tolist() == [0] * 20
    assert taught(ReadoutCredit([Format(("never",))]))(make_batch()).gate_B[1::2].tolist() == [0] * 20


def test_a_success_is_paid_by_how_likely_it_is_to_be_valid():
    gate_B = taught(ReadoutCredit(FORMATS, ridge=0.01, threshold=0.0))(make_batch()).gate_B
    assert gate_B[1::4].min() > 0.95 and gate_B[3::4].max() < 0.05 and gate_B[::2].tolist() == [1] * 20


def test_below_the_threshold_a_success_is_worth_a_failure_and_with_a_penalty_less():
    for penalty, lowest in ((0.0, 0.0), (0.5, -0.25)):
        gate_B = taught(ReadoutCredit(FORMATS, ridge=0.01, threshold=1.0, penalty=penalty))(make_batch()).gate_B
        assert gate_B[1::4].tolist() == pytest.approx([0.5] * 10, abs=0.02)
        assert gate_B[3::4].tolist() == pytest.approx([lowest] * 10, abs=0.01) and gate_B[::2].tolist() == [1] * 20


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 20), st.floats(0, 20), st.integers(0, 3))
def test_gates_stay_in_their_range_whatever_the_settings(threshold, penalty, steps):
    scheme = taught(ReadoutCredit(FORMATS, threshold=threshold, penalty=penalty), steps)
    gate_B = scheme(make_batch()).validate(make_batch()).gate_B
    assert gate_B.abs().max() <= 1 and gate_B[::2].tolist() == [1] * 20


def test_only_the_audited_labels_are_used():
    """The causal test: turning every label that was not audited changes nothing."""
    for audits in (1, 3):
        credit, batch = ReadoutCredit(FORMATS, audits=audits), make_batch()
        credit.observe(batch)
        assert len(credit._readout.audited) == audits
        n_changing = 0
        for row in range(1, len(batch.rollouts), 2):
            rollouts = list(batch.rollouts)
            rollouts[row] = replace(rollouts[row], valid=not rollouts[row].valid)
            other = ReadoutCredit(FORMATS, audits=audits)
            other.observe(replace(batch, rollouts=rollouts))
            is_audited = not torch.equal(other._readout.audited.is_valid_A, credit._readout.audited.is_valid_A)
            n_changing += is_audited
            assert is_audited or other(replace(batch, rollouts=rollouts)).gate_B.equal(credit(batch).gate_B)
        assert n_changing == audits


def test_an_answer_that_was_put_back_is_not_audited():
    rows = [make_rollout(1, valid=True, replayed_from=0), *(make_rollout(1, sample=i) for i in range(1, 4))]
    scheme = ReadoutCredit(FORMATS)
    scheme.observe(RolloutBatch.from_rollouts(rows, 4))
    assert scheme._readout.audited.is_valid_A.tolist() == [False] * 3


def test_audits_beyond_the_memory_are_counted_and_let_go():
    scheme = taught(ReadoutCredit(FORMATS, audits=3, memory=5), steps=4)
    assert len(scheme._readout.audited) == 5
    resumed = scheme.fresh()
    resumed.load_state(scheme.state())
    assert [one(make_batch()).facts["audited"] for one in (scheme, resumed)] == [12, 12]


def test_the_valid_share_of_the_audits_is_not_that_of_labels_from_before_the_run():
    labels = with_base_rate(label_rollouts(FORMATS, None, make_batch().rollouts[1::2]), 0.01, 1000)
    facts = taught(ReadoutCredit(FORMATS, labels=labels, audits=20), steps=1)(make_batch()).facts
    assert facts == {"audited": 20, "audited_valid_share": 10 / 20, "unreadable_share": 0}
    assert ReadoutCredit(FORMATS, labels=labels)(make_batch()).facts["audited_valid_share"] is None


def test_audits_are_drawn_anew_for_each_step_and_seed_and_more_than_there_are_is_all():
    def audited(step=0, seed=0, audits=4):
        credit = ReadoutCredit([TextCounts(buckets=2)], audits=audits)
        batch = make_batch(step, seed)
        rows = [
            replace(row, tokens=(4,) * (row.sample + 1), roles=("text",) * (row.sample + 1)) for row in batch.rollouts
        ]
        credit.observe(replace(batch, rollouts=rows))
        return credit._readout.audited.columns.x_BF[:, -1].tolist()

    assert audited() == audited() and audited() != audited(step=1) and audited() != audited(seed=1)
    assert sorted(audited(audits=99)) == [float(length) for length in range(2, 41, 2)]


def test_a_success_that_cannot_be_read_is_screened_out_and_not_paid_zero():
    from interp.readouts import Completeness

    rows = [make_rollout(1, depth=None), make_rollout(1, depth=0), make_rollout(0), make_rollout(0)]
    batch = RolloutBatch.from_rollouts(rows, 4)
    credit = ReadoutCredit([Completeness()])(batch)
    assert credit.counts_B is not None and credit.counts_B.tolist() == [False, True, True, True]
    assert credit.facts["unreadable_share"] == 1 / 2, "of two successes"
    credit.validate(batch)


def test_completions_without_tokens_are_neither_read_nor_refused():
    rows = [make_rollout(1, length=0), make_rollout(0, length=0)]
    batch = RolloutBatch.from_rollouts(rows, 2)
    scheme = ReadoutCredit(FORMATS)
    scheme.observe(batch)
    assert scheme(batch).validate(batch).gate_B.tolist() == [1, 1]


def test_labels_from_before_the_run_are_a_readout_that_pays_from_the_first_step():
    labels = label_rollouts(FORMATS, None, make_batch().rollouts[1::2])
    scheme = ReadoutCredit(FORMATS, labels=labels, ridge=0.01, threshold=0.0)
    gate_B = scheme(make_batch()).gate_B
    assert gate_B[1] > 0.9 and gate_B[3] < 0.1 and scheme.fresh()(make_batch()).gate_B.equal(gate_B)


def test_a_fresh_scheme_has_the_same_settings_and_has_learned_nothing():
    scheme = taught(ReadoutCredit(FORMATS, penalty=0.25, audits=3))
    fresh = scheme.fresh()
    assert isinstance(scheme, Learning) and (fresh.penalty, fresh.audits) == (0.25, 3)
    assert not len(fresh._readout.audited) and len(scheme._readout.audited) == 12
    restored = scheme.fresh()
    restored.load_state(scheme.state())
    assert restored(make_batch()).gate_B.equal(scheme(make_batch()).gate_B)


def test_a_class_of_a_scheme_is_refused_and_a_base_it_was_not_made_for():
    with pytest.raises(BadInput, match="make an instance of it"):
        check_scheme(ReadoutCredit, tiny_policy())  # type: ignore[arg-type]
    check_scheme(ReadoutCredit([Likelihood()]), tiny_policy())


def test_a_random_gate_pays_exactly_as_much_to_others():
    scheme = taught(ReadoutCredit(FORMATS, ridge=0.01, threshold=0.0))
    batch, dealt = make_batch(), RandomGate(scheme, seed=1)
    own_B, random_B = scheme(batch).gate_B, dealt(batch).gate_B
    assert sorted(own_B.tolist()) == sorted(random_B.tolist()) and not own_B.equal(random_B)
    assert random_B[::2].equal(own_B[::2]) and not RandomGate(scheme, seed=2)(batch).gate_B.equal(random_B)


@given(st.integers(0, 60), st.integers(0, 5))
def test_others_are_all_things_in_another_order_in_which_none_stands_for_itself(n, seed):
    other = others(n, "test", seed).tolist()
    assert sorted(other) == list(range(n)) and other == others(n, "test", seed).tolist()
    assert n < 2 or all(at != one for at, one in enumerate(other))


def test_a_random_gate_deals_out_bonuses_too_among_answers_of_groups_that_failed():
    scheme = taught(ReadoutCredit(FORMATS, ridge=0.01, bonus=0.4))
    rows = [make_rollout(i == 19, format="steps" if i < 8 else "direct", sample=i) for i in range(20)]
    batch = RolloutBatch.from_rollouts(rows, 4)
    own_B, random_B = scheme(batch).bonus_B, RandomGate(scheme, seed=1)(batch).bonus_B
    assert own_B is not None and random_B is not None
    assert sorted(own_B.tolist()) == sorted(random_B.tolist()) and not own_B.equal(random_B)
    assert random_B[16:].tolist() == [0] * 4 and RandomGate(scheme).needs_no_scale


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", ["readout", "random gate"])
def test_a_run_with_a_readout_that_is_stopped_resumes_to_the_same_bits(tmp_path, kind):
    scheme = ReadoutCredit([Likelihood(), TextCounts(buckets=8)], audits=2)
    scheme = RandomGate(scheme) if kind == "random gate" else scheme
    config = small_config(scale="none")
    whole = train_tiny(tmp_path / "whole" / "run", config, credit=scheme, progress=False)

    def stop_at(step: int):
        def sink(at: int, metrics):
            if at == step:
                raise Killed

        return sink

    for step in (3, 5):
        with pytest.raises(Killed):
            train_tiny(tmp_path / "again" / "run", config, credit=scheme, sinks=[stop_at(step)], progress=False)
    resumed = train_tiny(tmp_path / "again" / "run", config, credit=scheme, progress=False)
    assert_same_run(whole.path, resumed.path)
    audited = [line["audited"] for line in Run.open(resumed.path).metrics()]
    assert audited == sorted(audited) and audited[0] <= 2 and audited[-1] > 4


def test_a_scheme_without_latents_has_its_own_gates_dealt_out_anew_as_controls_and_no_others():
    for scheme in (ReadoutCredit([Likelihood()]), StepValidity(weights=False)):
        controls = credit_controls(scheme, tiny_policy(), draws=2)
        assert list(controls) == ["random gate 0", "random gate 1"]
        assert all(isinstance(control, RandomGate) and control.scheme is scheme for control in controls.values())


def test_controls_differ_from_the_scheme_in_what_they_read_and_in_nothing_else():
    policy = tiny_policy()
    generator = torch.Generator().manual_seed(0)
    encoder_DF = torch.randn(policy.d_model, 12, generator=generator)
    zeros_F = torch.zeros(12)
    tsae = TSAE(encoder_DF, zeros_F, encoder_DF.T.clone(), torch.zeros(policy.d_model), zeros_F + 0.1, (12,), layer=1)
    rows = [make_rollout(1, length=6, sample=i, valid=bool(i % 2), roles=ROLES, format="steps") for i in range(30)]
    labels_of = [Likelihood(), Latents(tsae, 1)]
    scheme = ReadoutCredit(
        labels_of, audits=5, threshold=1.5, ridge=0.3, labels=label_rollouts(labels_of, policy, rows), refit_every=3
    )
    controls = credit_controls(scheme, policy, rows, audited=rows, draws=2)
    assert list(controls) == [
        "nothing", "format", "completeness", "text", "text alone", "residual", "random dictionary 0",
        "random dictionary 1", "permuted 0", "permuted 1", "random gate 0", "random gate 1",
    ]  # fmt: skip
    for name, control in controls.items():
        if isinstance(control, RandomGate):
            assert control.scheme is scheme
            continue
        for setting in ("reader", "audits", "refit_every", "memory", "threshold", "penalty", "ridge"):
            assert getattr(control, setting) == getattr(scheme, setting), name
        readable = 0 if name == "completeness" else 30  # the depth of these problems is not known
        assert len(control.labels) == readable
    reads = {
        name: [source.name for source in control.sources]
        for name, control in controls.items()
        if not name.startswith("random")
    }
    assert reads == {
        "nothing": ["likelihood"], "format": ["likelihood", "format"], "text": ["likelihood", "text"],
        "completeness": ["likelihood", "completeness"], "text alone": ["text"], "residual": ["likelihood", "residual"],
        "permuted 0": ["likelihood", "permuted latents"], "permuted 1": ["likelihood", "permuted latents"],
    }  # fmt: skip
    batch = RolloutBatch.from_rollouts([*rows[:6], make_rollout(0), make_rollout(0)], 4, base=policy)
    for control in controls.values():
        check_scheme(control, policy)
        control.observe(batch)
        control(batch).validate(batch)


def latents_of(policy, width: int = 12) -> TSAE:
    encoder_DF = torch.randn(policy.d_model, width, generator=torch.Generator().manual_seed(0))
    zeros_F = torch.zeros(width)
    return TSAE(
        encoder_DF, zeros_F, encoder_DF.T.clone(), torch.zeros(policy.d_model), zeros_F + 0.1, (width,), layer=1
    )


def rows_of_problems(n: int = 60):
    return [
        make_rollout(1, length=6, problem=str(i), valid=i % 3 == 0, roles=ROLES, format="steps", depth=1)
        for i in range(n)
    ]


def test_controls_begin_with_labels_of_the_same_weight_and_share_and_have_a_range_of_their_own():
    policy, rows = tiny_policy(), rows_of_problems()
    sources = [Likelihood(), Latents(latents_of(policy), 1)]
    labels = with_base_rate(label_rollouts(sources, policy, rows), 0.05, 32)
    scheme = ReadoutCredit(sources, labels=labels, text_range=TextRange.fit(sources, policy, rows))
    for name, control in credit_controls(scheme, policy, rows, audited=rows, draws=1).items():
        if isinstance(control, RandomGate):
            continue
        assert control.labels.weight_A.tolist() == pytest.approx(labels.weight_A.tolist()), name
        assert control.text_range is not None, name
        assert len(control.text_range.mean_F) == control.labels.columns.x_BF.shape[1], name


def test_controls_without_the_labels_of_their_scheme_are_refused():
    policy, rows = tiny_policy(), rows_of_problems()
    sources = [Latents(latents_of(policy), 1)]
    with pytest.raises(BadInput, match="behind the scheme's 60 labels.*got 0"):
        credit_controls(ReadoutCredit(sources, labels=label_rollouts(sources, policy, rows)), policy, rows)
    with pytest.raises(BadInput, match="behind the scheme's 0 labels.*got 60"):
        credit_controls(ReadoutCredit(sources), policy, rows, audited=rows)


def test_the_gate_of_a_replayed_answer_is_dealt_to_nobody():
    rows = [make_rollout(1, valid=i == 0, sample=i) for i in range(4)]
    rows[0] = replace(rows[0], replayed_from=0)
    scheme = StepValidity(weights=False)
    gates = [RandomGate(scheme, seed)(RolloutBatch.from_rollouts(rows, 4)).gate_B.tolist() for seed in range(4)]
    assert gates == [[1, 0, 0, 0]] * 4


def test_the_residual_control_reads_what_the_dictionary_is_made_of_and_nothing_twice():
    policy, rows = tiny_policy(), rows_of_problems()
    of_mlp = replace(latents_of(policy), site="mlp_out")
    (source,) = credit_controls(ReadoutCredit([Latents(of_mlp, 1)]), policy, rows, draws=1)["residual"].sources
    assert isinstance(source, Latents) and source.tsae.site == "mlp_out" and source.tsae.width == 2 * policy.d_model
    both = ReadoutCredit([Residual(1), Latents(latents_of(policy), 1)])
    assert credit_controls(both, policy, rows, draws=1)["residual"].sources == (Residual(1),)
    with pytest.raises(BadInput, match="expected answers of the base, to say how often each latent is active"):
        credit_controls(both, policy)


def test_no_control_reads_the_dictionary_of_an_intention():
    policy, rows = tiny_policy(), rows_of_problems()
    tsae = latents_of(policy)
    scheme = ReadoutCredit([Likelihood(), Latents(tsae, 1), Intention.fit(tsae, 1, policy, rows)])
    reads = {}
    for name, control in credit_controls(scheme, policy, rows, draws=1).items():
        if isinstance(control, ReadoutCredit):
            reads[name] = [source.name for source in control.sources]
            assert not any(getattr(source, "tsae", None) is tsae for source in control.sources), name
            assert name.startswith("random gate") or "with roles" in reads[name], "what it cannot read is left out"
    assert reads["residual"] == ["likelihood", "with roles", "residual", "intention"]
    assert reads["random dictionary 0"] == ["likelihood", "with roles", "latents", "intention"]
    assert reads["permuted 0"] == ["likelihood", "with roles", "permuted latents", "permuted intention"]


def test_selection_pays_the_successes_that_look_best_and_leaves_the_others_out_of_their_groups():
    scheme = taught(ReadoutCredit(FORMATS, ridge=0.01, pay="select", select_share=0.5))
    batch = make_batch()
    credit = scheme(batch).validate(batch)
    assert credit.counts_B is not None and credit.gate_B.tolist() == [1] * 40
    assert credit.counts_B[1::4].all() and not credit.counts_B[3::4].any() and credit.counts_B[::2].all()


def test_a_bonus_goes_to_answers_that_look_valid_where_a_whole_group_failed_and_is_annealed():
    scheme = taught(ReadoutCredit(FORMATS, ridge=0.01, bonus=0.4, bonus_steps=10))

    def bonuses(step: int) -> list[float]:
        formats = ("steps", "direct", "steps", "direct", "steps", "direct", "steps", "direct")
        rows = [make_rollout(i == 7, format=format, step=step, sample=i) for i, format in enumerate(formats)]
        batch = RolloutBatch.from_rollouts(rows, 4)
        bonus_B = scheme(batch).validate(batch).bonus_B
        assert bonus_B is not None
        return bonus_B.tolist()

    assert bonuses(0) == pytest.approx([0.4, 0, 0.4, 0, 0, 0, 0, 0], abs=0.03)
    assert bonuses(5) == pytest.approx([0.2, 0, 0.2, 0, 0, 0, 0, 0], abs=0.03)
    assert bonuses(10) == bonuses(11) == [0] * 8


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_a_bonus_is_less_than_what_a_success_gets_that_looks_as_valid(threshold):
    scheme = taught(ReadoutCredit(FORMATS, ridge=0.01, bonus=0.9, threshold=threshold))
    rows = [make_rollout(i >= 8, format=("steps", "direct")[i % 2], sample=i) for i in range(16)]
    batch = RolloutBatch.from_rollouts(rows, 4)
    credit = scheme(batch).validate(batch)
    assert credit.bonus_B is not None
    assert torch.allclose(credit.bonus_B[:8], 0.9 * credit.gate_B[8:]), "the same formats in the same order"
    assert credit.bonus_B[0] > 0 and not credit.bonus_B[8:].any()


def test_where_a_bonus_is_given_a_failure_that_cannot_be_read_is_left_out():
    rows = [make_rollout(0, depth=None if i == 2 else 0, sample=i) for i in range(4)]
    batch = RolloutBatch.from_rollouts([*rows, *(make_rollout(1, depth=0, sample=i) for i in range(4, 8))], 4)
    credit = ReadoutCredit([Completeness()], bonus=0.4)(batch).validate(batch)
    assert credit.counts_B is not None and credit.counts_B.tolist() == [True, True, False, *[True] * 5]
    assert ReadoutCredit([Completeness()])(batch).counts_B is None


def test_the_threshold_is_lower_where_something_is_known_before_the_run():
    labels = label_rollouts(FORMATS, None, make_batch().rollouts[1::2])
    assert ReadoutCredit(FORMATS).threshold == 1.0 and ReadoutCredit(FORMATS, labels=labels).threshold == 0.5
    assert ReadoutCredit(FORMATS, labels=labels, threshold=1.0).threshold == 1.0


def test_only_successes_are_audited_also_where_failures_are_read():
    rows = [make_rollout(0, sample=i) for i in range(4)] + [make_rollout(1, valid=True, sample=i) for i in range(4)]
    scheme = ReadoutCredit(FORMATS, bonus=0.4, audits=8)
    scheme.observe(RolloutBatch.from_rollouts(rows, 4))
    assert scheme._readout.audited.is_valid_A.tolist() == [True] * 4


def test_texts_outside_the_range_of_the_base_are_paid_nothing_but_can_lose():
    class Nothing:
        def contains(self, columns):
            return torch.zeros(len(columns.x_BF), dtype=torch.bool)

    scheme = taught(ReadoutCredit(FORMATS, ridge=0.01, threshold=1.0, penalty=1.0))
    scheme.text_range = Nothing()  # type: ignore[assignment]
    credit = scheme(make_batch())
    gate_B = credit.gate_B
    assert credit.facts["outside_share"] == 1
    assert gate_B[1::4].tolist() == [0] * 10 and gate_B[3::4].max() < -0.4


def test_a_warning_says_that_the_deviation_of_a_group_undoes_graded_gates(tmp_path):
    with pytest.warns(UserWarning, match='set scale to "none"'):
        train_tiny(tmp_path / "run", small_config(steps=1), credit=ReadoutCredit([Likelihood()]), progress=False)


class NeverValid(FirstWord):
    def verify(self, problem, completion):
        return replace(super().verify(problem, completion), valid=False)


def test_a_run_waits_for_the_first_labels_and_does_not_stop_for_want_of_signal(tmp_path):
    """Of these rewards none is valid, so nothing is ever paid; a credit that pays nothing otherwise stops the run."""
    config, task = small_config(steps=6, patience=2, scale="none"), NeverValid()
    scheme = ReadoutCredit([Likelihood()])
    run = train_tiny(tmp_path / "run", config, task=task, credit=scheme, progress=False)
    assert [line["mixed_groups"] for line in run.metrics()] == [0] * 7
    assert scheme.is_waiting and not taught(ReadoutCredit(FORMATS)).is_waiting
    with pytest.raises(NoSignal):
        train_tiny(tmp_path / "oracle", config, task=task, credit=StepValidity(weights=False), progress=False)


def test_what_was_put_back_is_paid_as_valid():
    scheme = taught(ReadoutCredit(FORMATS, ridge=0.01))
    batch = make_batch()
    rows = list(batch.rollouts)
    rows[3] = replace(rows[3], valid=True, replayed_from=0)
    assert scheme(batch).gate_B[3] < 0.01 and scheme(replace(batch, rollouts=rows)).gate_B[3] > 0.4


def test_numbers_that_never_differ_do_not_lessen_the_say_of_a_source():
    rows = make_batch().rollouts[1::2]
    alone = label_rollouts([Format(("steps",))], None, rows).fit(1.0)
    beside = label_rollouts([Format(("steps", "values", "other"))], None, rows).fit(1.0)
    assert float(alone.weight_F[0]) == pytest.approx(float(beside.weight_F[0]))


@pytest.mark.parametrize("pay", ["graded", "select"])
def test_answers_that_were_put_back_change_nothing_of_what_the_others_are_paid(pay):
    scheme = taught(ReadoutCredit(FORMATS, ridge=0.01, pay=pay, threshold=0.5))
    batch = make_batch()
    back = [make_rollout(1, valid=True, format="steps", replayed_from=0, sample=at) for at in range(8)]
    both = RolloutBatch.from_rollouts([*batch.rollouts, *back], 4)
    own, beside = scheme(batch), scheme(both)
    assert beside.gate_B[:40].equal(own.gate_B) and bool((beside.gate_B[40:] > 0).all())
    if pay == "select":
        assert own.counts_B is not None and beside.counts_B is not None
        assert beside.counts_B[:40].equal(own.counts_B) and bool(beside.counts_B[40:].all())
    only = scheme(RolloutBatch.from_rollouts(back, 4))
    assert only.gate_B.tolist() == [1.0] * 8, "no success of its own, whose mean could be the unit"


def test_a_batch_is_read_again_by_another_reader():
    scheme = ReadoutCredit([Likelihood()])
    batch = replace(make_batch(), base=tiny_policy())
    first = scheme._read(batch)[1].x_BF
    assert not torch.equal(first, scheme._read(replace(batch, base=tiny_policy(seed=1)))[1].x_BF)


@pytest.mark.parametrize("scheme", [Uniform(), StepValidity(gate=False), StepValidity()])
def test_controls_of_credit_that_reads_nothing_and_has_no_gate_are_refused(scheme):
    with pytest.raises(BadInput, match=f"got {type(scheme).__name__}: what would its controls control"):
        credit_controls(scheme, tiny_policy())
