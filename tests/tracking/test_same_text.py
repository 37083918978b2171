"""What changed on each checkpoint's own text, beside what changed where the tokens are the same: by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tracking_world import MADE_FROM, by_prompt, kept

from interp.artifacts import BadInput
from interp.features import Roles, RolesConfig
from interp.report.tracking import read_or_written, tracked
from interp.tracking import Tracks

BEFORE = dict.fromkeys(range(6), (4, 1.0))
OWN = {0: (4, 2.0), 1: (4, 2.0), 2: (4, 1.0), 3: (4, 0.5), 4: (4, 2.0), 5: (4, 0.5)}
SAME = {0: (4, 3.0), 1: (4, 1.0), 2: (4, 2.0), 3: (4, 2.0), 5: (4, 0.5)}
"""By latent: read differently, only written differently, the other way about, opposite, never on in the base's text,
and weakened in both."""


def tracks_of(out: Path, *, probe_prompts: int = 10) -> Tracks:
    before = {latent: held for latent, held in BEFORE.items() if latent in SAME}
    readings = {
        (0, "on-policy"): by_prompt(BEFORE),
        (20, "on-policy"): by_prompt(OWN),
        (0, "probe"): by_prompt(before, prompts=probe_prompts),
        (20, "probe"): by_prompt(SAME, prompts=probe_prompts),
    }
    return kept(out, readings, prompts={"easy": 10}, width=6)


def test_three_kinds_of_rows_stand_in_one_table(tmp_path):
    counts = {row["between"]: row for row in tracks_of(tmp_path / "t").table().to_dicts()}
    assert list(counts) == ["0 and 20", "base and base", "same text"]
    told = {
        between: [row[verdict] for verdict in ("strengthened", "weakened", "unchanged", "too rare")]
        for between, row in counts.items()
    }
    assert told == {"0 and 20": [3, 2, 1, 0], "base and base": [0, 0, 6, 0], "same text": [3, 1, 1, 1]}
    assert (counts["0 and 20"]["strengthened_on_both"], counts["0 and 20"]["weakened_on_both"]) == (1, 1)
    assert counts["base and base"]["strengthened_on_both"] is counts["same text"]["weakened_on_both"] is None


def test_latent_by_latent_the_same_text_stands_beside(tmp_path):
    tracks = tracks_of(tmp_path / "t")
    table = tracks.changes().table()
    assert table["verdict"].to_list() == [
        "strengthened", "strengthened", "unchanged", "weakened", "strengthened", "weakened",
    ]  # fmt: skip
    assert table["same_text_verdict"].to_list() == [
        "strengthened", "unchanged", "strengthened", "strengthened", "too rare", "weakened",
    ]  # fmt: skip
    assert table["same_text_change"].to_list() == pytest.approx([0.4, 0, 0.2, 0.2, 0, -0.1], rel=0.05, abs=1e-6)
    assert (table["same_text_low"] <= table["same_text_change"]).all()
    alone = tracks.changes(corpus="probe").table()
    for name in ("change", "low", "high", "verdict"):
        assert table[f"same_text_{name}"].to_list() == alone[name].to_list(), "as it is when it is asked for alone"


def test_the_same_text_asked_for_alone_has_nothing_beside_it(tmp_path):
    changes = tracks_of(tmp_path / "t").changes(corpus="probe")
    assert changes.same_text is None and changes.counts().height == 1
    assert not [
        name for name in (*changes.counts().columns, *changes.table().columns) if "same_text" in name or "both" in name
    ]
    with pytest.raises(BadInput, match="expected changes on-policy to hold against the same text, got some of probe"):
        changes.crossed("easy")


def test_of_too_few_prompts_of_the_same_text_nothing_is_counted_and_never_as_zero(tmp_path):
    first, *_ = tracks_of(tmp_path / "t", probe_prompts=7).table().to_dicts()
    assert first["strengthened"] == 3 and first["strengthened_on_both"] is None


def test_matched_on_outcome_the_same_text_is_told_as_it_is(tmp_path):
    tracks = tracks_of(tmp_path / "t")
    matched, plain = (tracks.changes(match=match).table() for match in (("outcome",), ()))
    assert matched["same_text_change"].to_list() == plain["same_text_change"].to_list()


def test_by_role_it_is_counted_too(tmp_path):
    trials: tuple[Any, ...] = tuple(
        SimpleNamespace(passed=True, latent=latent, auroc=0.9, family="reasoning") for latent in (0, 1)
    )
    roles = Roles(trials, (), 6, (), MADE_FROM, RolesConfig(), 0)
    changes = tracks_of(tmp_path / "t").changes(roles=roles)
    rows = {(row["between"], row["role"]): row for row in changes.by_role().to_dicts()}
    assert len(rows) == 6 and rows["0 and 20", "reasoning"]["strengthened"] == 2
    assert rows["0 and 20", "reasoning"]["strengthened_on_both"] == 1
    assert rows["0 and 20", "none"]["weakened_on_both"] == 1
    assert rows["same text", "reasoning"]["strengthened"] == rows["same text", "reasoning"]["unchanged"] == 1
    told = tracked(changes)
    assert "By the roles that latents have earned:" in told and told.count("base and base") == 1


def test_the_terminal_says_whether_what_changed_is_read_differently(tmp_path):
    tracks = tracks_of(tmp_path / "t")
    lines = [line.split() for line in read_or_written(tracks.changes())[-1].splitlines()]
    assert lines[2:] == [
        ["easy", "strengthened", "3", "1", "0", "1", "0", "1", "0"],
        ["easy", "weakened", "2", "1", "1", "0", "0", "0", "0"],
    ]
    told = tracked(tracks.changes())
    assert "same text" in told and "on the same text" in told
    assert "same" not in tracked(tracks.changes(corpus="probe")).replace("the text is the same for all", "")
    still = tracked(tracks.changes(steps=(0, 0)))
    assert "On its own text no latent has changed" in still
