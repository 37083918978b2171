"""Two checkpoints side by side: rates and strengths that can be worked out by hand, a change that was planted and is
found where it was, two copies between which nothing lies, and no way to compare what cannot be compared."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands import run
from conftest import tiny_policy
from grpo_fixtures import FirstWord, make_rollout
from tracking_world import LAYER, SMALL, TASK, D, as_sae_lens, axes

from interp.artifacts import BadInput, Mismatch, write_manifest
from interp.features import Roles, RolesConfig
from interp.report.comparison import compared, doubts
from interp.rollouts import Checkpoint, Series
from interp.tracking import CompareConfig, Comparison, TrackConfig, compare
from interp.tracking import tracker as followed
from interp.tracking.activation_sums import CheckpointSums
from interp.tracking.behavior import BehaviorCounts, PromptCounts, rate_difference
from interp.tracking.comparison import relations
from interp.tracking.tracks import KIND, Tracks, sums_path

ASKED = CompareConfig(**{name: value for name, value in vars(SMALL).items() if name != "steps"})
QUIET: dict[str, Any] = {"device": "cpu", "bar": False}
PROMPTS, TOKENS = 12, 40
AT = 12
"""The dimension in which a change is planted, and the latent that is its positive half."""


# --- by hand -------------------------------------------------------------------------------------------------------


def tracks_of(out: Path, *held: dict[str, tuple[int, list[float]]], prompts: int = PROMPTS, noise: float = 0.02) -> Any:
    """Tracks as they would have been kept: of each checkpoint, for each outcome, the tokens of a prompt and how strong
    each latent is at them, but for a little noise of each prompt's own. The first two are asked a second time."""
    rng, width = np.random.default_rng(0), len(next(iter(held[0].values()))[1])
    told = {"steps": list(range(len(held))), "prompts": {"easy": prompts}, "skipped": [], "twice": [1]}
    made_from = {"tsae": "this dictionary"}
    write_manifest(out, KIND, config=told, made_from=made_from)
    for step, outcomes in enumerate(held):
        for corpus in ("on-policy", "probe", *(["again"] if step < 2 else [])):
            reading = CheckpointSums(step, corpus, width)
            table = reading.tables["prompts"]
            for prompt in range(prompts):
                for outcome, (tokens, strength_F) in outcomes.items():
                    rows = table.row_indices([("easy", prompt, outcome, 5)])
                    drawn_F = torch.tensor(strength_F) * (1 + noise * torch.from_numpy(rng.standard_normal(width)))
                    table.tokens_R[rows] += tokens
                    table.active_RF[rows] += (drawn_F > 0).int() * tokens
                    table.sum_RF[rows] += drawn_F * tokens
                    correct = outcome in ("valid", "lucky")
                    row = make_rollout(correct, valid=outcome == "valid", format="direct" if outcome == "lucky" else "chain")
                    reading.behavior.update([("easy", prompt, row)] * (tokens // 10))
            reading.save(sums_path(out, step, corpus), made_from=made_from)
    return Tracks.open(out)


def test_at_one_mix_of_outcomes_nothing_is_left_of_what_only_the_mix_tells(tmp_path):
    """Latent 0 is on where an answer is valid, latent 1 where it is wrong, in A and in B alike; latent 2 has grown. A
    is right at one token in four, B at three."""
    a = {"valid": (10, [1.0, 0.2, 0.5]), "wrong": (30, [0.2, 1.0, 0.5])}
    b = {"valid": (30, [1.0, 0.2, 0.8]), "wrong": (10, [0.2, 1.0, 0.8])}
    found = Comparison(tracks_of(tmp_path / "t", a, b), 0, 1)
    asis, matched = found.table(match=()), found.table()
    assert asis["verdict"].to_list() == ["strengthened", "weakened", "strengthened"]
    assert asis["difference"].to_list() == pytest.approx([0.4, -0.4, 0.3], abs=0.02)
    assert matched["verdict"].to_list() == ["unchanged", "unchanged", "strengthened"]
    assert matched["a"].to_list() == pytest.approx([0.4, 0.8, 0.5], abs=0.02), "as it is, at its own mix"
    assert matched["b"].to_list() == pytest.approx([0.4, 0.8, 0.8], abs=0.02)
    control = found.summary().filter(found.summary()["between"] == "A and A")
    assert control["unchanged"].to_list() == [3] and found.summary(corpus="probe").height == 1


def test_what_became_of_a_latent_in_each_is_told_against_the_base_of_both(tmp_path):
    """By latent: up in B, up in A, up in both and in B by more, up in the one and down in the other, down in B, left
    alone, and never on."""
    base, a = [1.0] * 6 + [0.0], [1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.0]
    b = [2.0, 1.0, 3.0, 0.3, 0.4, 1.0, 0.0]
    tracks = tracks_of(tmp_path / "t", *({"valid": (TOKENS, strength)} for strength in (base, a, b)))
    found = Comparison.open(tmp_path / "t")
    assert (found.base, found.a, found.b) == (0, 1, 2) and tracks.twice == (0, 1)
    table = found.table()
    assert table["relation"].to_list() == [
        "strengthened in B alone",
        "strengthened in A alone",
        "strengthened in both",
        "opposite",
        "weakened in B alone",
        "unchanged",
        "too rare",
    ]
    assert table["verdict"].to_list()[:4] == ["strengthened", "weakened", "strengthened", "weakened"]
    between = table["b_change"] - table["a_change"] - table["difference"]
    assert max(map(abs, between.to_list())) < 1e-6, "told over the same, the changes differ by what lies between"
    counts = {row["between"]: row for row in found.relations().to_dicts()}
    assert counts["A and B"]["strengthened in B alone"] == 1 and counts["A and B"]["unchanged"] == 1
    assert counts["A and A"]["strengthened in both"] == 3 and counts["A and A"]["unchanged"] == 3
    back = Comparison(tracks, 2, 1).table()
    assert back["difference"].to_list() == pytest.approx((-table["difference"]).to_list(), abs=1e-6)
    assert Comparison(tracks, 0, 2).base is None, "the base may be one of the two"


def test_changes_are_told_over_what_base_a_and_b_all_have(tmp_path):
    """B never answers wrongly: then nothing wrong is told of A either, and the difference is still that of the two."""
    held = [
        {"valid": (30, [1.0]), "wrong": (10, [0.0])},
        {"valid": (30, [1.5]), "wrong": (10, [9.0])},
        {"valid": (30, [2.0])},
    ]
    tracks_of(tmp_path / "t", *held)
    sides = Comparison.open(tmp_path / "t").latents().buckets["easy"]
    assert sides.change_a and sides.change_b and {side.change.common for side in (sides.change_a, sides.change_b, sides.difference)} == {0.75}
    told = [side.change.value_F[0] for side in (sides.change_a, sides.change_b, sides.difference)]
    assert told == pytest.approx([0.5, 1.0, 0.5], abs=0.05)


def test_found_in_one_and_not_in_the_other_is_not_yet_a_difference():
    up, down, same, unsure = "strengthened", "weakened", "unchanged", "undecided"
    cases = {
        (up, unsure, unsure): "in one, not told apart",
        (up, same, unsure): "in one, not told apart",
        (up, unsure, down): "strengthened in A alone",
        (unsure, up, up): "strengthened in B alone",
        (down, same, up): "weakened in A alone",
        (unsure, down, down): "weakened in B alone",
        (unsure, down, up): "in one, not told apart",
        (up, up, up): "strengthened in both",
        (down, down, unsure): "weakened in both",
        (up, down, down): "opposite",
        (same, same, up): "unchanged",
        (same, unsure, same): "undecided",
        ("too rare", "too rare", "too rare"): "too rare",
        ("too few prompts",) * 3: "too few prompts",
    }
    a_F, b_F, between_F = (np.array(side, dtype=object) for side in zip(*cases, strict=True))
    assert relations(a_F, b_F, between_F).tolist() == list(cases.values())


def test_a_bucket_of_few_prompts_is_told_as_such_and_never_as_zero(tmp_path):
    held = [{"valid": (TOKENS, [1.0])}, {"valid": (TOKENS, [2.0])}]
    tracks_of(tmp_path / "t", *held, prompts=7)
    found = Comparison.open(tmp_path / "t")
    table, behaviour = found.table(), found.behavior()
    assert table["verdict"].to_list() == ["too few prompts"] and table["low"].null_count() == 1
    assert set(behaviour["verdict"]) == {"too few prompts"} and behaviour["low"].null_count() == behaviour.height
    assert found.summary()["too few prompts"].to_list() == [1, 1]
    assert found.figure().data


def test_roles_stand_beside_latents_and_are_counted_by(tmp_path):
    tracks = tracks_of(tmp_path / "t", {"valid": (TOKENS, [1.0, 1.0])}, {"valid": (TOKENS, [2.0, 1.0])})
    earned = SimpleNamespace(passed=True, latent=0, auroc=0.9, family="reasoning")
    trials: tuple[Any, ...] = (earned,)
    roles = Roles(trials, (), 2, (), {"tsae": "this dictionary"}, RolesConfig(), 0)
    found = Comparison(tracks, 0, 1, roles)
    assert found.table()["role"].to_list() == ["reasoning", "none"]
    counted = {(row["between"], row["role"]): row["strengthened"] for row in found.summary().to_dicts()}
    assert counted["A and B", "reasoning"] == 1 and counted["A and B", "none"] == 0
    assert "0 (reasoning)" in str(found.figure().layout)
    with pytest.raises(Mismatch, match="expected roles of the latents of this dictionary, .*; got some of another's"):
        Comparison(tracks, 0, 1, replace(roles, made_from={"tsae": "another"}))


# --- behaviour -----------------------------------------------------------------------------------------------------


def counts(successes: list[int], trials: list[int]) -> PromptCounts:
    return PromptCounts(np.array(successes), np.array(trials))


def test_rates_are_counted_by_prompt_and_lie_apart_by_what_the_two_differ_by(tmp_path):
    a = {"valid": (10, [1.0]), "lucky": (10, [1.0]), "wrong": (20, [1.0])}
    b = {"valid": (30, [1.0]), "wrong": (10, [1.0])}
    tracks_of(tmp_path / "t", a, b)
    told = {row["measure"]: row for row in Comparison.open(tmp_path / "t").behavior().to_dicts()}
    assert {name: (row["a"], row["b"], row["difference"]) for name, row in told.items()} == {
        "pass_rate": (0.5, 0.75, 0.25),
        "valid_rate": (0.25, 0.75, 0.5),
        "lucky_rate": (0.25, 0.0, -0.25),
        "direct_share": (0.25, 0.0, -0.25),
    }
    assert told["valid_rate"]["verdict"] == "more" and told["valid_rate"]["low"] > 0
    assert told["pass_rate"]["prompts"] == PROMPTS and told["pass_rate"]["again"] == 0
    assert told["pass_rate"]["again_low"] < 0 < told["pass_rate"]["again_high"]


def test_what_the_two_do_to_the_same_prompts_cancels():
    easy_to_hard = [4] * 6 + [2] * 6 + [0] * 6
    paired = rate_difference(counts(easy_to_hard, [4] * 18), counts(easy_to_hard, [4] * 18))
    crossed = rate_difference(counts(easy_to_hard, [4] * 18), counts(easy_to_hard[::-1], [4] * 18))
    assert paired.value == crossed.value == 0
    assert paired.high - paired.low < 0.05 < 0.5 < crossed.high - crossed.low


def test_none_of_forty_is_not_surely_none():
    never = rate_difference(counts([0] * 10, [4] * 10), counts([0] * 10, [4] * 10))
    assert never.value == 0 and never.low < -0.2 and never.high > 0.2 and never.verdict == "undecided"
    unjudged = rate_difference(counts([0] * 10, [0] * 10), counts([1] * 10, [4] * 10))
    assert unjudged.verdict == "too few prompts" and unjudged.prompts == 0


@pytest.mark.parametrize(("kind", "least"), [("alike", 0.93), ("apart", 0.93), ("rare", 0.93)])
def test_intervals_of_differences_hold_the_truth_as_often_as_they_say(kind, least):
    """Prompts as different from each other as they come, four answers each."""
    rng, held, runs = np.random.default_rng(0), 0, 300
    for _ in range(runs):
        p_P = rng.beta(0.3, 3, 24) if kind == "rare" else rng.beta(0.5, 0.5, 24)
        q_P = p_P / 2 if kind == "apart" else p_P
        truth = (0.5 * 0.5 - 0.5) if kind == "apart" else 0.0
        found = rate_difference(counts(rng.binomial(4, p_P).tolist(), [4] * 24), counts(rng.binomial(4, q_P).tolist(), [4] * 24))
        held += found.low <= truth <= found.high
    assert held / runs >= least


def test_tallies_merge_and_come_back_as_they_were_kept():
    one, other = BehaviorCounts(), BehaviorCounts()
    one.update([("1", 0, make_rollout(1.0, valid=True)), ("1", 0, make_rollout())])
    other.update([("1", 0, make_rollout(1.0)), ("2", 3, make_rollout(1.0, valid=None))])
    one.merge(BehaviorCounts.from_rows(json.loads(json.dumps(other.to_rows()))))
    passed, valid = (one.prompt_counts("1", name, 2) for name in ("pass_rate", "valid_rate"))
    assert (passed.successes_P.tolist(), passed.trials_P.tolist()) == ([2, 0], [3, 0])
    assert valid.successes_P.tolist() == [1, 0]
    assert one.prompt_counts("2", "valid_rate", 4).trials_P.sum() == 0, "what nobody judged is no trial"


# --- policies ------------------------------------------------------------------------------------------------------


def planted(latent: int) -> Any:
    """The first tiny policy, but for what one layer's MLP writes into one dimension: that is tripled."""
    policy = tiny_policy(seed=0)
    with torch.no_grad():
        policy.model.model.layers[LAYER].mlp.down_proj.weight[latent] *= 3
    return policy


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Two plain directories of the same weights, one in which a change was planted, and two runs of one base."""
    root = tmp_path_factory.mktemp("comparison")
    for name in ("first", "copy", "one/checkpoint-0", "other/checkpoint-0"):
        tiny_policy(seed=0).save(root / name)
    planted(AT).save(root / "planted")
    planted(AT).save(root / "one/checkpoint-10")
    tiny_policy(seed=3).save(root / "other/checkpoint-20")
    return root


def test_two_copies_of_a_checkpoint_differ_in_nothing_found(home, tmp_path):
    found = compare(axes(), home / "first", home / "copy", TASK, ASKED, out=tmp_path / "c", **QUIET)
    assert found.base is None and found.names == {0: "A", 1: "B"}
    for match in ((), ("outcome",)):
        told = found.summary(match=match)
        assert max((told["strengthened"] + told["weakened"]).to_list()) <= 2
    assert (found.table(corpus="probe")["difference"] == 0).all()
    assert set(found.behavior()["verdict"]) == {"undecided"}
    with pytest.raises(BadInput, match="told against a base, and none was given"):
        found.relations()


def test_what_was_planted_in_one_latent_is_found_there_and_nowhere_else(home, tmp_path):
    found = compare(axes(), home / "first", home / "planted", TASK, ASKED, out=tmp_path / "c", **QUIET)
    table = found.table(corpus="probe")
    moved = table.filter(table["verdict"].is_in(["strengthened", "weakened"]))
    assert set(moved["latent"]) == {AT} and set(moved["bucket"]) == {"1", "2"}
    assert (table.filter(~table["latent"].is_in([AT, AT + D]))["difference"].abs() < 1e-4).all()


@dataclass(frozen=True)
class Run:
    series: Series


@pytest.fixture(scope="module")
def runs(home, tmp_path_factory) -> Comparison:
    """A run as a training loop gives it away, and a directory of one."""
    one, out = Run(Series.from_dir(home / "one", task=TASK)), tmp_path_factory.mktemp("runs") / "c"
    return compare(axes(), one, home / "other", config=ASKED, out=out, **QUIET)


def test_two_runs_are_told_against_the_base_they_share(runs, home):
    assert runs.names == {0: "base", 1: "A", 2: "B"}
    assert [Path(runs.tracks.paths[step]).parent.name for step in (1, 2)] == ["one", "other"]
    probe = runs.table(corpus="probe")
    own = probe.filter((probe["latent"] == AT) & (probe["bucket"] == "1")).row(0, named=True)
    assert own["a_verdict"] == "strengthened"
    untouched = probe.filter(~probe["latent"].is_in([AT, AT + D]))
    assert (untouched["a_change"].abs() < 1e-4).all() and (untouched["b_change"].abs() > 0.01).any()
    relations = runs.relations(corpus="probe")
    alone = relations["strengthened in B alone"] + relations["weakened in B alone"]
    assert alone.min() > 10, "other weights altogether"
    control = runs.relations().filter(runs.relations()["between"] == "A and A")
    assert control["strengthened in B alone"].max() <= 1 and "opposite" in control.columns
    assert "base" in runs.behaviour().columns and "B " in repr(runs)


def test_a_comparison_is_drawn_with_behaviour_above_and_latents_below(runs):
    figure = runs.figure(corpus="probe", latents=2)
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert shown == ["base", "A", "B"] and len({trace.yaxis for trace in figure.data}) == 4
    below = [trace for trace in figure.data if trace.yaxis in ("y3", "y4")]
    assert {trace.name for trace in below} == {"A", "B"} and len(below[0].x) == 4


def test_the_report_tells_runs_against_their_base_and_where_the_dictionary_is_in_doubt(runs):
    told = compared(runs, runs.compared(), runs.compared(match=()))
    assert "Latents by what became of them since the base:" in told and "at the base's mix of outcome" in told
    assert "as it is" in told and "matched" in told and "A's again less A's" in told
    drift = runs.drift()
    assert doubts(drift, runs.names) == [] and "not to be trusted" not in told
    fits = tuple(replace(fit, kl_recovered=0.5 if fit.step == 2 else 1.0) for fit in drift.fits)
    assert doubts(replace(drift, fits=fits), runs.names)[0].startswith(
        "The dictionary is not to be trusted on B (refit)"
    )


def test_asked_again_it_is_opened_and_no_checkpoint_is_loaded(runs, home, monkeypatch):
    monkeypatch.setattr(followed, "Reader", None)
    again = compare(axes(), home / "one", home / "other", TASK, ASKED, out=runs.path, **QUIET)
    assert again.table().equals(runs.table()) and Comparison.open(runs.path).table().equals(runs.table())


def test_it_lies_beside_the_checkpoints_of_b_unless_it_is_said_where(home, tmp_path):
    few = replace(ASKED, levels=(1,), problems=2, recovered=0)
    found = compare(axes(), home / "first", Checkpoint(10, home / "one/checkpoint-10"), TASK, few, **QUIET)
    assert found.path.parent == home / "one" and found.path.name.startswith("tracks-")
    with pytest.raises(BadInput, match=r"keep the readings there; got .*first and .*copy: say where .* \(out, --out\)"):
        compare(axes(), home / "first", home / "copy", TASK, few, **QUIET)


# --- refusals ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_compared_is_refused(home, tmp_path):
    def refused(kind: type[BadInput], told: str, a: Any, b: Any, **known: Any) -> None:
        tsae, task = known.pop("tsae", axes()), known.pop("task", TASK)
        with pytest.raises(kind, match=told):
            compare(tsae, a, b, task, known.pop("config", ASKED), out=tmp_path / "x", **known, **QUIET)
        assert not (tmp_path / "x").exists()

    first, copy = home / "first", home / "copy"
    tiny_policy(hidden_size=16).save(tmp_path / "narrow")
    refused(
        BadInput,
        r"expected the architecture of .*first \(hidden_size 32\), got hidden_size 16",
        first,
        tmp_path / "narrow",
    )
    stranger = replace(axes(), made_from={"policy-0": "somebody else"})
    refused(Mismatch, "fitted on other weights: expected some of somebody else", first, copy, tsae=stranger)
    refused(Mismatch, "expected a dictionary of layer 0, got one of layer 1", first, copy, layer=0)
    refused(BadInput, "does not say which layer", first, copy, tsae=replace(axes(), layer=None))
    tiny_policy(seed=9).save(tmp_path / "third/checkpoint-0")
    tiny_policy(seed=8).save(tmp_path / "third/checkpoint-5")
    refused(Mismatch, "expected runs that came of one base, .*one/checkpoint-0", home / "one", tmp_path / "third")
    refused(
        Mismatch, "expected runs that came of one base, .*planted", home / "one", home / "other", base=home / "planted"
    )
    refused(BadInput, "expected a task to ask these checkpoints, got none", first, copy, task=None)
    refused(BadInput, "expected a config without steps", first, copy, config=TrackConfig(steps=(1,)))
    refused(BadInput, "expected a local Hugging Face directory, got nothing there", first, home / "nowhere")
    refused(
        Mismatch,
        "expected roles of the latents of this dictionary",
        first,
        copy,
        roles=Roles((), (), 64, (), {"tsae": "?"}, RolesConfig(), 0),
    )
    two = [Series.from_dir(home / name, task=task) for name, task in (("one", TASK), ("other", FirstWord("all")))]
    refused(BadInput, "expected one task to ask both, got runs that were trained on two", *two, task=None)


def test_a_tokenizer_of_other_words_is_refused(home, tmp_path):
    tiny_policy(seed=1).save(tmp_path / "other")
    told = json.loads((tmp_path / "other/tokenizer.json").read_text())
    words = told["model"]["vocab"]
    words["+"], words["-"] = words["-"], words["+"]
    (tmp_path / "other/tokenizer.json").write_text(json.dumps(told))
    with pytest.raises(Mismatch, match="expected the tokenizer of .*first, 30 words; got another"):
        compare(axes(), home / "first", tmp_path / "other", TASK, ASKED, out=tmp_path / "x", **QUIET)


def test_what_tracks_do_not_hold_is_not_compared(runs):
    for a, b in ((0, 0), (1, 0), (0, 7)):
        with pytest.raises(BadInput, match="expected two of the steps 0, 1, 2, the first as A if it is one of them"):
            Comparison(runs.tracks, a, b)
    with pytest.raises(BadInput, match="corpus must be on-policy or probe, measure one of rate, strength"):
        runs.table(corpus="again")


def test_readings_that_do_not_say_what_came_of_the_answers_are_refused(tmp_path):
    tracks = tracks_of(tmp_path / "t", {"valid": (TOKENS, [1.0])}, {"valid": (TOKENS, [1.0])})
    for manifest in tracks.path.glob("reading-*/manifest.json"):
        manifest.write_text(json.dumps({k: v for k, v in json.loads(manifest.read_text()).items() if k != "tally"}))
    with pytest.raises(BadInput, match="got some of an earlier version"):
        Comparison.open(tracks.path).behavior()


# --- the command ---------------------------------------------------------------------------------------------------


def test_two_plain_directories_are_compared_with_a_dictionary_of_sae_lens(home, tmp_path, monkeypatch, capsys):
    lines = [
        {"id": f"{split}{i}", "prompt": f"{i} {sign} 1 =", "answer": "1", "split": split, "bucket": "easy"}
        for split, sign in (("eval", "+"), ("probe", "-"))
        for i in range(20)
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    asked = ["--jsonl", tmp_path / "mine.jsonl", "--levels", "easy", "--group", "2", "--recovered", "4"]
    asked += ["--tsae", as_sae_lens(tmp_path / "sae"), "--out", tmp_path / "c", "--device", "cpu"]
    words = ["compare", home / "first", home / "planted", *asked]
    assert run(monkeypatch, *words) == 2
    assert "expected a layer, got none" in capsys.readouterr().err
    words += ["--layer", str(LAYER), "--max-new-tokens", "6", "--corpus", "probe"]
    assert run(monkeypatch, *words, "--figure", tmp_path / "c.html") == 0
    told = capsys.readouterr().out
    assert f"A: {home / 'first'}" in told and "B less A" in told and "The surest" in told and "Trusted: " in told
    assert "<html" in (tmp_path / "c.html").read_text()[:200]
    assert run(monkeypatch, *words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    moved = {row["latent"] for row in found["latents"] if row["verdict"] in ("strengthened", "weakened")}
    assert {AT} <= moved <= {AT, AT + D} and found["drift"] == {"A": "trust", "B": "trust"}
    assert {row["measure"] for row in found["behaviour"]} >= {"pass_rate", "valid_rate"}
    assert run(monkeypatch, *words[:2], home / "nowhere", *words[3:]) == 2
