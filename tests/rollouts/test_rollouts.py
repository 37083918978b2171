"""Rollouts of the shipped organism: the joined record, what it was made from, difficulty."""

import json
from dataclasses import replace
from itertools import pairwise

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput, Mismatch
from interp.organism import shipped
from interp.policy import Policy, SampleConfig, Samples
from interp.rollouts import BucketConfig, Buckets, Rollouts, bucket, judge, roll_out, summarise
from interp.rollouts.buckets import bucket_of, label_at_8, measure
from interp.rollouts.prompts import by_level
from interp.tasks import Chain, JsonlTask, Problem
from interp.tasks.base import evenly

TASK = Chain()


@pytest.fixture(scope="module")
def organism() -> Policy:
    return Policy.load(shipped(), device="cpu")


@pytest.fixture(scope="module")
def rollouts(organism) -> Rollouts:
    return roll_out(organism, TASK, TASK.problems("eval", None, 30), SampleConfig(group=6))


def test_there_is_one_row_per_rollout_under_one_key(rollouts):
    keys = {(r.run, r.step, r.problem, r.sample) for r in rollouts}
    assert len(rollouts) == len(keys) == 180


def test_lists_run_over_the_tokens_of_the_completion(rollouts):
    for r in rollouts:
        lengths = {len(r.tokens), len(r.logprobs), len(r.entropies), len(r.roles)}
        assert len(lengths) == 1
        assert (r.roles[-1] == "end") == (not r.truncated)


def test_the_record_agrees_with_the_verifier_asked_again(rollouts):
    for r in rollouts:
        verdict = TASK.verify(Problem(r.problem, r.prompt, r.label), r.completion)
        assert (verdict.correct, verdict.valid, verdict.lucky) == (r.correct, r.valid, r.lucky)
        assert r.reward == float(verdict.rewarded)


def test_steps_and_errors_are_told_in_tokens(rollouts, organism):
    for r in rollouts:
        words = organism.words(r.tokens)
        for step, written in zip(
            r.steps, TASK.verify(Problem(r.problem, r.prompt, r.label), r.completion).steps, strict=True
        ):
            assert "".join(words[step.start : step.end]).strip() == r.completion[written.start : written.end].strip()
        assert (r.first_error is None) == bool(r.valid)


def test_advantage_and_credit_are_empty_and_not_zero(rollouts):
    assert rollouts.table().select("advantages", "credit", "gate").null_count().row(0) == (180, 180, 180)


def test_rollouts_come_back_from_parquet_as_they_went(rollouts, tmp_path):
    rollouts.save(tmp_path / "r")
    again = Rollouts.load(tmp_path / "r")
    assert again.rows == [
        replace(r, logprobs=a.logprobs, entropies=a.entropies) for r, a in zip(rollouts, again, strict=True)
    ]
    assert again[7].logprobs == pytest.approx(rollouts[7].logprobs, rel=1e-6)
    assert again.made_from == rollouts.made_from
    assert pl.read_parquet(tmp_path / "r" / "rollouts.parquet").height == 180


def test_rollouts_of_another_policy_are_refused(rollouts, tmp_path):
    rollouts.save(tmp_path / "r")
    with pytest.raises(Mismatch, match=r"another policy: expected 0123, got [0-9a-f]{16}"):
        Rollouts.load(tmp_path / "r", made_from={"policy": "0123"})


