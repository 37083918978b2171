"""Rolling out: one row per completion, whatever else is in the batch; the record agrees with the verifier."""

import pytest
import torch

from interp.artifacts import BadInput
from interp.policy import Policy, SampleConfig, Samples
from interp.rollouts import Rollouts, roll_out, verify_samples
from interp.rollouts.problems import ProblemStream
from interp.rollouts.roll_out import stream_rollouts
from interp.tasks import Chain, Problem

TASK = Chain()


@pytest.fixture(scope="module")
def rollouts(organism) -> Rollouts:
    return roll_out(organism, TASK, TASK.problems("eval", None, 30), SampleConfig(group=6))


def test_there_is_one_row_per_rollout_under_one_key(rollouts):
    keys = {(r.run, r.step, r.problem, r.sample) for r in rollouts}
    assert len(rollouts) == len(keys) == 180


def test_lists_have_one_entry_per_token_of_the_completion(rollouts):
    for r in rollouts:
        assert len(r.tokens) == len(r.logprobs) == len(r.entropies) == len(r.roles)
        assert (r.roles[-1] == "end") == (not r.truncated)


def test_the_record_agrees_with_the_verifier(rollouts):
    for r in rollouts:
        verdict = TASK.verify(Problem(r.problem, r.prompt, r.label), r.completion)
        assert (verdict.correct, verdict.valid, verdict.lucky) == (r.correct, r.valid, r.lucky)
        assert r.reward == float(verdict.rewarded)


def test_steps_and_errors_are_given_in_tokens(rollouts, organism):
    for r in rollouts:
        words = organism.token_texts(r.tokens)
        in_characters = TASK.verify(Problem(r.problem, r.prompt, r.label), r.completion).steps
        for step, written in zip(r.steps, in_characters, strict=True):
            assert "".join(words[step.start : step.end]).strip() == r.completion[written.start : written.end].strip()
        assert (r.first_error is None) == bool(r.valid)


def test_a_problem_gets_the_same_rollouts_whatever_else_is_in_the_batch(organism, rollouts):
    alone = roll_out(organism, TASK, [TASK.problem("eval", None, 17)], SampleConfig(group=6))
    assert [r.tokens for r in alone] == [r.tokens for r in rollouts if r.problem == alone[0].problem]


def test_another_purpose_gives_other_draws(organism, rollouts):
    other = roll_out(organism, TASK, TASK.problems("eval", None, 30), SampleConfig(group=6), purpose="bucket")
    assert [r.tokens for r in other] != [r.tokens for r in rollouts]


def test_a_missing_answer_is_an_error_at_the_end_token(organism):
    end = organism.stop_ids[0]
    zeros, lengths, all_finished = torch.zeros(2, 2), torch.tensor([1, 2]), torch.ones(2).bool()
    samples = Samples(torch.tensor([[end, 0], [14, end]]), zeros, zeros, lengths, all_finished)
    problem = TASK.problem("eval", 3, 0)
    rows = verify_samples(organism, TASK, [problem], organism.encode([problem.prompt]), samples, run="x", step=0)
    assert [r.first_error for r in rows] == [0, 0]
    assert [r.roles for r in rows] == [("end",), ("text", "end")]


def test_a_prompt_beyond_the_context_is_refused_with_the_name_of_its_problem(organism):
    long = Problem("too/long", "1 + " * 200 + "1 ?", "1")
    with pytest.raises(BadInput, match=r"problem too/long: a prompt must have 1 to 255 tokens; got 403"):
        roll_out(organism, TASK, [TASK.problem("eval", 1, 0), long])


def test_a_stream_gives_the_same_rollouts_from_any_start(new_policy):
    from grpo_fixtures import FirstWord

    policy: Policy = new_policy(seed=0)
    problems = ProblemStream(FirstWord(), "train")

    def stream(start: int, end: int) -> list[object]:
        rollouts = stream_rollouts(policy, problems, SampleConfig(2, 8, rows=64), run="mine", step=0, start=start)
        return [next(rollouts) for _ in range(end - start)]

    whole = stream(0, 300)
    for start in (1, 62, 63, 64, 65, 191, 200, 299):
        assert stream(start, 300) == whole[start:]
