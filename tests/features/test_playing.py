"""A policy plays again without a latent: with the same draws of chance, so that what does nothing changes nothing."""

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_world import FirstWord, a_row

from interp.bootstrap import resampled
from interp.features.ablation import ABLATE, AMPLIFY, Mean
from interp.features.sampling import DRAWS, MEASURES, PURPOSE, Played, Stage, at_the_end, problems_of, shift
from interp.policy.config import SampleConfig
from interp.policy.policy import stream
from interp.policy.residual import splicing
from interp.policy.sample import draw, uniforms
from interp.rollouts.roll_out import answered, roll_out
from interp.tasks.base import Problem, hash_of
from interp.tsae import TSAE

D, LAST, EVEN, ODD = 32, 2, 8, 9
"""The words `4` and `5` have these places."""
SAMPLING = SampleConfig(group=4, max_new_tokens=4)


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


@pytest.fixture(scope="module")
def rows(policy):
    task = FirstWord()
    problems = [problem for level in (1, 2, 3) for problem in task.problems("train", level, 8)]
    return roll_out(policy, task, problems, SAMPLING, bar=False).rows


@pytest.fixture(scope="module")
def tsae(policy) -> TSAE:
    """Latents that are on everywhere: one adds nothing, one an even word, loudly, and one an odd one; and one that
    would add the even word too and is never on."""
    head = policy.model.lm_head.weight.detach()
    of_word = 40 * (head - head.mean(0))
    W_dec = torch.stack([torch.zeros(D), of_word[EVEN], of_word[ODD], of_word[EVEN]])
    bounds = torch.tensor([0.0, 0.0, 0.0, 9.0])
    return TSAE(torch.zeros(D, 4), torch.ones(4), W_dec, torch.zeros(D), bounds, widths=(4,), layer=LAST)


@pytest.fixture(scope="module")
def stage(policy, tsae, rows) -> Stage:
    return Stage.set(policy, tsae, LAST, FirstWord(), rows, 12, 4)


def test_problems_are_those_that_were_answered_in_order(rows):
    wanted = [problem for level in (1, 2, 3) for problem in FirstWord().problems("train", level, 8)]
    assert problems_of(rows) == wanted
    inverse = a_row(problem="q", prompt="1 + 1 =", label="2", split="eval", depth=3, bucket="easy")
    assert problems_of([inverse, inverse]) == [Problem("q", "1 + 1 =", "2", "eval", 3, "easy")]


@pytest.mark.parametrize(("count", "of_each"), [(24, 8), (12, 4), (18, 6), (3, 1), (99, 8)])
def test_as_many_problems_of_each_level_are_played_however_few(policy, tsae, rows, count, of_each, monkeypatch):
    monkeypatch.setattr("interp.features.sampling.played", lambda *_: [a_row()] * 4)
    played = Stage.set(policy, tsae, LAST, FirstWord(), rows, count, 4).problems
    assert [sum(problem.depth == level for problem in played) for level in (1, 2, 3)] == [of_each] * 3


@pytest.mark.parametrize(("latent", "scale"), [(0, ABLATE), (0, AMPLIFY), (3, ABLATE), (3, AMPLIFY)])
def test_a_latent_that_does_nothing_changes_nothing_at_all(stage, latent, scale):
    nothing = Mean(0.0, 0.0, 0.0)
    assert stage.play(latent, scale) == Played(latent, None, scale, nothing, nothing, nothing)


def test_each_row_is_drawn_from_the_same_numbers_with_a_latent_and_without(stage, tsae):
    told = {"run": "roles", "step": 0, "purpose": PURPOSE, "bar": False}
    clean = answered(stage.policy, stage.task, stage.problems, stage.sampling, **told)
    with splicing(stage.policy.model, LAST, at_the_end(lambda x_BLD: x_BLD + 0 * tsae.W_dec[1])):
        again = answered(stage.policy, stage.task, stage.problems, stage.sampling, **told)
    assert [row.tokens for row in clean] == [row.tokens for row in again]
    assert len({row.tokens for row in clean}) > len(stage.problems), "and chance has its part in it"


