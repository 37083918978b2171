"""One latent changed, all else as it is: what is measured is what can be worked out by hand and what a whole forward
gives, and what only fires beside a cause does nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import FAMILIES, tiny_policy
from grpo_world import a_row

from interp.bootstrap import resampled
from interp.device import evaluating
from interp.features import Roles, RolesConfig, Trial
from interp.features.ablation import ABLATE, AMPLIFY, Bench, Effect, Mean, effect, log_odds, scaled
from interp.features.falsification import Falsified
from interp.policy.residual import Edit, splicing
from interp.tsae import TSAE

LAST, D, TARGET = 2, 32, 7
LENGTHS = (3, 5, 4)
ROWS = [
    a_row(length=n, problem=f"{n}", tokens=tuple((TARGET, 4 + at)[at % 2] for at in range(n)), prompt_ids=prompt)
    for n, prompt in zip(LENGTHS, ((9, 24, 10, 27), (8, 27), (5, 25, 6, 24, 11, 27)), strict=True)
]
TOKENS = np.concatenate([row.tokens for row in ROWS])
PROBLEM = np.repeat(np.arange(3), LENGTHS)


def always_on(*directions: torch.Tensor, layer: int = LAST) -> TSAE:
    """Latents that are on at every token, at 1, and add their direction."""
    W_dec = torch.stack(directions)
    F = len(W_dec)
    return TSAE(torch.zeros(D, F), torch.ones(F), W_dec, torch.zeros(D), torch.zeros(F), widths=(F,), layer=layer)


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
    return torch.linalg.svd(head.double()).Vh[len(head) :][0].float() * 1e-2


def test_log_odds_are_those_of_one_word_against_all_others():
    found = log_odds(torch.tensor([[0.0, np.log(3.0), 0.0]] * 2), torch.tensor([1, 0]))
    assert found.tolist() == pytest.approx([np.log(3 / 2), np.log(1 / 4)])
    sure = log_odds(torch.tensor([[0.0, 80.0, 0.0]]), torch.tensor([1]))
    assert float(sure[0]) == pytest.approx(80 - np.log(2)), "where a probability is 1 to the last bit"


def test_the_measured_effect_is_the_one_worked_out_by_hand(policy, cause):
    """At the last layer: norm and head, applied to the residual less what the latent adds."""
    bench = Bench(policy, always_on(cause), LAST, ROWS)
    measured, doubled = (np.split(bench.change(0, scale), np.cumsum(LENGTHS)[:-1]) for scale in (ABLATE, AMPLIFY))
    for row, without, twice in zip(ROWS, measured, doubled, strict=True):
        ids = torch.tensor([[*row.prompt_ids, *row.tokens]])
        x_LD, at = policy.capture(ids, [LAST])[LAST][0], len(row.prompt_ids) - 1

        def told(x_LD: torch.Tensor, row=row, at=at) -> torch.Tensor:
            logits_LV = policy.model.lm_head(policy.model.model.norm(x_LD))
            return log_odds(logits_LV[at:-1], torch.tensor(row.tokens))

        with torch.no_grad():
            assert without == pytest.approx((told(x_LD - cause) - told(x_LD)).numpy(), abs=1e-3)
            assert twice == pytest.approx((told(x_LD + cause) - told(x_LD)).numpy(), abs=1e-3)


def in_a_whole_forward(policy, edit: Edit, layer: int) -> np.ndarray:
    """Row by row, unpadded, the edit spliced in from the prompt's last token on."""
    found = []
    for row in ROWS:
        ids, begin = torch.tensor([[*row.prompt_ids, *row.tokens]]), len(row.prompt_ids) - 1
        mask_BL = torch.arange(ids.shape[1])[None] >= begin

        def told(ids=ids, begin=begin, row=row) -> torch.Tensor:
            return log_odds(policy.model(ids, use_cache=False).logits[0, begin:-1], torch.tensor(row.tokens))

        with torch.no_grad(), evaluating(policy.model):
            clean_T = told()
            with splicing(policy.model, layer, edit, mask_BL=mask_BL):
                found.append((told() - clean_T).numpy())
    return np.concatenate(found)


HEIGHTS = {
    "everywhere": [[2.0] * 7, [1.0] * 7, [3.0] * 10],
    "in one rollout": [[0.0] * 7, [0.0] * 7, [1.0] * 10],
    "at one token": [[0.0] * 7, [0.0] * 3 + [2.0] + [0.0] * 3, [0.0] * 10],
    "in prompts alone": [[1.0] * 3 + [0.0] * 4, [1.0] + [0.0] * 6, [1.0] * 5 + [0.0] * 5],
    "nowhere": [[0.0] * 7, [0.0] * 7, [0.0] * 10],
}


