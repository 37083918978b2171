"""The committed ledgers, read by the current code: every measure and every verdict is as it was when they were made.

`committed/` holds verdicts, measures and arms as the code that ran the studies wrote them. A study without a file there
is not tested here.
"""

import json
from functools import cache
from pathlib import Path

import pytest

from interp.artifacts import from_json
from interp.studies import STUDIES
from interp.studies.base import COMMITTED_BASE, NO_EVIDENCE, NOT_SUPPORTED
from interp.studies.features_measures import OLD_NAMES
from interp.studies.readings import REGISTERED
from interp.studies.training_arms import current_name

RESULTS = Path(__file__).parents[2] / "data" / "results"
COMMITTED = Path(__file__).parent / "committed"
NAMES = [name for name in STUDIES if (COMMITTED / f"{name}.json").exists()]
JOBS = {"difficulty": 304, "dictionary": 105, "roles": 8, "features": 20}
RENAMED_SETTINGS = {
    "each": "per_kind", "frequent": "frequent_rate", "rare": "rare_rate", "held_out": "held_out_tokens",
    "follows": "cue_share", "direct": "direct_share", "most": "max_candidates", "random": "random_latents",
    "few": "other_seeds",
}  # fmt: skip


def committed(name: str) -> dict:
    return json.loads((COMMITTED / f"{name}.json").read_text())


@cache
def results_of(name: str):
    study = STUDIES[name]
    return study.load_results(study.Config(), RESULTS / name)


def expect_equal(estimate, was: dict) -> None:
    numbers = [float("nan") if was[key] is None else was[key] for key in ("value", "low", "high")]
    assert [estimate.value, estimate.low, estimate.high] == pytest.approx(numbers, abs=1e-12, nan_ok=True)
    assert estimate.n == was["n"]


def test_every_committed_file_is_of_a_study():
    assert sorted(NAMES) == sorted(file.stem for file in COMMITTED.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_every_verdict_is_as_registered(name):
    outcomes = {
        claim.name: claim.judge(results_of(name).with_reading(REGISTERED)).outcome for claim in STUDIES[name].claims
    }
    verdicts = {claim: NOT_SUPPORTED if outcome == NO_EVIDENCE else outcome for claim, outcome in outcomes.items()}
    assert verdicts == committed(name)["verdict"]


@pytest.mark.parametrize("name", NAMES)
def test_every_measure_of_a_claim_is_as_it_was(name):
    measures = {
        f"{claim.name}: {label}": estimate
        for claim in STUDIES[name].claims
        for label, estimate in claim.judge(results_of(name)).measures.items()
    }
    was = {label.replace(": hard, ", ": deep, "): estimate for label, estimate in committed(name)["measures"].items()}
    assert measures.keys() == was.keys()
    for label, estimate in was.items():
        expect_equal(measures[label], estimate)


def flat_arms(name: str) -> dict[tuple[str, str], dict]:
    """Committed estimates by arm and measure, under their current names."""
    arms = committed(name)["arms"]
    if name == "difficulty":
        return {
            (current_name(arm), f"valid rate, {depths}"): one
            for arm, by_measure in arms.items()
            for depths, one in by_measure.items()
        }
    if name == "dictionary":
        return {
            (f"{world}: {arm}", measure): one
            for world, by_arm in arms.items()
            for arm, by_measure in by_arm.items()
            for measure, one in by_measure.items()
        }
    if name == "roles":
        return {
            (gate, f"{thing}: {measure}"): one
            for thing, gates in arms.items()
            for gate, by_measure in gates.items()
            for measure, one in by_measure.items()
        }
    return {
        (OLD_NAMES[arm], f"{family}, {kind}"): one
        for arm, families in arms.items()
        for family, by_measure in families.items()
        for kind, one in by_measure.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_estimate_of_an_arm_is_as_it_was(name):
    study, flat = STUDIES[name], flat_arms(name)
    assert len(flat) >= 24
    for (arm, measure), was in flat.items():
        expect_equal(study.estimate(results_of(name), arm, study.measures[measure]), was)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_config_is_the_one_that_was_run(name):
    def renamed(config: dict) -> dict:
        return {RENAMED_SETTINGS.get(key, key): renamed(v) if isinstance(v, dict) else v for key, v in config.items()}

    study = STUDIES[name]
    assert from_json(study.Config, renamed(committed(name)["config"])) == study.committed


@pytest.mark.parametrize("name", JOBS)
def test_no_run_of_the_default_config_is_missing(name):
    study = STUDIES[name]
    ledger = study.open_ledger(RESULTS / name)
    jobs = study.jobs(study.Config(), Path())
    assert [job for job in jobs if ledger.get(study.ledger_key(job, COMMITTED_BASE)) is None] == []
    assert len(jobs) == JOBS[name]


# --- results of later studies ----------------------------------------------------------------------------------------

LATER = [name for name in STUDIES if name not in NAMES and (RESULTS / name / "result.json").exists()]


@pytest.mark.parametrize("name", LATER)
def test_a_later_result_is_what_its_ledger_says(name):
    stored, study = json.loads((RESULTS / name / "result.json").read_text()), STUDIES[name]
    config = from_json(study.Config, stored["config"])
    ledger, base = study.open_ledger(RESULTS / name), study.base_fingerprint(config)
    assert [job for job in study.jobs(config, Path()) if ledger.get(study.ledger_key(job, base)) is None] == []
    results = study.load_results(config, RESULTS / name).with_reading(REGISTERED)
    for claim in study.claims:
        verdict = claim.judge(results)
        outcome = NOT_SUPPORTED if verdict.outcome == NO_EVIDENCE else verdict.outcome
        assert outcome == stored["verdicts"][claim.name]["as registered"]
        for label, estimate in verdict.measures.items():
            expect_equal(estimate, stored["measures"][f"{claim.name}: {label}"][REGISTERED.name])
    for arm, measures in stored["arms"].items():
        for label, was in measures.items():
            expect_equal(study.estimate(results, arm, study.measures[label]), was)
