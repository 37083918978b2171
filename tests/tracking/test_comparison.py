"""Two checkpoints compared: latents that can be worked out by hand, a planted change found where it was planted, copies
that do not differ, and refusals of what cannot be compared."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord
from tracking_fixtures import (
    LAYER,
    MADE_FROM,
    SMALL_COMPARISON,
    TASK,
    D,
    FakeRoles,
    axes_dictionary,
    save_tracks_by_outcome,
)

from interp.artifacts import BadInput, Mismatch
from interp.rollouts import Checkpoint, Series
from interp.tracking import Comparison, TrackConfig, compare, tracker
from interp.tracking.latent_comparison import relations

OPTIONS: dict[str, Any] = {"device": "cpu", "progress": False}
PLANTED = 12
"""The dimension in which a change is planted, and the latent that is its positive half."""


# --- latents by hand -----------------------------------------------------------------------------------------------


def test_matched_by_outcome_nothing_is_left_of_what_only_the_mix_of_outcomes_explains(tmp_path):
    """Latent 0 is active in valid answers, latent 1 in wrong ones, in A and in B alike; latent 2 is stronger in B. A is
    right at one token in four, B at three."""
    a = {"valid": (10, [1.0, 0.2, 0.5]), "wrong": (30, [0.2, 1.0, 0.5])}
    b = {"valid": (30, [1.0, 0.2, 0.8]), "wrong": (10, [0.2, 1.0, 0.8])}
    comparison = Comparison(save_tracks_by_outcome(tmp_path / "t", a, b), 0, 1)
    plain, matched = comparison.table(match=()), comparison.table()
    assert plain["verdict"].to_list() == ["strengthened", "weakened", "strengthened"]
    assert plain["difference"].to_list() == pytest.approx([0.4, -0.4, 0.3], abs=0.02)
    assert matched["verdict"].to_list() == ["unchanged", "unchanged", "strengthened"]
    # valid cells have 10 and 30 tokens, wrong ones 30 and 10: both weigh 1 / (1/10 + 1/30)
    assert matched["a"].to_list() == pytest.approx([0.6, 0.6, 0.5], abs=0.02)
    assert matched["b"].to_list() == pytest.approx([0.6, 0.6, 0.8], abs=0.02)
    summary = comparison.summary()
    assert summary["comparison"].to_list() == ["A to B", "A resampled"]
    assert summary.filter(comparison="A resampled")["unchanged"].to_list() == [3]
    assert comparison.summary(corpus="probe").height == 1, "no control on the same text"


BASE, A = [1.0] * 6 + [0.0], [1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.0]
B = [2.0, 1.0, 3.0, 0.3, 0.4, 1.0, 0.0]
"""By latent: up in B, up in A, up in both and in B by more, up in one and down in the other, down in B, unchanged in
both, never active."""


def test_relations_say_in_which_of_the_two_a_latent_changed_since_the_base(tmp_path):
    tracks = save_tracks_by_outcome(tmp_path / "t", *({"valid": (40, means)} for means in (BASE, A, B)))
    comparison = Comparison.open(tmp_path / "t")
    assert (comparison.base, comparison.a, comparison.b) == (0, 1, 2) and tracks.resampled_steps == (0, 1)
    table = comparison.table()
    assert table["relation"].to_list() == [
        "strengthened only in B",
        "strengthened only in A",
        "strengthened in both",
        "opposite",
        "weakened only in B",
        "unchanged",
        "too rare",
    ]
    assert table["verdict"].to_list()[:4] == ["strengthened", "weakened", "strengthened", "weakened"]
    gap = table["b_change"] - table["a_change"] - table["difference"]
    assert max(map(abs, gap.to_list())) < 1e-6, "the two changes differ by the difference"
    rows = {row["comparison"]: row for row in comparison.relations().to_dicts()}
    assert rows["A to B"]["strengthened only in B"] == 1 and rows["A to B"]["unchanged"] == 1
    assert rows["A resampled"]["strengthened in both"] == 3 and rows["A resampled"]["unchanged"] == 3


def test_a_and_b_can_be_exchanged_and_the_base_can_be_a(tmp_path):
    tracks = save_tracks_by_outcome(tmp_path / "t", *({"valid": (40, means)} for means in (BASE, A, B)))
    forward, backward = Comparison(tracks, 1, 2).table(), Comparison(tracks, 2, 1).table()
    assert backward["difference"].to_list() == pytest.approx((-forward["difference"]).to_list(), abs=1e-6)
    assert Comparison(tracks, 0, 2).base is None


def test_all_changes_are_estimated_on_cells_that_base_a_and_b_have(tmp_path):
    """B is never wrong. So the wrong answers of A do not count either."""
    checkpoints = [
        {"valid": (30, [1.0]), "wrong": (10, [0.0])},
        {"valid": (30, [1.5]), "wrong": (10, [9.0])},
        {"valid": (30, [2.0])},
    ]
    save_tracks_by_outcome(tmp_path / "t", *checkpoints)
    bucket = Comparison.open(tmp_path / "t").latents().buckets["easy"]
    assert bucket.change_a and bucket.change_b
    all_verdicts = (bucket.change_a, bucket.change_b, bucket.difference)
    assert {verdicts.change.common for verdicts in all_verdicts} == {0.75}
    assert [verdicts.change.value_F[0] for verdicts in all_verdicts] == pytest.approx([0.5, 1.0, 0.5], abs=0.05)


def test_a_change_in_one_and_none_in_the_other_is_not_yet_a_difference():
    up, down, same, unsure = "strengthened", "weakened", "unchanged", "undecided"
    cases = {
        (up, unsure, unsure): "in one, difference undecided",
        (up, same, unsure): "in one, difference undecided",
        (up, unsure, down): "strengthened only in A",
        (unsure, up, up): "strengthened only in B",
        (down, same, up): "weakened only in A",
        (unsure, down, down): "weakened only in B",
        (unsure, down, up): "in one, difference undecided",
        (up, up, up): "strengthened in both",
        (down, down, unsure): "weakened in both",
        (up, down, down): "opposite",
        (same, same, up): "unchanged",
        (same, unsure, same): "undecided",
        ("too rare", "too rare", "too rare"): "too rare",
        ("too few prompts",) * 3: "too few prompts",
    }
    a_F, b_F, difference_F = (np.array(column, dtype=object) for column in zip(*cases, strict=True))
    assert relations(a_F, b_F, difference_F).tolist() == list(cases.values())


def test_too_few_prompts_give_no_interval_and_never_a_zero(tmp_path):
    checkpoints = [{"valid": (40, [1.0])}, {"valid": (40, [2.0])}]
    save_tracks_by_outcome(tmp_path / "t", *checkpoints, prompts=7)
    comparison = Comparison.open(tmp_path / "t")
    table, behavior = comparison.table(), comparison.behavior()
    assert table["verdict"].to_list() == ["too few prompts"] and table["low"].null_count() == 1
    assert set(behavior["verdict"]) == {"too few prompts"} and behavior["low"].null_count() == behavior.height
    assert comparison.summary()["too few prompts"].to_list() == [1, 1]
    assert comparison.figure().data


def test_latents_can_be_counted_by_role(tmp_path):
    tracks = save_tracks_by_outcome(tmp_path / "t", {"valid": (40, [1.0, 1.0])}, {"valid": (40, [2.0, 1.0])})
    roles: Any = FakeRoles({0: "reasoning"}, 2)
    comparison = Comparison(tracks, 0, 1, roles)
    assert comparison.table()["role"].to_list() == ["reasoning", "none"]
    summary = comparison.summary(by_role=True)
    counts = {(row["comparison"], row["role"]): row["strengthened"] for row in summary.to_dicts()}
    assert counts["A to B", "reasoning"] == 1 and counts["A to B", "none"] == 0
    assert "0 (reasoning)" in str(comparison.figure().layout)
    with pytest.raises(BadInput, match="expected the roles of latents, got none"):
        Comparison(tracks, 0, 1).summary(by_role=True)
    with pytest.raises(Mismatch, match="expected roles of the latents of this dictionary, .*; got roles of another's"):
        Comparison(tracks, 0, 1, replace(roles, made_from={"tsae": "another"}))


def test_comparisons_show_their_summary_in_a_notebook(tmp_path):
    tracks = save_tracks_by_outcome(tmp_path / "t", {"valid": (40, [1.0])}, {"valid": (40, [2.0])})
    comparison = Comparison(tracks, 0, 1)
    for result in (comparison, comparison.latents()):
        assert "A resampled" in result._repr_html_()
    assert repr(comparison.latents()) == (
        "LatentComparison(mean_activation on on-policy text, matched by outcome; buckets easy)"
    )


# --- policies ------------------------------------------------------------------------------------------------------


def planted_policy() -> Any:
    """The first tiny policy, with what one layer's MLP writes into one dimension tripled."""
    policy = tiny_policy(seed=0)
    with torch.no_grad():
        policy.model.model.layers[LAYER].mlp.down_proj.weight[PLANTED] *= 3
    return policy


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Two directories of the same weights, one with a planted change, and two runs of one base."""
    root = tmp_path_factory.mktemp("comparison")
    for name in ("first", "copy", "one/checkpoint-0", "other/checkpoint-0"):
        tiny_policy(seed=0).save(root / name)
    planted_policy().save(root / "planted")
    planted_policy().save(root / "one/checkpoint-10")
    tiny_policy(seed=3).save(root / "other/checkpoint-20")
    return root


def test_copies_of_a_checkpoint_do_not_differ(home, tmp_path):
    comparison = compare(
        axes_dictionary(), home / "first", home / "copy", TASK, SMALL_COMPARISON, out=tmp_path / "c", **OPTIONS
    )
    assert comparison.base is None and comparison.names == {0: "A", 1: "B"}
    for match in ((), ("outcome",)):
        summary = comparison.summary(match=match)
        assert max((summary["strengthened"] + summary["weakened"]).to_list()) <= 2
    assert (comparison.table(corpus="probe")["difference"] == 0).all()
    assert set(comparison.behavior()["verdict"]) == {"undecided"}
    with pytest.raises(BadInput, match="changes since the base need a base of A and B, got none"):
        comparison.relations()


def test_a_change_planted_in_one_latent_is_found_there_alone(home, tmp_path):
    comparison = compare(
        axes_dictionary(), home / "first", home / "planted", TASK, SMALL_COMPARISON, out=tmp_path / "c", **OPTIONS
    )
    table = comparison.table(corpus="probe")
    changed = table.filter(table["verdict"].is_in(["strengthened", "weakened"]))
    assert set(changed["latent"]) == {PLANTED} and set(changed["bucket"]) == {"1", "2"}
    others = table.filter(~table["latent"].is_in([PLANTED, PLANTED + D]))
    assert (others["difference"].abs() < 1e-4).all()


@dataclass(frozen=True)
class Run:
    series: Series


@pytest.fixture(scope="module")
def runs(home, tmp_path_factory) -> Comparison:
    """A run as a training loop returns it, compared with the directory of another."""
    run, out = Run(Series.from_dir(home / "one", task=TASK)), tmp_path_factory.mktemp("runs") / "c"
    return compare(axes_dictionary(), run, home / "other", config=SMALL_COMPARISON, out=out, **OPTIONS)


def test_two_runs_are_compared_with_the_base_they_share(runs):
    assert runs.names == {0: "base", 1: "A", 2: "B"}
    assert [Path(runs.tracks.paths[step]).parent.name for step in (1, 2)] == ["one", "other"]
    probe = runs.table(corpus="probe")
    assert probe.filter(latent=PLANTED, bucket="1")["a_verdict"].to_list() == ["strengthened"]
    others = probe.filter(~probe["latent"].is_in([PLANTED, PLANTED + D]))
    assert (others["a_change"].abs() < 1e-4).all() and (others["b_change"].abs() > 0.01).any()
    only_b = runs.relations(corpus="probe")
    assert (only_b["strengthened only in B"] + only_b["weakened only in B"]).min() > 10, "B has other weights"
    control = runs.relations().filter(comparison="A resampled")
    assert control["strengthened only in B"].max() <= 1 and "opposite" in control.columns
    assert "base" in runs.behavior().columns and "B " in repr(runs)


def test_the_figure_has_rates_above_and_latents_below(runs):
    figure = runs.figure(corpus="probe", n_latents=2)
    assert [trace.name for trace in figure.data if trace.showlegend] == ["base", "A", "B"]
    assert len({trace.yaxis for trace in figure.data}) == 4
    below = [trace for trace in figure.data if trace.yaxis in ("y3", "y4")]
    assert {trace.name for trace in below} == {"A", "B"} and len(below[0].x) == 4


def test_a_repeated_comparison_is_opened_and_loads_no_checkpoint(runs, home, monkeypatch):
    monkeypatch.setattr(tracker, "SumsCollector", None)
    reopened = compare(
        axes_dictionary(), home / "one", home / "other", TASK, SMALL_COMPARISON, out=runs.path, **OPTIONS
    )
    assert reopened.table().equals(runs.table()) and Comparison.open(runs.path).table().equals(runs.table())


def test_by_default_a_comparison_is_kept_beside_the_checkpoints_of_b(home):
    quick = replace(SMALL_COMPARISON, levels=(1,), problems=2, loss_rollouts=0)
    b = Checkpoint(10, home / "one/checkpoint-10")
    comparison = compare(axes_dictionary(), home / "first", b, TASK, quick, **OPTIONS)
    assert comparison.path.parent == home / "one" and comparison.path.name.startswith("tracks-")
    with pytest.raises(BadInput, match=r"keep the tracks there; got .*first and .*copy: say where .* \(out, --out\)"):
        compare(axes_dictionary(), home / "first", home / "copy", TASK, quick, **OPTIONS)


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "changes"),
    [
        (Mismatch, "fitted on other weights: expected some of X", {"tsae": {"made_from": {"policy-0": "X"}}}),
        (Mismatch, "expected a dictionary of layer 0, got one of layer 1", {"layer": 0}),
        (BadInput, "does not say its layer", {"tsae": {"layer": None}}),
        (BadInput, "expected a task for these checkpoints, got none", {"task": None}),
        (BadInput, r"expected a config without steps, .*; got \[1\]", {"config": TrackConfig(steps=(1,))}),
        (BadInput, "expected a local Hugging Face directory, got nothing there", {"b": "nowhere"}),
        (Mismatch, "expected roles of the latents of this dictionary", {"roles": FakeRoles({}, 2 * D, MADE_FROM)}),
        (Mismatch, "expected runs with one base, .*planted", {"a": "one", "b": "other", "base": "planted"}),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_before_anything_is_written(home, tmp_path, error, message, changes):
    arguments: dict[str, Any] = {"a": "first", "b": "copy", "task": TASK, "config": SMALL_COMPARISON, **changes}
    tsae = replace(axes_dictionary(), **arguments.pop("tsae", {}))
    for name in ("a", "b", "base"):
        if name in arguments:
            arguments[name] = home / arguments[name]
    with pytest.raises(error, match=message):
        compare(tsae, **arguments, out=tmp_path / "x", **OPTIONS)
    assert not (tmp_path / "x").exists()


def test_checkpoints_of_another_architecture_are_refused(home, tmp_path):
    tiny_policy(hidden_size=16).save(tmp_path / "narrow")
    with pytest.raises(BadInput, match=r"expected the architecture of .*first \(hidden_size 32\), got hidden_size 16"):
        compare(axes_dictionary(), home / "first", tmp_path / "narrow", TASK, SMALL_COMPARISON, out=tmp_path / "x")


def test_runs_that_began_with_different_bases_are_refused(home, tmp_path):
    tiny_policy(seed=9).save(tmp_path / "third/checkpoint-0")
    tiny_policy(seed=8).save(tmp_path / "third/checkpoint-5")
    with pytest.raises(Mismatch, match="expected runs with one base, .*one/checkpoint-0"):
        compare(axes_dictionary(), home / "one", tmp_path / "third", TASK, SMALL_COMPARISON, out=tmp_path / "x")


def test_runs_that_were_trained_on_different_tasks_need_one_named(home, tmp_path):
    a, b = (Series.from_dir(home / name, task=task) for name, task in (("one", TASK), ("other", FirstWord("all"))))
    with pytest.raises(BadInput, match="expected one task for both, got runs that were trained on two"):
        compare(axes_dictionary(), a, b, config=SMALL_COMPARISON, out=tmp_path / "x")


def test_a_tokenizer_with_other_words_is_refused(home, tmp_path):
    tiny_policy(seed=1).save(tmp_path / "other")
    tokenizer = json.loads((tmp_path / "other/tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words["+"], words["-"] = words["-"], words["+"]
    (tmp_path / "other/tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(Mismatch, match="expected the tokenizer of .*first, 30 words; got another"):
        compare(axes_dictionary(), home / "first", tmp_path / "other", TASK, SMALL_COMPARISON, out=tmp_path / "x")


def test_steps_that_tracks_do_not_have_and_unknown_choices_are_refused(runs):
    for a, b in ((0, 0), (1, 0), (0, 7)):
        with pytest.raises(BadInput, match="expected two of the steps 0, 1, 2, the first only as A; got"):
            Comparison(runs.tracks, a, b)
    with pytest.raises(BadInput, match="corpus must be on-policy or probe; got 'resampled'"):
        runs.table(corpus="resampled")
    with pytest.raises(
        BadInput, match="measure must be one of firing_rate, mean_activation, mean_when_active; got 'x'"
    ):
        runs.table(measure="x")
