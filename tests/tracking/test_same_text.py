"""Changes on each checkpoint's own text beside changes on the same text, from sums made by hand."""

from pathlib import Path

import pytest
from tracking_fixtures import FakeRoles, same_at_every_prompt, save_tracks

from interp.artifacts import BadInput
from interp.tracking import Tracks

BEFORE = dict.fromkeys(range(6), (4, 1.0))
OWN = {0: (4, 2.0), 1: (4, 2.0), 2: (4, 1.0), 3: (4, 0.5), 4: (4, 2.0), 5: (4, 0.5)}
SAME = {0: (4, 3.0), 1: (4, 1.0), 2: (4, 2.0), 3: (4, 2.0), 5: (4, 0.5)}
"""Latents 0 and 5 change on both texts, 1 only on its own, 2 only on the same text, 3 in opposite directions; 4 is
never active on the same text."""


def tracks_on_both(out: Path, *, probe_prompts: int = 10) -> Tracks:
    before = {latent: activity for latent, activity in BEFORE.items() if latent in SAME}
    sums = {
        (0, "on-policy"): same_at_every_prompt(BEFORE),
        (20, "on-policy"): same_at_every_prompt(OWN),
        (0, "probe"): same_at_every_prompt(before, prompts=probe_prompts),
        (20, "probe"): same_at_every_prompt(SAME, prompts=probe_prompts),
    }
    return save_tracks(out, sums, prompts={"easy": 10}, width=6)


def test_the_summary_counts_the_change_its_control_and_the_same_text(tmp_path):
    rows = {row["comparison"]: row for row in tracks_on_both(tmp_path / "t").summary().to_dicts()}
    counts = {
        comparison: [row[verdict] for verdict in ("strengthened", "weakened", "unchanged", "too rare")]
        for comparison, row in rows.items()
    }
    assert counts == {"step 0 to 20": [3, 2, 1, 0], "base resampled": [0, 0, 6, 0], "same text": [3, 1, 1, 1]}
    assert (rows["step 0 to 20"]["strengthened_on_both"], rows["step 0 to 20"]["weakened_on_both"]) == (1, 1)
    assert rows["base resampled"]["strengthened_on_both"] is rows["same text"]["weakened_on_both"] is None


def test_the_table_has_the_same_text_beside_each_latent(tmp_path):
    tracks = tracks_on_both(tmp_path / "t")
    table = tracks.table()
    assert table["verdict"].to_list() == [
        "strengthened", "strengthened", "unchanged", "weakened", "strengthened", "weakened",
    ]  # fmt: skip
    assert table["same_text_verdict"].to_list() == [
        "strengthened", "unchanged", "strengthened", "strengthened", "too rare", "weakened",
    ]  # fmt: skip
    assert table["same_text_change"].to_list() == pytest.approx([0.4, 0, 0.2, 0.2, 0, -0.1], rel=0.05, abs=1e-6)
    assert (table["same_text_low"] <= table["same_text_change"]).all()
    on_probe = tracks.table(corpus="probe")
    for name in ("change", "low", "high", "verdict"):
        assert table[f"same_text_{name}"].to_list() == on_probe[name].to_list()


def test_changes_on_the_probe_corpus_have_no_same_text_beside_them(tmp_path):
    changes = tracks_on_both(tmp_path / "t").changes(corpus="probe")
    assert changes.same_text is None and changes.control is None and changes.summary().height == 1
    columns = (*changes.summary().columns, *changes.table().columns)
    assert not [name for name in columns if "same_text" in name or "both" in name]
    with pytest.raises(BadInput, match="expected changes on on-policy text, which have the same text beside them"):
        changes.cross_counts("easy")


def test_too_few_prompts_of_the_same_text_leave_its_count_unknown_and_not_zero(tmp_path):
    first, *_ = tracks_on_both(tmp_path / "t", probe_prompts=7).summary().to_dicts()
    assert first["strengthened"] == 3 and first["strengthened_on_both"] is None


def test_the_same_text_is_never_matched(tmp_path):
    tracks = tracks_on_both(tmp_path / "t")
    matched, plain = (tracks.table(match=match) for match in (("outcome",), ()))
    assert matched["same_text_change"].to_list() == plain["same_text_change"].to_list()


def test_latents_are_counted_by_role_too(tmp_path):
    roles = FakeRoles({0: "reasoning", 1: "reasoning"}, 6)
    tracks = tracks_on_both(tmp_path / "t")
    summary = tracks.changes(roles=roles).summary(by_role=True)
    rows = {(row["comparison"], row["role"]): row for row in summary.to_dicts()}
    assert len(rows) == 6 and rows["step 0 to 20", "reasoning"]["strengthened"] == 2
    assert rows["step 0 to 20", "reasoning"]["strengthened_on_both"] == 1
    assert rows["step 0 to 20", "none"]["weakened_on_both"] == 1
    assert rows["same text", "reasoning"]["strengthened"] == rows["same text", "reasoning"]["unchanged"] == 1
    assert tracks.summary(roles=roles).equals(summary)
    with pytest.raises(BadInput, match="expected the roles of latents, got none"):
        tracks.changes().summary(by_role=True)


def test_tracks_and_changes_show_their_summary_in_a_notebook(tmp_path):
    tracks = tracks_on_both(tmp_path / "t")
    for result in (tracks, tracks.changes(), tracks.drift()):
        assert "<table>" in result._repr_html_()
