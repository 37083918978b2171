"""What a latent is held against: others as frequent and as strong. And what is worked out once for all contrasts."""

from typing import Any

import numpy as np
import torch
from grpo_world import a_row
from hypothesis import assume, given
from hypothesis import strategies as st

from interp.features.config import RolesConfig
from interp.features.gates import Gates, Matches
from interp.features.labels import Scene, facts_of
from interp.tsae.codes import Codes


def scene_of(*columns: tuple[int, float]) -> Scene:
    """Latents by how many of 16 tokens they are on at, and how strongly."""
    z_NF = torch.stack([value * (torch.arange(16) < count) for count, value in columns], 1)
    rows = [a_row(length=16)]
    return Scene(rows, Codes.of(z_NF), facts_of(rows))


def test_the_nearest_are_those_as_frequent_and_as_strong():
    """By hand, in logarithms: latent 0 is on at 4 at 1; 1 twice as often; 2 at 1.1; 3 always, at 8; 4 as 0; 5 never."""
    nearest = Matches(scene_of((4, 1.0), (8, 1.0), (4, 1.1), (16, 8.0), (4, 1.0), (0, 0.0)))
    assert nearest(0, 9) == [4, 2, 1, 3]
    assert nearest(0, 2) == [4, 2] and nearest(0, 0) == []
    assert nearest(3, 1) == [1]


def test_frequency_and_strength_are_told_in_the_units_in_which_latents_differ():
    """Frequencies run over a factor of 16, strengths over a fiftieth: to be at the other end of either is as far."""
    nearest = Matches(scene_of((1, 1.0), (16, 1.0), (1, 1.02), (16, 1.02), (2, 1.0)))
    assert nearest(0, 9)[0] == 4 and set(nearest(0, 9)[1:3]) == {1, 2} and nearest(0, 9)[3] == 3


def test_none_is_its_own_match_nor_one_that_is_left_out_and_the_dead_have_none():
    nearest = Matches(scene_of((4, 1.0), (4, 1.0), (4, 1.0), (0, 0.0)))
    assert nearest(1, 9) == [0, 2] and nearest(1, 9, but=[0]) == [2] and nearest(1, 9, but=[0, 1, 2]) == []
    assert nearest(3, 9) == [] and nearest(0, 9, but={3}) == [1, 2]


@given(st.lists(st.tuples(st.integers(0, 16), st.floats(0.1, 9)), min_size=1, max_size=8), st.data())
def test_matches_come_nearest_first_and_as_many_as_are_asked_for(columns, data):
    alive = [at for at, (count, _) in enumerate(columns) if count]
    assume(alive)
    nearest = Matches(scene_of(*columns))
    latent, count = data.draw(st.integers(0, len(columns) - 1)), data.draw(st.integers(0, 9))
    left_out = data.draw(st.sets(st.integers(0, len(columns) - 1)))
    found = nearest(latent, count, but=left_out)
    if latent not in alive:
        assert found == []
        return
    places = np.log([(c, np.float32(v)) for c, v in columns if c])
    far = dict(zip(alive, (((places - places[alive.index(latent)]) / nearest.spread_X) ** 2).sum(1), strict=True))
    assert len(found) == min(count, len(set(alive) - left_out - {latent}))
    assert [far[other] for other in found] == sorted(far[other] for other in found)
    assert all(far[other] <= far[rest] + 1e-9 for other in found for rest in set(alive) - left_out - {latent, *found})


def test_where_nothing_is_ever_on_nothing_has_a_match():
    nearest = Matches(scene_of((0, 0.0), (0, 0.0)))
    assert nearest(0, 9) == nearest(1, 1) == []


def test_where_no_role_was_earned_nothing_is_played():
    nobody: Any = None
    gates = object.__new__(Gates)
    gates.config = RolesConfig(played=9)
    assert gates.played([], nobody, bar=False) == []
