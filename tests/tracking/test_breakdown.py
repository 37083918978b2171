"""Where latents are active, from sums made by hand."""

from pathlib import Path
from typing import Any

import pytest
from tracking_fixtures import save_tracks

from interp.artifacts import BadInput
from interp.tracking import Tracks
from interp.tracking.activation_sums import ActivationSums
from interp.tracking.breakdown import position_label, sort_groups

WIDTH = 8


@pytest.fixture
def tracks(tmp_path: Path) -> Tracks:
    """Latent 3 is active on results of valid answers, and at step 20 also on those of wrong ones. Latent 7 begins at
    step 20; latent 0 is never active."""
    roles: list[Any] = [
        {
            ("easy", "valid", "result"): (10, {3: (5, 20.0)}),
            ("easy", "valid", "operand"): (30, {3: (3, 3.0)}),
            ("easy", "wrong", "result"): (10, {}),
            ("hard", "wrong", "result"): (4, {3: (4, 2.0)}),
        },
        {
            ("easy", "valid", "result"): (10, {3: (5, 20.0)}),
            ("easy", "wrong", "result"): (10, {3: (10, 10.0), 7: (1, 9.0)}),
        },
    ]
    positions = {
        ("easy", "valid", 0): (8, {}),
        ("easy", "valid", 1): (16, {7: (4, 2.0)}),
        ("easy", "wrong", 1): (4, {7: (1, 3.0)}),
        ("easy", "valid", 3): (50, {7: (25, 50.0)}),
    }
    sums = {
        (step, "on-policy"): {"roles": rows, "positions": positions} for step, rows in zip((0, 20), roles, strict=True)
    }
    sums[20, "probe"] = {"roles": roles[0], "positions": positions}
    return save_tracks(tmp_path / "t", sums, prompts={"easy": 1, "hard": 1}, width=WIDTH)


def test_breakdown_by_role_adds_up_outcomes(tracks):
    table = tracks.breakdown(by="role", latents=[3, 7])
    assert table.columns == [
        "step", "bucket", "role", "latent", "tokens", "firing_rate", "mean_activation", "mean_when_active",
    ]  # fmt: skip
    assert table.rows() == [
        (0, "easy", "operand", 3, 30, 0.1, 0.1, 1.0),
        (0, "easy", "operand", 7, 30, 0.0, 0.0, None),
        (0, "easy", "result", 3, 20, 0.25, 1.0, 4.0),
        (0, "easy", "result", 7, 20, 0.0, 0.0, None),
        (0, "hard", "result", 3, 4, 1.0, 0.5, 0.5),
        (0, "hard", "result", 7, 4, 0.0, 0.0, None),
        (20, "easy", "result", 3, 20, 0.75, 1.5, 2.0),
        (20, "easy", "result", 7, 20, pytest.approx(0.05), pytest.approx(0.45), 9.0),
    ]


def test_breakdown_by_outcome_adds_up_roles(tracks):
    assert tracks.breakdown(by="outcome", latents=[3], buckets=["easy"]).rows() == [
        (0, "easy", "valid", 3, 40, pytest.approx(0.2), pytest.approx(0.575), 23 / 8),
        (0, "easy", "wrong", 3, 10, 0.0, 0.0, None),
        (20, "easy", "valid", 3, 10, 0.5, 2.0, 4.0),
        (20, "easy", "wrong", 3, 10, 1.0, 1.0, 1.0),
    ]


def test_breakdown_by_position_counts_tokens_from_one_in_powers_of_two(tracks):
    assert tracks.breakdown(by="position", latents=[7], steps=[20]).rows() == [
        (20, "easy", "1", 7, 8, 0.0, 0.0, None),
        (20, "easy", "2-3", 7, 20, 0.25, 0.25, 1.0),
        (20, "easy", "8-15", 7, 50, 0.5, 1.0, 2.0),
    ]
    assert [position_label(position) for position in range(5)] == ["1", "2-3", "4-7", "8-15", "16-31"]
    assert sort_groups("position", {"8-15", "1", "2-3"}) == ["1", "2-3", "8-15"]
    assert sort_groups("outcome", {"wrong", "valid"}) == ["valid", "wrong"]


def test_selected_latents_have_the_rows_they_have_among_all_in_the_order_asked_for(tracks):
    everything = tracks.breakdown(by="role")
    assert everything.height == 4 * WIDTH and everything["latent"].to_list() == list(range(WIDTH)) * 4
    selected = tracks.breakdown(by="role", latents=[7, 3, 7])
    assert selected["latent"].to_list() == [7, 3] * 4
    assert selected.sort("step", "bucket", "role", "latent").equals(
        everything.filter(everything["latent"].is_in([3, 7])).sort("step", "bucket", "role", "latent")
    )
    assert tracks.breakdown(by="role", latents=[], steps=[20]).height == 0


def test_the_probe_corpus_has_a_breakdown_of_its_own(tracks):
    on_probe = tracks.breakdown(by="role", latents=[3], corpus="probe", steps=[20]).drop("step")
    assert on_probe.equals(tracks.breakdown(by="role", latents=[3], steps=[0]).drop("step"))


def test_a_few_latents_are_read_without_memory_for_the_others(tracks, monkeypatch):
    widths, post_init = list[int](), ActivationSums.__post_init__

    def counting(self: ActivationSums) -> None:
        widths.append(self.width)
        post_init(self)

    monkeypatch.setattr(ActivationSums, "__post_init__", counting)
    tracks.breakdown(by="position", latents=[3, 7])
    assert widths == [2, 2], "one table for each checkpoint"


def test_unknown_properties_buckets_latents_and_steps_are_refused(tracks):
    with pytest.raises(BadInput, match="by must be one of role, position, outcome; got 'color'"):
        tracks.breakdown(by="color")
    with pytest.raises(BadInput, match=r"buckets must be some of easy, hard; got \['medium'\]"):
        tracks.breakdown(by="role", buckets=["medium"])
    for latents in ([8], [3, -1]):
        with pytest.raises(BadInput, match=f"expected latents of a dictionary of 8, from 0 to 7; got {latents[-1]}"):
            tracks.breakdown(by="role", latents=latents)
    with pytest.raises(BadInput, match="expected one of the steps 0, 20; got on-policy text of step 7"):
        tracks.breakdown(by="role", steps=[7])
