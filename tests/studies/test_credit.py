"""The credit study: its trainings, its measures by hand, and the schemes that it compares."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from interp.credit import FirstErrorReadout, ProcessAdvantage, RandomGate, ReadoutCredit, credit_controls
from interp.organism import shipped_path
from interp.policy import Policy
from interp.readouts import Labels
from interp.studies.credit import CreditConfig, CreditStudy
from interp.studies.credit_claims import CLAIMS
from interp.studies.credit_measures import average_runs, difference_at_equal_kl, valid_at, with_recovery
from interp.studies.credit_runs import (
    ALL,
    DEEP,
    DEFAULT,
    DESIGNS,
    FEATURES,
    INTENTION,
    LATENTS_ALONE,
    LATENTS_WRITTEN,
    LIKELIHOOD,
    LIKELIHOOD_WRITTEN,
    NOT_FITTED,
    ORACLE,
    OTHER_PROCESS,
    OTHER_SPLIT,
    PERMUTED,
    PLAIN,
    PRE_ACTIVATIONS,
    PROCESS,
    RANDOM_GATE,
    RANDOM_INTENTION,
    RANDOM_LATENTS,
    RESIDUAL_INTENTION,
    SELECTED,
    SPLIT,
    STRENGTHS,
    TEXT,
    WITH_DICTIONARY,
    WITHOUT_DICTIONARY,
    Training,
    scheme_of,
    trainings,
)
from interp.studies.credit_strengths import (
    CHOSEN_BY,
    CreditStrengths,
    StrengthsConfig,
    chosen_strengths,
    trial_name,
    trials,
)
from interp.studies.credit_world import World
from interp.studies.results import Observation, Results
from interp.studies.runner import Row
from interp.tsae import TSAE

WRITTEN = (INTENTION, RANDOM_INTENTION, RESIDUAL_INTENTION, LIKELIHOOD_WRITTEN, LATENTS_WRITTEN)
KINDS = {
    RANDOM_GATE: RandomGate, PROCESS: ProcessAdvantage, OTHER_PROCESS: ProcessAdvantage, SPLIT: FirstErrorReadout,
    OTHER_SPLIT: FirstErrorReadout,
}  # fmt: skip
"""Schemes that are no readout themselves."""
RESULTS = Path(__file__).parents[2] / "data" / "results"
SMALL = CreditConfig(seeds=2, repeats=2, dictionaries=3, label_problems=40)


def test_the_features_are_trained_with_every_dictionary_and_the_rest_takes_them_in_turn():
    listed = trainings(SMALL)
    assert len(listed) == len(set(listed)) == 2 * 2 * (len(WITHOUT_DICTIONARY) + len(WITH_DICTIONARY) + 2)
    for problems in (DEEP, ALL):
        of_features = {
            (one.run, one.dictionary) for one in listed if (one.scheme, one.problems) == (FEATURES, problems)
        }
        assert of_features == {(run, dictionary) for run in range(2) for dictionary in range(3)}
    assert len({arm.name for arm in CreditStudy().arms(SMALL)}) == len(listed) + 1


def test_every_arm_runs_the_training_that_was_planned(monkeypatch, tmp_path):
    """On the problems that its name says, above all: a setting of the config once stood in their place."""
    run = []
    monkeypatch.setattr("interp.studies.credit.train_run", lambda training, *rest: run.append(training) or {})
    study = CreditStudy()
    records = [study.run(arm, 1, SMALL, tmp_path) for arm in study.arms(SMALL)[1:]]
    assert run == trainings(SMALL) and {one.problems for one in run} == {DEEP, ALL}
    assert {record["training"]["problems"] for record in records} == {DEEP, ALL}


def test_another_number_of_bases_or_runs_or_dictionaries_keeps_the_finished_runs():
    def keys(config):
        study = CreditStudy()
        return {str(study.ledger_key(job, "")) for job in study.jobs(config, Path()) if "run 0" in job.arm.name}

    one = replace(SMALL, seeds=1, repeats=1, dictionaries=1)
    assert keys(one) < keys(SMALL) and keys(replace(one, repeats=9)) == keys(one)
    assert not keys(one) & keys(replace(one, steps=3))


def test_runs_that_anything_else_decides_have_directories_of_their_own():
    def directories(config):
        return {job.directory / job.arm.directory_name for job in CreditStudy().jobs(config, Path())}

    one = replace(SMALL, seeds=1, repeats=1, dictionaries=1)
    assert len(directories(one)) == len(CreditStudy().arms(one))
    of_base = {path.name for path in directories(one) & directories(replace(one, steps=3))}
    assert {name.split("-")[0] for name in of_base} == {"base"}
    same = directories(one) & directories(replace(one, ridge=2.0))
    assert {re.split("-dictionary|-[0-9a-f]{8}$", path.name)[0] for path in same} == {
        "base", "plain", "plain-usual-scale", "oracle", "plain-all-problems", "plain-usual-scale-all-problems",
        "oracle-all-problems",
    }  # fmt: skip


def test_strengths_are_taken_by_the_schemes_that_they_were_chosen_for(monkeypatch):
    monkeypatch.setattr("interp.studies.credit_runs.STRENGTHS", {FEATURES: 2.0, LIKELIHOOD: 0.5})
    strengths = {one.scheme: one.threshold for one in trainings(SMALL)}
    assert strengths[FEATURES] == strengths[RANDOM_GATE] == strengths[SELECTED] == 2.0
    assert strengths[LIKELIHOOD] == 0.5 and strengths[PERMUTED] == strengths[ORACLE] == DEFAULT


# --- measures --------------------------------------------------------------------------------------------------------


def record_of(valid: float, *, deep: float = 0.0, scheme: str = PLAIN, kl: float = 1.0, paid: float | None = 0.5):
    """A run whose valid rate is `valid` at depths 1 to 3 and `deep` at 8 and 9."""
    rates = {"pass_rate": 0.5, "malformed_share": 0.0}
    final = {str(depth): {"valid_rate": valid, **rates} for depth in (1, 2, 3)}
    final |= {str(depth): {"valid_rate": deep, **rates} for depth in (8, 9)}
    steps = {"step": [0, 10, 20], "kl_to_base": [0.0, kl / 2, kl], "paid_valid_share": [None, paid, paid]}
    steps |= {"valid_rate": [0.1, 0.2, 0.3], "audited": [8, 16, 24]}
    return {"training": {"scheme": scheme, "problems": DEEP}, "final": final, "watched": {"10": final}, "steps": steps}


def test_runs_are_averaged_and_groups_of_depths_are_means():
    mean = average_runs([record_of(0.2, deep=0.1), record_of(0.4, deep=0.3, paid=None)])
    assert mean["rates"]["handled"]["valid_rate"] == pytest.approx(0.3)
    assert mean["rates"]["deep"]["valid_rate"] == pytest.approx(0.2)
    assert mean["rates"]["all"]["valid_rate"] == pytest.approx((0.6 * 0.3) + 0.4 * 0.2)
    assert mean["paid"] == 0.5 and mean["audited"] == 24 and mean["runs"] == 2
    assert mean["curve"] == [pytest.approx([0.5, 0.26]), pytest.approx([1.0, 0.26])]
    assert mean["paid_by_step"] == [None, 0.5, 0.5]


def test_recovery_is_the_share_of_the_way_from_plain_to_the_oracle():
    rows = [
        Row(record_of(valid, deep=deep, scheme=scheme), scheme, 901)
        for scheme, valid, deep in ((PLAIN, 0.1, 0.0), (ORACLE, 0.9, 0.5), (FEATURES, 0.5, 0.4))
    ]
    base = Row({"final": record_of(0.3)["final"], "dictionaries": []}, "base", 901)
    by_arm = {one.arm: one.record for one in CreditStudy().observations([base, *rows])}
    assert by_arm[FEATURES]["recovery, deep"] == pytest.approx(0.8)
    all_depths = (0.6 * 0.4 + 0.4 * 0.4) / (0.6 * 0.8 + 0.4 * 0.5)
    assert by_arm[FEATURES]["recovery, all depths"] == pytest.approx(all_depths)
    assert by_arm[PLAIN]["recovery, deep"] == 0 and by_arm[ORACLE]["recovery, deep"] == 1
    assert by_arm[FEATURES]["curve"][0] == [0.0, pytest.approx(0.18)]


def test_without_a_gap_between_plain_and_oracle_there_is_no_recovery():
    means: dict[tuple[str, int | None], Any] = {
        (name, 1): average_runs([record_of(0.2)]) for name in (PLAIN, ORACLE, FEATURES)
    }
    assert with_recovery(FEATURES, 1, means)["recovery, deep"] is None


def test_valid_rates_are_compared_where_both_have_gone_equally_far():
    curve = [[0.0, 0.1], [1.0, 0.3], [2.0, 0.7]]
    assert [valid_at(curve, kl) for kl in (0, 0.5, 1.5, 9)] == pytest.approx([0.1, 0.2, 0.5, 0.7])
    observations = []
    for seed in (1, 2):
        observations += [Observation("one", seed, {"curve": curve})]
        observations += [Observation("other", seed, {"curve": [[0.0, 0.1], [1.5, 0.2 + seed / 10]]})]
    difference = difference_at_equal_kl(Results(observations), "one", "other")
    assert difference.value == pytest.approx(0.5 - 0.35)


def test_a_diverged_run_counts_with_what_its_user_is_left_with():
    diverged = {**record_of(0.1), "watched": {}, "diverged": "at step 13: not finite"}
    diverged["steps"] = {name: values[:2] for name, values in diverged["steps"].items()}
    (one,) = CreditStudy().observations([Row(record_of(0.5), "x", 1), Row(diverged, "y", 1)])
    assert one.record["runs"] == 2 and one.record["diverged"] == 1
    assert one.record["rates"]["handled"]["valid_rate"] == pytest.approx(0.3)
    assert one.record["valid_by_step"] == [0.1, 0.2, 0.3]
    assert one.record["curve"] == [pytest.approx([0.5, 0.6 * 0.3]), pytest.approx([1.0, 0.6 * 0.5])]


# --- schemes ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The shipped base, with a dictionary of random directions."""
    generator = torch.Generator().manual_seed(0)
    encoder_DF, zeros_F = torch.randn(64, 12, generator=generator), torch.zeros(12)
    tsae = TSAE(encoder_DF, zeros_F, encoder_DF.T.clone(), torch.zeros(64), zeros_F + 0.1, (12,), layer=2)
    monkeypatch.setattr(World, "base_path", property(lambda self: shipped_path()))
    monkeypatch.setattr(World, "dictionary", lambda self, number: tsae)
    few = World.base_answers(World(SMALL, 901, tmp_path))[:200]
    monkeypatch.setattr(World, "base_answers", lambda self: few)
    return World(SMALL, 901, tmp_path)


