"""A GGUF file becomes a Hugging Face directory with the very weights that its bits stand for, or is refused."""

import struct
import sys
from pathlib import Path

import gguf
import pytest
import torch
from gguf_fixtures import EOS, FAMILIES, MERGES, TOKENS, random_model, write_gguf

from interp import costs
from interp.artifacts import MANIFEST, BadInput, locked
from interp.policy import Policy
from interp.policy.fingerprints import fingerprint_of
from interp.policy.gguf import import_gguf
from interp.policy.gguf_header import read_gguf_header

LINE = "12 + 7 = ans é 🦊"


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", random_model("llama"), chat=True)


@pytest.fixture
def file(shared, tmp_path) -> Path:
    """A copy that a test may damage."""
    copy = tmp_path / "tiny.gguf"
    copy.write_bytes(shared.read_bytes())
    return copy


def assert_refused(file: Path, message: str) -> None:
    out = file.parent / "out"
    with pytest.raises(BadInput, match=message):
        import_gguf(file, out)
    assert not out.exists() and not list(file.parent.glob(".out*"))


# --- import --------------------------------------------------------------------------------------------------------


KINDS = [(family, tied) for family in FAMILIES for tied in (True, False) if tied or not family.startswith("gemma")]


@pytest.mark.parametrize(("family", "tied"), KINDS)
def test_the_imported_policy_has_the_weights_of_the_model_that_was_written(tmp_path, family, tied):
    model = random_model(family, tie_word_embeddings=tied)
    imported = import_gguf(write_gguf(tmp_path / "a.gguf", model), tmp_path / "out")
    policy = Policy.load(tmp_path / "out")
    expected = dict(model.named_parameters())
    for name, weight in policy.model.named_parameters():
        exact = "norm" not in name or not family.startswith("gemma")  # one was added to the norms, and taken away
        assert torch.allclose(weight, expected.pop(name), atol=0 if exact else 1e-6), name
    assert expected == {}
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(policy.model(ids).logits, model(ids).logits, atol=1e-4)
    assert imported.path == tmp_path / "out" and imported.architecture == family
    assert imported.parameters == sum(weight.numel() for weight in policy.model.parameters())
    assert imported.quantization == "F32" and not imported.has_chat_template
    assert fingerprint_of(tmp_path / "out") == policy.fingerprint()


def test_quantized_weights_are_the_numbers_their_bits_stand_for(tmp_path):
    model = random_model("qwen3", tie_word_embeddings=False)
    imported = import_gguf(write_gguf(tmp_path / "a.gguf", model, quantized=True), tmp_path / "out")
    policy = Policy.load(tmp_path / "out")
    kind = gguf.GGMLQuantizationType.Q8_0
    for name in ("model.embed_tokens.weight", "lm_head.weight", "model.layers.1.mlp.down_proj.weight"):
        blocks = gguf.quants.quantize(model.get_parameter(name).detach().numpy(), kind)
        restored = torch.from_numpy(gguf.quants.dequantize(blocks, kind))
        assert torch.equal(policy.model.get_parameter(name), restored), name
        assert not torch.equal(policy.model.get_parameter(name), model.get_parameter(name))
    assert imported.quantization == "Q8_0, F32"


def test_the_tokenizer_is_that_of_the_file(shared, tmp_path):
    imported = import_gguf(shared, tmp_path / "out")
    policy = Policy.load(tmp_path / "out")
    [ids] = policy.encode([LINE])
    assert policy.tokenizer.decode(ids) == LINE
    assert [TOKENS[token] for token in ids[:3]] == ["12", "Ġ+", "Ġ"]
    assert policy.tokenizer("<|im_end|>")["input_ids"] == [TOKENS.index("<|im_end|>")]
    assert policy.stop_ids == [EOS] and len(policy.tokenizer) == len(TOKENS) and len(MERGES) == 5
    assert imported.has_chat_template and policy.tokenizer.chat_template


def test_half_precision_takes_half_and_rounds(shared, tmp_path):
    whole = import_gguf(shared, tmp_path / "whole")
    half = import_gguf(shared, tmp_path / "half", dtype="bfloat16")
    assert half.n_bytes < 0.8 * whole.n_bytes
    first, second = (Policy.load(tmp_path / name).model.lm_head.weight for name in ("whole", "half"))
    assert torch.equal(first.bfloat16().float(), second) and not torch.equal(first, second)
    with pytest.raises(BadInput, match="dtype must be one of float32, bfloat16, float16; got 'int8'"):
        import_gguf(shared, tmp_path / "third", dtype="int8")


def test_the_directory_is_a_plain_one_that_says_what_it_was_made_from(shared, tmp_path):
    import_gguf(shared, tmp_path / "out")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names and MANIFEST not in names
    text = (tmp_path / "out" / "README.md").read_text()
    assert text.startswith("# Tiny\n") and "`tiny.gguf` (sha256 " in text and "F32, restored to float32" in text
    config = (tmp_path / "out" / "config.json").read_text()
    assert "gguf" not in config and "quantization" not in config and str(shared.parent) not in config


# --- refused -------------------------------------------------------------------------------------------------------


