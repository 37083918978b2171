"""Is a latent about more than its tokens? Injection into shuffled text, shuffling, and random tokens as the control."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from features_fixtures import label, make_contrast
from grpo_fixtures import make_rollout
from scipy.stats import ttest_rel

from interp.features import falsification, label_tokens
from interp.features.falsification import (
    MIN_ORDERED_TOKENS,
    Falsification,
    InjectionTest,
    ShuffledTexts,
    TokenRuns,
    falsify,
    falsify_all,
    inject,
    paired_effect,
    random_runs,
    shuffle_tokens,
)
from interp.features.families import IN_FRONT, INJECTIONS
from interp.rollouts.record import Rollout
from interp.tsae import TSAE

D, SPOTTED, FIRST = 32, 9, 8
SIX_TOKENS = {"roles": ("text",) * 5 + ("end",), "length": 6}


def random_rollouts(n: int = 40) -> list[Rollout]:
    rng = np.random.default_rng(0)
    texts = [tuple(int(token) for token in rng.integers(4, 14, 5)) + (2,) for _ in range(n)]
    return [make_rollout(problem=f"{i}", tokens=tokens, **SIX_TOKENS) for i, tokens in enumerate(texts)]


def rollouts_with_pairs(n: int) -> list[Rollout]:
    """Every second one has the pair in its middle."""
    texts = ((SPOTTED, 4, 5, FIRST, 6, 2), (4, FIRST, SPOTTED, 5, 6, 2))
    return [make_rollout(problem=f"{i}", **SIX_TOKENS, tokens=texts[i % 2]) for i in range(n)]


# --- latents that read tokens, without a model -----------------------------------------------------------------------

LATENTS: dict[str, Callable[[Sequence[int], int], float]] = {
    "the token": lambda tokens, i: 2.0 * (tokens[i] == SPOTTED),
    "the pair": lambda tokens, i: 2.0 * (i > 0 and tuple(tokens[i - 1 : i + 1]) == (FIRST, SPOTTED)),
    "in front": lambda tokens, i: 2.0 * (i == 0 and tokens[0] == SPOTTED),
}
TOKEN, PAIR, FRONT = range(len(LATENTS))


def activations(rollout: Rollout) -> list[list[float]]:
    return [[latent(rollout.tokens, i) for latent in LATENTS.values()] for i in range(len(rollout.tokens))]


def encode(rollouts: Sequence[Rollout]) -> tuple[torch.Tensor, torch.Tensor]:
    z_NF = torch.tensor([z_F for rollout in rollouts for z_F in activations(rollout)])
    return z_NF, torch.tensor([i for i, rollout in enumerate(rollouts) for _ in rollout.tokens])


@pytest.fixture
def injection_test_on(monkeypatch) -> Callable[[list[Rollout]], InjectionTest]:
    """An injection test on rollouts, with the latents above."""

    def encode_rollouts(*model: object, micro_tokens: int) -> Iterator[Any]:
        rollouts: Any = model[-1]
        z_NF, rollout_N = encode(rollouts)
        yield SimpleNamespace(codes=label(rollouts, z_NF).codes, rollout_N=rollout_N)

    def peaks_on_rollouts(*model: object, micro_tokens: int) -> np.ndarray:
        rollouts, latents = cast(Any, model[-2:])
        z_NF, rollout_N = (tensor.numpy() for tensor in encode(rollouts))
        return np.stack([z_NF[rollout_N == i][:, latents].max(0) for i in range(len(rollouts))])

    monkeypatch.setattr(falsification, "encode_rollouts", encode_rollouts)
    monkeypatch.setattr(falsification, "peaks_on_rollouts", peaks_on_rollouts)

    def make(rollouts: list[Rollout]) -> InjectionTest:
        F = len(LATENTS)
        no_policy: Any = None
        tsae = TSAE(*(torch.zeros(n) for n in ((1, F), (F,), (F, 1), (1,), (F,))), block_widths=(F,))
        return InjectionTest(tsae, no_policy, 0, label(rollouts, encode(rollouts)[0]), texts=40)

    return make


@pytest.mark.parametrize("family", ["reasoning", "format", "computation"])
def test_a_latent_that_spots_a_token_is_driven_by_it_and_survives_shuffling(injection_test_on, family):
    test = injection_test_on(random_rollouts(80))
    token_N = test.labeled["token"]
    result = falsify(test, TOKEN, make_contrast(token_N == SPOTTED, token_N != SPOTTED, family))
    assert result.driven_by_tokens and result.d > 1 and result.reached_share == 1
    assert result.survives_shuffling and result.shuffled_share == 1


@pytest.mark.parametrize("front", [True, False])
@pytest.mark.parametrize("injection", INJECTIONS)
def test_random_tokens_are_injected_in_the_same_way_as_a_latents_own(injection_test_on, injection, front):
    test = injection_test_on(random_rollouts(80))
    peak_TF = test.random_token_peak(injection, front=front)
    for i, (text, peak_F) in enumerate(zip(test.texts, peak_TF, strict=True)):
        runs = {n: random_runs(test.labeled, n, 0, i) for n in (1, 2, 3)}
        injected = inject(text, injection, runs, 0, front=front)
        assert peak_F.tolist() == [max(z_N) for z_N in zip(*activations(injected), strict=True)]


def test_a_latent_that_needs_a_pair_is_driven_by_pairs_but_not_by_single_tokens(injection_test_on):
    """A computation is a matter of several tokens, so pairs are not injected into its test."""
    test = injection_test_on(rollouts_with_pairs(80))
    at_pair_N = test.labeled.codes.latent_activations(PAIR) > 0
    elsewhere_N = (test.labeled["token"] == SPOTTED) & ~at_pair_N
    by_pairs = falsify(test, PAIR, make_contrast(at_pair_N, elsewhere_N, "reasoning"))
    assert by_pairs.driven_by_tokens and by_pairs.injection in ("a pair, twice", "a triple")
    by_tokens = falsify(test, PAIR, make_contrast(at_pair_N, elsewhere_N, "computation"))
    assert not by_tokens.driven_by_tokens and by_tokens.d < 0.5
    assert 0 < by_tokens.shuffled_share < 0.5, "shuffled, one follows the other once in five"
    assert not by_tokens.survives_shuffling


def test_tokens_that_positives_and_negatives_share_are_not_injected(injection_test_on):
    """The token cannot be what separates them, so it is no argument that it drives the latent."""
    test = injection_test_on(random_rollouts(80))
    spotted_N, first_half_N = test.labeled["token"] == SPOTTED, test.labeled["rollout"] < 40
    result = falsify(test, TOKEN, make_contrast(spotted_N & first_half_N, spotted_N & ~first_half_N, "computation"))
    assert not result.driven_by_tokens and result.d <= 0.1 and result.survives_shuffling


def test_latents_that_are_falsified_together_fare_as_each_alone_and_shared_texts_are_read_once(
    injection_test_on, monkeypatch
):
    test = injection_test_on(rollouts_with_pairs(80))
    tried = []
    for latent in (TOKEN, PAIR, TOKEN):
        at_N = test.labeled.codes.latent_activations(latent) > 0
        tried.append((latent, make_contrast(at_N, test.labeled["token"] == 4, "reasoning", name=f"x {latent}")))
    alone, read = [falsify(test, *each) for each in tried], []
    peaks_on_rollouts = falsification.peaks_on_rollouts

    def count(*arguments: Any, **options: Any) -> Any:
        read.extend((row.prompt_ids, row.tokens) for row in arguments[3])
        return peaks_on_rollouts(*arguments, **options)

    monkeypatch.setattr(falsification, "peaks_on_rollouts", count)
    done: list[int] = []
    assert falsify_all(test, tried, done.append) == alone and sum(done) == 3
    assert len(read) == len(set(read)) > 0
    monkeypatch.setattr(falsification, "LATENTS_AT_ONCE", 1)
    assert falsify_all(test, tried) == alone


def test_nothing_is_injected_in_front_to_falsify_a_shortcut(injection_test_on):
    test = injection_test_on(rollouts_with_pairs(80))
    in_front_N = test.labeled.codes.latent_activations(FRONT) > 0
    others_N = test.labeled["token"] == 4
    assert falsify(test, FRONT, make_contrast(in_front_N, others_N, "reasoning")).reached_share > 0.3
    result = falsify(test, FRONT, make_contrast(in_front_N, others_N, "shortcut"))
    without_injection = np.mean([text.tokens[0] == SPOTTED for text in test.texts])
    assert not result.driven_by_tokens and result.reached_share == without_injection < 0.3


def test_a_latent_that_is_inactive_at_its_positives_is_not_driven(injection_test_on):
    test = injection_test_on([make_rollout(problem=f"{i}", length=6) for i in range(40)])
    result = falsify(test, FRONT, make_contrast(test.labeled["token"] == 5, test.labeled["token"] == 6))
    assert np.isnan(result.reached_share) and np.isnan(result.shuffled_share)
    assert not result.driven_by_tokens and not result.survives_shuffling


@pytest.mark.parametrize(("n", "has_order"), [(MIN_ORDERED_TOKENS - 1, False), (MIN_ORDERED_TOKENS, True)])
def test_short_texts_have_no_order_to_lose(injection_test_on, n, has_order):
    rollouts = [make_rollout(problem=f"{i}", tokens=(SPOTTED, 4, 5, 6)[:n], length=n) for i in range(9)]
    test = injection_test_on(rollouts)
    z_N = test.labeled.codes.latent_activations(TOKEN)
    texts = ShuffledTexts.of(test, make_contrast(z_N > 0, z_N == 0))
    assert texts.share(TOKEN, z_N) == 1 if has_order else np.isnan(texts.share(TOKEN, z_N))
    assert np.isnan(texts.share(TOKEN, z_N * 0)), "nor has an inactive latent"


@pytest.mark.parametrize(
    ("result", "driven_by_tokens", "survives_shuffling"),
    [
        ((0.8, 0.01, "a triple", 0.5, 0.5), True, True),
        ((0.79, 0.01, "a triple", 0.5, 0.49), False, False),
        ((0.8, 0.02, "a triple", 0.5, float("nan")), False, False),
        ((0.8, 0.01, "a triple", 0.49, 1.0), False, True),
        ((-np.inf, 1.0, "", 0.0, 0.0), False, False),
    ],
)
def test_tokens_drive_a_latent_if_their_effect_is_large_significant_and_reaches_half_its_peak(
    result, driven_by_tokens, survives_shuffling
):
    result = Falsification(*result)
    assert (result.driven_by_tokens, result.survives_shuffling) == (driven_by_tokens, survives_shuffling)


# --- through a model -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spotter() -> TSAE:
    """Active at one token and nowhere else: fitted to the embedding, before anything is computed."""
    policy, rollouts = tiny_policy(num_hidden_layers=3), random_rollouts(200)
    ids = torch.tensor([[*rollout.prompt_ids, *rollout.tokens] for rollout in rollouts])
    x_ND, token_N = policy.capture(ids, [0])[0].flatten(0, 1), ids.flatten()
    is_spotted_N = (token_N == SPOTTED).double()
    design = torch.cat([x_ND.double(), torch.ones(len(x_ND), 1)], 1)
    solution = torch.linalg.lstsq(design, is_spotted_N[:, None]).solution[:, 0].float()
    W_enc = solution[:-1, None]
    return TSAE(W_enc, solution[-1:], W_enc.T.clone(), torch.zeros(D), torch.tensor([0.5]), block_widths=(1,), layer=0)


def test_a_latent_that_only_spots_a_token_is_found_through_a_model_too(spotter):
    policy = tiny_policy()
    labeled = label_tokens(spotter, policy, 0, random_rollouts(80))
    spotted_N = labeled["token"] == SPOTTED
    result = falsify(InjectionTest(spotter, policy, 0, labeled, texts=40), 0, make_contrast(spotted_N, ~spotted_N))
    assert result.driven_by_tokens and result.d > 1 and result.reached_share > 0.8
    assert result.survives_shuffling and result.shuffled_share == pytest.approx(1, abs=0.2)


def test_the_peak_is_the_highest_activation_of_each_text(spotter):
    rollouts, policy = random_rollouts(6), tiny_policy()
    test = InjectionTest(spotter, policy, 0, label_tokens(spotter, policy, 0, rollouts), texts=6)
    z_N = test.labeled.codes.latent_activations(0)
    expected = [z_N[test.labeled["rollout"] == i].max() for i in range(6)]
    np.testing.assert_allclose(test.peaks([rollouts], [0])[0], expected, atol=1e-6)


# --- texts -----------------------------------------------------------------------------------------------------------


def test_shuffled_text_has_the_same_tokens_and_end_and_is_the_same_for_the_same_key():
    rollouts = random_rollouts()
    for rollout, shuffled in zip(rollouts, shuffle_tokens(rollouts, 0), strict=True):
        assert Counter(rollout.tokens) == Counter(shuffled.tokens) and shuffled.tokens[-1] == 2
    first, again, other = ([row.tokens for row in shuffle_tokens(rollouts, key)] for key in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("injection", INJECTIONS)
def test_injected_text_is_the_text_with_the_runs_inserted(injection):
    runs = {1: [(90,), (91,), (92,)], 2: [(80, 81)], 3: [(70, 71, 72)]}
    for rollout in random_rollouts(5):
        injected = inject(rollout, injection, runs, 0)
        inserted = Counter(injected.tokens) - Counter(rollout.tokens)
        assert [token for token in injected.tokens if token < 50] == list(rollout.tokens)
        assert sum(inserted.values()) == {"a pair, twice": 4}.get(injection, 3)
        assert len(injected.roles) == len(injected.tokens)


@pytest.mark.parametrize("injection", INJECTIONS)
def test_nothing_is_inserted_before_the_first_token_unless_allowed_or_there_is_none(injection):
    runs = {1: [(90,)], 2: [(80, 81)], 3: [(70, 71, 72)]}
    first_tokens = {inject(rollout, injection, runs, 0, front=False).tokens[0] for rollout in random_rollouts(40)}
    assert injection == IN_FRONT or max(first_tokens) < 50
    assert inject(make_rollout(length=0, tokens=()), injection, runs, 0, front=False).tokens[0] >= 50


def test_the_strongest_runs_are_those_with_the_highest_mean_activation_at_their_end():
    """7 has 3 and 1; 6 has 1.5 twice; 4 has 9, but once; 5 has 8."""
    labeled = label([make_rollout(tokens=(7, 6, 4, 5)), make_rollout(tokens=(5, 7, 6), length=3)])
    z_N = np.array([3, 1.5, 9, 8, 8, 1, 1.5])

    def strongest(n: int, shared: Collection[int] = ()) -> list[tuple[int, ...]]:
        return TokenRuns.of(labeled, n).strongest(z_N, shared)

    assert strongest(1) == [(5,), (7,), (6,)]
    assert strongest(1, {5}) == [(7,), (6,)]
    assert strongest(2) == [(7, 6)], "no run crosses the end of a text"
    assert strongest(2, {6}) == [(7, 6)] and strongest(2, {6, 7}) == []
    assert strongest(3) == [], "none occurs twice"


def test_the_paired_effect_is_cohens_d_and_zero_where_nothing_differs():
    rng = np.random.default_rng(0)
    raised, control = rng.normal(1, 1, 200), rng.normal(0, 1, 200)
    d, p = paired_effect(raised, control)
    assert d == pytest.approx(1, abs=0.2) and p < 1e-6
    assert paired_effect(np.zeros(5), np.zeros(5)) == (0.0, 1.0)
    assert paired_effect(control, raised)[1] > 0.99
    assert p == ttest_rel(raised, control, alternative="greater").pvalue
    assert paired_effect(control + 1, control) == (pytest.approx(1 / control.std()), 0.0), "each rises by as much"
