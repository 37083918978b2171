"""Rates of behavior and their differences, paired by prompt."""

import json

import numpy as np
import pytest
from grpo_fixtures import make_rollout
from tracking_fixtures import save_tracks_by_outcome

from interp.tracking import Comparison
from interp.tracking.behavior import BehaviorCounts, PromptCounts, rate_difference, rate_verdict


def counts(successes: list[int], trials: list[int]) -> PromptCounts:
    return PromptCounts(np.array(successes), np.array(trials))


def test_rates_are_counted_by_prompt_and_their_differences_are_paired(tmp_path):
    a = {"valid": (10, [1.0]), "lucky": (10, [1.0]), "wrong": (20, [1.0])}
    b = {"valid": (30, [1.0]), "wrong": (10, [1.0])}
    save_tracks_by_outcome(tmp_path / "t", a, b)
    rows = {row["measure"]: row for row in Comparison.open(tmp_path / "t").behavior().to_dicts()}
    assert {name: (row["a"], row["b"], row["difference"]) for name, row in rows.items()} == {
        "pass_rate": (0.5, 0.75, 0.25),
        "valid_rate": (0.25, 0.75, 0.5),
        "lucky_rate": (0.25, 0.0, -0.25),
        "direct_share": (0.25, 0.0, -0.25),
    }
    assert rows["valid_rate"]["verdict"] == "more" and rows["valid_rate"]["low"] > 0
    assert rows["pass_rate"]["prompts"] == 12 and rows["pass_rate"]["control"] == 0
    assert rows["pass_rate"]["control_low"] < 0 < rows["pass_rate"]["control_high"]


def test_what_both_checkpoints_owe_to_the_prompts_cancels():
    easy_to_hard = [4] * 6 + [2] * 6 + [0] * 6
    alike = rate_difference(counts(easy_to_hard, [4] * 18), counts(easy_to_hard, [4] * 18))
    reversed_order = rate_difference(counts(easy_to_hard, [4] * 18), counts(easy_to_hard[::-1], [4] * 18))
    assert alike.value == reversed_order.value == 0
    assert alike.width < 0.05 < 0.5 < reversed_order.width


def test_none_of_forty_is_not_surely_none():
    never = rate_difference(counts([0] * 10, [4] * 10), counts([0] * 10, [4] * 10))
    assert never.value == 0 and never.low < -0.2 and never.high > 0.2 and rate_verdict(never) == "undecided"


def test_without_trials_in_common_there_is_no_interval():
    unjudged = rate_difference(counts([0] * 10, [0] * 10), counts([1] * 10, [4] * 10))
    assert rate_verdict(unjudged) == "too few prompts" and unjudged.n == 0 and not unjudged.has_interval


@pytest.mark.parametrize("kind", ["same rates", "half the rate", "rare"])
def test_intervals_of_differences_cover_the_truth_at_least_93_times_in_100(kind):
    """Prompts as different from each other as they come, four rollouts each."""
    rng, covered, repeats = np.random.default_rng(0), 0, 300
    for _ in range(repeats):
        p_P = rng.beta(0.3, 3, 24) if kind == "rare" else rng.beta(0.5, 0.5, 24)
        q_P = p_P / 2 if kind == "half the rate" else p_P
        truth = -0.25 if kind == "half the rate" else 0.0
        first, second = (counts(rng.binomial(4, rate_P).tolist(), [4] * 24) for rate_P in (p_P, q_P))
        covered += not rate_difference(first, second).excludes(truth)
    assert covered / repeats >= 0.93


def test_counts_can_be_merged_and_stored():
    first, second = BehaviorCounts(), BehaviorCounts()
    first.update([("1", 0, make_rollout(1.0, valid=True)), ("1", 0, make_rollout())])
    second.update([("1", 0, make_rollout(1.0)), ("2", 3, make_rollout(1.0, valid=None))])
    first.merge(BehaviorCounts.from_rows(json.loads(json.dumps(second.to_rows()))))
    passed, valid = (first.prompt_counts("1", name, 2) for name in ("pass_rate", "valid_rate"))
    assert (passed.successes_P.tolist(), passed.trials_P.tolist()) == ([2, 0], [3, 0])
    assert valid.successes_P.tolist() == [1, 0]
    assert first.prompt_counts("2", "valid_rate", 4).trials_P.sum() == 0, "a rollout that is not judged is no trial"
