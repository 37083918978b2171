"""A LoRA adapter and its base are one policy: the sum that peft computes with. All other adapters are refused."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from conftest import tiny_policy, tiny_tokenizer
from safetensors.torch import load_file, save_file

from interp.artifacts import BadInput
from interp.grpo.learner import add_adapters, merge_adapters
from interp.policy import Policy
from interp.policy.fingerprints import fingerprint_of, weights_fingerprint_of, weights_of

IDS = torch.tensor([[1, 5, 24, 6, 27], [1, 7, 24, 8, 27]])
OPTIONS: dict[str, dict[str, Any]] = {
    "all linear": {},
    "two matrices": {"target_modules": ["q_proj", "down_proj"]},
    "a pattern": {"target_modules": r".*layers\.1\..*_proj"},
    "some layers": {"target_modules": ["v_proj"], "layers_to_transform": [0, 2]},
    "ranks of their own": {"rank_pattern": {"q_proj": 3}, "alpha_pattern": {"q_proj": 9}},
    "rank-stabilised": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "the embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "a head trained whole": {"modules_to_save": ["lm_head"]},
}


def train_adapter(base: Path, path: Path, *, tokenizer: bool = False, **options: Any) -> torch.Tensor:
    """Save an adapter of random weights, as peft does. Returns the logits that peft computes with it."""
    model = Policy.load(base).model
    config = peft.LoraConfig(**({"r": 2, "lora_alpha": 4, "target_modules": "all-linear"} | options))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapters: Any = peft.get_peft_model(model, config).eval()
        for name, weight in adapters.named_parameters():
            if weight.requires_grad:
                weight.data += 0.1 * torch.randn_like(weight) * ("lora_A" not in name)
    adapters.save_pretrained(path)
    if tokenizer:
        tiny_tokenizer().save_pretrained(path)
    with torch.no_grad():
        return adapters(IDS).logits


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bases") / "base"
    tiny_policy().save(path)
    return path


@pytest.fixture
def adapter(base, tmp_path) -> Path:
    """An adapter that a test may damage."""
    train_adapter(base, tmp_path / "adapter")
    return tmp_path / "adapter"


def edit(path: Path, **changes: Any) -> None:
    file = path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def assert_refused(path: Path, message: str, base: Path | None = None) -> None:
    for opens in (Policy.load, fingerprint_of):
        with pytest.raises(BadInput, match=message) as caught:
            opens(path, base=base)
        assert str(path) in str(caught.value)


# --- opening -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIONS)
def test_an_adapter_computes_what_peft_computes(base, tmp_path, name):
    expected = train_adapter(base, tmp_path / "adapter", **OPTIONS[name])
    policy = Policy.load(tmp_path / "adapter")
    with torch.no_grad():
        logits = policy.model(IDS).logits
        plain = Policy.load(base).model(IDS).logits
    assert torch.allclose(logits, expected, atol=1e-4) and not torch.allclose(plain, expected, atol=1e-2)
    assert policy.path == tmp_path / "adapter" and not policy.model.training


@pytest.mark.parametrize("name", OPTIONS)
def test_its_fingerprint_is_that_of_the_merged_policy_in_memory_and_saved(base, tmp_path, name):
    train_adapter(base, tmp_path / "adapter", **OPTIONS[name])
    policy = Policy.load(tmp_path / "adapter")
    policy.save(tmp_path / "merged")
    assert fingerprint_of(tmp_path / "adapter") == policy.fingerprint() == fingerprint_of(tmp_path / "merged")
    assert weights_fingerprint_of(tmp_path / "adapter") == policy.weights_fingerprint() != weights_fingerprint_of(base)
    assert not list((tmp_path / "merged").glob("adapter*"))


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_an_adapter_may_train_the_biases_of_its_base(tmp_path, bias):
    tiny_policy("qwen2").save(tmp_path / "base")
    expected = train_adapter(tmp_path / "base", tmp_path / "adapter", bias=bias)
    policy = Policy.load(tmp_path / "adapter")
    with torch.no_grad():
        assert torch.allclose(policy.model(IDS).logits, expected, atol=1e-4)
    assert not torch.equal(
        policy.model.model.layers[0].self_attn.q_proj.bias,
        Policy.load(tmp_path / "base").model.model.layers[0].self_attn.q_proj.bias,
    )


def test_all_weights_of_a_merged_policy_can_be_trained(adapter):
    policy = Policy.load(adapter)
    policy.model(IDS).logits.sum().backward()
    assert all(weight.grad is not None for weight in policy.model.parameters())


def test_a_base_in_half_precision_is_merged_in_float32(tmp_path):
    half = tiny_policy()
    half.model.to(torch.bfloat16)
    half.save(tmp_path / "half")
    train_adapter(tmp_path / "half", tmp_path / "adapter")
    merged, exact = Policy.load(tmp_path / "adapter").model, Policy.load(tmp_path / "half", dtype="float32").model
    delta = merged.lm_head.weight - exact.lm_head.weight
    assert torch.equal(delta, torch.zeros_like(delta)), "the head is not adapted"
    layer = [model.model.layers[0].self_attn.q_proj.weight for model in (merged, exact)]
    weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    a, b = (weights[f"base_model.model.model.layers.0.self_attn.q_proj.lora_{name}.weight"] for name in "AB")
    assert torch.equal(layer[0], layer[1] + (b @ a) * 2.0)
    assert Policy.load(tmp_path / "adapter", dtype="bfloat16").model.dtype == torch.bfloat16


def test_a_base_may_be_named_and_is_preferred_to_what_the_config_names(base, adapter, tmp_path):
    other = tiny_policy(seed=7)
    other.save(tmp_path / "other")
    named = Policy.load(adapter, base=tmp_path / "other")
    assert named.fingerprint() == fingerprint_of(adapter, base=tmp_path / "other") != fingerprint_of(adapter)
    edit(adapter, base_model_name_or_path="org/model")
    assert fingerprint_of(adapter, base=base) == Policy.load(adapter, base=str(base)).fingerprint()


def test_the_tokenizer_beside_an_adapter_is_used_and_else_that_of_its_base(base, tmp_path):
    train_adapter(base, tmp_path / "bare")
    train_adapter(base, tmp_path / "trained", tokenizer=True)
    file = tmp_path / "trained" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": "{{ messages[0]['content'] }}"}))
    assert Policy.load(tmp_path / "bare").tokenizer.chat_template is None
    assert Policy.load(tmp_path / "trained").tokenizer.chat_template
    first, second = (fingerprint_of(tmp_path / name) for name in ("bare", "trained"))
    assert weights_of(first) == weights_of(second) and first != second
    assert second == Policy.load(tmp_path / "trained").fingerprint()


def test_pickles_that_a_trainer_leaves_beside_an_adapter_are_not_opened(adapter):
    expected = fingerprint_of(adapter)
    for name in ("training_args.bin", "optimizer.pt", "adapter_model.bin"):
        (adapter / name).write_bytes(b"never opened")
    assert fingerprint_of(adapter) == Policy.load(adapter).fingerprint() == expected


def test_opening_an_adapter_never_touches_the_network(adapter, base, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        pytest.fail("the network was touched")

    edit(adapter, base_model_name_or_path="org/model")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert Policy.load(adapter, base=base).fingerprint() == fingerprint_of(adapter, base)
    with pytest.raises(BadInput):
        Policy.load(adapter)


# --- an adapter that begins as zero is its base --------------------------------------------------------------------


@pytest.fixture(scope="module")
def base_with_negative_zeros(tmp_path_factory) -> Path:
    policy, path = tiny_policy(), tmp_path_factory.mktemp("bases") / "zeros"
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.view(-1)[::3] = -0.0
    policy.save(path)
    return path


def n_negative_zeros(model: Any) -> int:
    return sum(int(((weight == 0) & weight.signbit()).sum()) for weight in model.parameters())


def test_step_0_of_a_lora_run_is_the_base_though_it_has_negative_zeros(base_with_negative_zeros):
    policy = Policy.load(base_with_negative_zeros)
    assert n_negative_zeros(policy.model) > 1000
    before = policy.fingerprint()
    merged = merge_adapters(policy, add_adapters(policy.model, rank=2, seed=0))
    assert merged.fingerprint() == before
    assert n_negative_zeros(merged.model) == n_negative_zeros(Policy.load(base_with_negative_zeros).model)


def test_an_adapter_directory_of_zeros_is_its_base(base_with_negative_zeros, tmp_path):
    adapters: Any = peft.get_peft_model(
        Policy.load(base_with_negative_zeros).model, peft.LoraConfig(r=2, target_modules="all-linear")
    )
    adapters.save_pretrained(tmp_path / "zero")
    assert fingerprint_of(tmp_path / "zero") == fingerprint_of(base_with_negative_zeros)
    assert Policy.load(tmp_path / "zero").fingerprint() == fingerprint_of(base_with_negative_zeros)


def test_only_weights_that_the_sum_leaves_equal_keep_their_bits(base_with_negative_zeros, tmp_path):
    expected = train_adapter(base_with_negative_zeros, tmp_path / "adapter", target_modules=["q_proj"])
    policy = Policy.load(tmp_path / "adapter")
    with torch.no_grad():
        assert torch.allclose(policy.model(IDS).logits, expected, atol=1e-4)
    assert (policy.model.model.layers[0].self_attn.q_proj.weight == 0).sum() == 0
    assert (policy.model.model.layers[0].self_attn.k_proj.weight == 0).any()


# --- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("org/model", "the name 'org/model', and no such directory here"),
        ("", "no name"),
        (None, "no name"),
        (7, "no name"),
    ],
)
def test_an_adapter_whose_base_cannot_be_found_is_refused(adapter, name, got):
    edit(adapter, base_model_name_or_path=name)
    assert_refused(adapter, f"expected an adapter whose base can be found, got {got}: name the directory of its base")


def test_an_adapter_of_another_base_is_refused(adapter, tmp_path):
    wider, fewer = tmp_path / "wider", tmp_path / "fewer"
    tiny_policy(intermediate_size=48).save(wider)
    tiny_policy(num_hidden_layers=2).save(fewer)
    assert_refused(adapter, r"expected an adapter of .*wider, got another's: .*gate_proj|down_proj", wider)
    assert_refused(adapter, r"got another's: 14 of 42 weights differ, e.g. .*layers.2.* expected none, got", fewer)


def test_an_adapter_of_modules_that_the_base_does_not_have_is_refused(adapter):
    edit(adapter, target_modules=["c_attn"])
    assert_refused(adapter, r"expected an adapter of .*base, got another's .*c_attn.*: name its own base")


def test_an_adapter_of_another_adapter_is_refused(adapter, base, tmp_path):
    train_adapter(base, tmp_path / "second")
    assert_refused(tmp_path / "second", "expected a whole model as the base of an adapter, got the adapter", adapter)


def test_a_base_for_a_whole_model_is_refused(base):
    assert_refused(base, "expected an adapter, to go with the base", base)


def test_a_pickled_adapter_is_refused(adapter):
    save_to = adapter / "adapter_model.bin"
    (adapter / "adapter_model.safetensors").rename(save_to)
    assert_refused(adapter, r"expected adapter_model.safetensors, got a pickle \(adapter_model.bin\), which is never")
    save_to.unlink()
    assert_refused(adapter, "expected adapter_model.safetensors, got none")


def test_a_truncated_adapter_is_refused(adapter):
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert_refused(adapter, r"adapter_model.safetensors: expected \d+ bytes by its own header")


def test_weights_that_are_no_part_of_the_adapter_are_refused(adapter):
    file = adapter / "adapter_model.safetensors"
    save_file(load_file(file) | {"base_model.model.extra": torch.zeros(2)}, file)
    assert_refused(adapter, r"1 of 43 weights differ, e.g. base_model.model.extra: expected none, got \(2,\)")


CHANGES = {
    "another method": ({"peft_type": "PREFIX_TUNING"}, "expected a LoRA adapter, got one of type PREFIX_TUNING"),
    "an unknown method": ({"peft_type": "MAGIC"}, "expected a LoRA adapter, got one of type MAGIC"),
    "no method": ({"peft_type": None}, "expected a LoRA adapter, got one of type None"),
    "a changed base": ({"init_lora_weights": "pissa"}, r"got one that began by changing it \(pissa\)"),
    "a module to import": ({"megatron_config": {"a": 1}}, "got one with megatron_config"),
    "tokens that call it": ({"alora_invocation_tokens": [5]}, "got one with alora_invocation_tokens"),
    "an entry of the future": ({"use_something_new": True}, "got one with use_something_new"),
    "an absurd rank": ({"r": 10**9}, r"expected ranks from 1 to 64, .* got 1000000000"),
    "absurd ranks": ({"rank_pattern": {"q_proj": 10**9}}, r"expected ranks from 1 to 64, .* got 1000000000"),
    "a rank in words": ({"r": "two"}, "expected ranks from 1 to 64, .* got 'two'"),
    "targets of another kind": ({"target_modules": 5}, "expected an adapter that peft opens"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_adapter_that_cannot_be_merged_is_refused(adapter, what):
    changes, message = CHANGES[what]
    edit(adapter, **changes)
    assert_refused(adapter, message)


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_a_damaged_config_is_refused(adapter, content):
    (adapter / "adapter_config.json").write_text(content)
    assert_refused(adapter, "adapter_config.json: expected")


@pytest.mark.parametrize("options", [{"target_modules": ["embed_tokens"]}, {"modules_to_save": ["lm_head"]}])
def test_an_adapter_of_one_of_two_tied_embeddings_is_refused(tmp_path, options):
    tiny_policy(tie_word_embeddings=True).save(tmp_path / "tied")
    train_adapter(tmp_path / "tied", tmp_path / "adapter", **options)
    assert_refused(tmp_path / "adapter", "which is tied to the other embedding: untie them in the base")


def test_an_adapter_of_other_matrices_of_a_tied_model_is_opened(tmp_path):
    tiny_policy(tie_word_embeddings=True).save(tmp_path / "tied")
    expected = train_adapter(tmp_path / "tied", tmp_path / "adapter")
    policy = Policy.load(tmp_path / "adapter")
    with torch.no_grad():
        assert torch.allclose(policy.model(IDS).logits, expected, atol=1e-4)
    assert policy.model.lm_head.weight is policy.model.model.embed_tokens.weight


def test_without_peft_an_adapter_is_refused(adapter, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    assert_refused(adapter, r"expected peft, to open an adapter: pip install 'interp\[peft\]'")


def test_a_copy_elsewhere_is_the_same_policy(adapter, tmp_path):
    moved = Path(shutil.copytree(adapter, tmp_path / "elsewhere"))
    assert fingerprint_of(moved) == fingerprint_of(adapter)
