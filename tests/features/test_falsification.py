"""Is a latent about more than its tokens? Texts in which nothing is computed, tokens put into them, and chance."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_world import a_row

from interp.features import falsification
from interp.features.contrasts import COMPUTATION, FORMAT, REASONING, SHORTCUT, Contrast
from interp.features.falsification import (
    IN_FRONT,
    ORDERED,
    WAYS,
    Falsified,
    Grounds,
    apart,
    falsify,
    in_void_order,
    injected,
    random_runs,
    shuffled,
    strongest,
    ways_for,
)
from interp.features.labels import Scene, facts_of, scene
from interp.rollouts.record import Rollout
from interp.tsae import TSAE
from interp.tsae.codes import Codes

D, SPOTTED, FIRST = 32, 9, 8
ENDED = {"roles": ("text",) * 5 + ("end",), "length": 6}


def rows(n: int = 40) -> list[Rollout]:
    rng = np.random.default_rng(0)
    told = []
    for at in range(n):
        tokens = tuple(int(token) for token in rng.integers(4, 14, 5)) + (2,)
        told.append(a_row(problem=f"{at}", tokens=tokens, **ENDED))
    return told


def contrast(positive_N: np.ndarray, negative_N: np.ndarray, family: str = REASONING) -> Contrast:
    return Contrast("x", family, positive_N, negative_N, np.zeros(len(positive_N), int), (), positive_N, negative_N)


# --- latents that read tokens, and no model at all ---------------------------------------------------------------

READERS: dict[str, Callable[[Sequence[int], int], float]] = {
    "the token": lambda tokens, at: 2.0 * (tokens[at] == SPOTTED),
    "the pair": lambda tokens, at: 2.0 * (at > 0 and tuple(tokens[at - 1 : at + 1]) == (FIRST, SPOTTED)),
    "in front": lambda tokens, at: 2.0 * (at == 0 and tokens[0] == SPOTTED),
}
TOKEN, PAIR, FRONT = range(len(READERS))


def heights_of(row: Rollout) -> list[list[float]]:
    return [[reads(row.tokens, at) for reads in READERS.values()] for at in range(len(row.tokens))]


def read(told: Sequence[Rollout]) -> tuple[torch.Tensor, torch.Tensor]:
    z_NF = torch.tensor([heights for row in told for heights in heights_of(row)])
    return z_NF, torch.tensor([at for at, row in enumerate(told) for _ in row.tokens])


@pytest.fixture
def readers(monkeypatch) -> Callable[..., Grounds]:
    def look(policy: object, tsae: object, layer: int, told: Sequence[Rollout]) -> Iterator[Any]:
        z_NF, document_N = read(told)
        yield SimpleNamespace(codes=Codes.of(z_NF), document_N=document_N)

    def look_at_one(policy: object, tsae: object, layer: int, told: Sequence[Rollout], latent: int) -> Any:
        z_NF, document_N = read(told)
        return z_NF[:, latent].numpy(), document_N.numpy()

    monkeypatch.setattr(falsification, "look", look)
    monkeypatch.setattr(falsification, "look_at_one", look_at_one)

    def grounds(told: list[Rollout], texts: int = 40) -> Grounds:
        seen, F = Scene(told, Codes.of(read(told)[0]), facts_of(told)), len(READERS)
        nobody: Any = None
        tsae = TSAE(*(torch.zeros(n) for n in ((1, F), (F,), (F, 1), (1,), (F,))), widths=(F,))
        return Grounds(nobody, tsae, 0, seen, texts=texts)

    return grounds


def with_pairs(n: int) -> list[Rollout]:
    """Each second one has the pair in its middle."""
    return [
        a_row(problem=f"{at}", **ENDED, tokens=(4, FIRST, SPOTTED, 5, 6, 2) if at % 2 else (SPOTTED, 4, 5, FIRST, 6, 2))
        for at in range(n)
    ]


@pytest.mark.parametrize("family", [REASONING, FORMAT, COMPUTATION])
def test_a_latent_that_spots_a_token_is_driven_by_it_and_needs_no_order(readers, family):
    grounds = readers(rows(80))
    token_N = grounds.seen["token"]
    found = falsify(grounds, TOKEN, contrast(token_N == SPOTTED, token_N != SPOTTED, family))
    assert found.by_tokens and found.d > 1 and found.reached == 1
    assert found.by_order and found.void == 1, "wherever the token stands, it is on"


@pytest.mark.parametrize("front", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_random_tokens_are_put_in_just_as_a_latents_own_are(readers, way, front):
    grounds = readers(rows(80))
    for at, (row, told_F) in enumerate(zip(grounds.texts, grounds.dull(way, front=front), strict=True)):
        runs = {n: random_runs(grounds.seen, n, 0, at) for n in (1, 2, 3)}
        put = injected(row, way, runs, 0, front=front)
        assert told_F.tolist() == [max(column) for column in zip(*heights_of(put), strict=True)]


def test_a_latent_that_needs_a_pair_is_driven_by_pairs_and_not_by_single_tokens_nor_without_order(readers):
    """So a computation, which is a matter of several tokens, is not put in as such."""
    grounds = readers(with_pairs(80))
    at_pair_N = grounds.seen.codes.of_latent(PAIR) > 0
    elsewhere_N = (grounds.seen["token"] == SPOTTED) & ~at_pair_N
    of_pairs = falsify(grounds, PAIR, contrast(at_pair_N, elsewhere_N))
    assert of_pairs.by_tokens and of_pairs.way in ("a pair, twice", "a triple")
    of_tokens = falsify(grounds, PAIR, contrast(at_pair_N, elsewhere_N, COMPUTATION))
    assert not of_tokens.by_tokens and of_tokens.d < 0.5
    assert 0 < of_tokens.void < 0.5 and not of_tokens.by_order, "shuffled, the one follows the other once in five"


def test_tokens_at_which_both_kinds_are_compared_are_not_put_in(readers):
    """What tells them apart cannot be the token, which is the same: a latent that spots it is told by another."""
    grounds = readers(rows(80))
    spotted_N, first_half_N = grounds.seen["token"] == SPOTTED, grounds.seen["document"] < 40
    both = contrast(spotted_N & first_half_N, spotted_N & ~first_half_N, COMPUTATION)
    found = falsify(grounds, TOKEN, both)
    assert not found.by_tokens and found.d <= 0.1 and found.by_order


def test_what_begins_an_answer_at_once_is_not_held_against_a_latent_of_shortcuts(readers):
    grounds = readers(with_pairs(80))
    begins_N = grounds.seen.codes.of_latent(FRONT) > 0
    others_N = grounds.seen["token"] == 4
    assert falsify(grounds, FRONT, contrast(begins_N, others_N)).reached > 0.3
    found = falsify(grounds, FRONT, contrast(begins_N, others_N, SHORTCUT))
    as_they_were = np.mean([row.tokens[0] == SPOTTED for row in grounds.texts])
    assert not found.by_tokens and found.reached == as_they_were < 0.3, "what is put in never comes first"


def test_a_latent_that_is_off_where_it_should_be_on_is_not_said_to_be_driven(readers):
    grounds = readers([a_row(problem=f"{at}", length=6) for at in range(40)])
    found = falsify(grounds, FRONT, contrast(grounds.seen["token"] == 5, grounds.seen["token"] == 6))
    assert np.isnan(found.reached) and np.isnan(found.void) and not found.by_tokens and not found.by_order


def test_texts_too_short_to_have_an_order_have_none_to_lose(readers):
    """An answer at once is a marker and a number; what ends it stays at its end."""
    for n, has_order in ((ORDERED - 1, False), (ORDERED, True)):
        told = [a_row(problem=f"{at}", tokens=(SPOTTED, 4, 5, 6)[:n], length=n) for at in range(9)]
        grounds = readers(told)
        z_N = grounds.seen.codes.of_latent(TOKEN)
        found = in_void_order(grounds, TOKEN, told, z_N, z_N > 0)
        assert found == 1 if has_order else np.isnan(found)
        assert np.isnan(in_void_order(grounds, TOKEN, told, z_N * 0, z_N > 0)), "nor has a latent that is off"


@pytest.mark.parametrize(
    ("told", "by_tokens", "by_order"),
    [
        ((0.8, 0.01, "a triple", 0.5, 0.5), True, True),
        ((0.79, 0.01, "a triple", 0.5, 0.49), False, False),
        ((0.8, 0.02, "a triple", 0.5, float("nan")), False, False),
        ((0.8, 0.01, "a triple", 0.49, 1.0), False, True),
        ((-np.inf, 1.0, "", 0.0, 0.0), False, False),
    ],
)
def test_tokens_drive_a_latent_if_they_raise_it_much_surely_and_to_half_its_own_height(told, by_tokens, by_order):
    found = Falsified(*told)
    assert (found.by_tokens, found.by_order) == (by_tokens, by_order)


def test_what_is_put_in_is_never_the_thing_itself():
    assert ways_for(REASONING) == ways_for(FORMAT) == list(WAYS)
    assert ways_for(COMPUTATION) == ["one, thrice", IN_FRONT, "three, spread"]
    assert ways_for(SHORTCUT) == [way for way in WAYS if way != IN_FRONT]


# --- through a model ---------------------------------------------------------------------------------------------


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


def test_a_latent_that_only_spots_a_token_is_found_out(spotter):
    seen = scene(policy := tiny_policy(), spotter, 0, rows(80))
    grounds = Grounds(policy, spotter, 0, seen, texts=40)
    spotted_N = seen["token"] == SPOTTED
    found = falsify(grounds, 0, contrast(spotted_N, ~spotted_N))
    assert found.by_tokens and found.d > 1 and found.reached > 0.8
    assert found.by_order and found.void == pytest.approx(1, abs=0.2), "wherever the token stands, it is on"


# --- texts -------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_put_in_front_where_that_is_asked_for_but_of_an_empty_text(way):
    runs = {1: [(90,)], 2: [(80, 81)], 3: [(70, 71, 72)]}
    firsts = {injected(row, way, runs, 0, front=False).tokens[0] for row in rows(40)}
    assert way == IN_FRONT or max(firsts) < 50
    assert injected(a_row(length=0, tokens=()), way, runs, 0, front=False).tokens[0] >= 50


def test_the_strongest_runs_are_those_at_whose_end_a_latent_is_highest_in_the_mean():
    """7 is at 3 and at 1, 6 at 1.5 twice, 4 at 9 but once; 5, at 8, stands in both kinds."""
    told = [a_row(tokens=(7, 6, 4, 5)), a_row(tokens=(5, 7, 6), length=3)]
    height_N = np.array([3, 1.5, 9, 8, 8, 1, 1.5])
    seen = Scene(told, Codes.of(torch.zeros(7, 1)), facts_of(told))
    assert strongest(seen, height_N, 1) == [(5,), (7,), (6,)]
    assert strongest(seen, height_N, 1, {5}) == [(7,), (6,)]
    assert strongest(seen, height_N, 2) == [(7, 6)], "no run reaches over the end of a text"
    assert strongest(seen, height_N, 2, {6}) == [(7, 6)] and strongest(seen, height_N, 2, {6, 7}) == []
    assert strongest(seen, height_N, 3) == [], "none occurs twice"


def test_heights_are_the_highest_of_each_text(spotter):
    told, policy = rows(6), tiny_policy()
    grounds = Grounds(policy, spotter, 0, scene(policy, spotter, 0, told), texts=6)
    z_N = grounds.seen.codes.of_latent(0)
    whole = [z_N[grounds.seen["document"] == at].max() for at in range(6)]
    np.testing.assert_allclose(grounds.heights(told, 0), whole, atol=1e-6)


def test_texts_that_differ_alike_have_the_effect_of_cohen_and_those_that_do_not_differ_none():
    rng = np.random.default_rng(0)
    told, dull = rng.normal(1, 1, 200), rng.normal(0, 1, 200)
    d, p = apart(told, dull)
    assert d == pytest.approx(1, abs=0.2) and p < 1e-6
    assert apart(np.zeros(5), np.zeros(5)) == (0.0, 1.0)
    assert apart(dull, told)[1] > 0.99
