"""Every table has the columns that notebooks and studies read, and each holds what its name says."""

import numpy as np
import pytest
from tracking_fixtures import MADE_FROM, FakeRoles, save_tracks_by_outcome

from interp.tracking import Comparison, Tracks
from interp.tracking.latent_comparison import RELATIONS
from interp.tracking.verdicts import VERDICTS

CHANGE = ["bucket", "latent", "prompts", "start", "end", "change", "low", "high", "p", "q", "verdict"]
SAME_TEXT = ["same_text_change", "same_text_low", "same_text_high", "same_text_verdict"]
SINCE_BASE = [f"{name}_{part}" for name in "ab" for part in ("change", "low", "high", "q", "verdict")]
DIFFERENCE = ["difference", "low", "high", "p", "q", "verdict"]
SUMMARY = ["bucket", "comparison", "prompts", "common_share"]
BOTH = ["strengthened_on_both", "weakened_on_both"]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Tracks:
    """The base, A and B. Latent 0 rises twice, latent 1 falls, latent 2 stays."""
    means = ([1.0, 2.0, 1.0], [2.0, 1.0, 1.0], [3.0, 0.5, 1.0])
    return save_tracks_by_outcome(
        tmp_path_factory.mktemp("columns") / "t", *({"valid": (40, mean_F)} for mean_F in means)
    )


ROLES = FakeRoles({0: "format"}, 3, MADE_FROM)


def test_a_table_of_changes_holds_each_part_of_a_change(tracks):
    changes = tracks.changes(steps=(0, 2), roles=ROLES)  # type: ignore[arg-type]
    verdicts, same = changes.buckets["easy"], (changes.same_text or {})["easy"]
    table = changes.table()
    assert table.columns == [*CHANGE, *SAME_TEXT, "role"]
    assert tracks.changes(corpus="probe").table().columns == CHANGE
    expected = {
        "latent": [0, 1, 2], "prompts": verdicts.prompts_F, "start": verdicts.change.ratio_TF[0],
        "end": verdicts.change.ratio_TF[1], "change": verdicts.change.value_F, "low": verdicts.change.low_F,
        "high": verdicts.change.high_F, "p": verdicts.change.p_F, "q": verdicts.q_F,
        "same_text_change": same.change.value_F, "same_text_low": same.change.low_F,
        "same_text_high": same.change.high_F,
    }  # fmt: skip
    for name, values in expected.items():
        assert table[name].to_list() == list(values), name
    assert (
        table["verdict"].to_list() == table["same_text_verdict"].to_list() == ["strengthened", "weakened", "unchanged"]
    )
    assert table["role"].to_list() == ["format", "none", "none"] and set(table["bucket"]) == {"easy"}
    assert table["start"].to_list() == pytest.approx([1, 2, 1], rel=0.02)
    assert table["end"].to_list() == pytest.approx([3, 0.5, 1], rel=0.02)


def test_a_summary_of_changes_counts_verdicts_and_those_on_both_texts(tracks):
    summary = tracks.changes(steps=(0, 2)).summary()
    assert summary.columns == [*SUMMARY, *VERDICTS, *BOTH]
    assert summary["comparison"].to_list() == ["step 0 to 2", "base resampled", "same text"]
    assert summary["strengthened_on_both"].to_list() == summary["weakened_on_both"].to_list() == [1, None, None]
    assert summary["strengthened"].to_list() == [1, 0, 1] and summary["unchanged"].to_list() == [1, 3, 1]
    assert summary["common_share"].to_list() == [1.0] * 3 and summary["prompts"].to_list() == [12] * 3
    by_role = tracks.summary(steps=(0, 2), roles=ROLES)  # type: ignore[arg-type]
    assert by_role.columns == [*SUMMARY, "role", *VERDICTS, *BOTH]
    assert by_role["role"].to_list() == ["format", "none"] * 3
    assert by_role["strengthened_on_both"].to_list() == [1, 0, None, None, None, None]


def test_a_table_of_two_checkpoints_holds_each_part_of_the_comparison(tracks):
    comparison = Comparison(tracks, 1, 2, ROLES)  # type: ignore[arg-type]
    table = comparison.table()
    assert table.columns == [
        "bucket", "latent", "role", "prompts", "base", "a", "b", *SINCE_BASE, *DIFFERENCE, "relation",
    ]  # fmt: skip
    bucket = comparison.latents().buckets["easy"]
    assert bucket.change_a is not None and bucket.change_b is not None
    for name, verdicts in (("a_", bucket.change_a), ("b_", bucket.change_b), ("", bucket.difference)):
        change = verdicts.change
        expected = {"low": change.low_F, "high": change.high_F, "q": verdicts.q_F, "verdict": verdicts.verdict_F}
        expected["change" if name else "difference"] = change.value_F
        for part, values in expected.items():
            assert table[f"{name}{part}"].to_list() == list(values), (name, part)
    assert table["p"].to_list() == list(bucket.difference.change.p_F)
    for name, means in (("base", [1, 2, 1]), ("a", [2, 1, 1]), ("b", [3, 0.5, 1])):
        assert table[name].to_list() == pytest.approx(means, rel=0.02), name
    assert table["relation"].to_list() == ["strengthened in both", "weakened in both", "unchanged"]
    without_base = Comparison(tracks, 0, 2).table()
    assert without_base.columns == ["bucket", "latent", "prompts", "a", "b", *DIFFERENCE]
    assert np.allclose(without_base["a"], table["base"], rtol=0.02)


def test_summaries_of_two_checkpoints_count_verdicts_and_relations(tracks):
    comparison = Comparison(tracks, 1, 2, ROLES)  # type: ignore[arg-type]
    assert comparison.summary().columns == [*SUMMARY, *VERDICTS]
    assert comparison.relations().columns == [*SUMMARY, *RELATIONS]
    assert comparison.relations(by_role=True).columns == [*SUMMARY, "role", *RELATIONS]
    assert comparison.relations(by_role=True)["strengthened in both"].to_list()[:2] == [1, 0]
    assert comparison.summary(by_role=True)["role"].to_list() == ["format", "none"] * 2
    assert comparison.summary()["strengthened"].to_list()[0] == 1


def test_other_tables_have_their_columns(tracks):
    rates = [f"{name}{end}" for name in ("base", "a", "b") for end in ("", "_low", "_high")]
    control = ["control", "control_low", "control_high"]
    assert Comparison(tracks, 1, 2).behavior().columns == [
        "bucket", "measure", "prompts", *rates, "difference", "low", "high", "p", "q", "verdict", *control,
    ]  # fmt: skip
