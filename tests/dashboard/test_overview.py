"""Findings and rates: sentences with their controls, one source for each curve, verdicts of the committed studies."""

import json
from pathlib import Path

import numpy as np
import pytest
from features_fixtures import axes_dictionary, make_roles, make_trial
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput
from interp.dashboard.checkpoints import Checkpoints
from interp.dashboard.inputs import Inputs, Named
from interp.dashboard.learning import learning_rows, tracked_rates, with_lucky_share
from interp.dashboard.overview import rate_findings, roles_finding
from interp.dashboard.trials import trial_rows
from interp.dashboard.verdicts import StudyResult, is_study
from interp.features.ablation import BehaviorEffects
from interp.features.sampling import RolloutEffect
from interp.rollouts.evaluation import Evaluation
from interp.stats import Estimate
from interp.tracking.behavior import BehaviorCounts

RESULTS = Path(__file__).parent.parent.parent / "data" / "results"
HALF = Estimate(0.5, 0.4, 0.6, 20)


def checkpoints_of_a_run() -> Checkpoints:
    checkpoints = Checkpoints()
    run = checkpoints.add_run("hard", "run")
    for step, weights in ((0, "base"), (10, "middle"), (20, "last")):
        checkpoints.add(run, step, is_base=step == 0, fingerprint=f"{weights}+rest")
    return checkpoints


def evaluation(step: int, weights: str, value: float) -> Named[Evaluation]:
    rate = {"pass_rate": Estimate(value, value - 0.1, value + 0.1, 20)}
    estimates = {(step, "all", "all"): rate, (step, "level", "deep"): rate}
    return Named("evaluated", Evaluation(estimates, policies={step: weights}))


def rows_of(*evaluations: Named[Evaluation], training=None, checkpoints: Checkpoints | None = None):
    inputs = Inputs(evaluations=list(evaluations))
    return learning_rows(inputs, checkpoints or checkpoints_of_a_run(), training or {}, levels=True)


def test_a_checkpoint_has_one_number_wherever_it_is_named():
    checkpoints = checkpoints_of_a_run()
    assert checkpoints.add_run("hard", "run") == 0 and checkpoints.add(0, 10) == 1
    assert checkpoints.with_weights("last+other") == [2] and checkpoints.with_weights(None) == []
    assert [checkpoints.name(number) for number in (0, 2)] == ["base", "hard, step 20"]


def test_an_evaluation_belongs_to_the_checkpoints_that_have_its_weights():
    rows = rows_of(evaluation(0, "base", 0.3), evaluation(99, "last+rest", 0.6))
    assert [(row["checkpoint"], row["bucket"], row["value"]) for row in rows] == [
        (0, "all", 0.3), (2, "all", 0.6), (0, "deep", 0.3), (2, "deep", 0.6),
    ]  # fmt: skip
    assert {row["source"] for row in rows} == {"evaluation"}


def test_an_evaluation_of_weights_that_no_run_has_is_a_run_of_its_own():
    checkpoints = checkpoints_of_a_run()
    rows = rows_of(evaluation(7, "unheard of", 0.3), checkpoints=checkpoints)
    assert checkpoints.runs[1].name == "evaluated" and checkpoints.runs[1].kind == "evaluation"
    assert {row["run"] for row in rows} == {1} and checkpoints.entries[3].step == 7


def test_rollouts_of_training_give_rates_only_where_nothing_held_out_does():
    training = {
        number: [make_rollout(float(n < 6), problem=f"{n}", prompt=f"{n}", level="deep") for n in range(10)]
        for number in (0, 1)
    }
    rows = rows_of(evaluation(0, "base", 0.3), training=training)
    by_measure = {row["measure"]: row["source"] for row in rows if row["bucket"] == "deep"}
    assert by_measure["pass_rate"] == "evaluation" and by_measure["direct_share"] == "rollouts"
    alone = [row for row in rows_of(training=training) if (row["bucket"], row["measure"]) == ("deep", "pass_rate")]
    assert [(row["checkpoint"], row["value"], row["n"]) for row in alone] == [(0, 0.6, 10), (1, 0.6, 10)]


