"""A policy answers again with one latent edited, and with the same random numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord, make_rollout

from interp.features.ablation import ABLATE, AMPLIFY
from interp.features.sampling import (
    MEASURES,
    PURPOSE,
    AblatedSampling,
    RolloutEffect,
    answered_problems,
    at_last_position,
    estimate_shift,
    sample_answers,
)
from interp.policy.config import SampleConfig
from interp.policy.policy import stream_key
from interp.policy.prompts import PromptFormat
from interp.policy.residual import splice_residual
from interp.policy.sample import draw_tokens, uniform_stream
from interp.rollouts import roll_out
from interp.stats import Estimate, resampled_prompts
from interp.stats.bootstrap import DRAWS
from interp.tasks.base import Problem, hash_of
from interp.tsae import TSAE

D, LAST, EVEN, ODD = 32, 2, 8, 9
"""The tokens of the words `4` and `5`."""
SAMPLING = SampleConfig(group=4, max_new_tokens=4)
DEPTHS = (1, 2, 3)


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


@pytest.fixture(scope="module")
def rollouts(policy):
    problems = [problem for depth in DEPTHS for problem in FirstWord().problems("train", depth, 8)]
    return roll_out(policy, FirstWord(), problems, SAMPLING, progress=False).rows


@pytest.fixture(scope="module")
def tsae(policy) -> TSAE:
    """Latents with activation 1 everywhere: one adds nothing, one strongly adds an even word, one an odd word. The
    fourth would add the even word too, and is never active."""
    head = policy.model.lm_head.weight.detach()
    word_VD = 40 * (head - head.mean(0))
    W_dec = torch.stack([torch.zeros(D), word_VD[EVEN], word_VD[ODD], word_VD[EVEN]])
    bounds = torch.tensor([0.0, 0.0, 0.0, 9.0])
    return TSAE(torch.zeros(D, 4), torch.ones(4), W_dec, torch.zeros(D), bounds, block_widths=(4,), layer=LAST)


@pytest.fixture(scope="module")
def sampling(policy, tsae, rollouts) -> AblatedSampling:
    return AblatedSampling.prepare(
        tsae, policy, LAST, FirstWord(), rollouts, 12, SampleConfig(group=4, max_new_tokens=4)
    )


def test_the_problems_are_those_that_were_answered_in_order(rollouts):
    expected = [problem for depth in DEPTHS for problem in FirstWord().problems("train", depth, 8)]
    assert answered_problems(rollouts) == expected
    inverse = make_rollout(problem="q", prompt="1 + 1 =", label="2", split="eval", depth=3, level="shallow")
    assert answered_problems([inverse, inverse]) == [Problem("q", "1 + 1 =", "2", "eval", 3, "shallow")]


@pytest.mark.parametrize(("count", "per_depth"), [(24, 8), (12, 4), (18, 6), (3, 1), (99, 8)])
def test_equally_many_problems_of_each_depth_are_answered_again(policy, tsae, rollouts, count, per_depth, monkeypatch):
    monkeypatch.setattr("interp.features.sampling.sample_answers", lambda *_: [make_rollout()] * 4)
    problems = AblatedSampling.prepare(tsae, policy, LAST, FirstWord(), rollouts, count, SAMPLING).problems
    assert [sum(problem.depth == depth for problem in problems) for depth in DEPTHS] == [per_depth] * 3


@pytest.mark.parametrize(("latent", "scale"), [(0, ABLATE), (0, AMPLIFY), (3, ABLATE), (3, AMPLIFY)])
def test_a_latent_that_does_nothing_changes_nothing(sampling, latent, scale):
    zero = Estimate(0.0, 0.0, 0.0, 12)
    assert sampling.run(latent, scale) == RolloutEffect(latent, None, scale, zero, zero, zero)


def answers(sampling: AblatedSampling) -> list[Any]:
    return sample_answers(sampling.policy, sampling.task, sampling.problems, sampling.sampling)


def test_every_answer_uses_the_same_random_numbers_with_an_edit_and_without(sampling, tsae):
    clean = answers(sampling)
    with splice_residual(sampling.policy.model, LAST, at_last_position(lambda x_BLD: x_BLD + 0 * tsae.W_dec[1])):
        edited = answers(sampling)
    assert [rollout.tokens for rollout in clean] == [rollout.tokens for rollout in edited]
    assert len({rollout.tokens for rollout in clean}) > len(sampling.problems), "and they matter"


def even_rate_by_hand(sampling: AblatedSampling, added_D: torch.Tensor) -> float:
    """Rate of even first words: the random numbers of each answer, and the head applied to the prompt's last token."""
    is_even = []
    for problem in sampling.problems:
        (ids,) = sampling.policy.encode([problem.prompt])
        x_D = sampling.policy.capture(torch.tensor([ids]), [LAST])[LAST][0, -1]
        key = hash_of(PURPOSE, 0, problem.id)
        uniforms_B = torch.tensor([uniform_stream(0, stream_key(key, member), 1)[0] for member in range(4)])
        with torch.no_grad():
            logits_V = sampling.policy.model.lm_head(sampling.policy.model.model.norm(x_D + added_D))
        tokens_B, _, _ = draw_tokens(logits_V.expand(4, -1), uniforms_B, 1.0)
        is_even += [4 <= token < 24 and token % 2 == 0 for token in tokens_B.tolist()]
    return sum(is_even) / len(is_even)


