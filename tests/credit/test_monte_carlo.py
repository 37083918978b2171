"""Monte-Carlo values: weights by hand from given values, and from a task whose first word decides everything."""

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import run
from conftest import tiny_policy
from grpo_fixtures import FirstWord, assert_same_run, make_rollout, metric_lines, small_config, train_tiny

from interp.artifacts import BadInput
from interp.credit import MonteCarloValues, RolloutBatch, make_scheme, monte_carlo
from interp.policy import Policy, SampleConfig
from interp.policy.prompts import PromptFormat
from interp.rollouts import PrefixValue, RolloutValues, roll_out, values

TASK = FirstWord()
SCHEME = MonteCarloValues(TASK, sampling=SampleConfig(max_new_tokens=8))


@dataclass
class CountingPolicy(Policy):
    """Counts the prefixes that it is asked to continue."""

    counts: list[int] = field(default_factory=list)

    def sample(self, prompts: Any, *args: Any, **kwargs: Any) -> Any:
        self.counts.append(len(prompts))
        return super().sample(prompts, *args, **kwargs)


def batch_of(*rollouts, group: int = 2, policy: Any = None, **options) -> RolloutBatch:
    return RolloutBatch.from_rollouts(rollouts, group, policy=policy or tiny_policy(), **options)


@pytest.fixture(scope="module")
def mixed(tiny) -> list[Any]:
    """A group in which the first word of some rollouts is even."""
    for index in range(20):
        group = roll_out(tiny["qwen3"], TASK, [TASK.problem("train", None, index)], SampleConfig(4, 8)).rows
        is_number = [row.completion[:1].isdigit() and len(row.tokens) > 1 and row.steps[0].start == 0 for row in group]
        if len({row.reward for row in group}) == 2 and all(is_number):
            return group
    raise AssertionError("no group has rollouts of both kinds, each of which begins with a number")


# --- weights -------------------------------------------------------------------------------------------------------


def weights_from(monkeypatch, rewards, values, rest_weight=0.1) -> list[list[float]]:
    """Weights of two rollouts of five tokens whose values at positions 0, 2, 3 and 5 are given."""

    def given_values(policy, task, rollouts, sampling, **options):
        prefixes = [[PrefixValue(value, 0.0, 9, value, 0.0, 9) for value in row] for row in values]
        return [RolloutValues("hand", 0, "p", i, (0, 2, 3, 5), tuple(row)) for i, row in enumerate(prefixes)]

    monkeypatch.setattr(monte_carlo, "sample_values", given_values)
    batch = batch_of(*(make_rollout(reward, length=5) for reward in rewards))
    return replace(SCHEME, rest_weight=rest_weight)(batch).validate(batch).weights_BL.tolist()


def test_a_success_credits_what_raised_its_value_and_a_failure_blames_what_lowered_it(monkeypatch):
    values = [(0.2, 0.6, 0.5, 1.0), (0.2, 0.1, 0.9, 0.0)]
    success, failure = weights_from(monkeypatch, (1, 0), values)
    raised = [0.5, 0.5, 0.1, 0.6, 0.6]  # the rest weight, and 0.4, nothing and 0.5
    assert success == pytest.approx([5 * weight / sum(raised) for weight in raised])
    lowered = [0.2, 0.2, 0.1, 1.0, 1.0]  # the rest weight, and 0.1, nothing and 0.9
    assert failure == pytest.approx([5 * weight / sum(lowered) for weight in lowered])


def test_where_little_was_at_stake_weights_are_nearly_even(monkeypatch):
    nothing, little = weights_from(monkeypatch, (1, 0), [(1.0, 1.0, 1.0, 1.0), (0.02, 0.02, 0.0, 0.0)])
    assert nothing == [1] * 5
    assert max(little) / min(little) == pytest.approx(1.2)