def on_as_wanted(policy, layer: int) -> TSAE:
    """Fewer tokens than dimensions: any heights at all can be read off their residuals."""
    ids = [torch.tensor([[*row.prompt_ids, *row.tokens]]) for row in ROWS]
    x_ND = torch.cat([policy.capture(row, [layer])[layer][0] for row in ids]).double()
    wanted_NF = torch.tensor([sum(heights, []) for heights in HEIGHTS.values()]).double().T
    W_enc, F = torch.linalg.lstsq(x_ND, wanted_NF, driver="gelsd").solution.float(), len(HEIGHTS)
    W_dec = torch.randn(F, D, generator=torch.Generator().manual_seed(0))
    return TSAE(W_enc, torch.zeros(F), W_dec, torch.zeros(D), torch.full((F,), 0.5), widths=(F,), layer=layer)


@pytest.mark.parametrize("layer", [0, 1, LAST])
@pytest.mark.parametrize("family", FAMILIES)
def test_going_on_from_the_layer_gives_the_change_that_a_whole_forward_gives(tiny, family, layer, monkeypatch):
    """With rollouts and prompts of several lengths read together, or apart, and latents that are on in some only."""
    policy, tsae = tiny[family], on_as_wanted(tiny[family], layer)
    for tokens in (8192, 4):
        monkeypatch.setattr("interp.features.ablation.MICRO_TOKENS", tokens)
        bench = Bench(policy, tsae, layer, ROWS)
        for latent, name in enumerate(HEIGHTS):
            for scale in (ABLATE, AMPLIFY):
                change_N = bench.change(latent, scale)
                whole_N = in_a_whole_forward(policy, scaled(tsae, latent, scale), layer)
                np.testing.assert_allclose(change_N, whole_N, atol=1e-3)
                touched = {0, 1, 2} if name == "everywhere" else {2} if name == "in one rollout" else set()
                touched = {1} if name == "at one token" else touched
                assert {at for at in range(3) if np.abs(change_N[at == PROBLEM]).max() > 1e-3} == touched


def test_an_edit_that_changes_nothing_leaves_every_logit_as_it_was(policy, cause):
    """A latent that is kept at its height, and one that is never on."""
    kept = Bench(policy, always_on(cause), LAST, ROWS).change(0, 1.0)
    silent = replace(always_on(cause), threshold=torch.tensor([2.0]))
    assert len(kept) == len(TOKENS) and np.abs(kept).max() < 1e-5
    assert not Bench(policy, silent, LAST, ROWS).change(0, ABLATE).any()


@pytest.mark.parametrize("layer", [0, LAST])
def test_an_edit_is_of_one_latent_from_the_last_token_of_the_prompt_on(policy, cause, layer):
    """That one foretells the first token that is written. The other latent, and what neither explains, stays."""
    tsae, x_BLD = always_on(cause, -cause, layer=layer), torch.randn(2, 3, D)
    torch.testing.assert_close(scaled(tsae, 0, ABLATE)(x_BLD), x_BLD - cause)
    torch.testing.assert_close(scaled(tsae, 1, AMPLIFY)(x_BLD), x_BLD - cause)
    change_N = Bench(policy, tsae, layer, ROWS).change(0, ABLATE)
    assert np.abs(change_N[np.r_[0, np.cumsum(LENGTHS)[:-1]]]).min() > 1e-3


def test_rollouts_in_which_nothing_was_written_are_passed_over(policy, cause):
    empty = a_row(length=0, tokens=(), problem="empty")
    bench = Bench(policy, always_on(cause), LAST, [ROWS[0], empty, *ROWS[1:]])
    np.testing.assert_allclose(bench.change(0, ABLATE), Bench(policy, always_on(cause), LAST, ROWS).change(0, ABLATE))


def test_several_latents_at_once_are_what_a_whole_forward_without_them_all_gives(policy):
    """Each at the height it had before any was touched."""
    tsae, latents = on_as_wanted(policy, 1), [0, 2, 4]

    def without(x_BLD: torch.Tensor) -> torch.Tensor:
        return x_BLD - tsae.encode(x_BLD)[..., latents] @ tsae.W_dec[latents]

    change_N = Bench(policy, tsae, 1, ROWS).change(latents, ABLATE)
    np.testing.assert_allclose(change_N, in_a_whole_forward(policy, without, 1), atol=1e-3)