def test_schemes_differ_in_what_they_read_and_in_nothing_else(world):
    base = Policy.load(shipped_path(), device="cpu")
    reads, labels = {}, set()
    for scheme in (*WITHOUT_DICTIONARY, *WITH_DICTIONARY):
        credit = scheme_of(Training(scheme, DEEP, 0, 0 if scheme in WITH_DICTIONARY else None, 2.0), world, base)
        if scheme in NOT_FITTED:
            continue
        assert type(credit) is KINDS.get(scheme, ReadoutCredit)
        readout = readout_of(credit)
        assert isinstance(readout, ReadoutCredit)
        settings = (readout.audits, readout.threshold, readout.penalty, readout.ridge, readout.reader, readout.pay)
        threshold = 0.0 if scheme in (PROCESS, OTHER_PROCESS) else 2.0
        assert settings == (8, threshold, 0.0, 0.1, "base", "select" if scheme == SELECTED else "graded")
        labels.add((scheme in WRITTEN, len(readout.labels)))
        assert float(readout.labels.weight_A.sum()) == pytest.approx(32)
        reads[scheme] = [source.name for source in readout.sources]
    (_, n_labels), (_, with_copies) = sorted(labels)
    assert with_copies < n_labels, "a direct answer copies nothing: what was to be copied cannot be read"
    assert reads[RESIDUAL_INTENTION] == ["residual", "intention"]
    assert reads[LIKELIHOOD_WRITTEN] == [*reads[LIKELIHOOD], "with roles"]
    assert reads[LATENTS_WRITTEN] == [*reads[LATENTS_ALONE], "with roles"]
    assert {reads[scheme][0] for scheme in reads if scheme.startswith("likelihood")} == {"likelihood"}
    for scheme in (FEATURES, PRE_ACTIVATIONS, RANDOM_LATENTS, RANDOM_GATE):
        assert reads[scheme] == ["likelihood", "latents"]
    assert reads[INTENTION] == reads[RANDOM_INTENTION] == ["latents", "intention"]
    assert reads[PERMUTED] == ["likelihood", "permuted latents"]
    assert all(reads[design] == reads[FEATURES] for design in DESIGNS)