def test_without_rest_weight_a_rollout_without_gain_is_weighted_evenly(monkeypatch):
    success, failure = weights_from(monkeypatch, (1, 0), [(0.5, 0.5, 0.5, 1.0), (0.0, 0.0, 0.0, 0.0)], rest_weight=0.0)
    assert success == [0, 0, 0, 2.5, 2.5] and failure == [1] * 5


def test_the_word_that_decides_gets_the_credit_and_the_blame(mixed, tiny):
    batch = batch_of(*mixed, group=4, policy=tiny["qwen3"])
    credit = SCHEME(batch).validate(batch)
    assert credit.gate_B.tolist() == [1] * 4
    prompt_values = set()
    for row, rollout in enumerate(mixed):
        weights = credit.weights_BL[row, : len(rollout.tokens)]
        assert weights[0] > 1 and torch.allclose(weights[1:], weights[1])
        delta = 0.1 * (float(weights[0] / weights[1]) - 1)  # what the first word is worth over the rest weight
        prompt_values.add(round(1 - delta if rollout.reward else delta, 4))
    assert len(prompt_values) == 1, "all rollouts of the group begin at one value"
    n_successes = prompt_values.pop() * 9
    assert n_successes == pytest.approx(round(n_successes), abs=1e-2)
    assert credit.facts["valued"] == 4 and 0 < credit.facts["delta_size"] < 1


def test_draws_depend_on_the_seed_and_the_step_alone(mixed, tiny):
    many = replace(SCHEME, n=50)
    options = {"group": 4, "policy": tiny["qwen3"]}
    weights_BL = many(batch_of(*mixed, **options)).weights_BL
    assert torch.equal(many(batch_of(*mixed, **options)).weights_BL, weights_BL)
    assert torch.allclose(many(batch_of(*mixed[::-1], **options)).weights_BL, weights_BL.flip(0))
    later = [replace(row, step=1) for row in mixed]
    for other in (batch_of(*mixed, seed=1, **options), batch_of(*later, **options)):
        assert not torch.equal(many(other).weights_BL, weights_BL)


# --- what is not sampled -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rewards", [(1, 1), (0, 0), (float("nan"), 1)])
def test_a_group_without_a_difference_is_not_continued(rewards):
    policy = CountingPolicy(tiny_policy().model, tiny_policy().tokenizer)
    batch = batch_of(*(make_rollout(reward) for reward in rewards), policy=policy)
    credit = SCHEME(batch).validate(batch)
    assert torch.equal(credit.weights_BL, batch.mask_BL.float()) and policy.counts == []
    assert credit.facts == {"valued": 0, "delta_size": 0}


def test_a_rollout_without_tokens_or_without_steps_is_weighted_evenly(tiny):
    batch = batch_of(make_rollout(1, length=0), make_rollout(0), policy=tiny["llama"])
    assert SCHEME(batch).validate(batch).weights_BL.tolist() == [[0] * 4, [1] * 4]


def test_prefixes_of_a_group_are_continued_once():
    policy = CountingPolicy(tiny_policy().model, tiny_policy().tokenizer)
    steps = ((0, 2, True, True),)
    SCHEME(batch_of(make_rollout(1, steps=steps), make_rollout(0, steps=steps, sample=1), policy=policy))
    assert sum(policy.counts) == 2, "the prompt, and the first step that both rollouts wrote"


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_batch_without_its_policy_is_refused():
    batch = RolloutBatch.from_rollouts([make_rollout(1), make_rollout(0)], 2)
    with pytest.raises(BadInput, match="expected a batch with the policy that sampled it, got none"):
        SCHEME(batch)


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(BadInput, match=r"expected a Task, got 'first-word' \(str\): pass the task"):
        MonteCarloValues("first-word")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="n must be at least 1; got 0"):
        MonteCarloValues(TASK, n=0)
    with pytest.raises(BadInput, match="rest_weight must lie between 0 and 1; got 2"):
        MonteCarloValues(TASK, rest_weight=2)


