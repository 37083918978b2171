"""A policy's fingerprint is the same in memory and on disk, and another for whatever answers otherwise."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import CONTEXT, WORDS, tiny_policy, tiny_tokenizer
from safetensors.torch import load_file, save_file

from interp.artifacts import BadInput, same_fingerprint
from interp.organism import shipped_path
from interp.policy import Policy, fingerprints
from interp.policy.fingerprints import fingerprint_of, weights_fingerprint_of, weights_of

SIZES = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": CONTEXT}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def gpt2(**changes: Any) -> Policy:
    config = transformers.GPT2Config(vocab_size=len(WORDS), **SIZES, **SPECIAL, **changes)
    return Policy(transformers.GPT2LMHeadModel(config).eval(), tiny_tokenizer())


def gemma3(**changes: Any) -> Policy:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT}
    config = transformers.Gemma3TextConfig(vocab_size=len(WORDS), **sizes, **heads, **SPECIAL, **changes)
    return Policy(transformers.Gemma3ForCausalLM(config).eval(), tiny_tokenizer())


MAKERS: dict[str, Callable[..., Policy]] = {
    **{
        name: lambda name=name, **changes: tiny_policy(name, **changes)
        for name in ("qwen2", "qwen3", "llama", "gemma2")
    },
    "gemma3": gemma3,
    "gpt2": gpt2,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("family", MAKERS)
def test_it_is_the_same_before_saving_after_loading_and_on_disk(tmp_path, family, tied, dtype):
    policy = MAKERS[family](tie_word_embeddings=tied)
    policy.model.to(dtype)
    before = policy.fingerprint()
    policy.save(tmp_path / "whole")
    policy.model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    policy.tokenizer.save_pretrained(tmp_path / "shards")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    for path in (tmp_path / "whole", tmp_path / "shards"):
        assert fingerprint_of(path) == before
        assert Policy.load(path, dtype="auto").fingerprint() == before
    assert policy.fingerprint() == before, "saving changes nothing"


def test_it_is_that_of_the_weights_and_that_of_the_rest(tiny, tiny_dirs):
    policy = tiny["qwen3"]
    weights, rest = policy.fingerprint().split("+")
    assert len(weights) == len(rest) == 16
    assert weights == policy.weights_fingerprint() == weights_of(policy.fingerprint()) == weights_of(weights)
    assert weights == weights_fingerprint_of(tiny_dirs["qwen3"])
    assert same_fingerprint(policy.fingerprint(), weights), "as earlier versions wrote it"


def edit(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        value = json.loads((path / name).read_text())
        change(value)
        (path / name).write_text(json.dumps(value))

    return apply


def swap_0_and_1(tokenizer: Any) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["0"], vocabulary["1"] = vocabulary["1"], vocabulary["0"]


CHANGES = {
    "a tokenizer with 0 and 1 swapped": edit("tokenizer.json", swap_0_and_1),
    "another normalizer": edit("tokenizer.json", lambda value: value.update(normalizer={"type": "Lowercase"})),
    "another epsilon": edit("config.json", lambda value: value.update(rms_norm_eps=1.0)),
    "another rope theta": edit("config.json", lambda value: value["rope_parameters"].update(rope_theta=500.0)),
    "another window": edit("config.json", lambda value: value.update(use_sliding_window=True, sliding_window=4)),
    "another end token of the model": edit("generation_config.json", lambda value: value.update(eos_token_id=[2, 5])),
    "another end token": edit("tokenizer_config.json", lambda value: value.update(eos_token="ans")),
    "a chat template": edit("tokenizer_config.json", lambda value: value.update(chat_template="{{ messages }}")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_answers_otherwise_has_another_rest_and_the_same_weights(tiny_dirs, tmp_path, what):
    path = Path(shutil.copytree(tiny_dirs["qwen3"], tmp_path / "changed"))
    CHANGES[what](path)
    before, after = fingerprint_of(tiny_dirs["qwen3"]), fingerprint_of(path)
    assert after == Policy.load(path).fingerprint()
    assert weights_of(after) == weights_of(before) and not same_fingerprint(before, after)


def test_another_weight_changes_the_first_part_alone(new_policy):
    policy = new_policy()
    before = policy.fingerprint()
    with torch.no_grad():
        policy.model.lm_head.weight[0, 0] += 1e-3
    after = policy.fingerprint()
    assert weights_of(after) != weights_of(before) and after.split("+")[1] == before.split("+")[1]


def test_what_a_call_leaves_in_a_tokenizer_and_what_is_no_behavior_change_nothing(new_policy, tmp_path):
    policy = new_policy()
    before = policy.fingerprint()
    policy.tokenizer(["1", "1 2 3"], padding=True, truncation=True, max_length=2)
    policy.model.config.use_cache = False
    policy.model.config.architectures = ["Other"]
    policy.model.config._name_or_path = "elsewhere"  # noqa: SLF001
    assert policy.fingerprint() == before
    policy.save(tmp_path / "saved")
    assert fingerprint_of(tmp_path / "saved") == before


def test_a_tokenizer_of_another_class_has_the_same_fingerprint_after_loading(tmp_path):
    vocabulary = {word: i for i, word in enumerate([*WORDS, "Ġ"])}
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[], **special)
    policy = Policy(tiny_policy(vocab_size=64).model, tokenizer)
    policy.save(tmp_path / "qwen")
    loaded = Policy.load(tmp_path / "qwen")
    assert type(loaded.tokenizer).__name__ == type(tokenizer).__name__
    assert loaded.fingerprint() == fingerprint_of(tmp_path / "qwen")
    assert policy.fingerprint() == loaded.fingerprint()


def without_prefix(policy: Policy, path: Path) -> Path:
    """Saved as the gpt2 of the hub is: the trunk alone, without the name of the trunk."""
    policy.save(path)
    file, prefix = path / "model.safetensors", f"{policy.model.base_model_prefix}."
    save_file({name.removeprefix(prefix): weight for name, weight in load_file(file).items()}, file, {"format": "pt"})
    return path


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("family", ["gpt2", "qwen3"])
def test_weights_without_the_prefix_of_the_trunk_are_the_same_policy(tmp_path, family, tied):
    policy = MAKERS[family](tie_word_embeddings=tied)
    path = without_prefix(policy, tmp_path / "hub")
    assert fingerprint_of(path) == Policy.load(path).fingerprint() == policy.fingerprint()


def test_a_tied_head_of_other_weights_is_refused_without_the_prefix_too(tmp_path):
    path = without_prefix(gpt2(), tmp_path / "hub")
    weights = load_file(path / "model.safetensors")
    save_file(weights | {"lm_head.weight": weights["wte.weight"] + 1}, path / "model.safetensors", {"format": "pt"})
    for opens in (fingerprint_of, Policy.load):
        with pytest.raises(BadInput, match=r"expected lm_head.weight equal to transformer.wte.weight"):
            opens(path)


def test_a_weight_with_and_without_the_prefix_is_refused(tmp_path):
    gpt2().save(tmp_path / "twice")
    file = tmp_path / "twice" / "model.safetensors"
    weights = load_file(file)
    save_file(weights | {"wte.weight": weights["transformer.wte.weight"] + 1}, file, {"format": "pt"})
    for opens in (fingerprint_of, Policy.load):
        with pytest.raises(BadInput, match=r"expected transformer.wte.weight once, got it as wte.weight too"):
            opens(tmp_path / "twice")


def test_the_shipped_organism_has_the_fingerprint_it_always_had():
    """The config and the tokenizer are described by transformers and tokenizers. If another version of theirs changes
    this value, fingerprints of results that exist already no longer match: list its new entries in NOT_BEHAVIOR."""
    assert fingerprint_of(shipped_path()) == "71cfd0d8dac8ae7a+5806f879a0d020ab"


def test_equal_tokenizers_of_several_checkpoints_are_read_once(tmp_path, monkeypatch):
    for seed in (0, 1):
        tiny_policy(seed=seed).save(tmp_path / f"checkpoint-{seed}")
    first = fingerprint_of(tmp_path / "checkpoint-0")
    monkeypatch.setattr(fingerprints, "load_tokenizer", lambda path: pytest.fail("read again"))
    second = fingerprint_of(tmp_path / "checkpoint-1")
    assert weights_of(first) != weights_of(second) and first.split("+")[1] == second.split("+")[1]