def test_an_existing_place_is_refused_unless_overwritten(file, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note").touch()
    with pytest.raises(BadInput, match="out exists already: choose another place"):
        import_gguf(file, tmp_path / "out")
    with pytest.raises(BadInput, match=r"expected nothing but a result to replace, got other files in it \(note\)"):
        import_gguf(file, tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "note").unlink()
    for _ in range(2):
        import_gguf(file, tmp_path / "out", overwrite=True)
    assert Policy.load(tmp_path / "out").n_layers == 3


def test_the_place_is_held_while_the_file_is_read(file, tmp_path, monkeypatch):
    def is_held(*_: object, **__: object) -> None:
        (tmp_path / ".out.lock").read_bytes()
        raise BadInput("far enough")

    monkeypatch.setattr("interp.policy.gguf.read_gguf_header", is_held)
    with pytest.raises(BadInput, match="far enough"):
        import_gguf(file, tmp_path / "out")
    with locked(tmp_path / "out"):
        pass


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04 a wheel", b"gguf" * 10])
def test_a_file_that_is_no_gguf_is_refused(file, content):
    file.write_bytes(content)
    assert_refused(file, "tiny.gguf: expected a GGUF file, which begins with b'GGUF'; got b'")


def test_nothing_and_a_directory_are_refused(tmp_path):
    assert_refused(tmp_path / "none.gguf", "none.gguf: expected a GGUF file, got nothing there")
    (tmp_path / "d").mkdir()
    assert_refused(tmp_path / "d", "expected a GGUF file, got a directory")


def test_a_file_that_was_truncated_anywhere_is_refused(file):
    content = file.read_bytes()
    start = read_gguf_header(file).data_start
    for size in (5, 23, 200, start // 2, start - 40):
        file.write_bytes(content[:size])
        assert_refused(file, "tiny.gguf: expected a whole GGUF file, got one that ends inside its header: download it")
    for size in (start + 10, len(content) // 2, len(content) - 40):
        file.write_bytes(content[:size])
        assert_refused(file, r"tiny.gguf: expected at least [\d,]+ bytes, by its header, got [\d,]+: download it again")


@pytest.mark.parametrize("count", [2**60, 2**63])
@pytest.mark.parametrize("place", [8, 16], ids=["tensors", "entries"])
def test_absurd_counts_are_refused_at_once(file, place, count):
    content = bytearray(file.read_bytes())
    content[place : place + 8] = struct.pack("<Q", count)
    file.write_bytes(bytes(content))
    assert_refused(file, "tiny.gguf: expected")


def test_an_unknown_version_is_refused(file):
    content = bytearray(file.read_bytes())
    content[4:8] = struct.pack("<I", 9)
    file.write_bytes(bytes(content))
    assert_refused(file, "expected GGUF version 2 or 3, got 9")


@pytest.mark.parametrize("arch", ["rwkv7", "clip", "none"])
def test_an_unknown_architecture_is_refused(tmp_path, arch):
    file = write_gguf(tmp_path / "a.gguf", random_model("llama"), arch=arch)
    assert_refused(file, f"expected an architecture that transformers restores from GGUF .*, got {arch}: download the")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("block_count", r"expected llama.block_count of up to 1,024, by its tensors, got 1,000,000,000"),
        ("attention.head_count", r"expected llama.attention.head_count of up to 1,024, .* got 1,000,000,000"),
        ("feed_forward_length", r"expected tensors of [\d,]+ weights, by its metadata, got [\d,]+: download it again"),
        ("embedding_length", "expected"),
    ],
)
def test_absurd_sizes_are_refused_before_memory_is_taken(file, entry, message):
    content, name = file.read_bytes(), f"llama.{entry}".encode()
    start = content.index(name) + len(name) + 4  # after the name and the type of the value
    file.write_bytes(content[:start] + struct.pack("<I", 10**9) + content[start + 4 :])
    assert_refused(file, message)


def test_scaled_positions_that_would_be_lost_are_refused(tmp_path):
    entries = {"llama__rope__scaling__type": "yarn"}
    assert_refused(
        write_gguf(tmp_path / "a.gguf", random_model("llama"), **entries),
        r"expected positions that transformers restores from GGUF, got scaled ones \(llama.rope.scaling.type yarn\)",
    )


def test_a_tokenizer_that_does_not_fit_the_model_is_refused(tmp_path):
    file = write_gguf(tmp_path / "a.gguf", random_model("llama", vocab_size=len(TOKENS) - 3, pad_token_id=0))
    assert_refused(file, "a.gguf: expected")


def test_without_the_package_a_file_is_refused(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert_refused(file, r"expected the package gguf to read it, got none: pip install 'interp\[gguf\]'")


def test_more_memory_than_the_machine_has_is_refused_before_it_is_taken(file, monkeypatch):
    monkeypatch.setattr(costs, "LITTLE_MEMORY", 1)
    monkeypatch.setattr(costs, "machine_memory", lambda: 100)
    assert_refused(file, "the weights of tiny.gguf, restored from their blocks, take .* use a smaller model")


def test_a_large_vocabulary_is_said_to_take_time(file, tmp_path, monkeypatch):
    assert read_gguf_header(file).n_vocabulary_entries == 2 * len(TOKENS) + len(MERGES)
    monkeypatch.setattr("interp.policy.gguf.SECONDS_PER_ENTRY", 1.0)
    with pytest.warns(UserWarning, match="reading the vocabulary of tiny.gguf takes about 9 min"):
        import_gguf(file, tmp_path / "out")


@pytest.mark.parametrize("name", ["model.gguf", "model.safetensors"])
def test_a_file_where_a_directory_is_expected_is_refused_with_what_to_do(tmp_path, name):
    (tmp_path / name).write_bytes(b"GGUF")
    remedy = "make a directory of it first .interp import-gguf" if name == "model.gguf" else "name the directory"
    with pytest.raises(BadInput, match=f"expected a local Hugging Face directory, got a .*file.*{remedy}"):
        Policy.load(tmp_path / name)
