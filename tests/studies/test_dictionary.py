"""The dictionary study: measures, rules, and arms."""

from pathlib import Path
from typing import Any, get_args

import pytest

from interp.artifacts import BadInput
from interp.cli.args import Preset
from interp.studies import STUDIES
from interp.studies.base import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED
from interp.studies.dictionary import GATE_CLAIMS, arm_name, beats, passes_gate, smoothness_is_moved, time_matters
from interp.studies.dictionary_config import (
    ARMS,
    FAST,
    KINDS,
    ORGANISM,
    PLANTED,
    PRESETS,
    RANDOM,
    RESIDUAL,
    SLOW,
    DictionaryConfig,
)
from interp.studies.dictionary_figures import figures, tables
from interp.studies.dictionary_measures import SLOW_AND_RARE, SLOW_FACTS
from interp.studies.dictionary_worlds import tsae_config
from interp.studies.judging import judge_claims
from interp.studies.readings import REGISTERED, Reading
from interp.studies.results import Observation, Results
from interp.tsae import PRESETS as ALL_PRESETS

STUDY = STUDIES["dictionary"]
SEEDS = (101, 102, 103)
LOW, HIGH = (0.1, 0.12, 0.14), (0.9, 0.95, 1.0)


def planted(name: str, shares: tuple[float, ...]) -> list[Observation]:
    kinds = dict.fromkeys(KINDS, 0.0)
    return [
        Observation(
            arm_name(PLANTED, name),
            seed,
            {
                "quality": {"fve": 0.94},
                "recall": 1.0,
                "slow_block_recall_by_kind": {**kinds, "slow frequent": 1.0, "slow rare": share},
            },
        )
        for seed, share in zip(SEEDS, shares, strict=True)
    ]


def organism(name: str, slow: float, fast: float, **quality: float) -> list[Observation]:
    metrics = {"fve": 0.99, "ce_recovered": 0.99, "kl_recovered": 0.99, "autocorrelation_slow": 0.1}
    return [
        Observation(
            arm_name(ORGANISM, name),
            seed,
            {
                "quality": metrics | {"autocorrelation": 0.0} | quality,
                "read": {
                    fact: {"slow block": (slow if fact in SLOW else fast) + place / 1000} for fact in (*SLOW, *FAST)
                },
            },
        )
        for place, seed in enumerate(SEEDS)
    ]


def whole_study() -> list[Observation]:
    good = ("interp", "promotion-only", "batchtopk")
    observations = [one for name in PRESETS for one in planted(name, HIGH if name in good else LOW)]
    for name in (*PRESETS, RANDOM):
        is_better = name in ("interp", "contrast-only")
        observations += organism(name, 0.8 if is_better else 0.7, 0.6 if is_better else 0.9)
    return observations


# --- measures ------------------------------------------------------------------------------------------------------


def test_a_share_of_planted_latents_counts_them():
    (record, *_) = (one.record for one in planted("interp", (0.5, 0.5, 0.5)))
    assert SLOW_AND_RARE.value_of(record) == 0.5
    assert SLOW_AND_RARE.counts_of is not None and SLOW_AND_RARE.counts_of(record) == (12, 24)


def test_a_mean_over_facts_needs_all_of_them():
    record: Any = organism("interp", 0.8, 0.9)[0].record
    assert SLOW_FACTS.value_of(record) == pytest.approx(0.8)
    record["read"]["valid"]["slow block"] = None
    assert SLOW_FACTS.value_of(record) is None


# --- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "outcome"), [(HIGH, SUPPORTED), (LOW, NOT_SUPPORTED), ((0.0, 0.5, 1.0), INCONCLUSIVE)])
def test_a_share_beats_matryoshkas_with_disjoint_intervals_alone_and_is_level_only_if_surely_near(own, outcome):
    results = Results([*planted("interp", own), *planted("matryoshka", LOW)])
    assert beats("interp")(results).outcome == outcome


