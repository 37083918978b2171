"""A dictionary held against every checkpoint of a series: sums that can be counted by hand, text that is the same for
all, a control in which nothing has changed, and no way to hold it against the wrong thing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from tracking_world import LAYER, SMALL, TASK, D, axes

from interp.artifacts import BadInput, Mismatch
from interp.features import Roles, RolesConfig, Trial
from interp.features.ablation import Effect
from interp.features.falsification import Falsification
from interp.stats import Estimate
from interp.report.tracking import fits
from interp.rollouts import Buckets, Series, bucket
from interp.rollouts.buckets import BucketConfig
from interp.tasks import JsonlTask
from interp.tracking import TrackConfig, Tracks, TrustThresholds, track
from interp.tracking import tracker as followed
from interp.tracking.activation_sums import CheckpointSums, log2_bin, outcome_of
from interp.tracking.tracker import is_loss_rollout
from interp.tracking.verdicts import VERDICTS
from interp.tsae import TSAE


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tracking") / "run"
    for step in (0, 10, 20):
        tiny_policy(seed=step).save(root / f"checkpoint-{step}")
    return root


@pytest.fixture(scope="module")
def tracks(run, tmp_path_factory) -> Tracks:
    out = tmp_path_factory.mktemp("tracks") / "tracks"
    return track(axes(), Series.from_dir(run), TASK, SMALL, out=out, device="cpu", progress=False)


def readings(tracks: Tracks) -> dict[tuple[int, str], CheckpointSums]:
    corpora = [(step, corpus) for step in tracks.steps for corpus in ("on-policy", "probe")] + [(0, "again")]
    return {one: tracks.checkpoint_sums(*one) for one in corpora}


# --- what is added up ----------------------------------------------------------------------------------------------


def test_sums_are_those_of_codes_worked_out_one_rollout_at_a_time(tracks, run):
    """The probe text, read again by the second checkpoint with nothing of the package's streaming."""
    from interp.rollouts import Rollouts

    rollouts, policy, wanted = Rollouts.load(tracks.path / "probe-text").rows, tiny_policy(seed=10), {}
    for at, row in enumerate(rollouts):
        ids = torch.tensor([[*row.prompt_ids, *row.tokens]])
        z_TF = axes().encode(policy.capture(ids, [LAYER])[LAYER][0, len(row.prompt_ids) :])
        key = (str(row.depth), (at // 2) % 10, outcome_of(row), log2_bin(len(row.tokens)))
        n, active_F, mass_F = wanted.get(key, (0, 0, 0))
        wanted[key] = (n + len(z_TF), active_F + (z_TF > 0).sum(0), mass_F + z_TF.double().sum(0))
    table = tracks.reading(10, "probe").tables["prompts"]
    assert {key: int(n) for key, n in zip(table.keys, table.tokens_R, strict=True)} == {
        k: v[0] for k, v in wanted.items()
    }
    for row, key in enumerate(table.keys):
        assert (table.active_RF[row] - wanted[key][1]).abs().max() <= 1  # a value at zero may round either way
        assert torch.allclose(table.mass_RF[row], wanted[key][2], atol=1e-3)


def test_tables_by_role_and_by_place_add_up_to_the_same(tracks):
    for reading in readings(tracks).values():
        totals = [table.active_RF.sum(0) for table in reading.tables.values()]
        assert all(torch.equal(totals[0], total) for total in totals[1:])
        assert len({int(table.tokens_R.sum()) for table in reading.tables.values()}) == 1
    roles = tracks.reading(0).tables["roles"]
    assert set(roles.column("outcome")) <= {"valid", "lucky", "wrong"}
    assert set(tracks.reading(0).tables["places"].column("place")) <= {0, 1, 2}


def test_the_probe_text_is_the_same_for_all_and_on_policy_text_is_each_one_s_own(tracks):
    held = readings(tracks)
    probe = {step: held[step, "probe"].tables["prompts"] for step in tracks.steps}
    assert len({str(sorted(zip(t.keys, t.tokens_R.tolist(), strict=True))) for t in probe.values()}) == 1
    assert not torch.equal(probe[0].sum_RF.sum(0), probe[10].sum_RF.sum(0))
    own = {step: held[step, "on-policy"].tables["prompts"] for step in tracks.steps}
    assert len({str(sorted(zip(t.keys, t.tokens_R.tolist(), strict=True))) for t in own.values()}) == 3
    again = held[0, "again"].tables["prompts"]
    assert {key[:2] for key in again.keys} == {key[:2] for key in own[0].keys} and again.keys != own[0].keys


def test_every_wave_and_every_slice_of_tokens_gives_the_same_sums(tracks, run, tmp_path, monkeypatch):
    from interp.encoding import encode as encode_module

    monkeypatch.setattr(encode_module, "CHUNK_TOKENS", 7)
    other = track(axes(), Series.from_dir(run)[:2], TASK, SMALL, out=tmp_path / "again", device="cpu", progress=False)
    for step in (0, 10):
        mine, theirs = other.checkpoint_sums(step).tables["prompts"], tracks.reading(step).tables["prompts"]
        assert mine.keys == theirs.keys and torch.equal(mine.active_RF, theirs.active_RF)
        assert torch.allclose(mine.sum_RF, theirs.mass_RF)


def test_readings_merge(tracks):
    whole, parts = tracks.reading(10), tracks.reading(0)
    before = int(whole.tables["prompts"].tokens_R.sum())
    whole.merge(parts)
    assert int(whole.tables["prompts"].tokens_R.sum()) == before + int(parts.tables["prompts"].tokens_R.sum())
    assert whole.fits["1"].n == tracks.reading(10).fits["1"].n + parts.fits["1"].n


# --- changes -------------------------------------------------------------------------------------------------------


def test_other_weights_have_changed_and_the_base_asked_again_has_not(tracks):
    found = tracks.changes(measure="rate")
    counts = {(row["bucket"], row["between"]): row for row in found.counts().to_dicts()}
    assert set(counts) == {(b, between) for b in ("1", "2") for between in ("0 and 20", "base and base", "same text")}
    for name in ("1", "2"):
        changed, control = counts[name, "0 and 20"], counts[name, "base and base"]
        assert changed["strengthened"] + changed["weakened"] > 10
        assert control["strengthened"] + control["weakened"] <= 2
    table = found.table()
    assert table.height == 2 * 2 * D and {"latent", "start", "end", "low", "high", "q", "verdict"} <= set(table.columns)
    sure = table.filter((table["verdict"] == "strengthened") & (table["bucket"] == "1"))
    assert (sure["low"] > 0).all() and (sure["end"] > sure["start"]).all()


def test_changes_are_told_by_the_roles_that_latents_have_earned(tracks):
    sure = Effect(Estimate(-1.0, -1.5, -0.5), Estimate(-1.0, -1.5, -0.5))
    passed = Trial(3, "format", "arranging", 0.9, 1.0, 0.001, 0.9, True, Falsification(0.0, 1.0, "", 0.0, 0.0), sure)
    made_from = {"tsae": axes().fingerprint()}
    roles = Roles((replace(passed, matched_ablations=(0.0,)),), (), 2 * D, (), made_from, RolesConfig(), LAYER)
    changes = tracks.changes(roles=roles)
    counts = changes.counts().to_dicts()
    for row in counts:
        mine = [
            one
            for one in changes.by_role().to_dicts()
            if (one["bucket"], one["between"]) == (row["bucket"], row["between"])
        ]
        assert [one["role"] for one in mine] == ["format", "none"]
        assert all(sum(one[verdict] for one in mine) == row[verdict] for verdict in VERDICTS)
        assert sum(mine[0][verdict] for verdict in VERDICTS) == 1
    assert tracks.table(roles=roles).height == 2 * len(counts)
    assert changes.table().filter(latent=3)["role"].unique().to_list() == ["format"]
    with pytest.raises(Mismatch, match="expected roles of the latents of this dictionary"):
        tracks.changes(roles=replace(roles, made_from={"tsae": "another"}))
    with pytest.raises(BadInput, match="expected to be told which role each latent has"):
        tracks.changes().by_role()


def test_on_the_same_text_there_is_no_control_to_draw_and_the_base_has_not_moved_at_all(tracks):
    assert tracks.changes(corpus="probe").control is None
    still = tracks.changes(corpus="probe", steps=(0, 0))
    assert all((found.change.value_F == 0).all() for found in still.buckets.values())


def test_the_probe_text_may_be_of_more_problems_than_are_asked_on_policy(run, tmp_path):
    lines = [
        {"id": f"{split}{at}", "prompt": f"{at} {sign} 1 =", "answer": "1", "split": split, "depth": 1}
        for split, sign, n in (("eval", "+", 9), ("probe", "-", 15))
        for at in range(n)
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    task, asked = JsonlTask(tmp_path / "mine.jsonl"), replace(SMALL, levels=(1,), problems=64, recovered=0)
    found = track(axes(), Series.from_dir(run)[:2], task, asked, out=tmp_path / "t", device="cpu", progress=False)
    assert found.prompts == {"1": 9}
    assert [found.table(corpus=corpus)["prompts"][0] for corpus in ("on-policy", "probe")] == [9, 15]


def test_slopes_and_ends_agree_on_two_checkpoints_and_matching_tells_what_is_common(tracks):
    end, rise = (tracks.changes(over=over, steps=(0, 20)) for over in ("end", "slope"))
    assert np.allclose(end.buckets["1"].change.value_F, rise.buckets["1"].change.value_F)
    matched = tracks.changes(match=("outcome", "length")).buckets["1"].change
    assert 0.5 < matched.common < 1 and 8 <= matched.prompts < 10, "strata at fewer than eight prompts are left out"


def test_a_bucket_of_few_prompts_is_told_as_such(run, tmp_path):
    few = replace(SMALL, problems=5, recovered=0)
    found = track(axes(), Series.from_dir(run)[:2], TASK, few, out=tmp_path / "few", device="cpu", progress=False)
    assert found.table()["too few prompts"].to_list() == [2 * D] * 6
    assert found.changes().table()["low"].null_count() == 2 * 2 * D
    assert found.drift().fits[0].kl_recovered is None


def test_what_cannot_be_asked_for_is_refused(tracks):
    for asked in ({"over": "middle"}, {"measure": "loudness"}, {"match": ("colour",)}):
        with pytest.raises(BadInput, match="over must be end or slope, measure one of rate, strength"):
            tracks.changes(**asked)
    with pytest.raises(BadInput, match="corpus must be on-policy or probe; got 'again'"):
        tracks.changes(corpus="again")
    with pytest.raises(BadInput, match=r"a reading of one of the steps \(0, 10, 20\), got on-policy of 7"):
        tracks.reading(7)


# --- drift ---------------------------------------------------------------------------------------------------------


def test_a_dictionary_that_keeps_everything_is_trusted_and_one_that_fits_the_base_alone_is_not(tracks):
    drift = tracks.drift()
    assert {drift.verdict(step) for step in tracks.steps} == {"trust"}
    assert drift.table()["fve"].min() > 0.999 and drift.table()["kl_recovered"].min() > 0.99
    assert drift.table()["kl_recovered"].null_count() == 0, "measured in every bucket"

    def told(fve: dict[int, float | None]) -> list[str]:
        fits = tuple(replace(fit, fve=fve[fit.step], kl_recovered=None) for fit in drift.fits)
        return [replace(drift, fits=fits).verdict(step) for step in (0, 10, 20)]

    assert told({0: 0.95, 10: 0.91, 20: 0.89}) == ["trust", "trust", "refit"]
    assert told({0: 0.45, 10: 0.0, 20: -0.05}) == ["refit"] * 3, "twice as bad as bad is not good enough"
    assert told({0: 0.95, 10: None, 20: 0.95}) == ["trust", "cannot tell", "trust"]
    lost = replace(drift, fits=tuple(replace(fit, kl_recovered=0.8) for fit in drift.fits))
    assert lost.verdict(0) == "refit"
    with pytest.raises(BadInput, match=r"^unexplained must be at least 1; got 0.5$"):
        TrustThresholds(unexplained=0.5)
    with pytest.raises(BadInput, match=r"^fve must be at most 1; got 1.5$"):
        TrustThresholds(fve=1.5)


def test_drift_is_drawn_with_the_least_that_is_trusted(tracks):
    """Where the base is explained to 0.95, twice as much unexplained is 0.9; where it is to 0.6, the floor of 0.7 is
    higher."""
    fve = {"on-policy": {0: 0.95, 10: 0.93, 20: 0.8}, "probe": {0: 0.6, 10: None, 20: 0.5}}
    drift = tracks.drift()
    drift = replace(drift, fits=tuple(replace(fit, fve=fve[fit.corpus][fit.step]) for fit in drift.fits))
    figure = drift.figure()
    assert [title.text for title in figure.layout.annotations] == ["1", "2"]
    lines = {trace.name: trace for trace in figure.data if trace.xaxis == "x"}
    told = {name: (list(trace.x), pytest.approx(list(trace.y))) for name, trace in lines.items()}
    assert told == {
        "on-policy": ([0, 10, 20], [0.95, 0.93, 0.8]),
        "on-policy: least trusted": ([0, 10, 20], [0.9] * 3),
        "probe": ([0, 20], [0.6, 0.5]),
        "probe: least trusted": ([0, 10, 20], [0.7] * 3),
    }
    for corpus in fve:
        line, least = lines[corpus].line, lines[f"{corpus}: least trusted"].line
        assert least.dash == "dot" and least.color == line.color and line.dash is None
    for fit in drift.fits:
        least = drift.least(fit)
        if fit.fve is not None and least is not None:
            assert (fit.fve < least) == (drift._told(replace(fit, kl_recovered=None)) == "refit")


@pytest.mark.parametrize("share", [1, 4, 10, 25])
def test_the_loss_is_measured_on_as_many_rollouts_of_each_bucket_whatever_the_waves(share):
    picked = [(prompt, sample) for prompt in range(10) for sample in range(4) if is_loss_rollout(prompt, sample, 10, share)]
    assert share <= len(picked) <= 2 * share + 5 and len({prompt for prompt, _ in picked}) >= min(share, 10)


def test_latents_of_the_base_that_fall_silent_are_counted(tracks):
    drift = tracks.drift()
    assert all(fit.silent == 0 for fit in drift.fits if fit.step == 0)
    assert all(0 <= (fit.silent or 0) < 0.5 and (fit.l0 or 0) > 10 for fit in drift.fits)


# --- going on ------------------------------------------------------------------------------------------------------


def test_stopped_and_asked_again_it_goes_on_and_comes_to_the_same(tracks, run, tmp_path, monkeypatch):
    read, done = followed.collect_sums, list[Any]()

    def killed(*told: Any, **known: Any) -> Any:
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(told[1].corpus)
        return read(*told, **known)

    asked: dict[str, Any] = {"out": tmp_path / "tracks", "device": "cpu", "bar": False}
    monkeypatch.setattr(followed, "read_corpus", killed)
    with pytest.raises(KeyboardInterrupt):
        track(axes(), Series.from_dir(run), TASK, SMALL, **asked)
    with pytest.raises(BadInput, match="expected finished tracks, got none of probe of step 10"):
        Tracks.open(tmp_path / "tracks")
    monkeypatch.setattr(followed, "read_corpus", read)
    found = track(axes(), Series.from_dir(run), TASK, SMALL, **asked)
    assert done == ["on-policy", "again", "probe", "on-policy"]
    for one, reading in readings(tracks).items():
        mine = found.checkpoint_sums(*one).tables["prompts"]
        assert mine.keys == reading.tables["prompts"].keys
        assert torch.equal(mine.sum_RF, reading.tables["prompts"].sum_RF)


def test_asked_again_it_is_opened_and_no_checkpoint_loaded(tracks, run, monkeypatch):
    monkeypatch.setattr(followed, "Reader", None)
    again = track(axes(), Series.from_dir(run), TASK, SMALL, out=tracks.path, progress=False)
    assert again.steps == tracks.steps and repr(again) == repr(tracks)


def test_tracks_of_another_making_are_not_written_over(tracks, run):
    with pytest.raises(
        BadInput, match="holds tracks of another again, on-policy, probe, problems, prompts.1, prompts.2"
    ):
        track(axes(), Series.from_dir(run), TASK, replace(SMALL, problems=9), out=tracks.path, progress=False)
    with pytest.raises(BadInput, match="holds no tracks"):
        track(axes(), Series.from_dir(run), TASK, SMALL, out=run, progress=False)


@pytest.mark.parametrize(("of", "unseen"), [((), ()), ((0,), (10, 20)), ((0, 10), (20,)), ((0, 10, 20), ())])
def test_checkpoints_that_the_dictionary_was_not_fitted_on_are_told(run, tmp_path, of, unseen):
    """One of another run of the same base is welcome, but it has seen nothing of this run's end."""
    series, few = Series.from_dir(run), replace(SMALL, levels=(1,), problems=2, recovered=0)
    made_from = {f"policy-{40 + step}": series.checkpoint(step).fingerprint() for step in of}
    tracked = track(
        replace(axes(), made_from=made_from), series, TASK, few, out=tmp_path / "t", device="cpu", progress=False
    )
    drift = tracked.drift()
    assert drift.unfitted_steps == unseen
    said = f"The dictionary was not fitted on checkpoint {', '.join(map(str, unseen))}: what only they do"
    assert (said in fits(drift)) == bool(unseen) == ("not fitted on" in fits(drift))


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_dictionary_of_other_weights_or_another_layer_or_width_is_refused(run, tmp_path):
    series, out = Series.from_dir(run), tmp_path / "x"
    stranger = replace(axes(), made_from={"policy-0": "somebody else"})
    with pytest.raises(Mismatch, match="fitted on other weights: expected some of somebody else"):
        track(stranger, series, TASK, SMALL, out=out, progress=False)
    with pytest.raises(Mismatch, match="expected a dictionary of layer 0, got one of layer 1"):
        track(axes(), series, TASK, SMALL, layer=0, out=out, progress=False)
    with pytest.raises(BadInput, match="does not say which layer"):
        track(replace(axes(), layer=None), series, TASK, SMALL, out=out, progress=False)
    narrow = TSAE(torch.eye(8), torch.zeros(8), torch.eye(8), torch.zeros(8), torch.zeros(8), block_widths=(8,), layer=LAYER)
    with pytest.raises(Mismatch, match="expected a policy of d_model 8, as the dictionary's; got 32"):
        track(narrow, series, TASK, SMALL, out=out, progress=False)
    with pytest.raises(BadInput, match="expected a task to ask these checkpoints"):
        track(axes(), series, config=SMALL, out=out, progress=False)
    track(stranger, series[:1], TASK, replace(SMALL, problems=2), out=tmp_path / "any", allow_unrelated_policies=True, progress=False)


def test_buckets_measured_on_another_base_are_refused_and_those_of_this_one_are_asked(run, tmp_path):
    measuring = BucketConfig(n=8, max_new_tokens=6)
    mine = bucket(tiny_policy(seed=0), TASK, TASK.problems("train", None, 12), config=measuring)
    asked = replace(SMALL, levels=(), problems=4, recovered=0)
    series = Series.from_dir(run)[:1]
    found = track(axes(), series, TASK, asked, buckets=mine, out=tmp_path / "mine", device="cpu", progress=False)
    counted = mine.counts()
    assert found.prompts == {name: min(4, (counted[name] + 1) // 2) for name in ("easy", "medium", "hard")}
    theirs = Buckets(mine.rows, config=mine.config, made_from={**mine.made_from, "policy": "another"})
    with pytest.raises(Mismatch, match="expected buckets measured on the base, .*; got some of another"):
        track(axes(), series, TASK, asked, buckets=theirs, out=tmp_path / "theirs", progress=False)


def test_tracks_of_other_problems_are_not_taken_for_these(run, tmp_path):
    measuring, series = BucketConfig(n=8, max_new_tokens=6), Series.from_dir(run)[:1]
    asked = replace(SMALL, levels=("easy", "medium", "hard"), problems=2, recovered=0)
    mine, other = (
        bucket(tiny_policy(seed=0), TASK, TASK.problems("train", None, 8, start=start), config=measuring)
        for start in (0, 8)
    )
    track(axes(), series, TASK, asked, buckets=mine, out=tmp_path / "tracks", progress=False)
    with pytest.raises(BadInput, match="holds tracks of another again, on-policy, probe"):
        track(axes(), series, TASK, asked, buckets=other, out=tmp_path / "tracks", progress=False)


def test_a_text_that_was_lost_is_written_by_the_base_again(tracks, run, tmp_path):
    spoiled = Path(shutil.copytree(tracks.path, tmp_path / "tracks"))
    shutil.rmtree(spoiled / "probe-text")
    shutil.rmtree(spoiled / "reading-10-probe")
    again = track(axes(), Series.from_dir(run), TASK, SMALL, out=spoiled, device="cpu", progress=False)
    assert torch.equal(
        again.checkpoint_sums(10, "probe").tables["prompts"].sum_RF, tracks.reading(10, "probe").tables["prompts"].mass_RF
    )


def test_a_corrupt_checkpoint_is_named(run, tmp_path):
    spoiled = Path(shutil.copytree(run, tmp_path / "run"))
    weights = spoiled / "checkpoint-10" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(BadInput, match="checkpoint-10"):
        track(axes(), Series.from_dir(spoiled), TASK, SMALL, out=tmp_path / "x", progress=False)
    left = Series.from_dir(spoiled, skip_bad=True)
    assert left.steps == (0, 20) and left.skipped[0][0] == 10 and "checkpoint-10" in left.skipped[0][1]
    found = track(axes(), left, TASK, replace(SMALL, problems=2, recovered=0), out=tmp_path / "left", progress=False)
    assert found.skipped[0][0] == 10 and "steps 0, 20, without 10" in repr(found)


def test_the_base_is_never_left_out(run, tmp_path):
    spoiled = Path(shutil.copytree(run, tmp_path / "run"))
    (spoiled / "checkpoint-0" / "config.json").unlink()
    with pytest.raises(BadInput, match="checkpoint-0"):
        Series.from_dir(spoiled, skip_bad=True)


def test_without_a_series_or_a_place_nothing_is_tracked(run, tmp_path):
    alone = Series.from_dirs([shutil.copytree(run / "checkpoint-0", tmp_path / "alone")])
    told = "checkpoint-<step> directories in one place, to keep tracks there; got .*alone alone: .* --series.* --out"
    with pytest.raises(BadInput, match=told):
        track(axes(), alone, TASK, SMALL, progress=False)


def test_a_count_of_steps_is_told_from_their_names(run):
    with pytest.raises(BadInput, match="expected one of the steps 0, 10, 20; got 3: .*, not a count"):
        track(axes(), Series.from_dir(run), TASK, replace(SMALL, steps=(3,)), progress=False)


def test_strange_settings_are_refused():
    with pytest.raises(BadInput, match="levels must be named once each"):
        TrackConfig(levels=("easy", "easy"))
    with pytest.raises(BadInput, match=r"^problems must be at least 1; got 0$"):
        TrackConfig(problems=0)
    with pytest.raises(BadInput, match=r"^recovered must not be negative; got -1$"):
        TrackConfig(loss_rollouts=-1)
