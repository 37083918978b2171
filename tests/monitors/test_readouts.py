"""Monitors of a readout: the parting of two readers, agreement with a judge, precision of the pay; all by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout
from monitors_fixtures import CHAIN_ROLES, Flag, dictionary, monitored_run, monitored_step
from scipy.stats import spearmanr

from interp.artifacts import BadInput, Mismatch
from interp.credit import ReadoutCredit, RolloutBatch, StepValidity
from interp.monitors import FrozenLive, Judge, PayPrecision, Watch, judge_over, usual_monitors
from interp.monitors.paid import own_successes, rank_correlation
from interp.readouts import (
    DictionaryError,
    ErrorRange,
    Intention,
    Latents,
    Lens,
    Likelihood,
    TextCounts,
    label_rollouts,
    read_columns,
)
from interp.readouts.columns import Origin

STEPS, LONG = Flag(lambda row: row.format == "steps"), Flag(lambda row: row.depth == 1)
"""What the readout that pays reads, and what its judge reads."""


def successes(pattern: str, *, n: int = 24):
    """Successes in pairs with failures. Each letter of the pattern is a kind of success, in turn: `v` valid and read as
    such by both, `l` lucky and read as such by both, `f` lucky, but it fools the readout that pays."""
    kinds = {"v": (True, "steps", 1), "l": (False, "direct", 0), "f": (False, "steps", 0)}
    rows = []
    for i in range(n):
        valid, format, depth = kinds[pattern[i % len(pattern)]]
        rows += [make_rollout(1, valid=valid, format=format, depth=depth, sample=i, problem=str(i)), make_rollout(0)]
    return rows


def paying(**changes):
    return ReadoutCredit([STEPS], **{"ridge": 0.01, "audits": 24, "refit_every": 1, "memory": 10_000} | changes)


def errors_of(tsae):
    """The range of a dictionary that explains every text well enough."""
    return ErrorRange(DictionaryError(tsae, 1), 1e9, Origin())


def begun_late(monitor, scheme, steps=1):
    """The monitor as it is when a run that is paid by the scheme is continued with it after so many steps."""
    for step in range(steps):
        scheme.observe(monitored_step(step, successes("vl")).batch)
    again = scheme.fresh()
    watch = Watch([monitor], [{}], monitored_run(again))
    again.load_state(scheme.state())
    watch.load_state({}, {})
    return watch.monitors[0], again


# --- what they share -------------------------------------------------------------------------------------------------


def test_successes_are_those_that_the_policy_wrote_itself_and_a_sample_of_them_is_the_same_every_time():
    rows = [make_rollout(1), make_rollout(0), make_rollout(1, length=0), make_rollout(1, replayed_from=0)]
    rows += [make_rollout(1, sample=i) for i in range(20)]
    batch = RolloutBatch.from_rollouts(rows, 2)
    assert own_successes(batch) == [0, *range(4, 24)] and own_successes(batch, 99) == own_successes(batch)
    some = own_successes(batch, 5)
    assert len(some) == 5 and some == sorted(some) and some == own_successes(batch, 5)
    assert some != own_successes(replace(batch, seed=1), 5)


def test_rank_correlation_by_hand():
    x = torch.tensor([0.1, 0.2, 0.3])
    assert rank_correlation(x, torch.tensor([1.0, 8.0, 9.0])) == pytest.approx(1)
    assert rank_correlation(x, torch.tensor([9.0, 8.0, 1.0])) == pytest.approx(-1)
    assert rank_correlation(x, torch.tensor([2.0, 1.0, 3.0])) == pytest.approx(0.5)
    assert rank_correlation(x, torch.ones(3)) is None and rank_correlation(x[:1], x[:1]) is None


# --- frozen against live ---------------------------------------------------------------------------------------------

BASE, OTHER = tiny_policy(), tiny_policy(seed=1)
ROWS = [
    make_rollout(i % 2, sample=i, valid=i % 4 == 1, tokens=tuple(4 + (7 * i + 3 * j) % 20 for j in range(4)))
    for i in range(24)
]


def observe_both(monitor, scheme=None, *, live=OTHER, step=0):
    running = monitor.fresh(monitored_run(scheme, base=BASE))
    return running.observe(monitored_step(step, ROWS, scheme=scheme, base=BASE, policy=live))


def test_the_same_policy_reads_the_same_and_another_does_not():
    same, other = (observe_both(FrozenLive([Likelihood()]), live=live) for live in (BASE, OTHER))
    assert same.value == pytest.approx(1) and same.numbers == {"gap": 0, "gap_share": 0} and not same.is_alarm
    assert other.value < 1 and other.numbers["gap"] > 0


def test_the_parting_of_what_is_read_by_hand():
    successful = [row for row in ROWS if row.reward > 0]
    base, live = (read_columns([Likelihood()], reader, successful).x_BF for reader in (BASE, OTHER))
    found = observe_both(FrozenLive([Likelihood()]))
    assert found.value == pytest.approx(np.mean([spearmanr(base[:, i], live[:, i]).statistic for i in range(2)]))
    assert found.numbers["gap"] == pytest.approx(float((live - base).abs().mean()))
    assert found.numbers["gap_share"] == pytest.approx(float((live - base).abs().sum() / base.abs().sum()))
    assert observe_both(FrozenLive([Likelihood()], least_correlation=found.value + 0.01)).is_alarm
    assert not observe_both(FrozenLive([Likelihood()], least_correlation=found.value - 0.01)).is_alarm


def test_probabilities_of_a_readout_are_compared_as_it_gives_them():
    scheme = ReadoutCredit([Likelihood()], audits=12, ridge=1e-3)
    found = observe_both(FrozenLive(), scheme)
    successful = [row for row in ROWS if row.reward > 0]
    p_base, p_live = (scheme.probability(read_columns(scheme.sources, reader, successful)) for reader in (BASE, OTHER))
    assert found.value == pytest.approx(spearmanr(p_base, p_live).statistic) and abs(found.value) < 1
    gap = float((p_live - p_base).abs().mean())
    assert found.numbers == {"gap": pytest.approx(gap), "gap_share": pytest.approx(gap / float(p_base.mean()))}


def test_latents_that_part_are_measured_without_a_readout_that_pays():
    rows = [
        make_rollout(1, length=2, roles=("result", "marker"), sample=i, prompt_ids=(9, 24, 4 + i)) for i in range(10)
    ]
    monitor = FrozenLive([Latents(dictionary(BASE), 1)]).fresh(monitored_run(base=BASE))
    same, other = (monitor.observe(monitored_step(0, rows, base=BASE, policy=live)) for live in (BASE, OTHER))
    assert same.value == pytest.approx(1) and other.value < 0.9


def test_an_order_is_lost_where_the_policy_reads_all_texts_alike_and_there_is_none_where_the_base_does():
    """A policy whose logits are all zero finds every token as likely as any other."""
    uniform = tiny_policy(seed=1)
    uniform.model.lm_head.weight.data.zero_()
    lost = observe_both(FrozenLive([Likelihood()]), live=uniform)
    assert lost.value == 0 and lost.is_alarm and lost.numbers["gap"] > 0
    monitor = FrozenLive([Likelihood()]).fresh(monitored_run(base=uniform))
    assert monitor.observe(monitored_step(0, ROWS, base=uniform, policy=OTHER)) is None


def test_between_its_steps_while_the_readout_waits_and_without_some_successes_nothing_is_measured():
    monitor, waiting = FrozenLive([Likelihood()], every=3), ReadoutCredit([Likelihood()])
    assert [observe_both(monitor, step=step) is None for step in range(5)] == [False, True, True, False, True]
    failed = monitored_step(0, ROWS[:14], base=BASE, policy=OTHER)
    assert monitor.observe(failed) is None
    unjudged = [replace(row, valid=None) for row in ROWS]
    step = monitored_step(0, unjudged, scheme=waiting, base=BASE, policy=OTHER)
    assert FrozenLive().fresh(monitored_run(waiting, base=BASE)).observe(step) is None


def test_readers_of_the_text_alone_or_of_another_base_and_no_steps_are_refused():
    with pytest.raises(BadInput, match="expected sources that read a policy, got text, which read the text alone"):
        FrozenLive().fresh(monitored_run(ReadoutCredit([TextCounts()])))
    with pytest.raises(BadInput, match=r"credit by a readout .*, got StepValidity: leave the monitor out"):
        FrozenLive().fresh(monitored_run(StepValidity()))
    with pytest.raises(Mismatch, match="d_model"):
        FrozenLive([Latents(dictionary(tiny_policy(hidden_size=16)), 1)]).fresh(monitored_run(base=BASE))
    with pytest.raises(BadInput, match="every must be at least 1; got 0"):
        FrozenLive(every=0)


# --- judge -----------------------------------------------------------------------------------------------------------


def judged(patterns, *, every=1, memory=0.0, **settings):
    """What a judge measures at steps with these kinds of successes."""
    scheme = paying()
    monitor = Judge(replace(scheme, sources=[LONG]), every=every, memory=memory, **settings).fresh(
        monitored_run(scheme)
    )
    rows = [monitored_step(step, successes(pattern), scheme=scheme) for step, pattern in enumerate(patterns)]
    return [monitor.observe(row) for row in rows]


def test_a_judge_that_would_pay_the_same_agrees_wholly():
    found = judged(["vl", "vl"])[-1]
    assert found.value == pytest.approx(1) and found.numbers == {
        "agreement": 1, "chance": 0.5, "rank_correlation": pytest.approx(1)
    }  # fmt: skip
    assert not found.is_alarm


def test_agreement_beyond_chance_falls_when_training_finds_what_fools_the_readout_alone():
    """Of three successes that look alike to the readout one is valid, so a third of the pay is agreed on; the judge
    would pay one success in four."""
    *before, after = judged(["vl"] * 4 + ["vffl"], limit=0.25)
    assert [one.is_alarm for one in before] == [False] * 4
    assert after.numbers["agreement"] == pytest.approx(1 / 3) and after.numbers["chance"] == pytest.approx(1 / 4)
    assert after.value == pytest.approx((1 / 3 - 1 / 4) / (3 / 4)) and after.is_alarm


def test_measurements_are_forgotten_by_and_by():
    values = [one.numbers["agreement"] for one in judged(["vl"] * 2 + ["vffl"], memory=0.5)]
    assert values == pytest.approx([1, 1, (0.25 + 0.5 + 1 / 3) / 1.75])


def test_a_judge_audits_what_the_readout_audits_at_every_step_and_is_compared_at_some():
    scheme = paying(audits=3)
    monitor = Judge(replace(scheme, sources=[LONG]), every=2).fresh(monitored_run(scheme))
    measured = []
    for step in range(4):
        measured.append(monitor.observe(monitored_step(step, successes("vllf"), scheme=scheme)) is not None)
        ours, theirs = monitor.readout.state(), scheme.state()
        assert ours["is_valid_A"].equal(theirs["is_valid_A"]) and len(ours["is_valid_A"]) == 3 * (step + 1)
    assert measured[1::2] == [False, False]


def test_a_judge_resumes_with_what_it_has_learned():
    scheme, again = paying(), paying()
    first, second = (Judge(replace(one, sources=[LONG])).fresh(monitored_run(one)) for one in (scheme, again))
    for step in range(3):
        first.observe(monitored_step(step, successes("vl"), scheme=scheme))
    again.load_state(scheme.state())
    second.load_state(first.state())
    last = [
        one.observe(monitored_step(5, successes("vffl"), scheme=pays))
        for one, pays in ((first, scheme), (second, again))
    ]
    assert last[0] == last[1] is not None


def test_a_judge_of_other_settings_labels_layer_dictionary_or_base_is_refused():
    tsae, other = dictionary(BASE), dictionary(BASE, seed=1)
    latents = ReadoutCredit([Latents(tsae, 1)])
    labels = label_rollouts([STEPS], None, successes("vl")[::2])
    others = label_rollouts([LONG], None, successes("vl", n=25)[2::2])
    of_other_base = replace(other, made_from={"policy-0": "another"})
    cases = [
        (paying(), replace(paying(), sources=[LONG], audits=5), "expected a judge with the audits of the readout"),
        (paying(labels=labels), replace(paying(), sources=[LONG]), "a judge with the 24 labels .*; got 0"),
        (paying(labels=labels), replace(paying(), sources=[LONG], labels=others), "labels .*; got 24 of other texts"),
        (latents, ReadoutCredit([Latents(dictionary(BASE, layer=2), 2)]), "reads latents at layer 1, .*, got layer 2"),
        (
            latents,
            ReadoutCredit([Latents(tsae, 1)]),
            "expected a judge over another dictionary, got the one at layer 1",
        ),
        (latents, ReadoutCredit([Latents(of_other_base, 1)]), "this dictionary was fitted on other policies"),
        (StepValidity(), latents, "expected credit by a readout .*, got StepValidity"),
    ]
    for paid, judge, message in cases:
        with pytest.raises(BadInput, match=message):
            Judge(judge).fresh(monitored_run(paid, base=BASE))
    Judge(ReadoutCredit([Latents(other, 1)])).fresh(monitored_run(latents, base=BASE))
    with pytest.raises(BadInput, match=r"expected a ReadoutCredit, .*: interp.monitors.judge_over\(credit, tsae\)"):
        Judge(tsae)


def test_a_judge_that_begins_after_audits_that_it_has_not_read_is_refused():
    scheme = paying()
    judge = Judge(replace(scheme, sources=[LONG]))
    assert begun_late(judge, scheme, steps=0)[0].readout.is_waiting
    with pytest.raises(BadInput, match=r"judge expected a run at its beginning, got .* audited 24 successes .*: go on"):
        begun_late(judge, scheme)


def test_a_judge_over_another_dictionary_differs_in_it_alone():
    tsae, other = dictionary(BASE), dictionary(BASE, seed=1)
    sources = [Likelihood(), Latents(tsae, 1, before_threshold=True)]
    scheme = ReadoutCredit(sources, audits=3, error_range=errors_of(tsae))
    judge = judge_over(scheme, other)
    assert judge.error_range is None, "what the first dictionary does not explain is no matter of the second"
    assert judge.audits == 3 and judge.sources[0] == scheme.sources[0]
    assert judge.sources[1].tsae is other and judge.sources[1].before_threshold
    chains = [make_rollout(1, length=6, sample=i, valid=i > 1, roles=CHAIN_ROLES) for i in range(4)]
    labeled = replace(scheme, labels=label_rollouts(scheme.sources, BASE, chains))
    lens = Intention(tsae, 1, Lens(torch.zeros(12, 1), torch.zeros(1), (4,)))
    cases = [
        (ReadoutCredit([Likelihood()]), other, "expected credit by a readout of latents"),
        (labeled, other, "without labels from before the run, got one with 4"),
        (scheme, dictionary(BASE, layer=2), "dictionary of layer 1, .*, got one of layer 2: fit one at that layer"),
        (ReadoutCredit([Latents(tsae, 1), lens]), other, "got one that reads intention"),
    ]
    for paid, dictionary_of_judge, message in cases:
        with pytest.raises(BadInput, match=message):
            judge_over(paid, dictionary_of_judge)


# --- precision of the pay --------------------------------------------------------------------------------------------


def precision(patterns, scheme=None, **settings):
    scheme = scheme or paying()
    monitor = PayPrecision(**{"least_paid": 1} | settings).fresh(monitored_run(scheme))
    rows = (monitored_step(step, successes(pattern), scheme=scheme) for step, pattern in enumerate(patterns))
    return [monitor.observe(row) for row in rows]


def test_audits_test_the_fit_that_has_not_seen_them():
    first, second, third = precision(["vl", "vl", "vl"])
    assert first is None  # no fit has seen a label before the first step
    assert second.value == third.value == pytest.approx(1) and second.limit == pytest.approx(0.5)
    assert second.numbers == {"invalid_share": 0, "paid": 12} and not second.is_alarm


def test_precision_by_hand_when_lucky_answers_learn_to_look_valid():
    """Of the window's 24 audits 18 look valid, of which 6 are: a third of the pay, while a quarter is valid."""
    *_, last = precision(["vl", "vl", "vffl"], window=24)
    assert last.value == pytest.approx(1 / 3) and last.limit == pytest.approx(1 / 4) and not last.is_alarm


