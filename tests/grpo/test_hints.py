"""Prefix hints: the whole answer is judged, what the policy wrote is trained on, and hints get shorter."""

from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord, small_config

from interp.artifacts import BadInput, Mismatch
from interp.grpo import PrefixHints
from interp.grpo.batches import Collector
from interp.grpo.learner import Learner
from interp.grpo.sources import problem_source
from interp.grpo.strategies.base import RunSetting
from interp.organism import shipped_path
from interp.policy import Policy, PromptFormat, SampleConfig, Samples
from interp.rollouts import Rollouts, TokenStep, roll_out, verify_samples
from interp.tasks import Chain, Problem

CHAIN = Chain()
PROBLEM = Problem("p", "3 + 4 * 2 ?", "4", "train")
ANSWER = "3 + 4 = 2 ; 2 * 2 = 4 ; # 4"
CONFIG = small_config()


@pytest.fixture(scope="module")
def organism() -> Policy:
    return Policy.load(shipped_path(), device="cpu")


@pytest.fixture(scope="module")
def rollouts() -> Rollouts:
    """Rollouts of the tiny policy, some of them valid."""
    sampling = SampleConfig(group=32, max_new_tokens=8, seed=7)
    return roll_out(tiny_policy(), FirstWord(), FirstWord().problems("train", 2, 4), sampling, progress=False)


def setting(config=CONFIG, task=None, base=None):
    task = task or FirstWord()
    source = problem_source(task, None, steps=config.steps, seed=config.seed)
    return RunSetting(base or tiny_policy(), task, config, source)


def verified(policy, text, *, hint=0):
    """The record of an answer whose first `hint` tokens were given."""
    ids = (*policy.tokenizer(text, add_special_tokens=False)["input_ids"], policy.stop_ids[0])
    given, own = ids[:hint], ids[hint:]
    zeros = torch.zeros(1, len(own))
    samples = Samples(torch.tensor([own]), zeros, zeros, torch.tensor([len(own)]), torch.ones(1).bool())
    prompt = [*policy.encode([PROBLEM.prompt])[0], *given]
    (row,) = verify_samples(policy, CHAIN, [PROBLEM], [prompt], samples, run="x", step=0, hints=[given], progress=False)
    return row


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_the_whole_answer_is_judged_and_places_count_from_what_the_policy_wrote(organism):
    whole, row = verified(organism, ANSWER), verified(organism, ANSWER, hint=7)
    assert (row.valid, row.reward, row.format, row.first_error) == (True, 1.0, "steps", None)
    assert row.completion == whole.completion == ANSWER and row.hint_tokens == 7 and whole.hint_tokens is None
    assert (*whole.prompt_ids, *whole.tokens[:7]) == row.prompt_ids and row.tokens == whole.tokens[7:]
    assert (
        row.roles
        == whole.roles[7:]
        == ("operator", "operand", "equals", "result", "separator", "marker", "answer", "end")
    )
    assert whole.steps == (TokenStep(0, 6, True, True), TokenStep(6, 12, True, True))
    assert row.steps == (TokenStep(0, 5, True, True),), "the first step was given, the second was begun"
    assert (row.hint_steps, whole.hint_steps) == (1, None)
    assert row.question_ids == whole.question_ids == whole.prompt_ids
    assert (*row.hint_ids, *row.tokens) == (*whole.hint_ids, *whole.tokens)


@pytest.mark.parametrize("hint", range(14))
def test_every_hint_leaves_the_verdict_as_it_is(organism, hint):
    for text in (ANSWER, ANSWER.replace("# 4", "# 3"), "3 + 4 = 2 ; # 4", "3 + 4 = 1 ; 1 * 2 = 2 ; # 2"):
        whole, row = verified(organism, text), verified(organism, text, hint=min(hint, 8))
        same = ("correct", "valid", "reward", "format", "answer", "completion", "coherent", "lucky")
        assert all(getattr(row, name) == getattr(whole, name) for name in same)
        assert len(row.roles) == len(row.tokens) and len(row.steps) + (row.hint_steps or 0) == len(whole.steps)
        error = None if whole.first_error is None else max(whole.first_error - min(hint, 8), 0)
        assert row.first_error == error


def test_an_error_in_a_step_that_the_hint_began_is_at_the_first_token_of_the_policy(organism):
    row = verified(organism, "3 + 4 = 2 ; 2 * 2 = 3 ; # 3", hint=7)
    assert row.first_error == 0 and row.steps == (TokenStep(0, 5, False, True),)


def test_rollouts_with_hints_are_saved_and_loaded(organism, tmp_path):
    rows = [verified(organism, ANSWER, hint=7), verified(organism, ANSWER)]
    Rollouts(rows).save(tmp_path / "rollouts")
    assert Rollouts.load(tmp_path / "rollouts").rows == rows


# --- in a run --------------------------------------------------------------------------------------------------------


def collect(strategy, config=CONFIG, step=0):
    run = setting(config)
    collector = Collector(FirstWord(), run.source, config, None, "run", strategies=[strategy.start(run)])
    return collector.collect(tiny_policy(), step, 0)


