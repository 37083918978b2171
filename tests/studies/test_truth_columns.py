"""How few columns tell valid answers from lucky ones, by hand."""

import pytest
import torch

from interp.readouts import Columns, Labels
from interp.studies.results import Observation, Results
from interp.studies.truth_claims import AUROCS, DEEP, FEW, at, tells_better
from interp.studies.truth_columns import ALONE, LATENTS, RANDOM_DIRECTIONS, Question, name_of

VALID = torch.tensor([True, True, True, False, False, False])
LIKELIHOOD = [[1.0, 1, -1, 1, -1, -1]]
OTHER = [[0.0, 0, 1, -1, 0, 0], [1.0, -1, 1, -1, 1, -1]]
"""The first column settles the two answers about which the likelihood is wrong."""


def labels(likelihood, other) -> Labels:
    x_BF = torch.tensor([*likelihood, *other], dtype=torch.float64).T
    return Labels(Columns(x_BF, (len(likelihood), len(other))), VALID, torch.ones(len(VALID)).double())


def question(beside: bool) -> Question:
    one = labels(LIKELIHOOD, OTHER)
    return Question(one, one, ridge=0.01, beside=beside)


def test_beside_the_likelihood_a_column_is_chosen_for_what_the_likelihood_gets_wrong():
    assert question(beside=True).choose(1) == [0]
    assert question(beside=True).auroc([0]) == 1
    assert question(beside=True).auroc([]) == pytest.approx(6 / 9)


def test_alone_the_likelihood_is_not_read():
    assert question(beside=False).auroc([]) == 0.5
    assert question(beside=False).auroc([0]) == pytest.approx(7 / 9)


def test_latents_must_beat_as_many_random_directions_on_deep_problems():
    def results(gap: float) -> Results:
        rows = [
            Observation(at(name_of(read, FEW), DEEP), seed, {ALONE: 0.7 + gap * (read == LATENTS)})
            for read in (LATENTS, RANDOM_DIRECTIONS)
            for seed in (1, 2, 3)
        ]
        return Results(rows)

    rule = tells_better(AUROCS[0])
    assert rule(results(0.1)).outcome == "supported"
    assert rule(results(-0.1)).outcome == "not supported"