@pytest.mark.parametrize(
    ("own", "shuffled", "outcome"),
    [(HIGH, LOW, SUPPORTED), (LOW, HIGH, NOT_SUPPORTED), (HIGH, (0.4, 0.42, 0.44), INCONCLUSIVE)],
)
def test_time_matters_only_where_shuffled_partners_do_worse_and_no_better_than_without_a_contrast(
    own, shuffled, outcome
):
    results = Results([*planted("interp", own), *planted("shuffled", shuffled), *planted("matryoshka-weighted", LOW)])
    assert time_matters(results).outcome == outcome


def test_an_effect_is_gone_as_registered_where_no_difference_is_seen_and_else_where_none_can_be_large():
    spread, near = (0.0, 0.3, 0.1), (0.1, 0.12, 0.14)
    arms = [*planted("interp", (1.0, 1.0, 1.0)), *planted("matryoshka-weighted", near)]
    unsure, sure = (Results([*arms, *planted("shuffled", shares)]) for shares in (spread, near))
    student = Reading("Student's", REGISTERED.interval)
    assert [time_matters(one).outcome for one in (unsure, sure)] == [SUPPORTED, SUPPORTED]
    outcomes = [time_matters(one.with_reading(student)).outcome for one in (unsure, sure)]
    assert outcomes == [INCONCLUSIVE, SUPPORTED]


@pytest.mark.parametrize(
    ("slow", "whole", "outcome"), [(0.3, 0.0, INCONCLUSIVE), (0.3, 0.2, NOT_SUPPORTED), (0.0, 0.0, NOT_SUPPORTED)]
)
def test_smoothness_is_moved_only_where_the_slow_block_gains_and_the_whole_does_not(slow, whole, outcome):
    ours = organism("interp", 0.8, 0.8, autocorrelation_slow=slow, autocorrelation=whole)
    verdict = smoothness_is_moved(Results([*ours, *organism("matryoshka", 0.8, 0.8)]))
    assert verdict.outcome in (outcome, SUPPORTED if outcome == INCONCLUSIVE else outcome)


def test_the_gate_depends_on_four_claims():
    observations = whole_study()
    judgements = judge_claims(STUDY.claims, Results(observations))
    outcomes = {one.claim.name: one.registered for one in judgements}
    assert {outcomes[name] for name in GATE_CLAIMS} == {SUPPORTED} and passes_gate(judgements)["registered"]
    assert outcomes["contrast-on-organism"] == SUPPORTED and outcomes["promotion-on-organism"] == INCONCLUSIVE
    assert outcomes["slow-facts"] == outcomes["fast-facts-leave"] == outcomes["learned-not-given"] == SUPPORTED
    worse = [one for one in observations if one.arm != arm_name(PLANTED, "interp")]
    low = [Observation(one.arm, one.seed, {**one.record, "quality": {"fve": 0.9}}) for one in planted("interp", HIGH)]
    assert not passes_gate(judge_claims(STUDY.claims, Results([*worse, *low])))["registered"]


# --- arms ----------------------------------------------------------------------------------------------------------


def test_arms_of_a_world_share_width_k_steps_and_seed_and_differ_in_what_they_are_named_for():
    config = DictionaryConfig()
    by_name = {name: tsae_config(PLANTED, name, config, 7) for name in (*PRESETS, RANDOM)}
    assert {(one.width, one.k, one.training) for one in by_name.values()} == {(256, 6, by_name["interp"].training)}
    assert by_name["interp"] == by_name[RANDOM] and by_name["shuffled"] != by_name["interp"]


def test_planted_latents_have_no_random_weights_and_the_organism_has_controls_without_a_dictionary():
    names = {job.arm.name for job in STUDY.jobs(DictionaryConfig(), Path("runs"))}
    assert names == {arm_name(world, name) for world in ARMS for name in ARMS[world]}
    assert arm_name(ORGANISM, RESIDUAL) in names and arm_name(PLANTED, RANDOM) not in names


def test_the_flag_names_every_preset():
    assert set(get_args(Preset)) == set(ALL_PRESETS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"worlds": ("moon",)}, "worlds must be some of planted, organism; got moon"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        DictionaryConfig(**settings)


def test_every_table_and_figure_is_there():
    results = Results(whole_study())
    titles = [table.title for table in tables(results)]
    assert len(titles) == len(set(titles)) == 6 and all(table.rows for table in tables(results))
    assert len(figures(results)) == 4