def test_a_readout_that_prefers_invalid_answers_is_an_alarm_and_a_steady_one_is_not():
    turned = replace_valid("fffl")
    scheme = paying()
    monitor = PayPrecision(window=24, least_paid=6).fresh(monitored_run(scheme))
    found = [monitor.observe(monitored_step(step, successes("vl"), scheme=scheme)) for step in range(5)]
    assert [None if one is None else one.is_alarm for one in found] == [None, False, False, False, False]
    last = monitor.observe(monitored_step(5, turned, scheme=scheme))
    assert last.value == 0 and last.limit == pytest.approx(0.25) and last.is_alarm


def replace_valid(pattern):
    """The successes of a pattern, with those valid that look lucky."""
    return [replace(row, valid=row.format == "direct") if row.reward else row for row in successes(pattern)]


def test_pay_by_selection_counts_the_share_that_is_paid():
    *_, last = precision(["vl", "vl"], paying(pay="select", select_share=0.75))
    assert last.value == pytest.approx(12 / 18) and last.numbers["paid"] == 18


def test_too_few_paid_or_valid_audits_are_no_measurement():
    assert precision(["vl"] * 3, least_valid=13, window=24)[-1] is None
    assert precision(["vl"] * 3, least_valid=12, window=24)[-1] is not None
    assert precision(["vl"] * 3, least_paid=13, window=24)[-1] is None
    assert precision(["vl"] * 3, least_paid=12, window=24)[-1] is not None


