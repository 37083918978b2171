"""Values of prefixes: certain where the outcome is, near an independent sample where it is not, sampled once each."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_policy
from damage_fixtures import DAMAGES
from grpo_fixtures import FirstWord, make_rollout
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput, Mismatch, add_checksums
from interp.policy import Policy, SampleConfig
from interp.policy.prompts import PromptFormat
from interp.rollouts import PrefixValue, PrefixValues, RolloutValues, measure_values, roll_out
from interp.rollouts.prefix_values import Outcome
from interp.rollouts.values import sample_values, step_positions, token_positions
from interp.tasks import Chain, Verdict

TASK = FirstWord()
SAMPLING = SampleConfig(group=16, max_new_tokens=8)


@pytest.fixture(scope="module")
def rollouts(tiny) -> list[Any]:
    """Completions that begin with a number, which is all that decides their reward."""
    rows = roll_out(tiny["qwen3"], TASK, TASK.problems("eval", None, 6), SampleConfig(4, 8))
    return [row for row in rows if row.completion[:1].isdigit() and row.steps[0].start == 0]


def values_of(policy, rollouts, sampling=SAMPLING, *, task: Any = TASK, **options) -> list[RolloutValues]:
    return sample_values(policy, task, rollouts, sampling, purpose="test", progress=False, **options)


def by_hand(positions, rewards, *, errors=None) -> RolloutValues:
    errors = errors or [0.0] * len(rewards)
    prefixes = [PrefixValue(*pair, 4, math.nan, math.nan, 0) for pair in zip(rewards, errors, strict=True)]
    return RolloutValues("hand", 0, "p", 0, tuple(positions), tuple(prefixes))


# --- one prefix ----------------------------------------------------------------------------------------------------


def test_three_successes_of_four_are_three_quarters_and_a_quarter_of_error():
    outcomes = [Outcome(1, True), Outcome(1, None), Outcome(1, False), Outcome(0, False)]
    value = PrefixValue.from_outcomes(outcomes)
    assert (value.reward, value.n, value.n_valid) == (0.75, 4, 3)
    assert value.reward_error == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert (value.valid, value.valid_error) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_what_was_not_measured_is_not_a_number():
    value = PrefixValue.from_outcomes([Outcome(1, None)])
    assert value.reward == 1 and math.isnan(value.reward_error)
    assert math.isnan(value.valid) and math.isnan(value.valid_error) and value.n_valid == 0


def test_a_whole_completion_has_its_own_reward_without_error():
    value = PrefixValue.of_whole(make_rollout(1, valid=False))
    assert (value.reward, value.reward_error, value.n) == (1, 0, 1)
    assert (value.valid, value.valid_error, value.n_valid) == (0, 0, 1)
    unjudged = PrefixValue.of_whole(make_rollout(1, valid=None))
    assert math.isnan(unjudged.valid) and unjudged.n_valid == 0


# --- one rollout ---------------------------------------------------------------------------------------------------


def test_the_delta_of_a_segment_stands_at_each_token_spread_over_them_or_at_the_last():
    values = by_hand((0, 2, 5), (0.25, 0.75, 0.0), errors=(0.3, 0.4, 0.0))
    assert values.deltas() == (0.5, -0.75)
    assert values.delta_errors() == pytest.approx((0.5, 0.4))
    assert values.per_token() == (0.5, 0.5, -0.75, -0.75, -0.75)
    assert values.per_token(place="spread") == (0.25, 0.25, -0.25, -0.25, -0.25)
    assert values.per_token(place="last") == (0, 0.5, 0, 0, -0.75)
    assert all(map(math.isnan, values.per_token("valid")))


@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0, 1)), min_size=1, max_size=6), st.floats(0, 1))
def test_deltas_sum_to_the_reward_less_the_value_of_the_prompt(segments, prompt_value):
    positions = [0]
    for length, _ in segments:
        positions.append(positions[-1] + length)
    values = by_hand(positions, [prompt_value, *(value for _, value in segments)])
    for total in (values.deltas(), values.per_token(place="spread"), values.per_token(place="last")):
        assert sum(total) == pytest.approx(segments[-1][1] - prompt_value, abs=1e-9)


# --- measuring -----------------------------------------------------------------------------------------------------


def test_once_the_outcome_is_decided_the_value_is_the_reward(tiny, rollouts):
    for rollout, values in zip(rollouts, values_of(tiny["qwen3"], rollouts, positions=token_positions), strict=True):
        assert values.positions == tuple(range(len(rollout.tokens) + 1))
        after_first_word = values.prefixes[1:]
        assert {(prefix.reward, prefix.reward_error) for prefix in after_first_word} == {(rollout.reward, 0)}
        assert [prefix.n for prefix in values.prefixes] == [16] * len(rollout.tokens) + [1]


def test_the_value_of_a_prompt_is_the_pass_rate_of_an_independent_sample(tiny, rollouts):
    problem = TASK.problem("eval", None, 0)
    independent = roll_out(tiny["qwen3"], TASK, [problem], SampleConfig(2000, 8, seed=1))
    first = [replace(rollouts[0], problem=problem.id, prompt=problem.prompt, prompt_ids=independent[0].prompt_ids)]
    value = values_of(tiny["qwen3"], first, SampleConfig(2000, 8))[0].prefixes[0]
    for measured, error, rate in (
        (value.reward, value.reward_error, sum(row.reward for row in independent) / 2000),
        (value.valid, value.valid_error, sum(bool(row.valid) for row in independent) / 2000),
    ):
        assert 0.02 < rate < 0.98 and error == pytest.approx(math.sqrt(rate * (1 - rate) / 2000), rel=0.2)
        assert abs(measured - rate) < 5 * error


def test_values_are_measured_at_the_ends_of_written_steps(tiny, rollouts):
    for rollout, values in zip(rollouts, values_of(tiny["qwen3"], rollouts), strict=True):
        assert values.positions == tuple(sorted({0, *(step.end for step in rollout.steps), len(rollout.tokens)}))
        assert (values.problem, values.sample) == (rollout.problem, rollout.sample)


def test_a_value_does_not_depend_on_the_other_rollouts_or_their_order(tiny, rollouts):
    policy, together = tiny["qwen3"], values_of(tiny["qwen3"], rollouts)
    assert values_of(policy, rollouts[::-1]) == together[::-1]
    assert values_of(policy, rollouts[3:5]) == together[3:5]
    assert values_of(policy, rollouts, SampleConfig(16, 8, rows=16)) == together, "a prefix at a time"
    assert values_of(policy, rollouts, replace(SAMPLING, seed=1)) != together
    later = values_of(policy, [replace(row, step=5) for row in rollouts])
    assert [row.prefixes for row in later] != [row.prefixes for row in together]


@dataclass
class RecordingPolicy(Policy):
    """Keeps the prompts that it is asked to continue."""

    prompts: list[tuple[int, ...]] = field(default_factory=list)

    def sample(self, prompts: Any, *args: Any, **kwargs: Any) -> Any:
        self.prompts += map(tuple, prompts)
        return super().sample(prompts, *args, **kwargs)


@dataclass(frozen=True)
class RecordingTask(FirstWord):
    """Keeps the completions that it verifies."""

    completions: list[str] = field(default_factory=list)

    def verify(self, problem: Any, completion: str) -> Verdict:
        self.completions.append(completion)
        return super().verify(problem, completion)


def test_a_prefix_of_several_rollouts_is_sampled_once(tiny, rollouts):
    policy = RecordingPolicy(tiny["qwen3"].model, tiny["qwen3"].tokenizer)
    values_of(policy, rollouts)
    prefixes = {(*row.prompt_ids, *row.tokens[:end]) for row in rollouts for end in (0, *step_positions(row))}
    whole = {(*row.prompt_ids, *row.tokens) for row in rollouts}
    assert sorted(policy.prompts) == sorted(prefixes - whole) and len(policy.prompts) < 2 * len(rollouts)


def test_a_continuation_ends_where_the_completion_would_have_to(tiny, rollouts):
    task = RecordingTask()
    longest = max(len(row.tokens) for row in rollouts)
    values_of(tiny["qwen3"], rollouts, SampleConfig(8, longest), task=task, positions=token_positions)
    assert max(len(text.split()) for text in task.completions) <= longest


def test_a_stop_text_that_a_prefix_has_begun_ends_the_completion_too(tiny):
    policy, task = tiny["qwen3"], RecordingTask()
    semicolon, three = policy.tokenizer.convert_tokens_to_ids([";", "3"])
    rollout = make_rollout(length=3, tokens=(three, semicolon, 9))
    stop = PromptFormat(stop=("; 3",))
    values_of(policy, [rollout], SampleConfig(300, 8), task=task, positions=lambda _: [2], prompt_format=stop)
    cut = [text for text in task.completions if text.split()[:1] == ["3"]]
    assert "3 " in cut and not any("; 3" in text for text in task.completions)


def test_a_rollout_without_tokens_has_the_value_of_its_own_reward(tiny):
    values = values_of(tiny["qwen3"], [make_rollout(length=0)])[0]
    assert values.positions == (0,) and values.deltas() == values.per_token() == ()
    assert values.prefixes[0].reward == 0


def test_a_completion_that_was_cut_off_at_the_length_has_its_own_reward(tiny):
    rollout = make_rollout(1, length=8, truncated=True)
    assert values_of(tiny["qwen3"], [rollout])[0].prefixes[-1] == PrefixValue.of_whole(rollout)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_values_are_measured_of_other_families(tiny, family, rollouts):
    assert all(0 <= value.prefixes[0].reward <= 1 for value in values_of(tiny[family], rollouts[:2]))


def test_right_steps_raise_the_value_and_wrong_ones_lower_it(organism):
    chain = Chain()
    rollouts = roll_out(organism, chain, chain.problems("eval", 4, 6), SampleConfig(8))
    values = measure_values(organism, chain, rollouts, SampleConfig(16), progress=False)
    deltas: dict[bool, list[float]] = {True: [], False: []}
    for rollout, own in zip(rollouts, values, strict=True):
        of_end = dict(zip(own.positions[1:], own.deltas(), strict=True))
        for step in rollout.steps:
            deltas[bool(step.holds and step.follows)].append(of_end[step.end])
    assert min(map(len, deltas.values())) > 10
    means = {is_right: sum(own) / len(own) for is_right, own in deltas.items()}
    assert means[True] > 0 > means[False]


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rollout", "options", "message"),
    [
        (make_rollout(length=9), {}, "max_new_tokens=8 tokens.*sample 0 of p has 9: use the length"),
        (make_rollout(length=5, truncated=True), {}, "max_new_tokens=8 tokens.* of p was cut off at 5: use the length"),
        (make_rollout(length=5, prompt_ids=(4,) * 60), {}, r"up to 64 tokens; sample 0 of p has 60 \+ 5: leave it"),
        (make_rollout(prompt_ids=()), {}, r"a prompt of at least one token.*has 0 \+ 4"),
        (make_rollout(), {"positions": lambda _: [5]}, "expected positions from 0 to 4, .*; got 5"),
        (make_rollout(), {"positions": lambda _: [-1]}, "expected positions from 0 to 4, .*; got -1"),
    ],
)
def test_what_cannot_be_continued_is_refused_before_sampling(rollout, options, message):
    policy = RecordingPolicy(tiny_policy().model, tiny_policy().tokenizer)
    with pytest.raises(BadInput, match=message):
        values_of(policy, [make_rollout(), rollout], **options)
    assert policy.prompts == []


def test_a_prefix_that_ends_just_before_the_context_is_continued(tiny):
    rollout = make_rollout(length=4, prompt_ids=(4,) * 60, truncated=True)
    assert values_of(tiny["qwen3"], [rollout], positions=token_positions)[0].prefixes[3].n == 16


def test_another_temperature_than_that_of_the_rollouts_is_a_warning(tiny):
    rollouts = roll_out(tiny["qwen3"], TASK, TASK.problems("eval", None, 1), SampleConfig(2, 8))
    with pytest.warns(UserWarning, match="temperature is 0.5 here and 1.0 in the rollouts"):
        measure_values(tiny["qwen3"], TASK, rollouts, replace(SAMPLING, temperature=0.5), progress=False)


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tiny, rollouts, tmp_path_factory) -> tuple[PrefixValues, Path]:
    path = tmp_path_factory.mktemp("values") / "values"
    values = measure_values(tiny["qwen3"], TASK, rollouts, SAMPLING, progress=False)
    values.save(path)
    return values, path


def test_saved_values_are_loaded_unchanged(saved, tiny, rollouts):
    values, path = saved
    loaded = PrefixValues.load(path, made_from={"policy": tiny["qwen3"].fingerprint(), "task": TASK.fingerprint()})
    assert loaded.table().equals(values.table()) and loaded.rows == values.rows
    assert loaded.made_from == values.made_from and loaded.config == values.config
    assert loaded.config["sampling"]["group"] == 16 and len(loaded) == len(rollouts)


def test_unjudged_validity_survives_saving(tmp_path):
    values = PrefixValues([by_hand((0, 2), (0.5, 1.0))])
    values.save(tmp_path / "v")
    loaded = PrefixValues.load(tmp_path / "v")
    assert loaded[0].positions == (0, 2) and all(math.isnan(prefix.valid) for prefix in loaded[0].prefixes)


def test_a_summary_names_the_size_of_a_delta_and_its_error():
    values = PrefixValues([by_hand((0, 2, 4), (0.25, 0.75, 0), errors=(0, 0.25, 0)), by_hand((0, 1), (0.5, 1))])
    assert values.summary().row(0) == (2, 5, 0.375, pytest.approx(1.75 / 3), pytest.approx(0.5 / 3))
    assert "PrefixValues(2 rollouts, 5 prefixes)" in values._repr_html_()
    assert isinstance(values[:1], PrefixValues) and len(values[:1]) == 1


def test_values_of_another_policy_are_refused(saved):
    with pytest.raises(Mismatch, match="another policy: expected 0123"):
        PrefixValues.load(saved[1], made_from={"policy": "0123"})


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "exchange"])
def test_a_damaged_file_is_refused_by_its_name(saved, tmp_path, damage):
    saved[0].save(path := tmp_path / "v")
    DAMAGES[damage](path / "values.parquet", saved[1] / "values.parquet")
    with pytest.raises(BadInput, match=str(path)):
        PrefixValues.load(path)


@pytest.mark.parametrize("order", ["reversed", "without a start", "of another rollout"])
def test_prefixes_out_of_order_are_refused(saved, tmp_path, order):
    saved[0].save(path := tmp_path / "v")
    frame = saved[0].table()
    renamed = frame.with_columns(sample=frame["position"].cast(int))
    later = frame.with_columns(position=frame["position"] + (frame["position"] == 0).cum_sum().eq(1))
    changed = {"reversed": frame[::-1], "without a start": later, "of another rollout": renamed}[order]
    changed.write_parquet(path / "values.parquet")
    add_checksums(path)
    with pytest.raises(BadInput, match=r"expected (the prefixes of each rollout|values from position 0)"):
        PrefixValues.load(path)
