"""The difficulty study: measures read off hand-made records, rules, and arms."""

from dataclasses import replace
from pathlib import Path

import pytest

from interp.artifacts import BadInput
from interp.studies import STUDIES
from interp.studies.base import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED
from interp.studies.difficulty import DifficultyConfig
from interp.studies.difficulty_figures import figures, tables
from interp.studies.difficulty_measures import (
    BASE,
    change,
    contrast_chance,
    fall,
    half_time,
    lead,
    mean_over_depths,
    positive_mass,
)  # fmt: skip
from interp.studies.results import Observation, Results
from interp.studies.training_arms import MAIN, Training, current_name, grpo_config, luck_arms

STUDY = STUDIES["difficulty"]
DEPTHS = range(1, 11)
SEEDS = (101, 102, 103, 104, 105)
ARMS = {
    "easy": Training("shallow"),
    "medium": Training("middle"),
    "hard": Training("deep"),
    "hard_dr": Training("deep", "dr-grpo"),
    "hard_valid": Training("deep", credit="valid-only"),
    **{f"luck_{dose}": arm for dose, arm in enumerate(luck_arms("grpo"))},
    **{f"luck_token_{dose}": arm for dose, arm in enumerate(luck_arms("bnpo"))},
}


def record(valid: dict[int, float], *, lucky: float = 0.5) -> dict:
    steps = list(range(41))
    rates = {str(d): {"valid_rate": valid.get(d, 0.0), "pass_rate": 0.5} for d in DEPTHS}
    watched = {
        str(s): {str(d): {"valid_rate": 0.5, "pass_rate": 0.5 - s / 100} for d in (1, 2, 3)} for s in (0, 20, 40)
    }
    training = {
        "step": steps,
        "direct_share": [min(1.0, 0.5 + s / 40) for s in steps],
        "length": [20.0 - s / 4 for s in steps],
        "lucky_share": [lucky] * 41,
        "mixed_groups": [20] * 41,
    }
    return {"final": rates, "watched": watched, "steps": training}


def results(**ends: float) -> Results:
    """Arms that end at a valid rate at depths 1 to 3 (0 elsewhere), by their short names; the base is at 0.3."""
    observations = [Observation(BASE, None, record(dict.fromkeys((1, 2, 3), 0.3)))]
    for name, end in ends.items():
        arm = ARMS[name]
        lucky = 0.99 if arm.problems == "deep" else 0.6
        for seed in SEEDS:
            valid = {1: end, 2: end, 3: end + 0.003 * (seed - 103)}
            observations.append(Observation(arm.name, seed, record(valid, lucky=lucky)))
    return Results(observations)


def verdicts(study_results: Results) -> dict[str, str]:
    return {claim.name: claim.judge(study_results).outcome for claim in STUDY.claims}


# --- measures ------------------------------------------------------------------------------------------------------


def test_a_change_is_against_the_base_at_the_same_depths():
    study_results = results(hard=0.1)
    assert change(study_results, ARMS["hard"].name, (1, 2, 3)).value == pytest.approx(-0.2)
    assert change(study_results, ARMS["hard"].name, (4, 5)).value == pytest.approx(0.0)
    assert mean_over_depths(study_results.baseline(BASE)["final"], [1, 4], "valid_rate") == pytest.approx(0.15)


def test_what_moves_first_is_measured_in_steps():
    study_results, one = results(hard=0.1), record({})
    assert half_time(one, "pass_rate") == 20.0  # from 0.5 to 0.1 over 40 steps, evenly
    assert half_time(one, "valid_rate") != half_time(one, "valid_rate"), "NaN: it never moved"
    assert half_time(one, "direct_share") == 10.0  # from 0.5 at step 0 to 1 at step 20
    assert study_results.mean(ARMS["hard"].name, lead("direct_share", "pass_rate")).value == 10
    assert study_results.mean(ARMS["hard"].name, fall("pass_rate")).value == pytest.approx(0.4)
    assert verdicts(study_results)["shortening-leads"] == SUPPORTED


@pytest.mark.parametrize(
    ("rate", "mixed", "standardized", "centred"),
    [(0.01, 0.077, 0.21, 0.07), (0.1, 0.570, 1.68, 0.63), (0.5, 0.992, 3.71, 1.75)],
)
def test_arithmetic_predicts_the_masses_of_groups_of_eight_in_the_literature(rate, mixed, standardized, centred):
    assert contrast_chance(rate, 8) == pytest.approx(mixed, abs=6e-4)
    assert positive_mass(rate, 8, standardized=True) == pytest.approx(standardized, abs=6e-3)
    assert positive_mass(rate, 8, standardized=False) == pytest.approx(centred, abs=6e-3)


# --- rules ---------------------------------------------------------------------------------------------------------


