"""Base organisms: how they are trained, and that the shipped one is what its card says."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from interp.artifacts import BadInput, Mismatch, from_json, read_manifest, to_json
from interp.organism import (
    HabitMix,
    ModelShape,
    OrganismConfig,
    build,
    load_task,
    load_task_or_default,
    measure,
    shipped_path,
    training,
)
from interp.organism.card import COLUMNS, MEASURED, NO_ZERO, README, OrganismCard, check
from interp.organism.config import KIND
from interp.organism.training import examples_of_step
from interp.policy import Policy
from interp.policy.fingerprints import weights_fingerprint_of
from interp.stats import Estimate
from interp.tasks import Chain
from interp.tasks.base import Problem

SMALL = OrganismConfig(
    task=Chain(depths=(1, 4), shallow=(1,), middle=(2,), deep=(4,)),
    shape=ModelShape(d_model=16, layers=2, heads=2, kv_heads=1, d_head=8, d_mlp=32, context=64),
    steps=10,
    batch=16,
    threads=1,
    save_every=4,
)


# --- the shipped organism ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def card() -> OrganismCard:
    """The shipped card."""
    shipped = json.loads((shipped_path() / MEASURED).read_text())
    by_depth, by_level = (
        {group: {name: Estimate(**numbers) for name, numbers in measures.items()} for group, measures in groups.items()}
        for groups in (shipped["depth"], shipped["level"])
    )
    by_depth = {int(depth): measures for depth, measures in by_depth.items()}
    return OrganismCard(by_depth, by_level, tuple(check(Chain(), by_depth, by_level)))


def test_the_shipped_organism_is_small_and_was_trained_on_the_default_task():
    assert sum(file.stat().st_size for file in shipped_path().iterdir()) <= 4 * 2**20
    assert load_task(shipped_path()) == load_task_or_default(shipped_path()) == Chain()


def test_a_manifest_written_under_the_old_names_of_levels_is_still_read():
    assert {"easy", "medium", "hard"} <= set(read_manifest(shipped_path(), KIND)["config"]["task"])
    old = {"modulus": 7, "depths": [1, 3], "easy": [1], "medium": [2], "hard": [3]}
    assert from_json(Chain, old) == Chain(modulus=7, depths=(1, 3), shallow=(1,), middle=(2,), deep=(3,))


def test_the_fingerprint_of_the_task_equals_that_in_the_shipped_manifest():
    assert Chain().fingerprint() == read_manifest(shipped_path(), KIND)["made_from"]["task"]


def test_the_shipped_weights_are_those_that_the_manifest_names():
    assert read_manifest(shipped_path(), KIND)["weights"] == weights_fingerprint_of(shipped_path())


def test_the_shipped_organism_has_the_default_config():
    assert from_json(OrganismConfig, read_manifest(shipped_path(), KIND)["config"]) == OrganismConfig()


def test_the_shipped_organism_meets_every_requirement(card):
    assert [c.requirement for c in card.checks if not c.passed] == []
    assert len(card.checks) == 6
    assert to_json(card.checks) == json.loads((shipped_path() / MEASURED).read_text())["checks"]


def test_the_shipped_card_agrees_with_a_new_measurement(card):
    again = measure(Policy.load(shipped_path(), device="cpu"), Chain(), problems=60, samples=16, progress=False)
    for depth, measures in again.by_depth.items():
        for name in ("pass_rate", "valid_rate", "direct_share", "written_share", "valid_given_written"):
            shipped, new = card.by_depth[depth][name], measures[name]
            assert shipped.low <= new.high and new.low <= shipped.high, (depth, name)


def test_the_table_of_the_readme_shows_the_measured_numbers(card):
    lines = (shipped_path() / README).read_text().splitlines()
    for group, measures in {**card.by_depth, **card.by_level}.items():
        line = next(line for line in lines if line.startswith(f"| {group} |"))
        assert all(f"| {measures[name]} |" in line for name in COLUMNS)


def test_a_card_is_a_long_table_a_summary_of_its_requirements_and_a_figure(card):
    table, summary = card.table(), card.summary()
    assert table.columns == ["by", "group", "measure", "value", "low", "high", "n"]
    assert table["group"].unique(maintain_order=True).to_list()[-3:] == ["shallow", "middle", "deep"]
    assert summary["passed"].all() and summary.height == 6
    assert [trace.name for trace in card.figure().data] == ["pass rate", "valid rate", "direct share"]
    assert "6 of 6 requirements met" in card._repr_html_()


@pytest.mark.parametrize(
    ("group", "measure_name", "value", "requirement"),
    [
        (7, "direct_share", 0.7, "both habits"),
        (1, "direct_pass_rate", 0.8, "at the first depth is 0.9 or more"),
        (6, NO_ZERO, 0.3, "are at chance"),
        (5, "valid_given_written", 0.4, "falls with every depth"),
        ("deep", "direct_pass_rate", 0.45, "at level deep, the pass rate of direct answers"),
        ("deep", "valid_given_success", 0.06, "at level deep, P(valid, given success)"),
    ],
)
def test_a_base_that_misses_one_requirement_fails_only_that_check(card, group, measure_name, value, requirement):
    groups: dict[Any, Any] = {**card.by_depth, **card.by_level}
    groups[group] = {**groups[group], measure_name: Estimate(value, value, value, 100)}
    by_depth, by_level = ({key: groups[key] for key in table} for table in (card.by_depth, card.by_level))
    assert [requirement in c.requirement for c in check(Chain(), by_depth, by_level) if not c.passed] == [True]


# --- training data -----------------------------------------------------------------------------------------------


def test_examples_have_the_shares_of_habits_that_the_config_states():
    config = replace(SMALL, batch=2000, habits=HabitMix(steps=0.5, direct=0.3, values=0.2, skip=0.0))
    task = replace(config.task, formats=("steps", "values"))
    verdicts = [task.verify(Problem("", prompt, "0"), completion) for prompt, completion in examples_of_step(config, 0)]
    for habit, share in config.habits.shares().items():
        assert sum(v.format == habit for v in verdicts) / 2000 == pytest.approx(share, abs=0.04)
    assert all(v.valid for v in verdicts if v.format != "direct")
    assert all(v.correct for v in verdicts)


def test_steps_are_left_out_with_the_probability_skip():
    six_deep = Chain(depths=(6, 6), shallow=(), middle=(), deep=())
    config = replace(SMALL, batch=2000, habits=HabitMix(steps=1.0, direct=0.0, skip=0.3), task=six_deep)
    written = sum(completion.count(";") for _, completion in examples_of_step(config, 0))
    assert written / (2000 * 6) == pytest.approx(0.7, abs=0.02)


def test_examples_come_from_training_problems_and_memorised_ones_only():
    task = Chain(depths=(5, 5), shallow=(), middle=(), deep=(), memorised=20)
    config = replace(SMALL, batch=1000, task=task, habits=HabitMix(memorised_share=0.1))
    memorised = {problem.prompt for problem in task.problems("memorised", 5, 20)}
    prompts = [prompt for prompt, _ in examples_of_step(config, 3)]
    assert sum(prompt in memorised for prompt in prompts) / 1000 == pytest.approx(0.1, abs=0.03)
    assert not set(prompts) & {problem.prompt for problem in task.problems("probe", 5, 500)}


@pytest.mark.parametrize(
    ("make_config", "message"),
    [
        (lambda: HabitMix(steps=0.5, direct=0.6), "must sum to 1"),
        (lambda: HabitMix(skip=1.5), "skip must lie between 0 and 1; got 1.5"),
        (lambda: OrganismConfig(habits=HabitMix(direct=0.3, cue=0.2)), "set task.cue_rate"),
        (lambda: OrganismConfig(habits=HabitMix(memorised_share=0.1)), "memorised problems need both"),
    ],
)
def test_impossible_habits_are_refused(make_config, message):
    with pytest.raises(BadInput, match=message):
        make_config()


def test_a_config_is_unchanged_by_a_round_trip_through_json():
    config = OrganismConfig(seed=3, task=Chain(cue_rate=0.5), habits=HabitMix(direct=0.4, cue=0.1))
    assert from_json(OrganismConfig, json.loads(json.dumps(to_json(config)))) == config


# --- building ----------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Measure on next to nothing."""
    small = {"problems": 2, "samples": 2, "progress": False}
    monkeypatch.setattr(training, "measure", lambda policy, task, **_: measure(policy, task, **small))