def even_first_words(stage: Stage, added_D: torch.Tensor) -> float:
    """By hand: the numbers each row is drawn from, at the head's opinion of the prompt's last token."""
    found = []
    for problem in stage.problems:
        (ids,) = stage.policy.encode([problem.prompt])
        x_D = stage.policy.capture(torch.tensor([ids]), [LAST])[LAST][0, -1]
        key = hash_of(PURPOSE, 0, problem.id)
        uniforms_B = torch.tensor([uniforms(0, stream(key, member), 1)[0] for member in range(4)])
        with torch.no_grad():
            logits_V = stage.policy.model.lm_head(stage.policy.model.model.norm(x_D + added_D))
        tokens_B, _, _ = draw(logits_V.expand(4, -1), uniforms_B, 1.0)
        found += [4 <= token < 24 and token % 2 == 0 for token in tokens_B.tolist()]
    return sum(found) / len(found)


@pytest.mark.parametrize(("latent", "up"), [(1, True), (2, False)])
def test_a_latent_that_drives_a_word_changes_what_is_measured_by_as_much_as_it_must(stage, latent, up):
    """An even word is right and an odd one wrong: doubled, the latent does to the rate what is worked out by hand."""
    clean = even_first_words(stage, torch.zeros(D))
    assert stage.clean_PM[:, list(MEASURES).index("correct")].mean() == clean and 0.1 < clean < 0.9
    found = stage.play(latent, AMPLIFY, match_of=7)
    assert found.correct.value == pytest.approx(even_first_words(stage, stage.tsae.W_dec[latent]) - clean)
    assert (found.correct.low > 0.3) == up and (found.correct.high < -0.05) != up
    assert found.correct.low <= found.correct.value <= found.correct.high
    assert found.match_of == 7 and not stage.play(latent, 1.0).correct.value


def test_the_clean_rates_are_those_of_the_policy_as_it_is(stage):
    told = {"run": "roles", "step": 0, "purpose": PURPOSE, "bar": False}
    rows = answered(stage.policy, stage.task, stage.problems, stage.sampling, **told)
    for at, name in enumerate(MEASURES):
        wanted = np.array([float(getattr(row, name, row.format == "direct")) for row in rows]).reshape(12, 4).mean(1)
        assert stage.clean_PM[:, at].tolist() == wanted.tolist()


def test_the_last_position_is_edited_and_no_other():
    x_BLD = torch.randn(2, 3, D)
    edited = at_the_end(lambda last: last + 1)(x_BLD.clone())
    assert torch.equal(edited[:, :-1], x_BLD[:, :-1]) and torch.equal(edited[:, -1], x_BLD[:, -1] + 1)


def test_a_shift_is_a_mean_over_problems_with_the_interval_of_their_draws():
    change_P = np.array([0.5, 0.0, -0.25, 1.0])
    found = shift(change_P)
    means = resampled(4, DRAWS, 0).numpy().astype(float) @ change_P / 4
    assert (found.value, found.low, found.high) == (0.3125, *np.percentile(means, [2.5, 97.5]))
    assert str(Mean(0.1, -0.05, 0.2)) == "+0.10 [-0.05, +0.20]"


@pytest.mark.parametrize(("clean", "edited", "change"), [
    ((True, None), (True, True), 0.5), ((True, False), (None, None), -0.5), ((None, None), (True, True), None),
])  # fmt: skip
def test_valid_is_what_was_judged_to_be_and_unknown_where_the_clean_run_could_not_be(
    policy, tsae, rows, clean, edited, change, monkeypatch
):
    """A rate over all answers: were it over those judged, an edit could raise it by making work unreadable."""
    runs = iter((clean, edited))
    told = lambda *_: [a_row(valid=valid) for valid in next(runs)]  # noqa: E731
    monkeypatch.setattr("interp.features.sampling.played", told)
    found = Stage.set(policy, tsae, LAST, FirstWord(), rows, 1, 2).play(1, ABLATE).valid.value
    assert found == change if change is not None else np.isnan(found)