def test_an_effect_is_a_mean_over_tokens_and_apart_from_others_with_intervals_over_prompts():
    changes, problem = np.array([-1.0, 5.0, -3.0, -2.0, 1.0]), np.array([0, 0, 1, 2, 1])
    target, against = np.array([True, False, True, True, False]), np.array([False, True, False, False, True])
    found = effect(changes, target, against, problem, resampled(3, 400, 0).numpy().astype(float))
    assert found.target.value == pytest.approx(-2) and -3 <= found.target.low < -2 < found.target.high <= -1
    assert found.apart.value == pytest.approx(-5) and found.apart.low < -5 < found.apart.high < 0
    alike = effect(changes, target, against, np.zeros(5, int), np.full((5, 1), 1.0))
    assert (alike.target, alike.apart) == (Mean(-2.0, -2.0, -2.0), Mean(-5.0, -5.0, -5.0))
    assert str(alike.apart) == "-5.00 [-5.00, -5.00]"


def test_where_there_are_no_such_tokens_or_no_others_there_is_nothing_to_tell():
    changes, problem, drawn = np.array([-1.0, 5.0]), np.array([0, 1]), resampled(2, 400, 0).numpy().astype(float)
    none, every = np.zeros(2, bool), np.ones(2, bool)
    for target, against, told in ((none, every, False), (every, none, True)):
        found = effect(changes, target, against, problem, drawn)
        assert np.isnan([found.apart.value, found.apart.low, found.apart.high]).all()
        assert (found.target.value == 2) if told else np.isnan(found.target.value)
    seldom = effect(changes, np.array([True, False]), np.array([False, True]), problem, drawn)
    assert seldom.apart == Mean(-6.0, -6.0, -6.0), "draws without the one or the other say nothing"


def trial(bench: Bench, latent: int, others: tuple[int, ...]) -> Trial:
    drawn = resampled(3, 400, 0).numpy().astype(float)
    these = TOKENS == TARGET, TOKENS != TARGET, PROBLEM, drawn
    told = {at: effect(bench.change(at, ABLATE), *these) for at in (latent, *others)}
    withstood = Falsified(d=0.0, p=1.0, way="", reached=0.0, void=0.0)
    matched = tuple(told[at].apart.value for at in others)
    return Trial(latent, "computation", "by hand", 0.9, 1.0, 0.0, 0.9, True, withstood, told[latent], None, matched)


def test_a_planted_cause_earns_its_role_and_what_only_fires_beside_it_does_not(policy, cause, beside):
    """Both are on at the very same tokens: no contrast could tell them apart."""
    rng = torch.Generator().manual_seed(0)
    dull = [1e-3 * torch.randn(D, generator=rng) for _ in range(4)]
    bench = Bench(policy, always_on(cause, beside, *dull), LAST, ROWS)
    causal, correlate = trial(bench, 0, (2, 3, 4, 5)), trial(bench, 1, (2, 3, 4, 5))
    assert causal.acts and causal.passed
    assert correlate.tells_apart and correlate.withstands and not correlate.acts and not correlate.passed
    roles = Roles((causal, correlate), (), 6, (), {}, RolesConfig(), LAST)
    assert roles.of(0) == "computation" and roles.of(1) == "none" and roles.latents("computation") == [0]
    (counts,) = roles.counts().to_dicts()
    gates = {"tells_apart": 2, "withstands": 2, "acts": 1, "passed": 1}
    assert counts == {"family": "computation", "of": "candidates", "latents": 2, **gates}
    assert roles.table()["passed"].to_list() == [True, False]


def mean(value: float) -> Mean:
    return Mean(value, value - 0.05, value + 0.05)


@pytest.mark.parametrize(
    ("target", "apart", "matched", "acts"),
    [
        (-0.5, -0.4, (0.0, -0.2), True),
        (-0.5, -0.04, (0.0,), False),  # what it is not about loses as much, for all we know
        (-0.04, -0.5, (0.0,), False),  # it is the others that gain
        (-0.5, -0.09, (0.0, -0.01), False),  # surely, and less than a tenth of a nat
        (-0.5, -0.11, (0.0, -0.01), True),
        (-0.5, -0.4, (0.0, -0.6), False),  # a match does as much
        (-0.5, -0.4, (), False),  # nothing to be held against
        (float("nan"), float("nan"), (0.0,), False),
        (-0.5, float("nan"), (0.0,), False),
    ],
)
def test_a_latent_acts_if_its_tokens_lose_surely_by_a_tenth_of_a_nat_more_than_others_and_than_by_any_match(
    target, apart, matched, acts
):
    found = Effect(mean(target), mean(apart))
    assert Trial(0, "format", "x", 0.9, 1, 0, 0.9, True, None, found, None, matched).acts == acts
    assert not Trial(0, "format", "x", 0.9, 1, 0, 0.9, True).acts, "before it has been ablated"
