"""Where latents are on, from sums told by hand; and the command that shows it."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import run
from conftest import tiny_policy
from test_comparison import as_sae_lens
from test_tracking import LAYER
from tracking_world import kept

from interp.artifacts import BadInput
from interp.report.tracking import places
from interp.tracking import Tracks
from interp.tracking.activation_sums import Grouped
from interp.tracking.tracks import in_order, octave_in_words

WIDTH = 8


@pytest.fixture
def tracks(tmp_path: Path) -> Tracks:
    """Latent 3 tells results of right answers, later also of wrong ones. Latent 7 comes late, latent 0 never."""
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
    places = {
        ("easy", "valid", 0): (8, {}),
        ("easy", "valid", 1): (16, {7: (4, 2.0)}),
        ("easy", "wrong", 1): (4, {7: (1, 3.0)}),
        ("easy", "valid", 3): (50, {7: (25, 50.0)}),
    }
    readings = {
        (step, "on-policy"): {"roles": held, "places": places} for step, held in zip((0, 20), roles, strict=True)
    }
    readings[20, "probe"] = {"roles": roles[0], "places": places}
    return kept(tmp_path / "t", readings, prompts={"easy": 1, "hard": 1}, width=WIDTH)


def told(tracks: Tracks, **asked: Any) -> list[tuple[Any, ...]]:
    return tracks.profile(**asked).rows()


def test_latents_are_told_by_role_over_all_outcomes(tracks):
    found = tracks.profile(by="role", latents=[3, 7])
    assert found.columns == ["step", "bucket", "role", "latent", "tokens", "rate", "strength", "height"]
    assert found.rows() == [
        (0, "easy", "operand", 3, 30, 0.1, 0.1, 1.0),
        (0, "easy", "operand", 7, 30, 0.0, 0.0, None),
        (0, "easy", "result", 3, 20, 0.25, 1.0, 4.0),
        (0, "easy", "result", 7, 20, 0.0, 0.0, None),
        (0, "hard", "result", 3, 4, 1.0, 0.5, 0.5),
        (0, "hard", "result", 7, 4, 0.0, 0.0, None),
        (20, "easy", "result", 3, 20, 0.75, 1.5, 2.0),
        (20, "easy", "result", 7, 20, pytest.approx(0.05), pytest.approx(0.45), 9.0),
    ]


def test_they_are_told_by_outcome_and_by_places_counted_from_one(tracks):
    outcomes = told(tracks, by="outcome", latents=[3], buckets=["easy"])
    assert outcomes == [
        (0, "easy", "valid", 3, 40, pytest.approx(0.2), pytest.approx(0.575), 23 / 8),
        (0, "easy", "wrong", 3, 10, 0.0, 0.0, None),
        (20, "easy", "valid", 3, 10, 0.5, 2.0, 4.0),
        (20, "easy", "wrong", 3, 10, 1.0, 1.0, 1.0),
    ]
    assert told(tracks, by="place", latents=[7], steps=[20]) == [
        (20, "easy", "1", 7, 8, 0.0, 0.0, None),
        (20, "easy", "2-3", 7, 20, 0.25, 0.25, 1.0),
        (20, "easy", "8-15", 7, 50, 0.5, 1.0, 2.0),
    ]
    assert [octave_in_words(octave) for octave in range(5)] == ["1", "2-3", "4-7", "8-15", "16-31"]


def test_all_of_them_are_told_as_each_is_alone_in_the_order_they_were_asked_for(tracks):
    every = tracks.profile(by="role")
    assert every.height == 4 * WIDTH and every["latent"].to_list() == list(range(WIDTH)) * 4
    some = tracks.profile(by="role", latents=[7, 3, 7])
    assert some["latent"].to_list() == [7, 3] * 4
    assert some.sort("step", "bucket", "role", "latent").equals(
        every.filter(every["latent"].is_in([3, 7])).sort("step", "bucket", "role", "latent")
    )
    assert tracks.profile(by="role", latents=[3], corpus="probe", steps=[0]).equals(
        tracks.profile(by="role", latents=[3], steps=[0])
    )
    assert tracks.profile(by="role", latents=[], steps=[20]).height == 0


def test_for_a_few_latents_no_room_is_made_for_the_others(tracks, monkeypatch):
    widths, made = list[int](), Grouped.__post_init__

    def counted(self: Grouped) -> None:
        widths.append(self.width)
        made(self)

    monkeypatch.setattr(Grouped, "__post_init__", counted)
    tracks.profile(by="place", latents=[3, 7])
    assert widths == [2, 2], "one table of each checkpoint"


def test_what_there_is_not_is_refused(tracks):
    with pytest.raises(
        BadInput, match="by must be one of role, place, outcome, buckets some of easy, hard; got 'colour'"
    ):
        tracks.profile(by="colour")
    with pytest.raises(BadInput, match=r"got 'role' and \['medium'\]"):
        tracks.profile(by="role", buckets=["medium"])
    for latents in ([8], [3, -1]):
        with pytest.raises(BadInput, match=f"expected latents of a dictionary of 8, from 0 to 7; got {latents[-1]}"):
            tracks.profile(by="role", latents=latents)
    with pytest.raises(BadInput, match=r"a reading of one of the steps \(0, 20\), got on-policy of 7"):
        tracks.profile(by="role", steps=[7])


def test_the_terminal_shows_the_base_beside_the_last_latent_by_latent(tracks):
    assert in_order("place", {"8-15", "1", "2-3"}) == ["1", "2-3", "8-15"]
    assert in_order("outcome", {"wrong", "valid"}) == ["valid", "wrong"]
    shown = tracks.profile(by="role", latents=[3, 7])
    assert "nothing was written" in places(shown.clear(), "role", "on-policy")
    lines = places(shown, "role", "on-policy").splitlines()
    head = ["latent", "bucket", "role", "tokens 0", "tokens 20", "rate 0", "rate 20", "strength 0", "strength 20"]
    assert lines[2].split("  ")[0] == "latent" and all(name in lines[2] for name in head)
    cells = [line.split() for line in lines[4:]]
    assert cells[1] == ["3", "easy", "result", "20", "20", "0.250", "0.750", "1.000", "1.500", "4.000", "2.000"]
    assert cells[0] == ["3", "easy", "operand", "30", "0", "0.100", "-", "0.100", "-", "1.000", "-"], "none later"
    assert [row[0] for row in cells] == ["3"] * 3 + ["7"] * 3


def test_the_command_shows_where_latents_are_on(tmp_path, monkeypatch, capsys):
    for step in (0, 20):
        tiny_policy(seed=step).save(tmp_path / "run" / f"checkpoint-{step}")
    lines = [
        {"id": f"{split}{at}", "prompt": f"{at} {sign} 1 =", "answer": "1", "split": split, "depth": 1}
        for split, sign in (("eval", "+"), ("probe", "-"))
        for at in range(8)
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    words = ["track", "--tsae", as_sae_lens(tmp_path / "sae"), "--layer", LAYER, "--series", tmp_path / "run"]
    words += ["--jsonl", tmp_path / "mine.jsonl", "--levels", "1", "--group", "2", "--recovered", "0"]
    words += ["--max-new-tokens", "6", "--out", tmp_path / "t", "--device", "cpu"]

    def command(*more: str) -> int:
        return run(monkeypatch, *words, *more)

    assert command("--latents", "64") == 2
    assert "expected latents of a dictionary of 64, from 0 to 63; got 64" in capsys.readouterr().err
    assert not (tmp_path / "t").exists(), "before anything is asked"
    assert command("--latents", "3", "7", "--by", "place") == 0
    assert "Where latents are on, at step 0 and step 20 (on-policy text" in capsys.readouterr().out
    assert command("--latents", "3", "7", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["latent"] for row in found["profile"]} == {3, 7} and {"role", "height"} <= set(found["profile"][0])
    words += ["--steps", "0", "--json"]
    words[words.index(tmp_path / "t")] = tmp_path / "one"
    assert command() == 0
    assert {"out", "drift"} <= set(json.loads(capsys.readouterr().out)), "of one checkpoint too"
