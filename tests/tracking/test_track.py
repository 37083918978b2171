"""A dictionary tracked through a series: sums counted by hand, one text for all, a control, resuming, refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from tracking_fixtures import LAYER, SMALL, TASK, D, FakeRoles, axes_dictionary

from interp.artifacts import BadInput, Mismatch
from interp.encoding import encode as encode_module
from interp.rollouts import Buckets, Rollouts, Series, bucket
from interp.rollouts.buckets import BucketConfig
from interp.tasks import JsonlTask
from interp.tracking import TrackConfig, Tracks, track, tracker
from interp.tracking.checkpoint_sums import CheckpointSums, log2_bin, outcome_of
from interp.tracking.collector import is_loss_rollout
from interp.tracking.verdicts import VERDICTS
from interp.tsae import TSAE

QUICK = replace(SMALL, problems=2, loss_rollouts=0)
OPTIONS: dict[str, Any] = {"device": "cpu", "progress": False}


def all_sums(tracks: Tracks) -> dict[tuple[int, str], CheckpointSums]:
    sources = [(step, corpus) for step in tracks.steps for corpus in ("on-policy", "probe")] + [(0, "resampled")]
    return {source: tracks.checkpoint_sums(*source) for source in sources}


# --- sums ----------------------------------------------------------------------------------------------------------


def test_sums_equal_those_of_rollouts_encoded_one_at_a_time(tracks):
    """The probe corpus at the second checkpoint, without any of the package's streaming."""
    policy, expected = tiny_policy(seed=10), {}
    for n, row in enumerate(Rollouts.load(tracks.path / "probe-rollouts").rows):
        ids = torch.tensor([[*row.prompt_ids, *row.tokens]])
        z_TF = axes_dictionary().encode(policy.capture(ids, [LAYER])[LAYER][0, len(row.prompt_ids) :])
        key = (str(row.depth), (n // 2) % 10, outcome_of(row), log2_bin(len(row.tokens)))
        tokens, active_F, sum_F = expected.get(key, (0, 0, 0))
        expected[key] = (tokens + len(z_TF), active_F + (z_TF > 0).sum(0), sum_F + z_TF.double().sum(0))
    table = tracks.checkpoint_sums(10, "probe").tables["prompts"]
    assert dict(zip(table.keys, table.tokens_R.tolist(), strict=True)) == {k: v[0] for k, v in expected.items()}
    for row, key in enumerate(table.keys):
        assert (table.active_RF[row] - expected[key][1]).abs().max() <= 1, "a value at zero may round either way"
        assert torch.allclose(table.sum_RF[row], expected[key][2], atol=1e-3)


def test_the_tables_by_prompt_role_and_position_have_the_same_totals(tracks):
    for sums in all_sums(tracks).values():
        totals = [table.active_RF.sum(0) for table in sums.tables.values()]
        assert all(torch.equal(totals[0], total) for total in totals[1:])
        assert len({int(table.tokens_R.sum()) for table in sums.tables.values()}) == 1
    tables = tracks.checkpoint_sums(0).tables
    assert set(tables["roles"].column("outcome")) <= {"valid", "lucky", "wrong"}
    assert set(tables["positions"].column("position")) <= {0, 1, 2}


def test_the_probe_corpus_is_the_same_text_for_all_and_on_policy_text_each_checkpoint_s_own(tracks):
    tables = {source: sums.tables["prompts"] for source, sums in all_sums(tracks).items()}
    texts = {source: str(sorted(zip(t.keys, t.tokens_R.tolist(), strict=True))) for source, t in tables.items()}
    assert len({texts[step, "probe"] for step in tracks.steps}) == 1
    assert len({texts[step, "on-policy"] for step in tracks.steps}) == 3
    assert not torch.equal(tables[0, "probe"].sum_RF.sum(0), tables[10, "probe"].sum_RF.sum(0))
    first, second = tables[0, "on-policy"], tables[0, "resampled"]
    assert {key[:2] for key in first.keys} == {key[:2] for key in second.keys} and first.keys != second.keys


def test_sums_do_not_depend_on_how_tokens_are_cut_into_chunks(tracks, run, tmp_path, monkeypatch):
    monkeypatch.setattr(encode_module, "CHUNK_TOKENS", 7)
    other = track(axes_dictionary(), Series.from_dir(run)[:2], TASK, SMALL, out=tmp_path / "t", **OPTIONS)
    for step in (0, 10):
        chunked, whole = (each.checkpoint_sums(step).tables["prompts"] for each in (other, tracks))
        assert chunked.keys == whole.keys and torch.equal(chunked.active_RF, whole.active_RF)
        assert torch.allclose(chunked.sum_RF, whole.sum_RF)


def test_sums_of_checkpoints_can_be_merged(tracks):
    merged, first, second = (tracks.checkpoint_sums(step) for step in (10, 10, 0))
    merged.merge(second)
    tokens = [int(sums.tables["prompts"].tokens_R.sum()) for sums in (merged, first, second)]
    assert tokens[0] == tokens[1] + tokens[2]
    assert merged.fve["1"].n == first.fve["1"].n + second.fve["1"].n


@pytest.mark.parametrize("share", [1, 4, 10, 25])
def test_the_loss_is_measured_on_about_as_many_rollouts_as_asked_for_spread_over_prompts(share):
    chosen = [(p, sample) for p in range(10) for sample in range(4) if is_loss_rollout(p, sample, 10, share)]
    assert share <= len(chosen) <= 2 * share + 5 and len({prompt for prompt, _ in chosen}) >= min(share, 10)


# --- changes -------------------------------------------------------------------------------------------------------


def test_other_weights_change_latents_and_a_second_sample_of_the_base_does_not(tracks):
    rows = {(row["bucket"], row["comparison"]): row for row in tracks.summary(measure="firing_rate").to_dicts()}
    comparisons = ("step 0 to 20", "base resampled", "same text")
    assert set(rows) == {(bucket, comparison) for bucket in ("1", "2") for comparison in comparisons}
    for bucket_name in ("1", "2"):
        change, control = rows[bucket_name, "step 0 to 20"], rows[bucket_name, "base resampled"]
        assert change["strengthened"] + change["weakened"] > 10
        assert control["strengthened"] + control["weakened"] <= 2
    table = tracks.table(measure="firing_rate")
    assert table.height == 2 * 2 * D
    strengthened = table.filter(verdict="strengthened", bucket="1")
    assert (strengthened["low"] > 0).all() and (strengthened["end"] > strengthened["start"]).all()


def test_counts_by_role_add_up_to_the_counts_of_all_latents(tracks):
    roles: Any = FakeRoles({3: "format"}, 2 * D, {"tsae": axes_dictionary().fingerprint()})
    changes = tracks.changes(roles=roles)
    by_role = changes.summary(by_role=True).to_dicts()
    for row in changes.summary().to_dicts():
        own = [r for r in by_role if (r["bucket"], r["comparison"]) == (row["bucket"], row["comparison"])]
        assert [r["role"] for r in own] == ["format", "none"]
        assert all(sum(r[verdict] for r in own) == row[verdict] for verdict in VERDICTS)
        assert sum(own[0][verdict] for verdict in VERDICTS) == 1
    assert changes.table().filter(latent=3)["role"].unique().to_list() == ["format"]
    assert any("(format)" in trace.name for trace in tracks.figure(n_latents=2 * D, roles=roles).data)
    with pytest.raises(Mismatch, match="expected roles of the latents of this dictionary"):
        tracks.changes(roles=replace(roles, made_from={"tsae": "another"}))


def test_on_the_probe_corpus_a_checkpoint_has_not_changed_from_itself(tracks):
    still = tracks.changes(corpus="probe", steps=(0, 0))
    assert still.control is None
    assert all((verdicts.change.value_F == 0).all() for verdicts in still.buckets.values())


def test_a_slope_over_two_checkpoints_is_their_difference(tracks):
    end, slope = (tracks.changes(over=over, steps=(0, 20)).buckets["1"].change for over in ("end", "slope"))
    assert np.allclose(end.value_F, slope.value_F)


def test_matching_reports_the_share_of_the_base_s_tokens_that_it_compares(tracks):
    plain, by_outcome, by_both = (
        tracks.changes(match=match).buckets["1"].change for match in ((), ("outcome",), ("outcome", "length"))
    )
    assert plain.common == 1 and 0 < by_both.common < by_outcome.common < 1
    assert by_both.prompts <= by_outcome.prompts <= 10


def test_the_probe_corpus_may_have_more_problems_than_the_on_policy_one(run, tmp_path):
    lines = [
        {"id": f"{split}{n}", "prompt": f"{n} {sign} 1 =", "answer": "1", "split": split, "depth": 1}
        for split, sign, count in (("eval", "+", 9), ("probe", "-", 15))
        for n in range(count)
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task, config = JsonlTask(tmp_path / "mine.jsonl"), replace(SMALL, levels=(1,), problems=64, loss_rollouts=0)
    tracks = track(axes_dictionary(), Series.from_dir(run)[:2], task, config, out=tmp_path / "t", **OPTIONS)
    assert tracks.prompts == {"1": 9}
    assert [tracks.summary(corpus=corpus)["prompts"][0] for corpus in ("on-policy", "probe")] == [9, 15]


def test_a_bucket_of_few_prompts_has_no_intervals(run, tmp_path):
    config = replace(SMALL, problems=5, loss_rollouts=0)
    few = track(axes_dictionary(), Series.from_dir(run)[:2], TASK, config, out=tmp_path / "few", **OPTIONS)
    assert few.summary()["too few prompts"].to_list() == [2 * D] * 6
    assert few.table()["low"].null_count() == 2 * 2 * D
    assert few.drift().fits[0].kl_recovered is None


def test_tracks_of_one_checkpoint_have_no_changes(run, tmp_path):
    one = track(axes_dictionary(), Series.from_dir(run)[:1], TASK, QUICK, out=tmp_path / "one", **OPTIONS)
    assert one._repr_html_() == f"<p><code>{one!r}</code></p>"
    with pytest.raises(BadInput, match="two at least, got 1"):
        one.changes()
    with pytest.raises(BadInput, match="expected two checkpoints or more to draw changes, got 1"):
        one.figure()


def test_unknown_choices_and_steps_are_refused(tracks):
    for choice, message in (
        ({"over": "middle"}, "over must be end or slope; got 'middle'"),
        (
            {"measure": "loudness"},
            "measure must be one of firing_rate, mean_activation, mean_when_active; got 'loudness'",
        ),
        ({"match": ("color",)}, r"match must be some of outcome, length; got \['color'\]"),
        ({"corpus": "resampled"}, "corpus must be on-policy or probe; got 'resampled'"),
    ):
        with pytest.raises(BadInput, match=message):
            tracks.changes(**choice)
    with pytest.raises(BadInput, match="expected one of the steps 0, 10, 20; got on-policy text of step 7"):
        tracks.checkpoint_sums(7)


# --- resuming ------------------------------------------------------------------------------------------------------


def test_a_track_that_is_stopped_and_repeated_ends_in_the_same_sums(tracks, run, tmp_path, monkeypatch):
    collect_sums, finished = tracker.collect_sums, list[str]()

    def stopping(collector: Any, problems: Any, *args: Any, **options: Any) -> Any:
        if len(finished) == 4:
            raise KeyboardInterrupt
        finished.append(problems.corpus)
        return collect_sums(collector, problems, *args, **options)

    options = {"out": tmp_path / "tracks", **OPTIONS}
    with monkeypatch.context() as patch:
        patch.setattr(tracker, "collect_sums", stopping)
        with pytest.raises(KeyboardInterrupt):
            track(axes_dictionary(), Series.from_dir(run), TASK, SMALL, **options)
    with pytest.raises(BadInput, match="expected finished tracks, got none of probe of step 10, .*: repeat the call"):
        Tracks.open(tmp_path / "tracks")
    resumed = track(axes_dictionary(), Series.from_dir(run), TASK, SMALL, **options)
    assert finished == ["on-policy", "resampled", "probe", "on-policy"]
    for source, sums in all_sums(tracks).items():
        table, expected = resumed.checkpoint_sums(*source).tables["prompts"], sums.tables["prompts"]
        assert table.keys == expected.keys and torch.equal(table.sum_RF, expected.sum_RF)


def test_a_repeated_call_opens_the_tracks_and_loads_no_checkpoint(tracks, run, monkeypatch):
    monkeypatch.setattr(tracker, "SumsCollector", None)
    reopened = track(axes_dictionary(), Series.from_dir(run), TASK, SMALL, out=tracks.path, progress=False)
    assert reopened.steps == tracks.steps and repr(reopened) == repr(tracks)


def test_tracks_made_from_other_inputs_are_not_overwritten(tracks, run):
    message = r"was made from other inputs: config.problems \(expected 9, got 10\)"
    with pytest.raises(Mismatch, match=message):
        track(axes_dictionary(), Series.from_dir(run), TASK, replace(SMALL, problems=9), out=tracks.path)
    with pytest.raises(BadInput, match="expected a directory of kind 'tracks' or an empty place, got checkpoint-0"):
        track(axes_dictionary(), Series.from_dir(run), TASK, SMALL, out=run)


def test_tracks_of_other_problems_of_the_same_buckets_are_not_overwritten(run, tmp_path):
    config, series = BucketConfig(n=8, max_new_tokens=6), Series.from_dir(run)[:1]
    ours, others = (
        bucket(tiny_policy(seed=0), TASK, TASK.problems("train", None, 8, start=start), config=config)
        for start in (0, 8)
    )
    quick = replace(QUICK, levels=("easy", "medium", "hard"))
    track(axes_dictionary(), series, TASK, quick, buckets=ours, out=tmp_path / "tracks", **OPTIONS)
    with pytest.raises(Mismatch, match="made_from.on-policy .*made_from.probe .*made_from.resampled"):
        track(axes_dictionary(), series, TASK, quick, buckets=others, out=tmp_path / "tracks", **OPTIONS)


def test_a_probe_corpus_that_is_lost_is_written_by_the_base_again(tracks, run, tmp_path):
    damaged = Path(shutil.copytree(tracks.path, tmp_path / "tracks"))
    shutil.rmtree(damaged / "probe-rollouts")
    shutil.rmtree(damaged / "sums-10-probe")
    mended = track(axes_dictionary(), Series.from_dir(run), TASK, SMALL, out=damaged, **OPTIONS)
    sums_RF, expected_RF = (each.checkpoint_sums(10, "probe").tables["prompts"].sum_RF for each in (mended, tracks))
    assert torch.equal(sums_RF, expected_RF)


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_dictionary_of_other_weights_another_layer_or_another_width_is_refused(run, tmp_path):
    series, tsae, out = Series.from_dir(run), axes_dictionary(), tmp_path / "x"
    unrelated = replace(tsae, made_from={"policy-0": "other weights"})
    with pytest.raises(Mismatch, match="fitted on other weights: expected some of other weights in the series"):
        track(unrelated, series, TASK, SMALL, out=out)
    with pytest.raises(Mismatch, match="expected a dictionary of layer 0, got one of layer 1"):
        track(tsae, series, TASK, SMALL, layer=0, out=out)
    with pytest.raises(BadInput, match="does not say its layer"):
        track(replace(tsae, layer=None), series, TASK, SMALL, out=out)
    eye, zeros = torch.eye(8), torch.zeros(8)
    narrow = TSAE(eye, zeros, eye, zeros, zeros, block_widths=(8,), layer=LAYER)
    with pytest.raises(Mismatch, match="expected a policy of d_model 8, as the dictionary's; got 32"):
        track(narrow, series, TASK, SMALL, out=out)
    with pytest.raises(BadInput, match="expected a task for these checkpoints, got none"):
        track(tsae, series, config=SMALL, out=out)
    track(unrelated, series[:1], TASK, QUICK, out=tmp_path / "any", allow_unrelated_policies=True, **OPTIONS)


def test_buckets_are_tracked_if_they_were_measured_on_the_base_and_refused_otherwise(run, tmp_path):
    config = BucketConfig(n=8, max_new_tokens=6)
    measured = bucket(tiny_policy(seed=0), TASK, TASK.problems("train", None, 12), config=config)
    quick, series = replace(SMALL, levels=(), problems=4, loss_rollouts=0), Series.from_dir(run)[:1]
    tracks = track(axes_dictionary(), series, TASK, quick, buckets=measured, out=tmp_path / "t", **OPTIONS)
    counts = measured.counts()
    assert tracks.prompts == {name: min(4, (counts[name] + 1) // 2) for name in ("easy", "medium", "hard")}
    other = Buckets(measured.rows, config=measured.config, made_from={**measured.made_from, "policy": "another"})
    with pytest.raises(Mismatch, match="expected buckets measured on the base, .*; got buckets measured on another"):
        track(axes_dictionary(), series, TASK, quick, buckets=other, out=tmp_path / "other", **OPTIONS)


def test_a_corrupt_checkpoint_is_named_and_can_be_left_out(run, tmp_path):
    damaged = Path(shutil.copytree(run, tmp_path / "run"))
    weights = damaged / "checkpoint-10" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(BadInput, match="checkpoint-10"):
        track(axes_dictionary(), Series.from_dir(damaged), TASK, SMALL, out=tmp_path / "x", **OPTIONS)
    series = Series.from_dir(damaged, skip_bad=True)
    assert series.steps == (0, 20) and series.skipped[0][0] == 10 and "checkpoint-10" in series.skipped[0][1]
    tracks = track(axes_dictionary(), series, TASK, QUICK, out=tmp_path / "t", **OPTIONS)
    assert tracks.skipped[0][0] == 10 and "steps 0, 20, without 10" in repr(tracks)


def test_a_corrupt_base_is_never_left_out(run, tmp_path):
    damaged = Path(shutil.copytree(run, tmp_path / "run"))
    (damaged / "checkpoint-0" / "config.json").unlink()
    with pytest.raises(BadInput, match="checkpoint-0"):
        Series.from_dir(damaged, skip_bad=True)


def test_checkpoints_without_a_common_directory_need_a_place_for_the_tracks(run, tmp_path):
    alone = Series.from_dirs([shutil.copytree(run / "checkpoint-0", tmp_path / "alone")])
    with pytest.raises(BadInput, match="directories in one place, to keep tracks there; got .*: .* --series.* --out"):
        track(axes_dictionary(), alone, TASK, SMALL)


def test_steps_are_names_of_checkpoints_and_not_a_count(run):
    with pytest.raises(BadInput, match="expected one of the steps 0, 10, 20; got 3: .*, not a count"):
        track(axes_dictionary(), Series.from_dir(run), TASK, replace(SMALL, steps=(3,)))


def test_settings_out_of_range_are_refused():
    with pytest.raises(BadInput, match="levels must be named once each"):
        TrackConfig(levels=("easy", "easy"))
    with pytest.raises(BadInput, match=r"^problems must be at least 1; got 0$"):
        TrackConfig(problems=0)
    with pytest.raises(BadInput, match=r"^loss_rollouts must not be negative; got -1$"):
        TrackConfig(loss_rollouts=-1)
