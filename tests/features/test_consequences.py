"""What an edit does to what a policy is judged by: which tokens are asked, and what is told of them."""

import numpy as np
import torch
from grpo_world import a_row

from interp.bootstrap import resampled
from interp.features.behavior import Outcomes
from interp.features.labels import Scene, facts_of
from interp.tsae.codes import Codes

CHAIN = ("operand", "equals", "result", "answer")
TOKENS = (5, 6, 7, 8)


def chain(problem: str, *, valid: bool, correct: bool):
    written = {"tokens": TOKENS, "length": 4, "roles": CHAIN, "format": "steps"}
    return a_row(problem=problem, valid=valid, correct=correct, **written)


def nothing_written(problem: str, roles: tuple[str, ...], format: str, *, correct: bool):
    told = {"tokens": TOKENS[: len(roles)], "length": len(roles), "roles": roles, "format": format}
    return a_row(problem=problem, valid=False, correct=correct, **told)


ROWS = [
    chain("a", valid=True, correct=True),
    chain("a", valid=False, correct=True),
    chain("b", valid=False, correct=False),
    nothing_written("b", ("marker", "answer"), "direct", correct=True),
    nothing_written("c", ("text",), "malformed", correct=False),
]


def outcomes(rows: list) -> Outcomes:
    facts = facts_of(rows)
    return Outcomes.of(Scene(rows, Codes.of(torch.zeros(len(facts["place"]), 1)), facts))


def test_chains_answers_and_beginnings_are_those_that_were_judged_so():
    told = outcomes(ROWS)
    assert np.flatnonzero(told.valid_N).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(told.not_valid_N).tolist() == [*range(4, 12)], "an answer at once is no chain that failed"
    assert np.flatnonzero(told.right_N).tolist() == [3, 7, 13] and np.flatnonzero(told.wrong_N).tolist() == [11]
    assert np.flatnonzero(told.at_once_N).tolist() == [12], "how it begins, and nothing after"


def test_consequences_are_means_over_those_tokens_less_their_like():
    """By hand: valid chains lose 1 but at the answer, others a half; right answers gain 2, the wrong one loses 1."""
    change_N = np.zeros(15)
    change_N[:4], change_N[4:12] = -1.0, -0.5
    change_N[[3, 7, 13]], change_N[11], change_N[12] = 2.0, -1.0, 3.0
    found = outcomes(ROWS).consequences(change_N, resampled(3, 50, 0).numpy().astype(float))
    chains = (-1 - 1 - 1 + 2) / 4 - (-3 * 0.5 + 2 - 3 * 0.5 - 1) / 8
    np.testing.assert_allclose(found.values, (chains, 2.0 - -1.0, 3.0))
    assert found.at_once.low == found.at_once.high == 3.0, "there is but one"


def test_where_there_are_no_such_tokens_nothing_is_told():
    assert np.isnan(outcomes(ROWS[4:]).consequences(np.ones(1), np.ones((2, 1))).values).all()