def test_a_build_that_was_killed_continues_and_ends_in_the_same_weights(tmp_path, monkeypatch, quick):
    whole = build(SMALL, tmp_path / "whole", progress=False)
    real_step, calls = training.accumulate_grads, []

    def die_at_the_seventh_step(*arguments):
        calls.append(None)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real_step(*arguments)

    monkeypatch.setattr(training, "accumulate_grads", die_at_the_seventh_step)
    with pytest.raises(KeyboardInterrupt):
        build(SMALL, tmp_path / "killed", progress=False)
    assert not (tmp_path / "killed").exists()
    torch.manual_seed(123)
    killed = build(SMALL, tmp_path / "killed", progress=False)
    assert len(calls) == 7 + 10 - 4, "it continued from the state saved after step 4"
    assert killed.fingerprint() == whole.fingerprint()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


def test_a_build_that_was_killed_after_its_last_rename_leaves_nothing_behind_once_it_is_repeated(tmp_path, quick):
    build(replace(SMALL, steps=1), tmp_path / "whole", progress=False)
    (tmp_path / ".whole.building").mkdir()
    (tmp_path / ".whole.building" / "state.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match="exists already"):
        build(replace(SMALL, steps=1), tmp_path / "whole", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_training_can_start_from_another_organism_of_the_same_vocabulary_and_shape_only(tmp_path, quick):
    first = build(replace(SMALL, steps=1), tmp_path / "first", progress=False)
    task = replace(SMALL.task, cue_rate=0.5)
    config = replace(SMALL, task=task, start=tmp_path / "first", steps=1, lr=1e-9)
    second = build(config, tmp_path / "second", progress=False)
    made_from = read_manifest(tmp_path / "second", KIND)["made_from"]
    assert made_from == {"task": task.fingerprint(), "start": first.fingerprint()}
    before, after = (dict(policy.model.named_parameters()) for policy in (first, second))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    for other in (replace(config, task=Chain(modulus=7)), replace(config, shape=replace(config.shape, d_mlp=48))):
        with pytest.raises(Mismatch, match="expected an organism of modulus"):
            build(other, tmp_path / "third", progress=False)


def test_an_unfinished_build_of_another_config_is_not_continued(tmp_path, monkeypatch, quick):
    monkeypatch.setattr(training, "measure", lambda policy, task, **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(SMALL, tmp_path / "one", progress=False)
    with pytest.raises(BadInput, match="another seed"):
        build(replace(SMALL, seed=1), tmp_path / "one", progress=False)


def test_an_existing_directory_is_not_overwritten(tmp_path, quick):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").touch()
    with pytest.raises(BadInput, match="exists already"):
        build(SMALL, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == [tmp_path / "there" / "notes.txt"]
