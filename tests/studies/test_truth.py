"""The credit-truth study on a few problems of the shipped base, with a dictionary that loses nothing."""

import pytest

from interp.readouts.controls import residual_dictionary
from interp.studies.credit_runs import INTENTION, LATENTS_ALONE
from interp.studies.credit_world import ShippedWorld
from interp.studies.results import Results
from interp.studies.runner import Row
from interp.studies.truth import CreditTruth, TruthConfig
from interp.studies.truth_claims import CLAIMS, MIDDLE, NAMES, VALID_SHARE, at
from interp.studies.truth_runs import GATES, MONTE_CARLO, SPLIT, UNIFORM, WEIGHTS, measure_level

TINY = TruthConfig(
    seeds=1, dictionaries=1, problems=4, group=8, continuations=4, gate_problems=16, gate_group=8, label_problems=60
)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShippedWorld, "dictionary", lambda self, number: residual_dictionary(64, 2))
        world = ShippedWorld(TINY, 1, tmp_path_factory.mktemp("world"))
        few = world.base_answers()[:200]
        patch.setattr(ShippedWorld, "base_answers", lambda self: few)
        return measure_level(world, MIDDLE, TINY)


def test_every_scheme_and_every_gate_is_measured(record):
    measured = record["schemes"]
    assert all(set(NAMES) == set(measured[name]) for name in WEIGHTS)
    assert all(0 <= measured[name][VALID_SHARE.name] <= 1 for name in GATES)
    assert measured[UNIFORM]["spearman"] is None, "the same weight everywhere ranks nothing"
    assert measured[MONTE_CARLO]["spearman"] > 0.1 and 0 <= measured[SPLIT]["mass on decisive"] <= 1


def test_what_an_intention_cannot_read_is_not_paid(record):
    measured = record["schemes"]
    assert measured[INTENTION][VALID_SHARE.name] > measured[LATENTS_ALONE][VALID_SHARE.name]


def test_claims_are_judged_on_what_a_run_records(record):
    observations = CreditTruth().observations([Row(record, MIDDLE, seed) for seed in (1, 2)])
    results = Results(observations)
    assert results.seeds(at(MONTE_CARLO, MIDDLE)) == [1, 2]
    assert {claim.name: claim.judge(results).outcome for claim in CLAIMS}["features-pay-valid"] == "inconclusive"
