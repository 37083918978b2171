"""Words organisms: their tokenizer, how they are trained from new or pretrained weights, and their card."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from interp.artifacts import BadInput, from_json, read_manifest, to_json
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
    words_recipe,
)
from interp.organism.card import COLUMNS, MEASURED, README, bucket_shares
from interp.organism.config import KIND
from interp.organism.requirements import NO_ZERO, check_words
from interp.organism.tokenizers import tokenizer_for
from interp.organism.training import deepest_of_step, examples_of_step
from interp.policy import Policy
from interp.policy.config import SampleConfig
from interp.policy.fingerprints import weights_fingerprint_of
from interp.rollouts import roll_out
from interp.stats import Estimate
from interp.tasks import Problem, Words

SMALL = OrganismConfig(
    kind="words",
    words=Words(depths=(1, 3), shallow=(1,), middle=(2,), deep=(3,)),
    shape=ModelShape(d_model=16, layers=2, heads=2, kv_heads=1, d_head=8, d_mlp=32, context=128),
    steps=6,
    batch=8,
    threads=1,
    save_every=4,
)


# --- config and training data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make_config", "message"),
    [
        (lambda: replace(SMALL, habits=HabitMix(direct=0.3, cue=0.2)), "set words.cue_rate"),
        (lambda: replace(SMALL, habits=HabitMix(direct=0.3, values=0.2)), "is a format of the chain task"),
        (lambda: replace(SMALL, lora_rank=4), "lora_rank needs weights to adapt"),
        (lambda: replace(SMALL, last_step=7), "last_step must be at most steps, 6; got 7"),
        (lambda: OrganismConfig(habits=HabitMix(slip=0.1)), "are for --kind words"),
    ],
)
def test_an_impossible_words_recipe_is_refused(make_config, message):
    with pytest.raises(BadInput, match=message):
        make_config()


def test_a_words_recipe_is_unchanged_by_a_round_trip_through_json():
    for config in (words_recipe(), words_recipe(Path("smollm2"))):
        assert from_json(OrganismConfig, json.loads(json.dumps(to_json(config)))) == config
        assert config.kind == "words" and config.chosen_task == config.words


def test_examples_have_the_shares_of_habits_and_the_sloppiness_that_the_config_states():
    config = replace(SMALL, batch=2000, habits=HabitMix(steps=0.6, direct=0.4, skip=0.0, slip=0.2))
    verdicts = [
        config.words.verify(Problem("", prompt, "0"), solution) for prompt, solution in examples_of_step(config, 0)
    ]
    assert sum(v.format == "direct" for v in verdicts) / 2000 == pytest.approx(0.4, abs=0.04)
    steps = [step for verdict in verdicts for step in verdict.steps]
    assert sum(step.holds is False for step in steps) / len(steps) == pytest.approx(0.2, abs=0.03)


def test_depths_grow_over_the_curriculum():
    config = replace(SMALL, steps=100, curriculum=0.6)
    assert [deepest_of_step(config, step) for step in (0, 19, 20, 39, 40, 59, 60, 99)] == [1, 1, 2, 2, 3, 3, 3, 3]
    depths = [
        len(config.words.program(Problem("", prompt, "0")).operations) for prompt, _ in examples_of_step(config, 0)
    ]
    assert set(depths) == {1}


# --- tokenizer ---------------------------------------------------------------------------------------------------


def test_the_tokenizer_is_the_same_for_the_same_config_and_writes_any_text():
    tokenizer, again = tokenizer_for(SMALL), tokenizer_for(SMALL)
    assert tokenizer.get_vocab() == again.get_vocab()
    for text in ("Mia has 12 apples.", "Zażółć 世界 \U0001f600\n"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_a_number_is_one_token_or_one_for_each_digit():
    whole, digits = tokenizer_for(SMALL), tokenizer_for(replace(SMALL, numbers="digits"))
    for number in range(10, SMALL.words.largest + 1):
        assert whole.tokenize(f" {number}") == [f"Ġ{number}"]
        assert digits.tokenize(f" {number}")[-2:] == list(str(number))


# --- building ----------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Measure on next to nothing."""
    small = {"problems": 2, "samples": 2, "progress": False}
    monkeypatch.setattr(training, "measure", lambda policy, task, **_: measure(policy, task, **small))