def test_every_control_that_the_package_makes_of_the_features_is_trained_in_the_study(world):
    base = Policy.load(shipped_path(), device="cpu")
    arms = {one.scheme: scheme_of(replace(one, run=0), world, base) for one in trainings(SMALL) if one.problems == DEEP}
    features = arms[FEATURES]
    assert isinstance(features, ReadoutCredit)
    features = replace(features, labels=Labels())
    for name, control in credit_controls(features, base, world.base_answers(), draws=1).items():
        names = [source.name for source in readout_of(control).sources]
        assert any(
            type(arm) is type(control) and [source.name for source in readout_of(arm).sources] == names
            for scheme, arm in arms.items()
            if scheme not in NOT_FITTED and scheme != FEATURES
        ), name


def readout_of(credit: Any) -> Any:
    """The readout inside of another scheme."""
    for name in ("scheme", "score", "gate"):
        if hasattr(credit, name):
            return readout_of(getattr(credit, name))
    return credit


def test_the_controls_of_designs_differ_from_them_in_whose_numbers_they_take(world):
    base = Policy.load(shipped_path(), device="cpu")
    process, other_process, split, other_split = (
        scheme_of(Training(scheme, DEEP, 3, 0), world, base) for scheme in (PROCESS, OTHER_PROCESS, SPLIT, OTHER_SPLIT)
    )
    assert isinstance(process, ProcessAdvantage) and isinstance(other_process, ProcessAdvantage)
    assert isinstance(process.score, ReadoutCredit) and isinstance(other_process.score, RandomGate)
    assert isinstance(split, FirstErrorReadout) and isinstance(other_split, FirstErrorReadout)
    assert split.control_seed is None and other_split.control_seed == 3
    assert [source.name for source in split.sources] == ["likelihood", "latents"]