def test_the_policy_goes_on_from_the_hint_and_only_what_it_wrote_is_in_the_batch(rollouts):
    batch = collect(PrefixHints(rollouts, share=0.5, length_from=1.0))
    valid = {row.tokens for row in rollouts if row.valid}
    hinted = [row for row in batch.rollouts if row.hint_tokens]
    assert len(hinted) == 8 and len(batch.rollouts) == 16
    scored, _ = tiny_policy().score(
        [list(row.prompt_ids) for row in batch.rollouts], [list(row.tokens) for row in batch.rollouts]
    )
    for row, logprobs in zip(batch.rollouts, scored.tolist(), strict=True):
        assert row.logprobs == pytest.approx(logprobs[: len(row.tokens)], abs=1e-4)
    for row in hinted:
        question, hint = row.prompt_ids[: -row.hint_tokens], row.prompt_ids[-row.hint_tokens :]
        assert list(question) == tiny_policy().encode([row.prompt])[0]
        assert any(tokens[: len(hint)] == hint for tokens in valid)
        assert row.completion == tiny_policy().decode((*hint, *row.tokens))[0]
        assert row.reward == 1, "the first word, an even number, was given"
    assert batch.rollout_batch.mask_BL.sum() == sum(len(row.tokens) for row in batch.rollouts)
    assert batch.metrics["hint_share"] == batch.metrics["plain_share"] == 0.5
    assert batch.metrics["hint_pass_rate"] == 1 > batch.metrics["plain_pass_rate"]


def test_with_trains_hint_the_hint_counts_as_written_by_the_policy(rollouts):
    config = small_config(update={"lr": 0.0})
    own, both = (
        collect(PrefixHints(rollouts, share=0.5, length_from=1.0, trains_hint=trains), config)
        for trains in (False, True)
    )
    for row, other in zip(own.rollouts, both.rollouts, strict=True):
        n = row.hint_tokens or 0
        assert (*row.prompt_ids, *row.tokens) == (*other.prompt_ids, *other.tokens)
        assert len(other.tokens) == n + len(row.tokens) and other.logprobs[n:] == row.logprobs
        assert (row.completion, row.reward, row.valid) == (other.completion, other.reward, other.valid)
        assert other.hint_tokens == (0 if n else None) and other.question_ids == other.prompt_ids == row.question_ids
    stats = Learner(tiny_policy(), config).update(both.rollout_batch, both.advantages_BL, both.loss_mask_BL, 0)
    assert stats.sampler_gap < 1e-4, "the hint has the log-probabilities that it has under the policy"
    assert own.tokens_sampled == both.tokens_sampled == sum(len(row.tokens) for row in own.rollouts)


def test_hints_get_shorter_evenly_and_end(rollouts):
    strategy = PrefixHints(rollouts, length_from=0.8, hint_steps=4).start(setting())
    assert [strategy.length(step) for step in range(6)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0, 0.0])
    assert PrefixHints(rollouts, length_from=0.6).start(setting()).length(3) == pytest.approx(0.3), "of 6 steps"
    longest = [max(len(draw.hint) for draw in strategy.fill([None] * 40, step, 0)) for step in range(5)]
    assert longest[0] > longest[-1] == 0 and longest == sorted(longest, reverse=True)
    last = strategy.fill([None] * 4, 4, 0)
    assert all(draw.strategy == "hint" and not draw.trains_hint for draw in last)
    assert {draw.problem.id for draw in last} <= {row.problem for row in rollouts if row.valid}


def test_a_hint_ends_before_the_answer(organism):
    row = replace(verified(organism, ANSWER), split="train")
    strategy = PrefixHints(Rollouts([row]), length_from=1.0).start(setting(task=CHAIN, base=organism))
    (draw,) = strategy.fill([None], 0, 0)
    assert organism.decode(draw.hint)[0] == "3 + 4 = 2 ; 2 * 2 = 4 ;" and draw.problem == PROBLEM


def test_the_same_step_draws_the_same_hints(rollouts):
    first, second = (PrefixHints(rollouts, length_from=1.0).start(setting()).fill([None] * 9, 0, 5) for _ in range(2))
    assert first == second and len({draw.hint for draw in first}) > 1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"valid": False}, BadInput, "expected valid rollouts to take hints from, got none among 1 rollouts"),
        ({"reward": 0.0}, BadInput, "got none among 1 rollouts"),
        ({"split": "eval"}, BadInput, "on the split train to take hints from, got some on eval"),
    ],
)
def test_rollouts_that_give_no_hint_are_refused(organism, changes, error, message):
    row = replace(verified(organism, ANSWER), **changes)
    with pytest.raises(error, match=message):
        PrefixHints(Rollouts([row])).start(setting(task=CHAIN, base=organism))


def test_rollouts_of_another_policy_or_task_or_with_other_prompts_are_refused(rollouts, organism):
    with pytest.raises(Mismatch, match=r"expected rollouts of this policy .* roll the base out on this task"):
        PrefixHints(rollouts).start(setting(base=organism))
    with pytest.raises(Mismatch, match="expected rollouts of this task"):
        PrefixHints(rollouts).start(setting(task=FirstWord("all")))
    with pytest.raises(Mismatch, match="rollouts that were asked as the run asks"):
        PrefixHints(rollouts).start(setting(replace(CONFIG, suffix=" 1")))
    with pytest.raises(BadInput, match="rollouts must be of type Rollouts; got 'runs/rollouts'"):
        PrefixHints("runs/rollouts")


def test_the_spec_changes_with_the_valid_rollouts_alone(rollouts):
    def spec(rows):
        return PrefixHints(Rollouts(rows)).spec()

    valid = [row for row in rollouts if row.valid]
    assert spec(rollouts.rows) == spec(valid) != spec(valid[1:])
    assert spec(valid)["settings"]["valid_rollouts"] == len(valid)


def test_hints_of_another_prompt_format_are_taken_if_the_run_asks_so(rollouts):
    asked = Rollouts(rollouts.rows, config={"suffix": " 1"}, made_from=rollouts.made_from)
    assert PromptFormat.stated_in(asked.config) == PromptFormat(suffix=" 1")
    assert PrefixHints(asked).start(setting(replace(CONFIG, suffix=" 1"))).answers
