"""A model directory is loaded exactly, or refused with the reason. The messages are part of the contract."""

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
import transformers
from conftest import CONTEXT, FAMILIES, WORDS, tiny_policy, tiny_tokenizer
from safetensors.torch import load_file, save_file

from interp.artifacts import BadInput
from interp.policy import Policy, PromptFormat
from interp.policy.fingerprints import fingerprint_of

PROMPT = "1 + 2 = 3 ; zzz"
IDS = [5, 24, 6, 27, 7, 28, 3]


@pytest.fixture
def copy(tiny_dirs, tmp_path):
    """A copy of the qwen3 directory that a test may damage."""
    return Path(shutil.copytree(tiny_dirs["qwen3"], tmp_path / "copy"))


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        Policy.load(path)
    assert str(path) in str(caught.value)


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


def sharded(policy: Policy, path: Path) -> Path:
    policy.model.save_pretrained(path, max_shard_size="20KB")
    policy.tokenizer.save_pretrained(path)
    assert (path / "model.safetensors.index.json").exists()
    return path


def logits(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        return policy.model(torch.tensor([IDS])).logits


# --- loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_policy_loads_bit_for_bit(tiny, tiny_dirs, family):
    loaded = Policy.load(tiny_dirs[family])
    assert loaded.path == tiny_dirs[family]
    assert not loaded.model.training
    assert torch.equal(logits(loaded), logits(tiny[family]))
    assert loaded.fingerprint() == tiny[family].fingerprint()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_custom_tokenizer_keeps_its_ids_in_every_family(tiny_dirs, family):
    policy = Policy.load(tiny_dirs[family])
    assert policy.tokenizer(PROMPT)["input_ids"] == IDS
    known = PROMPT.replace(" zzz", "")
    assert policy.encode([known]) == [IDS[:-1]]
    with pytest.raises(BadInput, match="got unknown ones in '1 \\+ 2"):
        policy.encode([PROMPT])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_the_fingerprint_of_a_directory_equals_that_of_the_loaded_policy(tmp_path, family, tied):
    policy = tiny_policy(family, tie_word_embeddings=tied)
    policy.save(tmp_path / "whole")
    sharded(policy, tmp_path / "shards")
    assert fingerprint_of(tmp_path / "whole") == policy.fingerprint()
    assert fingerprint_of(tmp_path / "shards") == policy.fingerprint()
    assert Policy.load(tmp_path / "whole").fingerprint() == policy.fingerprint()
    assert Policy.load(tmp_path / "shards").fingerprint() == policy.fingerprint()


def test_a_stored_copy_of_a_tied_head_does_not_change_the_fingerprint(tmp_path):
    policy = tiny_policy(tie_word_embeddings=True)
    policy.save(tmp_path / "tied")
    file = tmp_path / "tied" / "model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}, file, {"format": "pt"})
    assert Policy.load(tmp_path / "tied").fingerprint() == policy.fingerprint()
    assert fingerprint_of(tmp_path / "tied") == policy.fingerprint()


def test_changing_a_weight_changes_the_fingerprint(new_policy):
    policy = new_policy()
    before = policy.fingerprint()
    with torch.no_grad():
        policy.model.lm_head.weight[0, 0] += 1e-3
    assert policy.fingerprint() != before


def test_loading_never_touches_the_network(tiny_dirs, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        pytest.fail("the network was touched")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    Policy.load(tiny_dirs["qwen2"])
    with pytest.raises(BadInput):
        Policy.load("Qwen/Qwen3-0.6B")


def test_saving_over_a_directory_needs_overwrite(copy, new_policy):
    other = new_policy(seed=1)
    before = fingerprint_of(copy)
    with pytest.raises(BadInput, match="exists already"):
        other.save(copy)
    assert fingerprint_of(copy) == before
    other.save(copy, overwrite=True)
    assert fingerprint_of(copy) == other.fingerprint() != before


@pytest.mark.parametrize(
    ("family", "sizes", "context"),
    [
        ("Bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, None),
        ("Bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": 48}, 48),
        ("Mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 40}, 40),
        ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24}, 24),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_families_name_the_largest_number_of_tokens_differently_or_not_at_all(tmp_path, family, sizes, context):
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = getattr(transformers, f"{family}Config")(vocab_size=len(WORDS), **sizes, **special)
    model = getattr(transformers, {"GPT2": "GPT2LMHeadModel"}.get(family, f"{family}ForCausalLM"))(config)
    Policy(model.eval(), tiny_tokenizer()).save(tmp_path / "policy")
    policy = Policy.load(tmp_path / "policy")
    assert policy.fingerprint() == fingerprint_of(tmp_path / "policy")
    if context is not None:
        assert policy.context == context
        return
    with pytest.raises(BadInput, match=r"\(max_position_embeddings, .*\), got none: add max_position_embeddings to"):
        policy.encode(["1 + 2"])
    edit(tmp_path / "policy" / "config.json", max_position_embeddings=32)
    assert Policy.load(tmp_path / "policy").context == 32


# --- refused paths ---------------------------------------------------------------------------------------------------


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    assert_refused(tmp_path / "nowhere", "expected a local Hugging Face directory, got nothing")


def test_a_path_that_is_a_file_is_refused(copy):
    assert_refused(copy / "config.json", "expected a local Hugging Face directory, got a file")


def test_a_run_directory_is_refused_with_a_pointer_to_its_checkpoints(copy, tmp_path):
    shutil.copytree(copy, tmp_path / "run" / "checkpoint-0")
    assert_refused(tmp_path / "run", r"got checkpoint-0: name one of its checkpoints, or open .* a series \(.*--series")


def test_a_directory_without_a_config_is_refused_with_a_listing(copy):
    (copy / "config.json").unlink()
    assert_refused(copy, r"expected config\.json, got generation_config\.json, model\.safetensors, tokenizer\.json")


def test_an_adapter_beside_a_model_is_refused_and_never_applied(copy):
    (copy / "adapter_config.json").write_text("{}")
    assert_refused(copy, r"expected a model or an adapter, got both \(config.json, adapter_config.json\): delete the")


def test_an_empty_directory_is_refused(tmp_path):
    assert_refused(tmp_path, r"expected config\.json, got an empty one")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_file_that_is_not_json_is_refused_by_name(copy, name):
    (copy / name).write_text('{"half": ')
    assert_refused(copy, rf"{name}: expected JSON, got text that does not parse")


# --- refused code ----------------------------------------------------------------------------------------------------


def write_code(path: Path, marker: Path) -> None:
    (path / "modeling.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from transformers import Qwen3Config as Config, Qwen3ForCausalLM as Model\n"
        "from transformers import PreTrainedTokenizerFast as Words\n"
    )


def test_a_model_with_its_own_code_is_refused_and_the_code_never_runs(copy, tmp_path):
    write_code(copy, tmp_path / "marker")
    auto = {"AutoConfig": "modeling.Config", "AutoModelForCausalLM": "modeling.Model"}
    edit(copy / "config.json", auto_map=auto)
    assert_refused(copy, r"needs code from its own directory \(.*modeling\.Model.*\), which is never run")
    assert not (tmp_path / "marker").exists()


def test_a_tokenizer_with_its_own_code_is_refused_without_a_prompt_to_the_user(copy, tmp_path, monkeypatch):
    write_code(copy, tmp_path / "marker")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the user was prompted"))
    edit(copy / "tokenizer_config.json", tokenizer_class="Words", auto_map={"AutoTokenizer": [None, "modeling.Words"]})
    assert_refused(copy, r"tokenizer needs code from its own directory \(.*modeling\.Words.*\), which is never run")
    assert not (tmp_path / "marker").exists()


# --- refused weights -------------------------------------------------------------------------------------------------


def test_pickled_weights_are_refused_by_name_and_never_opened(copy, monkeypatch):
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"never read")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was opened"))
    assert_refused(
        copy,
        r"expected model\.safetensors, got pickled weights \(pytorch_model\.bin\), which are never opened: "
        r"save the model with safe_serialization=True",
    )


def test_missing_weights_are_refused_with_a_listing(copy):
    (copy / "model.safetensors").unlink()
    assert_refused(copy, r"expected model\.safetensors, got config\.json, generation_config\.json")


@pytest.mark.parametrize("size", [0, 5, 100])
def test_a_safetensors_file_cut_in_its_header_is_refused_with_its_size(copy, size):
    cut(copy / "model.safetensors", size)
    assert_refused(copy, rf"model\.safetensors: expected a safetensors header, got a file cut short at {size} bytes")


def test_a_truncated_safetensors_file_is_refused_with_both_sizes(copy):
    whole = (copy / "model.safetensors").stat().st_size
    cut(copy / "model.safetensors", whole - 1)
    assert_refused(copy, rf"expected {whole} bytes by its own header, got {whole - 1}: copy it again")
    with pytest.raises(BadInput, match=f"expected {whole} bytes"):
        fingerprint_of(copy)


def test_a_safetensors_file_with_extra_bytes_is_refused(copy):
    file = copy / "model.safetensors"
    whole = file.stat().st_size
    file.write_bytes(file.read_bytes() + b"more")
    assert_refused(copy, rf"expected {whole} bytes by its own header, got {whole + 4}")


def test_a_file_that_is_not_safetensors_is_refused(copy):
    (copy / "model.safetensors").write_bytes((8).to_bytes(8, "little") + b"\xff\xfegarble" + b"\0" * 64)
    assert_refused(copy, r"model\.safetensors: expected a safetensors header, got bytes that do not parse")


def test_a_missing_shard_is_refused_by_name(tiny, tmp_path):
    path = sharded(tiny["qwen3"], tmp_path / "shards")
    shard = sorted(path.glob("*.safetensors"))[1]
    shard.unlink()
    assert_refused(path, f"expected {shard.name}, got ")
    with pytest.raises(BadInput, match=shard.name):
        fingerprint_of(path)


def test_a_truncated_shard_is_refused_by_name(tiny, tmp_path):
    path = sharded(tiny["qwen3"], tmp_path / "shards")
    shard = sorted(path.glob("*.safetensors"))[1]
    cut(shard, shard.stat().st_size - 7)
    assert_refused(path, rf"{shard.name}: expected \d+ bytes by its own header")


def test_a_weight_missing_from_the_file_is_refused_by_name(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    assert_refused(copy, r"1 weights of the architecture are not in the files, e\.g\. model\.layers\.1\.mlp\.up_proj")


def test_weights_of_another_shape_are_refused_with_both_shapes(copy):
    edit(copy / "config.json", intermediate_size=96)
    assert_refused(copy, r"9 weights .* another shape .*down_proj\.weight: expected \(32, 96\), got \(32, 64\)")


# --- refused tokenizers and prompts ----------------------------------------------------------------------------------


def test_a_directory_without_a_tokenizer_is_refused(copy):
    for file in copy.glob("tokenizer*"):
        file.unlink()
    assert_refused(copy, r"expected tokenizer\.json beside the weights, got none: save the tokenizer there too")


def test_a_tokenizer_with_an_empty_vocabulary_is_refused(copy):
    from transformers import Qwen2Tokenizer

    for file in copy.glob("tokenizer*"):
        file.unlink()
    Qwen2Tokenizer().save_pretrained(copy)
    assert_refused(copy, "expected a tokenizer with a vocabulary, got one that turns '1 \\+ 2' into no tokens")


def test_a_tokenizer_config_alone_is_not_a_tokenizer(copy):
    (copy / "tokenizer.json").unlink()
    edit(copy / "tokenizer_config.json", tokenizer_class="Qwen2Tokenizer")
    assert_refused(copy, "expected a tokenizer with a vocabulary")


def test_a_tokenizer_without_an_end_token_is_refused(copy):
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(copy)
    assert_refused(copy, "expected a tokenizer with an eos token, got none: a completion could never end")


def test_a_prompt_must_leave_room_for_one_token(tiny):
    policy = tiny["qwen3"]
    assert policy.context == CONTEXT
    assert len(policy.encode(["1 " * (CONTEXT - 1)])[0]) == CONTEXT - 1
    with pytest.raises(
        BadInput, match=f"a prompt must have 1 to {CONTEXT - 1} tokens; got {CONTEXT} in '1 1 .*\\.\\.\\.'"
    ):
        policy.encode(["3", "1 " * CONTEXT])


def test_an_empty_prompt_is_refused(tiny):
    with pytest.raises(BadInput, match=f"a prompt must have 1 to {CONTEXT - 1} tokens; got 0 in ''"):
        tiny["qwen3"].encode([""])


def test_chat_needs_a_template_and_follows_it(tiny):
    with pytest.raises(BadInput, match="expected a tokenizer with a chat template.*: leave out chat"):
        tiny["qwen3"].encode(["1 + 2"], PromptFormat(chat=True))
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}<bos> {{ m.content }} ; {% endfor %}{% if add_generation_prompt %}ans{% endif %}"
    )
    chatty = Policy(tiny["qwen3"].model, tokenizer)
    expected = [WORDS.index(word) for word in ("<bos>", "1", "+", "2", ";", "ans")]
    assert chatty.encode(["1 + 2"], PromptFormat(chat=True)) == [expected]
    assert chatty.encode(["1 + 2"]) == [[5, 24, 6]]