def records_of(rates, *, seeds=(1, 2, 3)) -> Results:
    """The study's observations where each scheme, on both kinds of problems, reaches its rate at all depths."""
    rows = []
    for seed in seeds:
        for scheme in (*WITHOUT_DICTIONARY, *WITH_DICTIONARY):
            rate = rates.get(scheme, 0.5) + seed / 1000
            record = record_of(rate, deep=rate, scheme=scheme)
            rows.append(Row(record, scheme, seed))
            rows.append(Row({**record, "training": {"scheme": scheme, "problems": ALL}}, f"{scheme} all", seed))
        rows.append(Row({"final": record_of(0.2)["final"], "dictionaries": []}, "base", seed))
    return Results(CreditStudy().observations(rows))


def test_claims_say_what_the_rates_say():
    def outcomes(**rates):
        results = records_of({PLAIN: 0.1, ORACLE: 0.9, **rates})
        return {claim.name: claim.judge(results).outcome for claim in CLAIMS}

    best = outcomes(**{FEATURES: 0.85, PROCESS: 0.6, SPLIT: 0.6, INTENTION: 0.6})
    assert set(best.values()) == {"supported"}
    beaten = outcomes(**{FEATURES: 0.3, LIKELIHOOD: 0.5})
    lost = {name for name, outcome in beaten.items() if outcome == "not supported"}
    assert lost == {
        "features-beat-likelihood", "features-beat-likelihood-mixed", "features-beat-controls",
        "features-beat-controls-mixed", "dictionary-loses-nothing", "recovery-bar",
    }  # fmt: skip
    one_control = outcomes(**{FEATURES: 0.85, TEXT: 0.88})
    assert one_control["features-beat-controls"] == "not supported"
    assert one_control["features-beat-likelihood"] == "supported"


def test_tables_and_figures_show_every_scheme():
    study, results = CreditStudy(), records_of({PLAIN: 0.1, ORACLE: 0.9})
    deep, mixed = study.tables(results, SMALL)
    for table in (deep, mixed):
        assert [row[0] for row in table.rows[1:]] == [*WITHOUT_DICTIONARY, *WITH_DICTIONARY]
    assert {len(row) for row in (*deep.rows, *mixed.rows)} == {len(deep.head)}
    assert len(study.figures(results, SMALL)) == 3


# --- strengths -------------------------------------------------------------------------------------------------------


def test_the_best_threshold_of_each_scheme_is_chosen_and_penalties_are_not():
    rates = {trial_name(one): 0.1 for one in trials()}
    rates[f"{FEATURES}, threshold 2"] = 0.5
    rates[f"{FEATURES}, threshold 1, penalty 1"] = 0.9
    chosen = chosen_strengths(rates)
    assert chosen[FEATURES] == 2.0 and set(chosen.values()) == {0.0, 2.0}
    assert PLAIN not in chosen and RANDOM_GATE not in chosen and LIKELIHOOD in chosen


def test_the_credit_study_takes_the_strengths_that_came_out():
    study, config = CreditStrengths(), StrengthsConfig()
    results = study.load_results(config, RESULTS / study.name)
    rates = {one.name: results.mean(one.name, CHOSEN_BY).value for one in study.arms(config)}
    assert chosen_strengths(rates) == STRENGTHS


def test_every_trial_is_an_arm_of_its_own_and_shows_in_the_table():
    study, config = CreditStrengths(), StrengthsConfig(seeds=2)
    names = [arm.name for arm in study.arms(config)]
    assert len(names) == len(set(names)) == len({arm.directory_name for arm in study.arms(config)})
    rows = [Row(record_of(0.1 * (1 + seed)), name, seed) for name in names for seed in (0, 1)]
    results = Results(study.observations(rows))
    chosen, rates = study.tables(results, config)
    assert [FEATURES, "0"] in chosen.rows and [row[0] for row in rates.rows] == names
    assert len(study.figures(results, config)) == 1
    assert results.mean(names[0], study.measures["valid rate, handled"]).value == pytest.approx(0.15)