def test_the_scheme_is_made_by_name_for_a_task():
    made_by_name = make_scheme(
        "monte-carlo", task=TASK, sampling=SampleConfig(max_new_tokens=8), prompt_format=PromptFormat(stop=(";",))
    )
    assert made_by_name == replace(SCHEME, prompt_format=PromptFormat(stop=(";",)))
    assert make_scheme("monte-carlo", task=TASK) == MonteCarloValues(TASK)
    with pytest.raises(BadInput, match="expected the task that is trained on for credit by monte-carlo, got none"):
        make_scheme("monte-carlo")


# --- as the run does -----------------------------------------------------------------------------------------------


def record_calls(monkeypatch) -> list[tuple[Any, Any, int]]:
    """Sampling, prompt format and rollouts of each call that values rollouts."""
    calls = []

    def sample_values(policy, task, rollouts, sampling, **options):
        calls.append((sampling, options["prompt_format"], len(rollouts)))
        return values.sample_values(policy, task, rollouts, sampling, **options)

    monkeypatch.setattr(monte_carlo, "sample_values", sample_values)
    return calls


def test_continuations_are_sampled_and_end_as_the_rollouts_of_the_run(monkeypatch, tmp_path):
    calls = record_calls(monkeypatch)
    config = small_config(steps=1, stop=("ans",))
    config = replace(config, sampling=replace(config.sampling, temperature=0.7))
    train_tiny(tmp_path / "run", config, credit=MonteCarloValues(TASK), progress=False)
    assert len(calls) == 2
    for sampling, prompt_format, _ in calls:
        assert sampling == replace(config.sampling, group=9) and prompt_format == PromptFormat(stop=("ans",))
    train_tiny(tmp_path / "own", config, credit=replace(SCHEME, prompt_format=PromptFormat()), progress=False)
    assert calls[-1][0].temperature == 1.0 and calls[-1][1] == PromptFormat(), "what is stated is followed"


def test_values_are_measured_once_a_step_also_where_groups_are_drawn_again(monkeypatch, tmp_path):
    calls = record_calls(monkeypatch)
    config = small_config(steps=3, redraw=True, max_draws=4)
    lines = metric_lines(train_tiny(tmp_path / "run", config, credit=MonteCarloValues(TASK), progress=False).path)
    assert len(calls) == len(lines) == 4
    assert [n for _, _, n in calls] == [line["valued"] for line in lines] and all(n <= 16 for _, _, n in calls)


def test_a_hint_that_counts_as_written_may_make_a_rollout_longer_than_what_is_sampled(tiny):
    policy = CountingPolicy(tiny["llama"].model, tiny["llama"].tokenizer)
    long = make_rollout(1, length=11, hint_tokens=0, steps=((0, 9, True, True),))
    short = make_rollout(0, sample=1)
    credit = SCHEME(batch_of(long, short, policy=policy))
    assert credit.facts["valued"] == 2 and credit.weights_BL[0, :11].sum() == pytest.approx(11)
    (own, _) = values.sample_values(policy, TASK, [long, short], SampleConfig(9, 8), purpose="test", progress=False)
    assert own.positions == (0, 9, 11)
    with pytest.raises(BadInput, match="expected completions of up to max_new_tokens=8"):
        SCHEME(batch_of(replace(long, hint_tokens=None), short, policy=policy))


# --- training ------------------------------------------------------------------------------------------------------


def test_training_with_it_is_deterministic_and_reports_what_was_valued(tmp_path):
    first, second = (train_tiny(tmp_path / name / "run", credit=SCHEME, progress=False).path for name in ("a", "b"))
    assert_same_run(first, second)
    lines = metric_lines(first)
    assert all(line["valued"] == 4 * line["mixed_groups"] for line in lines) and any(line["valued"] for line in lines)


def test_the_command_trains_with_it(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    short = ("--levels", "2", "--steps", "1", "--prompts", "2", "--group", "4", "--max-new-tokens", "16", "--json")
    assert run(monkeypatch, "grpo", "--credit", "monte-carlo", "--out", tmp_path / "run", *short) == 0
    assert capsys.readouterr().err == ""
