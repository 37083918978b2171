"""One pass over rollouts keeps the residuals that sources read, and no others."""

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput
from interp.features.families import TokenSelector
from interp.readouts import BEFORE_MARKER, Likelihood, Residual, columns, read_columns, read_rollouts
from interp.readouts.reading import Place

ROLES = ("carry", "operator", "operand", "text", "marker", "answer")
ROWS = [make_rollout(1, length=6, tokens=(5 + i, 24, 7, 8, 29, 9), roles=ROLES, sample=i) for i in range(3)]
DIRECT = make_rollout(1, length=2, tokens=(29, 9), roles=("marker", "answer"))


@pytest.fixture(scope="module")
def policy():
    return tiny_policy()


def test_a_reading_keeps_the_residuals_that_are_selected_and_they_are_those_of_a_whole_reading(policy):
    carried = TokenSelector(roles=("carry",))
    rows = [*ROWS, DIRECT]
    some = read_rollouts(policy, rows, [Place(0, BEFORE_MARKER), Place(0, carried), Place(1, BEFORE_MARKER)])
    assert [len(some.residuals[layer]) for layer in (0, 1)] == [6, 3]
    whole = read_rollouts(policy, rows, [0, 1])
    assert len(whole.residuals[0]) == 20
    for place in (Place(0, BEFORE_MARKER), Place(0, carried), Place(1, BEFORE_MARKER)):
        for own, other in zip(some.residuals_at(*place), whole.residuals_at(*place), strict=True):
            assert torch.equal(own, other)
    assert len(some.residuals_at(0, BEFORE_MARKER)[0]) == 4, "before a direct answer stands the prompt"


def test_tokens_or_a_layer_that_no_source_asked_for_are_refused(policy):
    reading = read_rollouts(policy, ROWS, [Place(0, BEFORE_MARKER)])
    with pytest.raises(BadInput, match="expected tokens whose residuals of layer 0 were kept, got others"):
        reading.residuals_at(0, TokenSelector(roles=("carry",)))
    with pytest.raises(BadInput, match="expected a layer that was read, 0; got 1"):
        reading.residuals_at(1, BEFORE_MARKER)


def test_sources_are_read_in_one_pass_which_keeps_what_each_asks_for(policy, monkeypatch):
    readings = []

    def keep(*args, **options):
        readings.append(read_rollouts(*args, **options))
        return readings[-1]

    class Whole:
        """A source that does not say where in its layer it reads."""

        name, layers, needs_logprobs = "whole", (2,), False

        def expect_reader(self, reader):
            pass

        def columns(self, reading):
            return reading.mean_by_rollout(reading.residuals[2], torch.ones(len(reading.rollout_N)).bool())

    monkeypatch.setattr(columns, "read_rollouts", keep)
    read_columns([Residual(1), Likelihood(), Whole()], policy, ROWS)
    (reading,) = readings
    assert {layer: len(x_KD) for layer, x_KD in reading.residuals.items()} == {1: 3, 2: 18}
    assert reading.logprob_N.isfinite().all()
    read_columns([Residual(1)], policy, ROWS)
    assert readings[-1].logprob_N.isnan().all(), "no source reads log-probabilities"