def die_at_call(monkeypatch, last: int) -> None:
    real_step, calls = training.accumulate_grads, []

    def step(*arguments):
        calls.append(None)
        if len(calls) == last:
            raise KeyboardInterrupt
        return real_step(*arguments)

    monkeypatch.setattr(training, "accumulate_grads", step)


def test_a_words_build_that_was_killed_continues_and_ends_in_the_same_weights(tmp_path, monkeypatch, quick):
    config = replace(SMALL, stored="bfloat16")
    whole = build(config, tmp_path / "whole", progress=False)
    die_at_call(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        build(config, tmp_path / "killed", progress=False)
    killed = build(config, tmp_path / "killed", progress=False)
    assert killed.fingerprint() == whole.fingerprint() == Policy.load(tmp_path / "whole").fingerprint()
    assert load_task(tmp_path / "killed") == config.words
    assert "kind words" in (tmp_path / "killed" / README).read_text()
    measured = json.loads((tmp_path / "killed" / MEASURED).read_text())
    assert sum(measured["buckets"].values()) == pytest.approx(1)
    assert measured["annotator"]["written by the task"]["completions"] == 3 * 2


def test_a_build_that_stops_early_has_the_weights_of_that_step_of_the_schedule(tmp_path, monkeypatch, quick):
    early = build(replace(SMALL, last_step=4), tmp_path / "early", progress=False)
    die_at_call(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        build(SMALL, tmp_path / "whole", progress=False)
    saved = training.initial_policy(SMALL)
    optimiser = torch.optim.AdamW(saved.model.parameters())
    training.load_training_state(tmp_path / ".whole.building", saved.model, optimiser, config=to_json(SMALL))
    assert saved.weights_fingerprint() == early.weights_fingerprint()


@pytest.fixture
def pretrained(tmp_path) -> Path:
    """A tiny Llama with the tokenizer of another words task."""
    tokenizer = tokenizer_for(replace(SMALL, numbers="digits"))
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=128,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    Policy(model, tokenizer).save(tmp_path / "pretrained")
    return tmp_path / "pretrained"


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_pretrained_model_is_finetuned_whole_or_by_adapters_and_saved_as_an_ordinary_directory(
    tmp_path, pretrained, quick, lora_rank
):
    start = Policy.load(pretrained)
    config = replace(SMALL, start=pretrained, lora_rank=lora_rank, lr=1e-2)
    tuned = build(config, tmp_path / "tuned", progress=False)
    assert type(tuned.model).__name__ == "LlamaForCausalLM"
    assert Policy.load(tmp_path / "tuned").fingerprint() == tuned.fingerprint()
    assert tuned.tokenizer.get_vocab() == start.tokenizer.get_vocab()
    assert read_manifest(tmp_path / "tuned", KIND)["made_from"]["start"] == start.fingerprint()
    before, after = (dict(policy.model.named_parameters()) for policy in (start, tuned))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    linear = {name for name in before if "proj" in name}
    assert changed == linear if lora_rank else changed == set(before)


# --- the card ----------------------------------------------------------------------------------------------------


def test_buckets_are_shares_of_problems_by_their_pass_rates(tmp_path, quick):
    policy = training.initial_policy(SMALL)
    rows = roll_out(
        policy, SMALL.words, SMALL.words.problems("eval", 1, 4), SampleConfig(group=2, max_new_tokens=4)
    ).rows
    rates = dict(zip(dict.fromkeys(row.problem for row in rows), ((1, 1), (1, 0), (0, 0), (0, 0)), strict=True))
    marked = [replace(row, correct=bool(rates[row.problem][row.sample])) for row in rows]
    assert bucket_shares(marked) == {"easy": 0.25, "medium": 0.25, "hard": 0.5}


def words_measures(**values: float) -> dict[str, Estimate]:
    usual = {
        "direct_share": 0.5,
        "written_share": 0.5,
        "malformed_share": 0.0,
        "valid_given_written": 0.5,
        "direct_pass_rate": 0.1,
        "valid_given_success": 0.3,
    }
    return {name: Estimate(value, value, value, 100) for name, value in (usual | values).items()}


LEVELS = {name: {"valid_given_written": share} for name, share in (("shallow", 0.9), ("middle", 0.7), ("deep", 0.5))}
BUCKETS = {"easy": 0.5, "medium": 0.2, "hard": 0.3}


@pytest.mark.parametrize(
    ("depth", "deep", "buckets", "requirement"),
    [
        ({}, {}, {}, None),
        ({"direct_share": 0.7}, {}, {}, "both habits"),
        ({"malformed_share": 0.2}, {}, {}, "malformed"),
        ({}, {"valid_given_written": 0.8}, {}, "falls from level to level"),
        ({}, {"direct_pass_rate": 0.5}, {}, r"\(luck\)"),
        ({}, {"valid_given_success": 0.9}, {}, "given success"),
        ({}, {}, {"medium": 0.01}, "problems exist"),
    ],
)
def test_a_words_base_that_misses_one_requirement_fails_only_that_check(depth, deep, buckets, requirement):
    by_level = {name: words_measures(**values) for name, values in LEVELS.items()}
    by_level["deep"] = words_measures(**LEVELS["deep"] | deep)
    failed = [
        c.requirement for c in check_words({1: words_measures(**depth)}, by_level, BUCKETS | buckets) if not c.passed
    ]
    assert len(failed) == (requirement is not None)
    assert all(re.search(requirement, text) for text in failed)


# --- the shipped organism ----------------------------------------------------------------------------------------

SHIPPED = shipped_path("words")


def test_the_shipped_words_organism_is_small_and_is_what_its_manifest_says():
    manifest = read_manifest(SHIPPED, KIND)
    policy = Policy.load(SHIPPED)
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) <= 20 * 2**20
    assert 3e6 <= sum(weight.numel() for weight in policy.model.parameters()) <= 10e6
    assert manifest["weights"] == policy.weights_fingerprint() == weights_fingerprint_of(SHIPPED)
    assert from_json(OrganismConfig, manifest["config"]) == words_recipe()
    assert load_task(SHIPPED) == load_task_or_default(SHIPPED) == Words()
    assert manifest["made_from"]["task"] == Words().fingerprint()


def test_the_card_of_the_shipped_words_organism_shows_its_measured_numbers():
    measured, lines = json.loads((SHIPPED / MEASURED).read_text()), (SHIPPED / README).read_text().splitlines()
    for groups in (measured["depth"], measured["level"]):
        for group, measures in groups.items():
            line = next(line for line in lines if line.startswith(f"| {group} |"))
            assert all(f"| {Estimate(**measures[name])} |" in line for name in COLUMNS if name != NO_ZERO)
    for check in measured["checks"]:
        assert f"| {check['requirement']} | {check['measured']} | {'yes' if check['passed'] else '**no**'} |" in lines
    for name in ("valid_steps", "roles"):
        rates = measured["annotator"]["written by the task"][name]
        assert min(rates["precision"], rates["recall"]) >= 0.95
    assert min(measured["annotator"]["the organism's own"]["roles"][rate] for rate in ("precision", "recall")) >= 0.95


def test_the_shipped_words_organism_writes_work_and_answers_at_once():
    policy, task = Policy.load(SHIPPED, device="cpu"), Words()
    rows = roll_out(policy, task, task.problems("eval", 1, 10), SampleConfig(group=8), progress=False).rows
    formats = [row.format for row in rows]
    assert min(formats.count("steps"), formats.count("direct")) >= 20 and formats.count("malformed") <= 8
    assert sum(row.correct for row in rows if row.format == "steps") > sum(row.format == "steps" for row in rows) / 2
