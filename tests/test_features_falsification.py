"""Is a latent about more than its tokens? Texts in which nothing is computed, tokens put into them, and chance."""

from collections import Counter

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_world import a_row

from interp.features.falsification import (
    WAYS,
    Grounds,
    apart,
    falsify,
    injected,
    shuffled,
    strongest,
)
from interp.features.scene import scene
from interp.tsae import TSAE

D, SPOTTED = 32, 9
ENDED = {"roles": ("text",) * 5 + ("end",), "length": 6}


def rows(n: int = 40):
    rng = np.random.default_rng(0)
    told = []
    for at in range(n):
        tokens = tuple(int(token) for token in rng.integers(4, 14, 5)) + (2,)
        told.append(a_row(problem=f"{at}", tokens=tokens, **ENDED))
    return told


@pytest.fixture(scope="module")
def spotter() -> TSAE:
    """On at one token and nowhere else: read off the embedding, before anything is computed with it."""
    policy, told = tiny_policy(num_hidden_layers=3), rows(200)
    ids = torch.tensor([[*row.prompt_ids, *row.tokens] for row in told])
    x_ND, token_N = policy.capture(ids, [0])[0].flatten(0, 1), ids.flatten()
    on_N = (token_N == SPOTTED).double()
    design = torch.cat([x_ND.double(), torch.ones(len(x_ND), 1)], 1)
    solved = torch.linalg.lstsq(design, on_N[:, None]).solution[:, 0].float()
    W_enc = solved[:-1, None]
    return TSAE(W_enc, solved[-1:], W_enc.T.clone(), torch.zeros(D), torch.tensor([0.5]), widths=(1,), layer=0)


def test_shuffled_text_has_the_same_tokens_and_the_same_end_and_comes_out_alike_again():
    told = rows()
    for row, void in zip(told, shuffled(told, 0), strict=True):
        assert Counter(row.tokens) == Counter(void.tokens) and void.tokens[-1] == 2
    assert [row.tokens for row in shuffled(told, 0)] == [row.tokens for row in shuffled(told, 0)]
    assert [row.tokens for row in shuffled(told, 0)] != [row.tokens for row in shuffled(told, 1)]


@pytest.mark.parametrize("way", WAYS)
def test_injected_text_is_the_text_with_the_runs_put_into_it(way):
    runs = {1: [(90,), (91,), (92,)], 2: [(80, 81)], 3: [(70, 71, 72)]}
    for row in rows(5):
        put = injected(row, way, runs, 0)
        added = Counter(put.tokens) - Counter(row.tokens)
        assert [token for token in put.tokens if token < 50] == list(row.tokens)
        assert sum(added.values()) == {"a pair, twice": 4}.get(way, 3) and len(put.roles) == len(put.tokens)


def test_the_strongest_runs_are_those_at_whose_end_the_latent_is_highest(spotter):
    seen = scene(tiny_policy(), spotter, 0, rows(80))
    assert strongest(seen, 0, 1)[0] == (SPOTTED,)
    assert all(run[-1] == SPOTTED for run in strongest(seen, 0, 2)[:3])


def test_a_latent_that_only_spots_a_token_is_found_out(spotter):
    policy, told = tiny_policy(), rows(80)
    seen = scene(policy, spotter, 0, told)
    grounds = Grounds(policy, spotter, 0, shuffled(told[:40], 0))
    found = falsify(grounds, seen, 0, seen["token"] == SPOTTED)
    assert found.by_tokens and found.d > 1 and found.reached > 0.8
    assert found.by_order and found.void == pytest.approx(1, abs=0.2), "wherever the token stands, it is on"


def test_texts_that_differ_alike_have_the_effect_of_cohen_and_those_that_do_not_differ_none():
    rng = np.random.default_rng(0)
    told, dull = rng.normal(1, 1, 200), rng.normal(0, 1, 200)
    d, p = apart(told, dull)
    assert d == pytest.approx(1, abs=0.2) and p < 1e-6
    assert apart(np.zeros(5), np.zeros(5)) == (0.0, 1.0)
    assert apart(dull, told)[1] > 0.99
