"""The base organism: how it is raised, and that the shipped one is the patient its card says it is."""

import json
from dataclasses import replace

import pytest
import torch

from interp.artifacts import BadInput, Mismatch, from_json, read_manifest, to_json
from interp.organism import Habits, OrganismConfig, Shape, build, shipped, task_of
from interp.organism import training as raising
from interp.organism.card import COLUMNS, Measurement, checks, measure
from interp.organism.config import KIND
from interp.organism.training import batch_of_examples
from interp.policy import Policy
from interp.policy.directory import fingerprint_of
from interp.rollouts import Share
from interp.tasks import Chain
from interp.tasks.base import Problem

SMALL = OrganismConfig(
    task=Chain(depths=(1, 4), shallow=(1,), middle=(2,), deep=(4,)),
    shape=Shape(d_model=16, layers=2, heads=2, kv_heads=1, d_head=8, d_mlp=32, context=64),
    steps=10,
    batch=16,
    threads=1,
)


@pytest.fixture(scope="module")
def card() -> dict:
    return json.loads((shipped() / "measured.json").read_text())


def test_the_shipped_organism_is_small_and_of_the_default_world():
    assert sum(file.stat().st_size for file in shipped().iterdir()) <= 4 * 2**20
    assert task_of(shipped()) == Chain()


def test_the_shipped_weights_are_those_the_manifest_names():
    assert read_manifest(shipped(), "organism")["weights"] == fingerprint_of(shipped())


def test_the_shipped_organism_is_what_the_build_command_makes_by_default():
    assert from_json(OrganismConfig, read_manifest(shipped(), "organism")["config"]) == OrganismConfig()


def test_the_card_says_that_it_is_the_right_patient(card):
    assert [check["claim"] for check in card["checks"] if not check["held"]] == []
    assert len(card["checks"]) == 6


def test_the_card_agrees_with_the_organism_measured_anew(card):
    measured = measure(Policy.load(shipped(), device="cpu"), Chain(), problems=60, samples=16)
    for depth, row in measured[0].rows.items():
        told = card["depth"][str(depth)]
        for name in ("pass_rate", "valid_rate", "direct_share", "written_share", "valid_given_written"):
            assert told[name]["low"] <= row[name].high and row[name].low <= told[name]["high"], (depth, name)


def test_the_card_s_table_shows_the_measured_numbers(card):
    text = (shipped() / "README.md").read_text()
    for depth, row in card["depth"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"| {depth} |"))
        assert all(f"| {Share(**row[name])} |" in line for name in COLUMNS)


@pytest.mark.parametrize(
    ("table", "row", "measure_", "value", "claim"),
    [
        ("depth", 7, "direct_share", 0.7, "both habits"),
        ("depth", 1, "direct_pass_rate", 0.8, "right at the first depth"),
        ("depth", 6, "luckless", 0.3, "no better than luck"),
        ("depth", 5, "valid_given_written", 0.4, "falls with every depth"),
        ("level", "deep", "direct_pass_rate", 0.45, "luck at level deep"),
        ("level", "deep", "valid_given_success", 0.06, "P(valid, given success)"),
    ],
)
def test_a_patient_that_fails_in_one_way_is_told_so(card, table, row, measure_, value, claim):
    tables = {
        by: {int(k) if by == "depth" else k: {m: Share(**s) for m, s in r.items()} for k, r in card[by].items()}
        for by in ("depth", "level")
    }
    tables[table][row][measure_] = Share(value, value, value, 100)
    found = checks(Chain(), [Measurement(by, rows) for by, rows in tables.items()])
    assert [claim in check.claim for check in found if not check.held] == [True]


def test_lessons_are_taught_in_the_shares_asked_for():
    config = replace(SMALL, batch=2000, habits=Habits(steps=0.5, direct=0.3, values=0.2, skip=0.0))
    task = replace(config.task, formats=("steps", "values"))
    verdicts = [
        task.verify(Problem("", prompt, "0"), completion) for prompt, completion in batch_of_examples(config, 0)
    ]
    for habit, share in config.habits.shares().items():
        assert sum(v.format == habit for v in verdicts) / 2000 == pytest.approx(share, abs=0.04)
    assert all(v.valid for v in verdicts if v.format != "direct")
    assert all(v.correct for v in verdicts)