def test_claims_are_judged_by_their_rules():
    outcomes = verdicts(results(easy=0.4, medium=0.6, hard=0.1, hard_dr=0.5, hard_valid=0.8))
    assert outcomes["inverted-u"] == SUPPORTED and outcomes["hard-harms"] == SUPPORTED
    assert outcomes["harm-under-any-loss"] == NOT_SUPPORTED
    assert outcomes["luck-is-the-channel"] == SUPPORTED
    outcomes = verdicts(results(easy=0.7, medium=0.6, hard=0.5, hard_valid=0.2))
    assert outcomes["inverted-u"] == NOT_SUPPORTED and outcomes["hard-harms"] == NOT_SUPPORTED
    assert outcomes["luck-is-the-channel"] == NOT_SUPPORTED


def test_the_pass_rate_stands_beside_the_valid_rate():
    claim = next(claim for claim in STUDY.claims if claim.name == "hard-harms")
    harm = claim.judge(results(easy=0.4, medium=0.6, hard=0.1))
    assert harm.measures["deep, grpo: change at depths 1-3"].value == pytest.approx(-0.2)
    assert harm.beside["pass rate: deep, grpo: change at depths 1-3"].value == 0, "answers are as often right"
    assert harm.beside_note == "By the same rule the pass rate would say: inconclusive."


def test_arms_that_were_not_run_leave_every_claim_inconclusive():
    assert set(verdicts(results()).values()) == {INCONCLUSIVE}


def test_the_dose_of_luck_is_where_the_change_crosses_zero():
    falling = {f"{kind}_{dose}": 0.5 - 0.1 * dose for kind in ("luck", "luck_token") for dose in range(5)}
    rising = {name: 0.6 - end for name, end in falling.items()}
    assert verdicts(results(**rising))["dose-of-luck"] == NOT_SUPPORTED
    claim = next(claim for claim in STUDY.claims if claim.name == "dose-of-luck")
    verdict = claim.judge(results(**falling))
    assert verdict.outcome == SUPPORTED
    assert verdict.measures["luck at the crossing, depths 1-3, rollout mean"].value == pytest.approx(0.5, abs=0.01)


# --- arms ----------------------------------------------------------------------------------------------------------


def test_arms_that_serve_in_several_parts_are_run_once():
    jobs = STUDY.jobs(DifficultyConfig(), Path("runs"))
    main = {job.seed for job in jobs if job.arm.name == "deep, grpo"}
    assert main == set(range(101, 109)), "eight seeds, though the doses ask for five of them"
    assert len([job for job in jobs if job.arm.name == "middle, grpo, valid 0.5"]) == 5
    assert [job.seed for job in jobs if job.arm.name == BASE] == [None]


def test_a_record_depends_on_what_was_run_and_not_on_how_well_the_base_is_measured():
    config = DifficultyConfig()
    specs = {arm.name: arm.spec for arm in STUDY.arms(config)}
    more = {
        arm.name: arm.spec for arm in STUDY.arms(replace(config, base_answers=1, seeds=3, other_seeds=1, processes=1))
    }
    assert {name for name in specs if specs[name] != more[name]} == {BASE}
    longer = {arm.name: arm.spec for arm in STUDY.arms(replace(config, steps=41))}
    assert {name for name in specs if specs[name] != longer[name]} == set(specs) - {BASE}


def test_arms_have_the_levels_names_of_now():
    assert current_name("hard, grpo, luck 0.5") == "deep, grpo, luck 0.5"
    assert current_name("7, bnpo") == "7, bnpo" and current_name("all, grpo") == "all, grpo"
    row = STUDY.migrate({"arm": "easy, dr-grpo", "seed": 101})
    assert (row.arm, row.seed) == ("shallow, dr-grpo", 101) and STUDY.migrate({"arm": None, "seed": 0}).seed is None


def test_settings_of_an_arm_reach_its_run():
    config = DifficultyConfig()
    token_mean = Training("deep", "bnpo", luck=0.5)
    assert grpo_config(token_mean, 101, config).objective().reduction == "token"
    assert token_mean.scheme() is not None and Training("deep").scheme() is None
    assert grpo_config(Training("deep", contrast=True), 101, config).objective().redraw
    saved = [grpo_config(arm, 101, config).save_every for arm in (MAIN[0], token_mean)]
    assert saved == [5, 10], "main arms are measured along the way"


def test_unknown_parts_are_refused():
    with pytest.raises(BadInput, match="parts must be some of difficulty, credit, .*; got foo"):
        DifficultyConfig(parts=("luck", "foo"))


def test_every_table_and_figure_is_there_though_arms_are_missing():
    study_results = results(easy=0.4, medium=0.6, hard=0.1)
    by_title = {table.title: table for table in tables(study_results, DifficultyConfig())}
    row = next(row for row in by_title["Change in valid rate, every arm"].rows if row[0] == "deep, grpo")
    assert row[:3] == ["deep, grpo", "5", "-0.20 [-0.20, -0.20]"]
    assert "Change in pass rate, every arm" in by_title
    assert len(figures(study_results)) == 7
