"""One latent changed, all else as it is: what is measured is what can be worked out by hand, and what only fires beside
a cause does nothing."""

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_world import a_row

from interp.bootstrap import resampled
from interp.features.ablation import ABLATE, AMPLIFY, Bench, effect, log_odds
from interp.features.falsification import Falsified
from interp.features.roles import Roles, Trial
from interp.tsae import TSAE

LAST, D, TARGET = 2, 32, 7
ROWS = [a_row(length=n, problem=f"{n}", tokens=tuple((TARGET, 4 + at)[at % 2] for at in range(n))) for n in (3, 5, 4)]


def always_on(*directions: torch.Tensor) -> TSAE:
    """Latents that are on at every token, at 1, and add their direction."""
    W_dec = torch.stack(directions)
    F = len(W_dec)
    return TSAE(torch.zeros(D, F), torch.ones(F), W_dec, torch.zeros(D), torch.zeros(F), widths=(F,), layer=LAST)


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


@pytest.fixture(scope="module")
def cause(policy) -> torch.Tensor:
    """What makes the target likelier, read off the head."""
    head = policy.model.lm_head.weight.detach() * policy.model.model.norm.weight.detach()
    return 2 * (head[TARGET] - head.mean(0))


@pytest.fixture(scope="module")
def beside(policy) -> torch.Tensor:
    """What no word's logit hangs on."""
    head = policy.model.lm_head.weight.detach() * policy.model.model.norm.weight.detach()
    outside = torch.linalg.svd(head.double()).Vh[len(head) :] if len(head) < D else None
    return outside[0].float() * 1e-2 if outside is not None else torch.zeros(D)


def test_log_odds_are_those_of_one_word_against_all_others():
    logits = torch.tensor([[[0.0, np.log(3.0), 0.0]]])
    found = log_odds(logits, torch.tensor([[1]]))
    assert float(found[0, 0]) == pytest.approx(np.log(3 / 2))
    sure = log_odds(torch.tensor([[[0.0, 80.0, 0.0]]]), torch.tensor([[1]]))
    assert float(sure[0, 0]) == pytest.approx(80 - np.log(2)), "where a probability is 1 to the last bit"


def test_the_measured_effect_is_the_one_worked_out_by_hand(policy, cause):
    """At the last layer: norm and head, applied to the residual less what the latent adds."""
    bench = Bench(policy, always_on(cause), LAST, ROWS)
    for row, measured, doubled in zip(ROWS, bench.change(0, ABLATE), bench.change(0, AMPLIFY), strict=True):
        ids = torch.tensor([[*row.prompt_ids, *row.tokens]])
        x_LD, at = policy.capture(ids, [LAST])[LAST][0], len(row.prompt_ids) - 1

        def told(x_LD: torch.Tensor, row=row, at=at) -> torch.Tensor:
            logits = policy.model.lm_head(policy.model.model.norm(x_LD))[None, at:-1]
            return log_odds(logits, torch.tensor([row.tokens]))[0]

        with torch.no_grad():
            assert measured == pytest.approx((told(x_LD - cause) - told(x_LD)).numpy(), abs=1e-3)
            assert doubled == pytest.approx((told(x_LD + cause) - told(x_LD)).numpy(), abs=1e-3)


def test_an_edit_that_changes_nothing_leaves_every_logit_as_it_was(policy, cause):
    silent = always_on(cause)
    silent.threshold.fill_(2.0)
    for bench in (Bench(policy, always_on(cause), LAST, ROWS), Bench(policy, silent, LAST, ROWS)):
        scale = 1.0 if bench.tsae is not silent and float(bench.tsae.threshold[0]) == 0 else ABLATE
        assert max(np.abs(change).max() for change in bench.change(0, scale)) < 1e-5


def test_what_is_before_the_answer_is_not_touched(policy, cause):
    """But for the last token of the prompt, which foretells the first that is written."""
    bench = Bench(policy, always_on(cause), 0, ROWS)
    assert all(len(change) == len(row.tokens) for change, row in zip(bench.change(0, ABLATE), ROWS, strict=True))


def test_an_effect_is_a_mean_over_tokens_with_an_interval_over_prompts():
    changes, looked = (
        [np.array([-1.0, 5.0]), np.array([-3.0]), np.array([-2.0])],
        [np.array([True, False]), *[np.array([True])] * 2],
    )
    found = effect(changes, looked, np.array([0, 1, 2]), resampled(3, 400, 0).numpy().astype(float))
    assert found.nats == pytest.approx(-2) and -3 <= found.low < -2 < found.high <= -1 and found.prompts == 3
    nothing = effect(changes, [~w for w in looked[:1]] + looked[1:], np.array([0, 0, 0]), np.ones((1, 1)))
    assert nothing.nats == pytest.approx(0)


def trial(bench: Bench, latent: int, others: tuple[int, ...]) -> Trial:
    looked = [np.array([token == TARGET for token in row.tokens]) for row in ROWS]
    drawn = resampled(3, 400, 0).numpy().astype(float)
    told = {at: effect(bench.change(at, ABLATE), looked, np.arange(3), drawn) for at in (latent, *others)}
    withstood = Falsified(d=0.0, p=1.0, way="", reached=0.0, void=0.0)
    matched = tuple(told[at].nats for at in others)
    return Trial(latent, "computation", "by hand", 0.9, 1.0, 0.0, 0.9, True, withstood, told[latent], None, matched)


def test_a_planted_cause_earns_its_role_and_what_only_fires_beside_it_does_not(policy, cause, beside):
    """Both are on at the very same tokens: no contrast could tell them apart."""
    rng = torch.Generator().manual_seed(0)
    dull = [1e-3 * torch.randn(D, generator=rng) for _ in range(4)]
    bench = Bench(policy, always_on(cause, beside, *dull), LAST, ROWS)
    causal, correlate = trial(bench, 0, (2, 3, 4, 5)), trial(bench, 1, (2, 3, 4, 5))
    assert causal.acts and causal.passed
    assert not correlate.acts and not correlate.passed
    roles = Roles((causal, correlate), (), 6, (), {})
    assert roles.of(0) == "computation" and roles.of(1) == "none" and roles.latents("computation") == [0]
    (counts,) = roles.counts().to_dicts()
    gates = {"tells_apart": 2, "withstands": 2, "acts": 1, "passed": 1}
    assert counts == {"family": "computation", "of": "candidates", "latents": 2, **gates}
    assert roles.table()["passed"].to_list() == [True, False]