def test_the_lucky_share_of_right_answers_is_what_is_not_valid():
    lucky = with_lucky_share({"valid_given_success": Estimate(0.25, 0.1, 0.5, 8)})["lucky_share"]
    assert (lucky.value, lucky.low, lucky.high, lucky.n) == (0.75, 0.5, 0.9, 8)
    assert with_lucky_share({}) == {}
    counts = BehaviorCounts()
    rows = [make_rollout(1.0, valid=valid) for valid in (True, False, False, None)] + [make_rollout(0.0)]
    counts.update([("deep", 0, row) for row in rows])
    rates = tracked_rates(counts, "deep", 1)
    assert rates["lucky_share"].value == 2 / 3 and rates["lucky_share"].n == 3
    assert rates["pass_rate"].value == 0.8


def test_a_finding_of_rates_names_both_ends_of_each_bucket_and_its_source():
    rows = rows_of(evaluation(0, "base", 0.3), evaluation(20, "last", 0.6))
    (finding,) = rate_findings(rows, checkpoints_of_a_run())
    assert finding["text"] == "hard: the pass rate went from 30 [20, 40] to 60 [50, 70] on deep (percent)."
    assert finding["detail"] == "From evaluation, intervals over problems, not paired."
    assert list(rate_findings(rows[:1], checkpoints_of_a_run())) == []


def test_a_finding_of_roles_stands_beside_random_latents():
    tsae = axes_dictionary(8, layer=0)
    trials = [make_trial(0), make_trial(1, "reasoning"), make_trial(2, passes_contrast=False), make_trial(2)]
    finding = roles_finding(make_roles(*trials, tsae=tsae, random_trials=[make_trial(5, ablation=None)]))
    assert finding["text"].startswith("Latents that earned a role: 2 format, 1 reasoning (3 of 3, 100")
    assert finding["detail"].startswith("Latents drawn at random, through the same gates: 0 of 1, 0 [0,")


def test_a_trial_shows_what_ablating_and_doubling_do_beside_matches():
    effects = BehaviorEffects(HALF, Estimate(np.nan), HALF)
    trial = make_trial(3, ablated_behavior=effects, amplified_behavior=effects, matched_behavior=(0.1, 0.2, 0.3))
    sampled = [RolloutEffect(3, None, 0.0, HALF, HALF, HALF), RolloutEffect(9, 3, 0.0, *[Estimate(0.05)] * 3)]
    roles = make_roles(trial, tsae=axes_dictionary(8, layer=0), rollout_effects=tuple(sampled))
    (row,) = trial_rows(roles)
    assert row["ablation"] == -1 and row["matched"] == [0] and row["injection_d"] == 0.1
    by_name = {(each["edit"], each["what"]): each for each in row["behavior"]}
    assert by_name["ablated", "valid chain, nats per token"]["matched"] == 0.1
    assert by_name["doubled", "valid chain, nats per token"]["matched"] is None
    assert by_name["ablated", "right answer, nats per token"]["value"] is None
    assert by_name["ablated", "valid answers, share"] == {
        "edit": "ablated", "what": "valid answers, share", "value": 0.5, "low": 0.4, "high": 0.6, "matched": 0.05,
    }  # fmt: skip
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize("name", ["difficulty", "dictionary", "roles", "features"])
def test_committed_studies_give_a_verdict_for_each_claim(name):
    study = StudyResult.load(RESULTS / name)
    content = json.loads((RESULTS / name / "result.json").read_text())
    rows = study.verdicts()
    assert is_study(RESULTS / name) and study.partial is None and study.name == name
    assert {row["claim"]: row["verdict"] for row in rows} == content["verdict"]
    assert all(row["measures"] and row["text"] for row in rows)


def test_a_study_without_a_result_is_unfinished_and_a_damaged_result_is_refused(tmp_path):
    (tmp_path / "runs.jsonl").write_text("")
    assert "is unfinished" in str(StudyResult.load(tmp_path).partial) and StudyResult.load(tmp_path).verdicts() == []
    (tmp_path / "result.json").write_text('{"texts": {}, "verdict": 5, "measures": {}}')
    with pytest.raises(BadInput, match="expected the result of a study"):
        StudyResult.load(tmp_path)