def test_skipping_leaves_out_steps_at_its_rate():
    config = replace(
        SMALL,
        batch=2000,
        habits=Habits(steps=1.0, direct=0.0, skip=0.3),
        task=Chain(depths=(6, 6), shallow=(), middle=(), deep=()),
    )
    written = sum(completion.count(";") for _, completion in batch_of_examples(config, 0))
    assert written / (2000 * 6) == pytest.approx(0.7, abs=0.02)


def test_lessons_are_drawn_from_training_problems_and_memorised_ones_only():
    task = Chain(depths=(5, 5), shallow=(), middle=(), deep=(), memorised=20)
    config = replace(SMALL, batch=1000, task=task, habits=Habits(memorised_share=0.1))
    memorised = {p.prompt for p in task.problems("memorised", 5, 20)}
    shown = [prompt for prompt, _ in batch_of_examples(config, 3)]
    assert sum(prompt in memorised for prompt in shown) / 1000 == pytest.approx(0.1, abs=0.03)
    assert not set(shown) & {p.prompt for p in task.problems("probe", 5, 500)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Habits(steps=0.5, direct=0.6), "must sum to 1"),
        (lambda: Habits(skip=1.5), "skip must lie between 0 and 1; got 1.5"),
        (lambda: OrganismConfig(habits=Habits(direct=0.3, cue=0.2)), "set task.cue_rate"),
        (lambda: OrganismConfig(habits=Habits(memorised_share=0.1)), "memorised items need both dials"),
    ],
)
def test_lessons_that_cannot_be_given_are_refused(make, message):
    with pytest.raises(BadInput, match=message):
        make()


def test_a_config_survives_its_manifest():
    config = OrganismConfig(seed=3, task=Chain(cue_rate=0.5), habits=Habits(direct=0.4, cue=0.1))
    assert from_json(OrganismConfig, json.loads(json.dumps(to_json(config)))) == config


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(raising, "SAVE_EVERY", 4)
    monkeypatch.setattr(raising, "measure", lambda policy, task: measure(policy, task, problems=2, samples=2))


def test_a_build_killed_and_started_again_ends_in_the_same_weights(tmp_path, monkeypatch, quick):
    whole = build(SMALL, tmp_path / "whole")
    real, done = raising.teach_batch, []

    def dies_at_the_seventh(policy, examples):
        done.append(None)
        if len(done) == 7:
            raise KeyboardInterrupt
        return real(policy, examples)

    monkeypatch.setattr(raising, "teach_batch", dies_at_the_seventh)
    with pytest.raises(KeyboardInterrupt):
        build(SMALL, tmp_path / "halved")
    assert not (tmp_path / "halved").exists()
    torch.manual_seed(123)
    halved = build(SMALL, tmp_path / "halved")
    assert len(done) == 7 + 10 - 4, "it went on from the fourth step"
    assert halved.fingerprint() == whole.fingerprint()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["halved", "whole"]


def test_an_organism_can_be_taught_on_from_another_and_only_from_its_like(tmp_path, quick):
    raised = build(replace(SMALL, steps=1), tmp_path / "first")
    task = replace(SMALL.task, cue_rate=0.5)
    further = replace(SMALL, task=task, start=tmp_path / "first", steps=1, lr=1e-9)
    policy = build(further, tmp_path / "second")
    made_from = read_manifest(tmp_path / "second", KIND)["made_from"]
    assert made_from == {"task": task.fingerprint(), "start": raised.fingerprint()}
    before, after = (dict(one.model.named_parameters()) for one in (raised, policy))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    for other in (replace(further, task=Chain(modulus=7)), replace(further, shape=replace(further.shape, d_mlp=48))):
        with pytest.raises(Mismatch, match="expected an organism of modulus"):
            build(other, tmp_path / "third")


def test_a_half_done_build_of_another_config_is_not_taken_over(tmp_path, monkeypatch, quick):
    monkeypatch.setattr(raising, "measure", lambda policy, task: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(SMALL, tmp_path / "one")
    with pytest.raises(BadInput, match="another seed"):
        build(replace(SMALL, seed=1), tmp_path / "one")


def test_a_directory_that_stands_is_not_built_over(tmp_path, quick):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").touch()
    with pytest.raises(BadInput, match="exists already"):
        build(SMALL, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []
