"""A readout as an artifact: fitted on a policy's own answers, tested on others, and the same after a round trip."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from readouts_fixtures import make_dictionary

from interp.artifacts import BadInput, Mismatch, spec_of
from interp.credit import ReadoutCredit
from interp.credit.base import check_scheme
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.readouts import (
    Completeness,
    Format,
    Intention,
    Labels,
    Latents,
    Likelihood,
    Readout,
    ReadoutConfig,
    Residual,
    TextCounts,
    fit_readout,
    label_rollouts,
)
from interp.readouts import fit as fit
from interp.readouts.controls import Permuted
from interp.readouts.halves import halves_of_problems
from interp.rollouts import Rollouts, roll_out

FEW = ReadoutConfig(levels=(2, 3), problems=12, group=4, test_problems=12, test_group=8, rows=512)


@pytest.fixture(scope="module")
def organism():
    return Policy.load(shipped_path(), device="cpu")


@pytest.fixture(scope="module")
def task():
    """The task of the organism, as far as depth 3."""
    return replace(load_task(shipped_path()), depths=(1, 3), shallow=(1,), middle=(2,), deep=(3,))


@pytest.fixture(scope="module")
def rollouts(organism, task):
    problems = [problem for depth in (1, 2, 3) for problem in task.problems("train", depth, 16)]
    return roll_out(organism, task, problems, SampleConfig(group=4, rows=512), progress=False)


@pytest.fixture(scope="module")
def dictionary(organism):
    return make_dictionary(organism.d_model, 24, layer=2)


@pytest.fixture(scope="module")
def all_sources(organism, rollouts, dictionary):
    """One of every kind that can be stored."""
    intention = Intention.fit(dictionary, 2, organism, rollouts)
    latents = Latents(dictionary, 2, before_threshold=True)
    return (Likelihood(), Residual(1), latents, intention, Format(("steps", "direct")), Completeness(), TextCounts(16))


@pytest.fixture(scope="module")
def fitted(organism, task):
    return fit_readout(["likelihood", "completeness"], organism, task, FEW, progress=False)


# --- scoring -----------------------------------------------------------------------------------------------------


def test_the_probability_is_that_of_the_regression_on_what_is_read(organism, rollouts, all_sources):
    successes = [row for row in rollouts if row.reward > 0]
    labels = label_rollouts(all_sources, organism, successes)
    readout = Readout(all_sources, labels, ReadoutConfig(ridge=0.5))
    expected = labels.fit(0.5).log_odds(label_rollouts(all_sources, organism, successes).columns.x_BF)
    got = readout.log_odds(organism, successes)
    assert torch.allclose(got[~got.isnan()], expected) and int(got.isnan().sum()) == len(successes) - len(labels)
    assert torch.allclose(readout.probability(organism, successes).nan_to_num(0.5), got.sigmoid().nan_to_num(0.5))


def test_another_policy_is_refused_as_a_reader(rollouts, fitted):
    with pytest.raises(Mismatch, match="expected labels read by"):
        fitted.log_odds(tiny_policy(), list(rollouts)[:2])


def test_labels_of_one_kind_are_refused(organism, rollouts):
    valid = [row for row in rollouts if row.valid]
    with pytest.raises(BadInput, match=rf"got {len(valid)} valid of {len(valid)}"):
        Readout((Likelihood(),), label_rollouts([Likelihood()], organism, valid))
    with pytest.raises(BadInput, match="got 0 valid of 0"):
        Readout((Likelihood(),), Labels())


# --- fitting -----------------------------------------------------------------------------------------------------


def test_it_is_calibrated_to_the_share_of_valid_successes_where_it_is_to_be_used(organism, task, fitted):
    problems = [problem for depth in (2, 3) for problem in task.problems("train", depth, 12)]
    rows = roll_out(organism, task, problems, FEW.sampling(4), purpose="labels", progress=False)
    successes = [row for row in rows if row.reward > 0]
    share = (sum(bool(row.valid) for row in successes) + 1) / (len(successes) + 2)
    labels = fitted.labels
    assert float(labels.weight_A.sum()) == pytest.approx(32)
    assert float(labels.weight_A[labels.is_valid_A].sum()) / 32 == pytest.approx(share, abs=0.1)


def test_a_stated_rate_and_weight_are_taken(organism, task):
    config = replace(FEW, levels=(2,), rate=0.25, weight=8.0, edits=False)
    labels = fit_readout(["text"], organism, task, config, progress=False).labels
    assert float(labels.weight_A.sum()) == pytest.approx(8)
    assert float(labels.weight_A[labels.is_valid_A].sum()) == pytest.approx(2)


def test_it_is_tested_on_held_out_problems_of_its_levels(fitted):
    assert [test.level for test in fitted.tests] == ["all", "2", "3"]
    whole, *parts = fitted.tests
    assert whole.successes == sum(part.successes for part in parts) > 0 < whole.valid < whole.successes
    assert whole.auroc.value > 0.9 and whole.auroc.low > 0.8, "completeness and likelihood tell nearly all"
    assert whole.top_valid > whole.valid / whole.successes
    assert fitted.summary().height == 3
    valid_share = whole.valid / whole.successes
    assert abs(whole.mean_probability - valid_share) < 0.15 and whole.brier < valid_share * (1 - valid_share)


def test_it_can_be_fitted_for_problems_such_as_those_of_a_bucket(monkeypatch, organism, task):
    """Half of them are labelled, and the rest test it; those are not among the other labels."""
    asked = {}
    roll_out = fit.roll_out

    def remember(policy, task, problems, sampling, *, purpose, **options):
        asked[purpose] = [problem.id for problem in problems]
        return roll_out(policy, task, problems, sampling, purpose=purpose, **options)

    monkeypatch.setattr(fit, "roll_out", remember)
    problems, config = task.problems("train", 3, 16), replace(FEW, levels=(), problems=6, test_group=16)
    readout = fit_readout(["likelihood", "text"], organism, task, config, problems=problems, progress=False)
    labelled, held_out = ([problem.id for problem in half] for half in halves_of_problems(problems))
    assert asked["test"] == held_out and not {*asked["labels"]} & {*held_out}
    assert {*labelled[:6]} <= {*asked["labels"]} and len(asked["labels"]) > 12
    assert [test.level for test in readout.tests] == ["all", "3"]
    with pytest.raises(BadInput, match="expected problems or levels to say where"):
        fit_readout(["text"], organism, task, FEW, problems=problems, progress=False)
    with pytest.raises(BadInput, match="expected two problems or more, .*; got 1"):
        fit_readout(["text"], organism, task, config, problems=problems[:1], progress=False)


def test_a_lens_is_fitted_on_answers_that_are_no_labels(monkeypatch, organism, task, dictionary):
    seen = []
    monkeypatch.setattr(fit, "make_source", lambda *args: seen.append(args[2]) or Likelihood())
    small = replace(FEW, problems=8, test_problems=2, test_group=2, edits=False)
    fit_readout(["intention"], organism, task, small, tsae=dictionary, progress=False)
    alone = fit_readout(["likelihood"], organism, task, small, progress=False)
    of_lens, of_labels = ({row.problem for row in rows} for rows in seen)
    assert len(of_lens) == len(of_labels) / 2 and of_lens < of_labels and len(alone.labels) > 0


def test_edits_end_where_the_answers_were_told_to(monkeypatch, organism, task):
    """The stop text is one that no answer holds."""
    formats = []
    edits = fit.lucky_edits
    monkeypatch.setattr(
        fit, "lucky_edits", lambda *args, **options: formats.append(options["prompt_format"]) or edits(*args, **options)
    )
    fit_readout(["text"], organism, task, replace(FEW, stop=("never",), levels=(2,)), progress=False)
    assert [each.stop for each in formats] == [("never",)]


def test_sources_and_their_names_give_the_same(organism, task, fitted):
    again = fit_readout([Likelihood(), Completeness()], organism, task, FEW, progress=False)
    assert again.fingerprint() == fitted.fingerprint() and again.tests == fitted.tests


def test_every_name_makes_its_source(organism, task, dictionary):
    names = ["likelihood", "text", "completeness", "format", "residual", "latents", "pre-activations", "intention"]
    small = replace(FEW, problems=8, test_problems=2, test_group=2)
    readout = fit_readout(names, organism, task, small, tsae=dictionary, progress=False)
    assert [type(source) for source in readout.sources] == [
        Likelihood, TextCounts, Completeness, Format, Residual, Latents, Latents, Intention,
    ]  # fmt: skip
    residual, latents, pre_activations = readout.sources[4:7]
    assert residual.layer == latents.layer == 2
    assert (latents.before_threshold, pre_activations.before_threshold) == (False, True)


@pytest.mark.parametrize(
    ("read", "options", "message"),
    [
        (["latents"], {}, "expected a dictionary to read latents, got none"),
        (["residual"], {}, "expected the layer at which to read residual, got none"),
        (["likelyhood"], {}, "expected to read some of likelihood, .*; got 'likelyhood'"),
        ([], {}, "expected a list of what to read"),
        ("text", {}, "expected a list of what to read"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_sampled(organism, task, read, options, message):
    with pytest.raises(BadInput, match=message):
        fit_readout(read, organism, task, FEW, progress=False, **options)


def test_a_task_that_judges_no_steps_is_refused(monkeypatch, organism, task, rollouts):
    not_judged = Rollouts([replace(row, valid=None) for row in rollouts], made_from={})
    monkeypatch.setattr("interp.readouts.fit.roll_out", lambda *_, **__: not_judged)
    with pytest.raises(BadInput, match="expected a task whose steps are judged"):
        fit_readout(["text"], organism, task, FEW, progress=False)


# --- on disk -----------------------------------------------------------------------------------------------------


def test_a_readout_of_every_kind_of_source_is_the_same_after_a_round_trip(
    tmp_path, organism, rollouts, dictionary, all_sources
):
    successes = [row for row in rollouts if row.reward > 0]
    readout = Readout(all_sources, label_rollouts(all_sources, organism, successes), made_from={"policy": "p"})
    readout.save(tmp_path / "readout")
    loaded = Readout.load(tmp_path / "readout", dictionaries=[dictionary])
    assert [type(source) for source in loaded.sources] == [type(source) for source in all_sources]
    assert loaded.fingerprint() == readout.fingerprint() and loaded.made_from == {"policy": "p"}
    assert torch.equal(
        loaded.log_odds(organism, successes).nan_to_num(9), readout.log_odds(organism, successes).nan_to_num(9)
    )


def test_ranges_are_fitted_on_the_policys_own_texts_stored_and_taken_by_credit(tmp_path, organism, task, dictionary):
    config = replace(FEW, text_range=True, error_range=True, test_problems=2, test_group=2)
    readout = fit_readout(["likelihood", "latents"], organism, task, config, tsae=dictionary, progress=False)
    readout.save(tmp_path / "readout")
    credit = ReadoutCredit.of(Readout.load(tmp_path / "readout", dictionaries=[dictionary]))
    assert spec_of(credit) == spec_of(ReadoutCredit.of(readout)), "the same credit, with the same ranges"
    columns = readout.labels.columns
    assert torch.equal(credit.text_range.contains(columns), readout.text_range.contains(columns))
    assert credit.error_range.limit == readout.error_range.limit > 0
    check_scheme(credit, organism)


def test_a_range_of_errors_without_a_dictionary_is_refused(organism, task):
    with pytest.raises(BadInput, match="expected a dictionary and its layer for a range of errors"):
        fit_readout(["text"], organism, task, replace(FEW, error_range=True), progress=False)


def test_tests_and_config_are_stored(tmp_path, fitted):
    fitted.save(tmp_path / "readout")
    loaded = Readout.load(tmp_path / "readout", made_from={"policy": fitted.made_from["policy"]})
    assert loaded.tests == fitted.tests and loaded.config == fitted.config
    with pytest.raises(Mismatch, match="policy"):
        Readout.load(tmp_path / "readout", made_from={"policy": "another"})


def test_a_missing_or_another_dictionary_is_refused(tmp_path, organism, rollouts, dictionary):
    sources = (Latents(dictionary, 2),)
    Readout(sources, label_rollouts(sources, organism, list(rollouts))).save(tmp_path / "readout")
    with pytest.raises(Mismatch, match=r"expected the dictionary that it reads, .*; got none"):
        Readout.load(tmp_path / "readout")
    with pytest.raises(Mismatch, match="expected the dictionary that it reads"):
        Readout.load(tmp_path / "readout", dictionaries=[make_dictionary(organism.d_model, 12, layer=2)])


def test_a_source_of_ones_own_is_refused_when_it_is_stored(tmp_path, organism, rollouts):
    sources = (Permuted(Likelihood(), 0),)
    readout = Readout(sources, label_rollouts(sources, organism, list(rollouts)))
    with pytest.raises(BadInput, match="expected sources that can be stored .*, got Permuted"):
        readout.save(tmp_path / "readout")
    assert not (tmp_path / "readout").exists()


def test_damage_is_refused(tmp_path, fitted):
    fitted.save(tmp_path / "readout")
    file = tmp_path / "readout" / "labels.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadInput, match=r"labels.safetensors"):
        Readout.load(tmp_path / "readout")


# --- credit ------------------------------------------------------------------------------------------------------


def test_credit_begins_with_its_sources_labels_and_ridge(organism, fitted):
    credit = ReadoutCredit.of(replace(fitted, config=replace(fitted.config, ridge=2.0)), audits=4)
    assert credit.labels is fitted.labels and credit.ridge == 2.0 and credit.audits == 4
    assert credit.threshold == 0.5 and ReadoutCredit.of(fitted, threshold=1.0).threshold == 1.0
    assert not credit.is_waiting
    check_scheme(credit, organism)
    with pytest.raises(Mismatch):
        check_scheme(credit, tiny_policy())


def test_labels_of_some_sources_are_those_that_these_would_have_read(organism, rollouts):
    sources = [Likelihood(), Completeness(), TextCounts(8)]
    labels = label_rollouts(sources, organism, list(rollouts))
    part = labels.of_sources([2, 0])
    alone = label_rollouts([sources[2], sources[0]], organism, list(rollouts))
    assert torch.equal(part.columns.x_BF, alone.columns.x_BF) and part.fingerprint() == alone.fingerprint()
    assert len(Labels().of_sources([0])) == 0