def test_a_broken_record_is_named(rollouts, tmp_path):
    rollouts.save(tmp_path / "r")
    (tmp_path / "r" / "rollouts.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInput, match="expected 180 rollouts as Parquet"):
        Rollouts.load(tmp_path / "r")


def test_a_problem_is_answered_alike_whatever_else_is_asked_with_it(organism, rollouts):
    alone = roll_out(organism, TASK, [TASK.problem("eval", None, 17)], SampleConfig(group=6))
    assert [r.tokens for r in alone] == [r.tokens for r in rollouts if r.problem == alone[0].problem]


def test_what_was_chosen_by_luck_is_not_measured_by_the_same_luck(organism, rollouts):
    again = roll_out(organism, TASK, TASK.problems("eval", None, 30), SampleConfig(group=6), purpose="bucket")
    assert [r.tokens for r in again] != [r.tokens for r in rollouts]


def test_an_answer_that_never_came_is_the_end_token_s_error(organism, rollouts):
    eos = organism.stop[0]
    samples = Samples(
        torch.tensor([[eos, 0], [14, eos]]),
        torch.zeros(2, 2),
        torch.zeros(2, 2),
        torch.tensor([1, 2]),
        torch.ones(2).bool(),
    )
    problem = TASK.problem("eval", 3, 0)
    rows = judge(organism, TASK, [problem], organism.encode([problem.prompt]), samples, run="x", step=0)
    assert [r.first_error for r in rows] == [0, 0]
    assert [r.roles for r in rows] == [("end",), ("text", "end")]


def test_a_problem_asked_twice_is_still_one_problem(rollouts):
    twice = [*rollouts, *(replace(r, problem=r.problem + "/again") for r in rollouts)]
    once, doubled = (summarise(rows).rows[4]["pass_rate"] for rows in (rollouts, twice))
    assert doubled.value == once.value and doubled.high - doubled.low > 0.9 * (once.high - once.low)


def test_a_prompt_beyond_the_context_is_refused_by_the_name_of_its_problem(organism):
    long = Problem("too/long", "1 + " * 200 + "1 ?", "1")
    with pytest.raises(BadInput, match=r"problem too/long: a prompt must have 1 to 255 tokens; got 403"):
        roll_out(organism, TASK, [TASK.problem("eval", 1, 0), long])


def test_a_summary_counts_what_it_says(rollouts):
    found = summarise(rollouts).rows
    for depth, measures in found.items():
        here = [r for r in rollouts if r.depth == depth]
        assert measures["pass_rate"].value == sum(r.correct for r in here) / len(here)
        direct = [r for r in here if r.format == "direct"]
        assert measures["direct_pass_rate"].n == len(direct)
        assert measures["lucky_rate"].value == sum(r.correct and not r.valid for r in here) / len(here)


def test_a_summary_by_no_column_is_refused(rollouts):
    with pytest.raises(BadInput, match="by must be a column of the record, one of run, step, .*; got 'colour'"):
        summarise(rollouts, by="colour")


def test_difficulty_follows_the_pass_rate_at_the_stated_cut_points():
    config = BucketConfig(easy=0.6, hard=0.35)
    assert [bucket_of(rate, config) for rate in (0.0, 0.35, 0.36, 0.59, 0.6, 1.0)] == [
        "hard", "hard", "medium", "medium", "easy", "easy",
    ]  # fmt: skip


def test_a_bucket_is_sure_only_if_its_whole_interval_lies_in_it():
    problem, config = TASK.problem("train", 3, 0), BucketConfig()
    assert measure(problem, [True] * 64, config).sure
    assert not measure(problem, [True] * 24 + [False] * 40, config).sure  # 0.375, interval 0.26 to 0.50


def test_the_paper_s_label_looks_at_eight_samples_only():
    assert label_at_8([False] * 8 + [True] * 56) == "hard@8"
    assert label_at_8([True] * 8 + [False] * 56) == "easy@8"
    assert label_at_8([True] + [False] * 7) == "medium@8"


def test_buckets_come_back_as_they_went_and_know_their_base(organism, tmp_path):
    buckets = bucket(organism, TASK, TASK.problems("train", None, 10), config=BucketConfig(n=16))
    buckets.save(tmp_path / "b")
    assert Buckets.load(tmp_path / "b", made_from={"policy": organism.fingerprint()}).rows == buckets.rows
    assert sum(buckets.counts().values()) == 10
    for name in buckets.counts():
        assert {problem.bucket for problem in buckets.problems(name)} <= {name}, "called what it was measured to be"
    with pytest.raises(Mismatch, match="another policy"):
        Buckets.load(tmp_path / "b", made_from={"policy": "other"})


@pytest.mark.parametrize(
    ("knobs", "message"), [({"easy": 0.2}, "0 <= hard < easy <= 1"), ({"n": 4}, "n must be at least 8")]
)
def test_bucket_settings_out_of_range_are_refused(knobs, message):
    with pytest.raises(BadInput, match=message):
        BucketConfig(**knobs)


def test_problems_are_asked_by_level_and_all_together_where_a_file_says_nothing_of_levels(tmp_path):
    """Three a level are asked for: there are two easy ones, no medium one; without levels two times three."""
    lines = [{"id": at, "prompt": f"What is {at} + 1?", "answer": str(at + 1), "split": "eval"} for at in range(9)]
    of_some, of_all = ([{**line, **more} for line in lines] for more in ({"bucket": "easy"}, {}))
    for name, told in {"some": of_some[:2], "all": of_all}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, told)))
    some, untold = (JsonlTask(tmp_path / f"{name}.jsonl") for name in ("some", "all"))
    with pytest.warns(UserWarning, match="asked for 3 problems of the split eval, it holds fewer: easy 2, medium 0"):
        found = by_level(some, "eval", ("easy", "medium"), 3)
    assert {level: len(held) for level, held in found.items()} == {"easy": 2, "medium": 0}
    found = by_level(untold, "eval", ("easy", "medium"), 3)
    assert {level: [problem.id for problem in held] for level, held in found.items()} == {"all": [*"012345"]}
    with pytest.warns(UserWarning, match="it holds fewer: all 0"):
        assert by_level(untold, "train", ("easy",), 3) == {"all": []}
    with pytest.raises(BadInput, match="expected problems of a level of easy, got hard, 3: name some that it has"):
        by_level(some, "eval", ("hard", 3), 3)
    endless = by_level(Chain(), "eval", (1, "hard"), 3)
    assert endless == {"1": Chain().problems("eval", 1, 3), "hard": Chain().problems("eval", "hard", 3)}


@given(st.integers(0, 30), st.integers(0, 40))
def test_so_many_taken_evenly_are_in_order_and_no_further_apart_than_they_must(size, count):
    found = evenly(range(size), count)
    assert len(found) == min(size, count) and (not found or found[0] == 0)
    assert len({later - earlier for earlier, later in pairwise(found)}) <= 2