@pytest.mark.parametrize(("latent", "raises"), [(1, True), (2, False)])
def test_a_latent_that_drives_a_word_changes_the_rates_by_the_amount_worked_out_by_hand(sampling, latent, raises):
    """An even word is correct and an odd one is not."""
    clean = even_rate_by_hand(sampling, torch.zeros(D))
    assert sampling.clean_PM[:, list(MEASURES).index("correct")].mean() == clean and 0.1 < clean < 0.9
    effect = sampling.run(latent, AMPLIFY, match_of=7)
    assert effect.correct.value == pytest.approx(even_rate_by_hand(sampling, sampling.tsae.W_dec[latent]) - clean)
    assert (effect.correct.low > 0.3) == raises and (effect.correct.high < -0.05) != raises
    assert effect.correct.low <= effect.correct.value <= effect.correct.high
    assert effect.match_of == 7 and not sampling.run(latent, 1.0).correct.value


def test_the_clean_rates_are_those_of_the_policy_without_an_edit(sampling):
    rollouts = answers(sampling)
    for i, name in enumerate(MEASURES):
        outcomes = [float(getattr(rollout, name, rollout.format == "direct")) for rollout in rollouts]
        assert sampling.clean_PM[:, i].tolist() == np.array(outcomes).reshape(12, 4).mean(1).tolist()


def test_only_the_last_position_is_edited():
    x_BLD = torch.randn(2, 3, D)
    edited_BLD = at_last_position(lambda last: last + 1)(x_BLD.clone())
    assert torch.equal(edited_BLD[:, :-1], x_BLD[:, :-1]) and torch.equal(edited_BLD[:, -1], x_BLD[:, -1] + 1)


def test_a_shift_is_a_mean_over_problems_with_its_interval_over_draws_of_them():
    change_P = np.array([0.5, 0.0, -0.25, 1.0])
    means_B = resampled_prompts(4, DRAWS, 0).numpy().astype(float) @ change_P / 4
    low, high = np.percentile(means_B, [2.5, 97.5])
    assert estimate_shift(change_P) == Estimate(0.3125, low, high, 4)


@pytest.mark.parametrize(("clean", "edited", "change"), [
    ((True, None), (True, True), 0.5), ((True, False), (None, None), -0.5), ((None, None), (True, True), None),
])  # fmt: skip
def test_answers_that_cannot_be_judged_are_not_valid_and_nan_where_no_clean_answer_could_be(
    policy, tsae, rollouts, clean, edited, change, monkeypatch
):
    """The rate is over all answers: over those judged, an edit could raise it by making work unreadable."""
    outcomes = iter((clean, edited))
    monkeypatch.setattr(
        "interp.features.sampling.sample_answers", lambda *_: [make_rollout(valid=valid) for valid in next(outcomes)]
    )
    valid = (
        AblatedSampling.prepare(tsae, policy, LAST, FirstWord(), rollouts, 1, SampleConfig(group=2))
        .run(1, ABLATE)
        .valid.value
    )
    assert valid == change if change is not None else np.isnan(valid)


def test_answers_are_sampled_at_the_temperature_length_and_prompt_that_are_given(policy, tsae, rollouts, monkeypatch):
    asked: list[Any] = []

    def sample_rollouts(policy: Any, task: Any, problems: Any, sampling: Any, *, prompt_format: Any, **_: Any) -> Any:
        asked.append((sampling, prompt_format))
        return [make_rollout()] * (len(problems) * sampling.group)

    monkeypatch.setattr("interp.features.sampling.sample_rollouts", sample_rollouts)
    sampling, prompts = SampleConfig(group=2, temperature=0.5, max_new_tokens=7), PromptFormat(suffix=" =")
    prepared = AblatedSampling.prepare(tsae, policy, LAST, FirstWord(), rollouts, 3, sampling, prompts)
    prepared.run(1, ABLATE)
    assert asked == [(sampling, prompts)] * 2