def test_audits_that_memory_lets_go_are_counted_all_the_same():
    found = precision(["vl"] * 4, paying(memory=10))
    assert [None if one is None else one.numbers["paid"] for one in found] == [None, 5, 10, 15]


def test_precision_resumes_where_it_was():
    scheme, again = paying(), paying()
    first, second = (PayPrecision(least_paid=1).fresh(monitored_run(one)) for one in (scheme, again))
    for step in range(2):
        first.observe(monitored_step(step, successes("vl"), scheme=scheme))
    again.load_state(scheme.state())
    second.load_state(first.state())
    last = [
        one.observe(monitored_step(2, successes("vffl"), scheme=pays))
        for one, pays in ((first, scheme), (second, again))
    ]
    assert last[0] == last[1] is not None


def test_labels_from_before_the_run_let_the_first_audits_count():
    labels = label_rollouts([STEPS], None, successes("vl")[::2])
    assert precision(["vl"], paying(labels=labels))[0].value == pytest.approx(1)


def test_begun_in_the_middle_it_tests_the_audits_after_that_by_the_fit_in_use_then():
    """The labels from before the run say that `direct` is valid, the audits of the first three steps the opposite."""
    turned = [replace(row, valid=not row.valid) for row in successes("vl")[::2]]
    scheme = paying(labels=label_rollouts([STEPS], None, turned), threshold=1.0)
    monitor, again = begun_late(PayPrecision(least_paid=1), scheme, steps=3)
    found = monitor.observe(monitored_step(3, successes("vl"), scheme=again))
    assert found.numbers["paid"] == 12 and found.value == pytest.approx(1)
    assert "of the last 24 audits" in found.text


def test_a_readout_that_does_not_pay_what_a_dictionary_fails_to_explain_is_refused():
    scheme = paying(error_range=errors_of(dictionary(BASE)))
    with pytest.raises(BadInput, match="pay_precision expected a readout without error_range, .*: leave the monitor"):
        PayPrecision().fresh(monitored_run(scheme))
    assert "pay_precision" not in [monitor.name for monitor in usual_monitors(scheme)]
    assert "pay_precision" in [monitor.name for monitor in usual_monitors(paying())]


def test_pay_precision_is_refused_without_a_readout():
    with pytest.raises(BadInput, match="pay_precision expected credit by a readout .*, got plain GRPO"):
        PayPrecision().fresh(monitored_run())
