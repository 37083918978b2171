"""Dashboards of real results: whole, with parts missing, unfinished, and of results that do not belong together."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_policy
from features_fixtures import make_roles, make_trial
from grpo_fixtures import make_rollout, small_config, train_tiny
from tracking_fixtures import LAYER, SMALL, TASK, axes_dictionary, save_as_sae_lens

import interp
from interp.artifacts import BadInput, Mismatch, with_checksum
from interp.dashboard import Dashboard, DashboardConfig, rollout_key
from interp.dashboard.report import DTYPES
from interp.features import Roles
from interp.grpo import Run
from interp.rollouts import Rollouts, roll_out
from interp.tracking import Comparison, Tracks, compare, track
from interp.tracking.verdicts import VERDICTS
from interp.tsae import TSAE

pytestmark = pytest.mark.filterwarnings("ignore:.*its task is left out", "ignore:.*temperature is", "ignore:.*max_new")
CONFIG = DashboardConfig(rollouts=3, checkpoints=3, probe=4, examples=2, lens=2, neighbors=2)
QUIET: dict[str, Any] = {"device": "cpu", "progress": False}


@dataclass(frozen=True)
class Results:
    """Results of one tiny run."""

    root: Path
    run: Run
    tsae: TSAE
    tracks: Tracks
    roles: Roles
    comparison: Comparison
    rollouts: Rollouts


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    root = tmp_path_factory.mktemp("results")
    run = train_tiny(root / "run", replace(small_config(), steps=4), task=TASK, progress=False)
    tsae = axes_dictionary()
    tracks = track(tsae, run.series, TASK, replace(SMALL, problems=9, loss_rollouts=0), out=root / "tracks", **QUIET)
    base = run.manifest["made_from"]["policy"]
    trials = (make_trial(3), make_trial(5, "reasoning", passes_contrast=False))
    roles = make_roles(*trials, tsae=tsae, policy=base, random_trials=[make_trial(60, ablation=None)], layer=LAYER)
    roles.save(root / "roles")
    comparison = compare(
        tsae, run.series.checkpoint(2), run.series.last, TASK, replace(SMALL, problems=8, loss_rollouts=0),
        base=run.series.base, out=root / "comparison", **QUIET,
    )  # fmt: skip
    policy = run.series.base.load(device="cpu")
    rollouts = roll_out(policy, TASK, TASK.problems("eval", 1, 4), SMALL.sampling, progress=False)
    rollouts.save(root / "rollouts")
    return Results(root, run, tsae, tracks, roles, comparison, rollouts)


def make(*given: Any, config: DashboardConfig = CONFIG, **options: Any) -> Dashboard:
    return interp.dashboard(*given, config=config, **QUIET, **options)


@pytest.fixture(scope="module")
def whole(results: Results) -> Dashboard:
    each = (results.run, results.tsae, results.tracks, results.roles, results.comparison, results.rollouts)
    return make(*each, interp.rollouts.evaluate(results.run.series, TASK, EVALUATION, progress=False))


EVALUATION = interp.rollouts.EvaluateConfig(problems=3, levels=(1, 2), group=2, k=(1,), max_new_tokens=6)


def chunk_names(value: Any, dashboard: Dashboard) -> set[str]:
    """The chunks that a part of an index names."""
    if isinstance(value, dict):
        return set().union(*(chunk_names(each, dashboard) for key, each in value.items() if key != "chunks"), set())
    if isinstance(value, list):
        return set().union(*(chunk_names(each, dashboard) for each in value), set())
    return {value} if isinstance(value, str) and value in dashboard.chunks else set()


# --- a whole report --------------------------------------------------------------------------------------------------


def test_every_chunk_has_its_shape_and_is_named_by_the_index(whole):
    assert set(whole.chunks) == set(whole.index["chunks"]) == chunk_names(whole.index, whole)
    for name, entry in whole.index["chunks"].items():
        assert entry["dtype"] in (*DTYPES, "json")
        values = whole.chunk(name)
        assert entry["shape"] == ([] if entry["dtype"] == "json" else list(values.shape))
    json.dumps(whole.index, allow_nan=False)


def test_verdicts_and_levels_are_those_of_the_tracks(whole, results):
    latents = np.array(whole.latents())
    for entry in whole.index["features"]["tracks"]:
        changes = results.tracks.changes(corpus=entry["corpus"], measure=entry["measure"])
        arrays = {name: whole.chunk(chunk) for name, chunk in entry["arrays"].items()}
        values = results.tracks.latent_values(4, corpus=entry["corpus"], measure=entry["measure"])
        for bucket, verdicts in changes.buckets.items():
            b = whole.index["buckets"].index(bucket)
            names = [VERDICTS[code] for code in arrays["verdict"][-1, b]]
            assert names == verdicts.verdict_F[latents].tolist()
            assert arrays["change"][-1, b] == pytest.approx(verdicts.change.value_F[latents], rel=2e-3, abs=1e-4)
            assert arrays["level"][-1, b] == pytest.approx(values[bucket][latents], rel=2e-3, abs=1e-4)
            assert np.isnan(arrays["change"][0]).all() and not np.isnan(arrays["level"][0, b]).any()
        assert [whole.index["checkpoints"][each]["step"] for each in entry["checkpoints"]] == [0, 2, 4]
        assert np.isnan(arrays["floor"]).all() == (entry["corpus"] == "probe")
    assert len(whole.index["features"]["tracks"]) == 4


def test_every_rollout_has_its_tokens_in_one_block(whole):
    rollouts = whole.index["rollouts"]
    columns = {name: whole.chunk(chunk) for name, chunk in rollouts["columns"].items()}
    assert {len(values) for values in columns.values()} == {rollouts["count"]}
    texts, row, token = whole.chunk(rollouts["token_texts"]), 0, 0
    for block in rollouts["blocks"]:
        assert (block["first"], block["start"]) == (row, token)
        rows = slice(row, row := row + block["count"])
        assert columns["length"][rows].sum() == block["tokens"]
        assert set(columns["checkpoint"][rows].tolist()) == {block["checkpoint"]}
        assert columns["start"][rows].tolist() == np.cumsum([token, *columns["length"][rows][:-1]]).tolist()
        assert {len(whole.chunk(name)) for name in block["arrays"].values()} == {block["tokens"]}
        assert whole.chunk(block["arrays"]["token"]).max() < len(texts)
        token += block["tokens"]
    assert row == rollouts["count"]


def test_training_rollouts_carry_what_the_run_recorded(whole, results):
    rollouts = whole.index["rollouts"]
    block = next(each for each in rollouts["blocks"] if each["source"] == 0)
    columns = {name: whole.chunk(chunk)[: block["count"]] for name, chunk in rollouts["columns"].items()}
    problems = whole.chunk(rollouts["problems"])
    shown = [(problems[p]["id"], int(s)) for p, s in zip(columns["problem"], columns["sample"], strict=True)]
    recorded = {(row.problem, row.sample): row for row in results.run.rollouts(0)}
    rows = [recorded.get(key) for key in shown if key in recorded]
    assert len(rows) >= 12, "three groups of four, beside the rollouts that were given"
    for row, key in ((recorded[key], key) for key in shown if key in recorded):
        at = shown.index(key)
        start = int(columns["start"][at])
        advantage = whole.chunk(block["arrays"]["advantage"])[start : start + len(row.tokens)]
        assert advantage == pytest.approx(row.advantages, abs=2e-3)
        assert columns["gate"][at] == pytest.approx(row.gate) and columns["reward"][at] == row.reward


def test_the_base_reads_its_own_text_as_itself_and_that_of_others_otherwise(whole):
    index = whole.index
    seen = set()
    for block in index["rollouts"]["blocks"]:
        arrays, is_base = block["arrays"], index["checkpoints"][block["checkpoint"]]["is_base"]
        assert (arrays["live_latent"] == arrays["base_latent"]) == is_base
        if is_base:
            own = whole.chunk(arrays["base_logprob"])
            assert own == pytest.approx(whole.chunk(arrays["logprob"]), abs=2e-2)
        seen.add((is_base, block["source"]))
    assert {(True, 0), (False, 0), (True, 2), (False, 2)} <= seen


def test_live_latents_are_those_of_the_dictionary(whole, results):
    block = next(each for each in whole.index["rollouts"]["blocks"] if each["source"] == 2)
    probe = whole.chunk(whole.index["rollouts"]["columns"]["length"])[block["first"]]
    assert probe > 0
    latents = np.array(whole.latents())
    live = whole.chunk(block["arrays"]["live_latent"])
    values = whole.chunk(block["arrays"]["live_value"]).astype(float)
    rows = Rollouts.load(results.tracks.path / "probe-rollouts").rows
    problem = whole.chunk(whole.index["rollouts"]["problems"])[
        whole.chunk(whole.index["rollouts"]["columns"]["problem"])[block["first"]]
    ]
    row = next(row for row in rows if row.problem == problem["id"])
    policy = results.run.series.base.load(device="cpu")
    x_TD = policy.completion_residuals([row.prompt_ids], [row.tokens], LAYER)
    z_F = results.tsae.encode(x_TD)[0]
    best = z_F.topk(3)
    assert latents[live[0, :3]].tolist() == best.indices.tolist()
    assert values[0, :3] == pytest.approx(best.values.tolist(), rel=2e-3)


def test_rates_of_a_run_come_from_one_source(whole):
    by_curve: dict[tuple[Any, ...], set[str]] = {}
    for row in whole.index["overview"]["learning"]:
        assert row["low"] is None or row["low"] <= row["value"] <= row["high"]
        by_curve.setdefault((row["run"], row["bucket"], row["measure"]), set()).add(row["source"])
    assert all(len(sources) == 1 for sources in by_curve.values())
    assert {source for sources in by_curve.values() for source in sources} >= {"tracks"}


def test_roles_trials_and_findings_stand_beside_their_controls(whole, results):
    features = whole.index["features"]
    roles = dict(zip(whole.latents(), whole.chunk(features["role"]).tolist(), strict=True))
    assert features["roles"][roles[3]] == "format" and features["roles"][roles[5]] == "none"
    trials = {trial["latent"]: trial for trial in whole.chunk(features["trials"])}
    assert trials[3]["passes"] == {"contrast": True, "falsification": True, "ablation": True, "all": True}
    assert trials[60]["group"] == "random" and trials[60]["passes"]["ablation"] is None
    findings = whole.index["overview"]["findings"]
    assert all(finding["text"] and finding["detail"] for finding in findings)
    assert any("The base sampled again" in finding["detail"] for finding in findings)
    assert any("drawn at random" in finding["detail"] for finding in findings)


@pytest.mark.parametrize("source", ["tracks", "comparison"])
def test_changes_of_a_run_come_from_tracks_or_from_a_comparison_beside_the_base_again(results, source):
    dashboard = make(results.run, getattr(results, source), config=replace(CONFIG, questions=0, rollouts=0))
    rows = {row["name"]: row for row in dashboard.index["overview"]["changes"]}
    assert list(rows) == ["base", "run", "base again"] and all(row["paired"] for row in rows.values())
    tracks = results.tracks if source == "tracks" else results.comparison.tracks
    (cell,) = (each for each in rows["run"]["cells"] if (each["bucket"], each["measure"]) == ("1", "pass_rate"))
    ends = [tracks.checkpoint_sums(step, "on-policy").behavior for step in (tracks.steps[0], tracks.steps[-1])]
    first, last = (counts.prompt_counts("1", "pass_rate", tracks.prompts["1"]).rate.value for counts in ends)
    assert cell["value"] == pytest.approx(last - first)
    assert (rows["run"]["latents"] is None) == (source == "comparison")


def test_a_comparison_names_its_checkpoints_in_the_run(whole, results):
    (entry,) = whole.index["comparisons"]
    steps = [whole.index["checkpoints"][entry[side]]["step"] for side in ("base", "a", "b")]
    assert steps == [0, 2, 4]
    rows = results.comparison.behavior().to_dicts()
    assert [row["difference"] for row in entry["behavior"]] == [row["difference"] for row in rows]
    relation = whole.chunk(entry["latents"]["relation"])
    b = whole.index["buckets"].index("1")
    expected = results.comparison.latents().buckets["1"].relation_F[whole.latents()]
    assert [entry["relations"][code] for code in relation[b]] == expected.tolist()


def test_examples_are_texts_with_the_strongest_token_marked(whole):
    latent = next(latent for latent in whole.latents() if whole.examples(latent))
    assert all(text.count("«") == text.count("»") == 1 for text in whole.examples(latent))
    with pytest.raises(BadInput, match="expected one of the"):
        whole.examples(10**6)


def test_the_same_results_give_the_same_report(whole, results):
    each = (results.run, results.tsae, results.tracks, results.roles)
    first, second = make(*each), make(*each)
    assert first.index == second.index and first.chunks == second.chunks


# --- parts missing ---------------------------------------------------------------------------------------------------


def sentences(dashboard: Dashboard) -> str:
    return " ".join(dashboard.left_out)


def test_a_run_alone_shows_its_rollouts_and_rates(results):
    dashboard = make(results.run)
    assert dashboard.index["features"] is None and dashboard.index["comparisons"] == []
    assert dashboard.index["rollouts"]["count"] == 3 * 3 * 4, "three checkpoints, three groups of four of each"
    assert {row["source"] for row in dashboard.index["overview"]["learning"]} == {"rollouts"}
    assert all(block["arrays"]["live_latent"] is None for block in dashboard.index["rollouts"]["blocks"])
    for part in ("No dictionary was given", "No tracks were given", "No roles were given", "No comparison"):
        assert part in sentences(dashboard)
    assert dashboard.chunk(dashboard.index["rollouts"]["token_texts"])[0].strip() != ""


def test_extras_colour_the_tokens_of_the_rollouts_they_are_given_for(results):
    """Delta V of the first rollout of training alone, and of all rollouts a function of the record."""
    first = results.run.rollouts(0).rows[0]
    extras = {
        "delta V": {rollout_key(row): np.full(len(row.tokens), 0.25) for row in [first]},
        "place": lambda row: list(range(len(row.tokens))) if row.step == 2 else None,
        "nothing": {},
    }
    config = replace(CONFIG, rollouts=99, questions=0, probe=0)
    dashboard = make(results.run, config=config, extras=extras)
    delta, place, nothing = dashboard.index["rollouts"]["extras"]
    blocks = dashboard.index["rollouts"]["blocks"]
    value_N = dashboard.chunk(delta["arrays"]["0"])
    assert list(delta["arrays"]) == ["0"] and len(value_N) == blocks[0]["tokens"]
    assert (value_N == 0.25).sum() == len(first.tokens) and np.isnan(value_N).sum() == len(value_N) - len(first.tokens)
    steps = [dashboard.index["checkpoints"][blocks[int(block)]["checkpoint"]]["step"] for block in place["arrays"]]
    assert steps == [2] and not nothing["arrays"]
    assert "No rollout that is shown has a value of 'nothing'." in dashboard.left_out
    with pytest.raises(BadInput, match="expected .* values of 'short', one per token of sample"):
        make(results.run, config=config, extras={"short": lambda row: []})


def test_tracks_alone_show_features(results):
    dashboard = make(results.tracks)
    assert dashboard.index["features"]["lens"] is None and dashboard.index["features"]["examples"] is None
    assert len(dashboard.index["features"]["tracks"]) == 4
    assert [run["kind"] for run in dashboard.index["runs"]] == ["series"]


def test_tracks_and_roles_without_a_dictionary_show_trials_and_no_activations(results):
    dashboard = make(results.run, results.tracks, results.roles)
    features = dashboard.index["features"]
    assert features["trials"] is not None and features["neighbors"] is None and features["density"] is None
    assert features["dictionary"]["name"] == "not given" and features["dictionary"]["layer"] == LAYER
    assert np.isnan(dashboard.chunk(features["facts"]["firing_rate"])).all()


def test_rollouts_alone_are_shown_by_the_numbers_of_their_tokens(results):
    dashboard = make(results.rollouts)
    assert dashboard.index["rollouts"]["count"] == 6 and dashboard.index["features"] is None
    assert "give the policy that wrote them" in sentences(dashboard)
    assert "3 of 4 groups are shown" in sentences(dashboard)
    texts = dashboard.chunk(dashboard.index["rollouts"]["token_texts"])
    assert all(text.startswith("[") for text in texts)
    assert make(results.run.series, results.rollouts).index["rollouts"]["count"] == 6


def test_moved_checkpoints_are_named(results, tmp_path):
    tracks = Tracks.open(shutil.copytree(results.tracks.path, tmp_path / "tracks"))
    tracks.paths = {step: str(tmp_path / "gone" / str(step)) for step in tracks.steps}
    dashboard = make(tracks, results.tsae)
    assert "are not where they were" in sentences(dashboard)
    assert dashboard.index["features"]["neighbors"] is not None and dashboard.index["features"]["lens"] is None


def test_nothing_is_refused():
    with pytest.raises(BadInput, match="expected a run, a series, tracks, .* got none"):
        make()


@pytest.mark.parametrize("value", [5, {"a": 1}, None])
def test_what_is_no_result_is_refused(value):
    with pytest.raises(BadInput, match=r"expected a run, a series.*; got .*\("):
        make(value)


def test_few_latents_are_those_of_trials_and_it_is_said(results):
    dashboard = make(results.run, results.tracks, results.roles, results.tsae, config=replace(CONFIG, latents=3))
    assert dashboard.latents() == [3, 5, 60]
    assert "3 of " in sentences(dashboard) and "latents are shown" in sentences(dashboard)
    live = [dashboard.chunk(block["arrays"]["live_latent"]) for block in dashboard.index["rollouts"]["blocks"]]
    assert set(np.unique(np.concatenate([each.ravel() for each in live])).tolist()) <= {0, 1, 2, 2**32 - 1}


def test_notes_beside_the_roles_are_in_the_report(results, tmp_path):
    roles = make_roles(make_trial(3), tsae=results.tsae, policy=results.run.manifest["made_from"]["policy"])
    roles.save(tmp_path / "roles")
    roles.name(3, "<b>mine</b>")
    assert make(roles).index["notes"] == {"3": {"name": "<b>mine</b>", "note": ""}}
    assert make(roles).notes[3].name == "<b>mine</b>"
    (tmp_path / "other.json").write_text('{"5": {"name": "a"}}')
    assert make(roles, notes=tmp_path / "other.json").index["notes"] == {"5": {"name": "a", "note": ""}}
    with pytest.raises(BadInput, match="expected notes on latents, got no such file"):
        make(roles, notes=tmp_path / "none.json")


# --- unfinished, and what does not belong together -------------------------------------------------------------------


def test_an_unfinished_run_is_shown_and_named(results, tmp_path):
    run = Run.open(shutil.copytree(results.run.path, tmp_path / "run"))
    lines = run.metrics_path.read_text().splitlines(keepends=True)
    run.metrics_path.write_text("".join(lines[:3]))
    dashboard = make(run)
    assert dashboard.index["runs"][0]["note"] == "unfinished: step 3 of 4"
    assert "The run run is partial: unfinished: step 3 of 4." in dashboard.left_out


def test_unfinished_tracks_are_shown_as_far_as_they_are(results, tmp_path):
    path = shutil.copytree(results.tracks.path, tmp_path / "tracks")
    shutil.rmtree(path / "sums-4-probe")
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(with_checksum(manifest | {"files": {}})))
    dashboard = make(path)
    tracks = dashboard.index["features"]["tracks"]
    assert [dashboard.index["checkpoints"][each]["step"] for each in tracks[0]["checkpoints"]] == [0, 2]
    assert "are partial: unfinished, without step 4" in sentences(dashboard)


def test_results_of_two_dictionaries_are_refused(results):
    other = replace(results.tsae, W_dec=results.tsae.W_dec * 2)
    with pytest.raises(Mismatch, match="expected results of one dictionary, got the dictionary .* and the tracks"):
        make(other, results.tracks)
    with pytest.raises(BadInput, match="expected one tsae, got two"):
        make(other, results.tsae)


def test_results_of_two_bases_are_refused_unless_it_is_allowed(results, tmp_path):
    other = train_tiny(
        tmp_path / "other", replace(small_config(), steps=2), task=TASK, base=tiny_policy(seed=5), progress=False
    )
    with pytest.raises(Mismatch, match=r"expected results of one base, got run run of base .* and run other of base"):
        make(results.run, other)
    dashboard = make(results.run, other, config=replace(CONFIG, allow_unrelated_policies=True))
    assert [run["name"] for run in dashboard.index["runs"]] == ["run", "other"]


def test_a_base_with_another_tokenizer_is_refused_as_such(results):
    weights, _, _ = results.run.manifest["made_from"]["policy"].partition("+")
    roles = make_roles(make_trial(3), tsae=results.tsae, policy=f"{weights}+0123456789abcdef")
    with pytest.raises(Mismatch, match="same weights, another config or tokenizer"):
        make(results.run, roles)


# --- directories -----------------------------------------------------------------------------------------------------


def test_a_directory_is_searched_for_results(results):
    dashboard = make(results.root)
    assert len(dashboard.index["comparisons"]) == 1 and dashboard.index["features"]["trials"] is not None
    assert [run["name"] for run in dashboard.index["runs"]] == ["run"]
    assert make(results.root / "run", results.root / "run").index["runs"] == make(results.run).index["runs"]


def test_damage_is_refused_where_it_is_named_and_left_out_where_it_is_come_across(results, tmp_path):
    shutil.copytree(results.root / "rollouts", tmp_path / "rollouts")
    shutil.copytree(results.root / "roles", tmp_path / "roles")
    (tmp_path / "roles" / "roles.json").write_text("{}")
    with pytest.raises(BadInput, match=r"roles.json: expected"):
        make(tmp_path / "roles")
    dashboard = make(tmp_path)
    assert dashboard.index["rollouts"]["count"] == 6
    assert any(sentence.startswith("Left out: ") and "roles.json" in sentence for sentence in dashboard.left_out)


def test_an_older_schema_says_which_version_wrote_it(results, tmp_path):
    path = shutil.copytree(results.root / "roles", tmp_path / "roles")
    manifest = json.loads((path / "manifest.json").read_text())
    old = manifest | {"schema": 0, "versions": {"interp": "0.0.7"}}
    (path / "manifest.json").write_text(json.dumps(with_checksum(old)))
    with pytest.raises(Mismatch, match="expected schema 1, got 0, written by interp 0.0.7: make it again with this"):
        make(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", "got nothing there"), ("empty", "or a directory of such, got none"), ("file.txt", "got a file")],
)
def test_places_without_results_are_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("a")
    with pytest.raises(BadInput, match=message):
        make(tmp_path / name)


def test_checkpoints_of_another_trainer_begin_with_their_base(results, tmp_path):
    trained = tmp_path / "trained"
    for step in (2, 4):
        shutil.copytree(results.run.path / f"checkpoint-{step}", trained / f"checkpoint-{step}")
    base = results.run.path / "checkpoint-0"
    dashboard = make(trained, results.tsae, base=base)
    assert [entry["step"] for entry in dashboard.index["checkpoints"]] == [0, 2, 4]
    assert dashboard.index["features"]["lens"] is None and "no task is known" in sentences(dashboard)
    with pytest.raises(BadInput, match="expected one of these too, got none"):
        make(results.root / "roles", base=base)


def test_two_dictionaries_are_named_by_their_places(results, tmp_path):
    first, second = (save_as_sae_lens(tmp_path / name) for name in ("one", "two"))
    with pytest.raises(BadInput, match=f"expected one tsae, got two, {first} and {second}: make a report of each"):
        make(tmp_path)


def test_huge_and_hostile_texts_are_data_like_any_other():
    hostile = "</script><img src=x onerror=alert(1)>\u202e\u2028"
    rows = [
        make_rollout(1.0, prompt=hostile * 1500, problem=hostile, level=hostile, format=hostile, answer=hostile),
        make_rollout(0.0, length=0, sample=1, prompt=hostile * 1500, problem=hostile, level=None, valid=None),
    ]
    dashboard = make(Rollouts(rows))
    rollouts = dashboard.index["rollouts"]
    assert rollouts["count"] == 2 and rollouts["formats"] == [hostile, "chain"]
    (problem,) = dashboard.chunk(rollouts["problems"])
    assert problem["prompt"] == hostile * 1500 and len(problem["prompt"]) > 50_000
    assert dashboard.chunk(rollouts["columns"]["bucket"]).tolist() == [0, 255]
    assert dashboard.chunk(rollouts["columns"]["valid"]).tolist() == [0, 2]
    assert "<img" not in dashboard.as_html() and len(dashboard.as_html()) < 10**6


def test_a_report_without_a_token_has_rollouts_all_the_same():
    dashboard = make(Rollouts([make_rollout(length=0), make_rollout(length=0, sample=1)]))
    (block,) = dashboard.index["rollouts"]["blocks"]
    assert block["tokens"] == 0 and block["count"] == 2
    assert dashboard.chunk(block["arrays"]["token"]).shape == (0,)


def test_a_dictionary_without_a_layer_shows_no_activations_unless_tracks_say_it(results, tmp_path):
    path = save_as_sae_lens(tmp_path / "tsae")
    alone = make(results.run, path)
    assert "does not say its layer" in sentences(alone) and alone.index["features"]["examples"] is None
    with_tracks = make(results.run, results.tracks, path)
    assert "does not say its layer" not in sentences(with_tracks)
    assert with_tracks.index["features"]["examples"] is not None
