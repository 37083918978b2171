"""What training changed in answers, by hand: pairs by problem, the base again, runs less their controls."""

from types import SimpleNamespace
from typing import Any

import pytest
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput
from interp.dashboard import DashboardConfig
from interp.dashboard.answers import Counted, Rated
from interp.dashboard.changes import change_rows, is_control_run
from interp.dashboard.checkpoints import Checkpoints
from interp.dashboard.inputs import Inputs, Named
from interp.rollouts import Rollouts
from interp.rollouts.evaluation import Evaluation
from interp.stats import Estimate
from interp.tracking.behavior import BehaviorCounts

PROBLEMS = range(10)


def answers(right: int, policy: str, **fields: Any) -> Named[Rollouts]:
    """Four answers to each of ten problems, of which the first `right` are right and valid."""
    rows = [
        make_rollout(float(sample < right), problem=f"{n}", prompt=f"{n}", level="hard", valid=sample < right, **fields)
        for n in PROBLEMS
        for sample in range(4)
    ]
    return Named(policy, Rollouts(rows, made_from={"policy": f"{policy}+rest"}))


def two_runs() -> Checkpoints:
    checkpoints = Checkpoints()
    for name in ("features", "random"):
        run = checkpoints.add_run(name, "run")
        checkpoints.add(run, 0, is_base=True, fingerprint="base+rest")
        checkpoints.add(run, 10, fingerprint=f"{name}+rest")
    return checkpoints


def rows_of(inputs: Inputs, *controls: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = change_rows(inputs, two_runs(), [], [], lambda row: row.level, DashboardConfig(controls=controls))
    return {(row["kind"], row["name"]): row for row in rows}


def cell(row: dict[str, Any], measure: str, bucket: str = "hard") -> dict[str, Any]:
    return next(each for each in row["cells"] if (each["bucket"], each["measure"]) == (bucket, measure))


def test_answers_to_the_same_problems_are_compared_problem_by_problem():
    inputs = Inputs(rollouts=[answers(1, "base"), answers(2, "base"), answers(3, "features"), answers(2, "random")])
    rows = rows_of(inputs, "features:random")
    assert list(rows) == [
        ("base", "base"), ("run", "features"), ("control", "base again"), ("control", "random"),
        ("against", "features less random"),
    ]  # fmt: skip
    values = {name: cell(row, "pass_rate")["value"] for (_, name), row in rows.items()}
    assert values == {"base": 0.25, "features": 0.5, "base again": 0.25, "random": 0.25, "features less random": 0.25}
    assert cell(rows["run", "features"], "pass_rate", "all") == cell(rows["run", "features"], "pass_rate") | {
        "bucket": "all"
    }
    assert all(row["paired"] and row["source"] == "rollouts" for row in rows.values())
    assert rows["run", "features"]["run"] == 0 and rows["run", "features"]["checkpoint"] == 1


def test_evaluations_alone_are_compared_without_pairs():
    rates = {"base": 0.3, "features": 0.6}
    evaluations = [
        Named(name, Evaluation({(0, "all", "all"): {"pass_rate": Estimate(value, value - 0.1, value + 0.1, 20)}},
              policies={0: f"{name}+rest"}))
        for name, value in rates.items()
    ]  # fmt: skip
    rows = rows_of(Inputs(evaluations=evaluations))
    change = cell(rows["run", "features"], "pass_rate", "all")
    assert not rows["run", "features"]["paired"] and change["value"] == pytest.approx(0.3)
    assert change["low"] == pytest.approx(0.3 - 0.1 * 2**0.5) and change["high"] == pytest.approx(0.3 + 0.1 * 2**0.5)


def test_rollouts_of_training_are_no_answers_to_the_same_problems():
    trained = [answers(1, "base", advantages=(0.5,)), answers(3, "features", advantages=(0.5,))]
    assert rows_of(Inputs(rollouts=trained)) == {}


def test_a_lucky_answer_is_right_and_not_valid_in_rollouts_and_in_tracks():
    rows = [make_rollout(1.0, valid=valid, level="hard") for valid in (True, False, False, None)] + [
        make_rollout(0.0, valid=False, level="hard")
    ]
    behavior = BehaviorCounts()
    behavior.update([("hard", 0, row) for row in rows])
    for counted in (Counted.of_rollouts(rows, lambda row: row.level), Counted.of_tracks(behavior)):
        for bucket in ("hard", "all"):
            lucky = counted.rate((bucket, "lucky_share"))
            assert lucky.value == pytest.approx(2 / 3) and lucky.n == 3
    assert Rated({}).rate(("hard", "pass_rate")).n == 0


def test_credit_by_random_tokens_or_latents_is_a_control():
    credit = {"RandomTokens": {}, "FeatureCredit": {"control_seed": 0}}
    runs = [SimpleNamespace(manifest={"credit": {"kind": kind, "settings": each}}) for kind, each in credit.items()]
    plain = [SimpleNamespace(manifest={"credit": {"kind": "FeatureCredit", "settings": {"control_seed": None}}}), None]
    assert all(map(is_control_run, runs)) and not any(map(is_control_run, [*plain, SimpleNamespace(manifest={})]))


@pytest.mark.parametrize("pair", ["features", "features:nobody", "a:b:c"])
def test_a_control_that_is_no_run_is_refused(pair):
    with pytest.raises(BadInput, match="expected controls as RUN:CONTROL, of the runs features, random"):
        rows_of(Inputs(), pair)
