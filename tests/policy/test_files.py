"""The files of a policy directory: compared with a manifest of ours, never outside it, and refused if they are none."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_policy
from damage_fixtures import DAMAGES, edit_json, edit_manifest, strip_checksums
from safetensors.torch import load_file, save_file

import interp
from interp.artifacts import MANIFEST, BadInput, integrity, write_manifest
from interp.policy import Policy, PromptFormat
from interp.policy.fingerprints import fingerprint_of
from interp.rollouts import Series

ROOT = Path(interp.__file__).parent.parent
READ = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
WEIGHTS = "model.safetensors"


OF_OTHER_PROGRAMS = (
    *('["a"]', '{"loss": NaN}', '{"name": "mine"}'),
    *('{"schema": "https://example.org/1"}', '{"schema": 1}', '{"kind": "model"}', '{"schema": 1, "kind": "model"}'),
    *('{"made_from": "a base"}', '{"made_from": {"base": "x"}, "kind": "model"}'),
    *('{"checksum": "abc"}', '{"kind": "model", "checksum": "0123456789abcdef"}', '{"files": ["a"], "step": 9}'),
    *('{"checkpoints": ["a"]}', '{"checkpoints": {"best": "checkpoint-3"}}', '{"kind": "checkpoint", "step": 9}'),
)


def make_ours(policy: Policy, path: Path, **sharding: Any) -> Path:
    """A directory with a manifest, as an organism or a checkpoint has."""
    policy.model.save_pretrained(path, **sharding)
    policy.tokenizer.save_pretrained(path)
    (path / "notes.md").write_text("mine")
    write_manifest(path, "checkpoint", config={}, made_from={})
    return path


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> dict[str, Path]:
    """A policy, and another with other files throughout."""
    root = tmp_path_factory.mktemp("ours")
    other = tiny_policy("qwen2", seed=1, eos_token_id=3)
    other.tokenizer.chat_template = "{{ messages }}"
    other.tokenizer.add_tokens(["extra"])
    other.tokenizer.unk_token = "<pad>"
    return {"one": make_ours(tiny_policy(), root / "one"), "other": make_ours(other, root / "other")}


@pytest.fixture
def copy(ours, tmp_path) -> Path:
    return Path(shutil.copytree(ours["one"], tmp_path / "copy"))


def assert_refused(path: Path, *messages: str) -> None:
    """By everything that opens a policy."""
    for opens in (Policy.load, fingerprint_of, lambda path: Series.from_dirs([path])[0].load()):
        with pytest.raises(BadInput) as caught:
            opens(path)
        assert all(message in str(caught.value) for message in messages), str(caught.value)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*READ, WEIGHTS])
def test_a_damaged_file_is_refused_by_its_name_with_a_way_out(ours, copy, name, damage):
    DAMAGES[damage](copy / name, ours["other"] / name)
    assert_refused(
        copy, str(copy / name), f"changed it on purpose, copy {copy} elsewhere and delete its {MANIFEST} there"
    )


@pytest.mark.parametrize("damage", ["flip", "cut", "exchange"])
def test_a_damaged_manifest_is_refused(ours, copy, damage):
    DAMAGES[damage](copy / MANIFEST, ours["other"] / MANIFEST)
    assert_refused(copy, str(copy), f"copy {copy} elsewhere and delete its {MANIFEST} there")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 99_999])
def test_a_manifest_that_does_not_parse_may_have_been_ours_and_is_refused(copy, content):
    (copy / MANIFEST).write_bytes(content)
    assert_refused(copy, str(copy / MANIFEST))


@pytest.mark.parametrize("name", ["schema", "kind", "made_from", "checksum"])
@pytest.mark.parametrize("is_renamed", [False, True], ids=["another type", "another name"])
def test_a_manifest_of_ours_with_one_damaged_entry_is_refused(copy, name, is_renamed):
    """It is not taken for one of another program, whose files are not compared."""
    edit_json(copy / MANIFEST, lambda it: it.update({f"{name}_": it.pop(name)} if is_renamed else {name: [1]}))
    edit_json(copy / "config.json", lambda config: config.update(rms_norm_eps=0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without its checksum, it may be one of an earlier version
        assert_refused(copy, str(copy))


@pytest.mark.parametrize("text", OF_OTHER_PROGRAMS)
def test_the_manifest_of_another_program_is_ignored(tiny_dirs, tmp_path, text):
    checkpoint = Path(shutil.copytree(tiny_dirs["qwen3"], tmp_path / "run" / "checkpoint-3"))
    for directory in (checkpoint, checkpoint.parent):
        (directory / MANIFEST).write_text(text)
    assert Policy.load(checkpoint).fingerprint() == fingerprint_of(checkpoint) == fingerprint_of(tiny_dirs["qwen3"])
    assert Series.from_dir(checkpoint.parent, skip_bad=True).steps == (3,)


def test_two_shards_of_one_policy_are_not_exchanged_in_silence(tmp_path):
    path = make_ours(tiny_policy(), tmp_path / "shards", max_shard_size="20KB")
    first, second = sorted(path.glob("model-*.safetensors"))[:2]
    content = first.read_bytes()
    shutil.copyfile(second, first)
    second.write_bytes(content)
    assert_refused(path, str(first))


def test_a_file_that_was_not_written_with_the_policy_is_refused_if_it_would_be_read(copy):
    (copy / "notes.md").write_text("others")
    (copy / "more.md").write_text("anything")
    Policy.load(copy)
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert_refused(copy, f"{copy / 'chat_template.jinja'}: expected only files that were written with the policy")


def test_a_changed_policy_is_opened_once_its_manifest_is_gone(copy):
    edit_json(copy / "config.json", lambda config: config.update(rms_norm_eps=0.5))
    assert_refused(copy, "config.json: expected", "on purpose")
    (copy / MANIFEST).unlink()
    assert Policy.load(copy).fingerprint() == fingerprint_of(copy)


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN"])
def test_a_config_with_a_number_that_json_lacks_is_read(tiny_dirs, tmp_path, number):
    """transformers wrote such for Mamba-2: time_step_limit."""
    path = Path(shutil.copytree(tiny_dirs["qwen3"], tmp_path / "policy"))
    config = (path / "config.json").read_text().rstrip().removesuffix("}")
    (path / "config.json").write_text(f'{config}, "time_step_limit": [0.0, {number}]}}')
    assert Policy.load(path).fingerprint() == fingerprint_of(path) != fingerprint_of(tiny_dirs["qwen3"])


def test_sizes_alone_are_compared_where_that_is_asked_for(copy):
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    with integrity("sizes"):
        Policy.load(copy)
    assert_refused(copy, "expected checksum")


def test_a_plain_directory_is_opened_without_a_word_and_one_of_an_earlier_version_with_one(copy, tiny_dirs, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        Policy.load(tiny_dirs["qwen3"])
        plain = Path(shutil.copytree(tiny_dirs["qwen3"], tmp_path / "plain"))
        (plain / MANIFEST).write_text('{"name": "of another program"}')
        Policy.load(plain)
    strip_checksums(copy)
    with pytest.warns(UserWarning, match="without checksums"):
        Policy.load(copy)


def test_a_series_compares_small_files_when_it_is_opened_and_weights_when_they_are_read(tmp_path):
    run = tmp_path / "run"
    for step in (0, 1, 2):
        make_ours(tiny_policy(seed=step), run / f"checkpoint-{step}")
    weights = run / "checkpoint-1" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    series = Series.from_dir(run)
    with pytest.raises(BadInput, match=f"{weights}: expected checksum"):
        series.checkpoint(1).load()
    with pytest.raises(BadInput, match=f"{weights}: expected checksum"):
        series.checkpoint(1).fingerprint()
    without = Series.from_dir(run, skip_bad=True)
    assert without.steps == (0, 2) and "expected checksum" in without.skipped[0][1]
    edit_json(run / "checkpoint-2" / "config.json", lambda config: config.update(rms_norm_eps=0.5))
    with pytest.raises(BadInput, match="checkpoint-2/config.json: expected"):
        Series.from_dir(run)


def test_a_manifest_and_another_file_are_not_exchanged_in_silence(copy):
    manifest, other = copy / "manifest.json", copy / "generation_config.json"
    texts = manifest.read_text(), other.read_text()
    manifest.write_text(texts[1])
    other.write_text(texts[0])
    for read in (Policy.load, fingerprint_of):
        with pytest.raises(
            BadInput, match=r"generation_config.json: expected the file of a policy, got a manifest.json"
        ):
            read(copy)


def test_two_checkpoints_of_a_run_are_not_exchanged_in_silence(tmp_path):
    for step in (0, 1):
        path = make_ours(tiny_policy(seed=step), tmp_path / f"checkpoint-{step}")
        edit_manifest(path, lambda manifest, step=step: manifest.update(step=step))
    assert Series.from_dir(tmp_path).steps == (0, 1)
    (tmp_path / "checkpoint-1").rename(tmp_path / "checkpoint-2")
    with pytest.raises(BadInput, match="checkpoint-2: expected the checkpoint of step 2, got that of 1: rename it"):
        Series.from_dir(tmp_path)
    assert Series.from_dir(tmp_path, skip_bad=True).steps == (0,)


# --- nothing outside the directory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../{}", "/{}", "sub/{}", "..", "", "a.bin", "a\\..\\{}", 3, None, []])
def test_an_index_names_only_safetensors_files_beside_it(tmp_path, name):
    path = tmp_path / "policy"
    policy = tiny_policy()
    policy.model.save_pretrained(path, max_shard_size="20KB")
    policy.tokenizer.save_pretrained(path)
    shard = min(path.glob("model-*.safetensors"))
    named = name.format(shard.name) if isinstance(name, str) else name
    for place in (tmp_path, path / "sub"):
        place.mkdir(exist_ok=True)
        shutil.copyfile(shard, place / shard.name)
    weights = dict.fromkeys(load_file(shard), named)
    edit_json(path / "model.safetensors.index.json", lambda index: index["weight_map"].update(weights))
    assert_refused(path, "model.safetensors.index.json" if name != "a\\..\\{}" else "expected names of files inside it")


def test_links_into_the_cache_of_a_hub_are_followed(tiny_dirs, tmp_path):
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    for file in tiny_dirs["qwen3"].iterdir():
        blob = tmp_path / f"blob-{file.name}"
        shutil.copyfile(file, blob)
        os.symlink(f"../../{blob.name}", snapshot / file.name)
    assert fingerprint_of(snapshot) == fingerprint_of(tiny_dirs["qwen3"]) == Policy.load(snapshot).fingerprint()


# --- plain directories that are no policy ----------------------------------------------------------------------------


@pytest.fixture
def plain(tiny_dirs, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_dirs["qwen3"], tmp_path / "plain"))


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"3", b"\xff\xfe", b"[" * 99_999, b'{"a":' * 99_999])
@pytest.mark.parametrize("name", READ)
def test_a_file_that_is_no_json_with_entries_is_refused_by_its_name(plain, name, content):
    (plain / name).write_bytes(content)
    with pytest.raises(BadInput, match=f"{plain / name}: expected JSON"):
        Policy.load(plain)


@pytest.mark.parametrize(
    "changes",
    [
        *[{"hidden_size": value} for value in ("x", None, -1, 0, 10**9, 10**30, 1.5, [], {})],
        *[{"vocab_size": value} for value in ("x", None, -1, 0, 10**9)],
        *[{"num_hidden_layers": value} for value in ("x", None, -1, 0, 2, 4, 10**9)],
        *[{"num_attention_heads": value} for value in ("x", 0, 3, 10**9)],
        *[{"rms_norm_eps": value} for value in ("x", None, [])],
        *[{"rope_parameters": value} for value in ("x", 3, {"rope_type": "none"})],
        *[{"max_position_embeddings": value} for value in ("x", None, -1, 1)],
        *[{"model_type": value} for value in ("x", None, [], 3, "bert2")],
        {"num_labels": 10**9},
        {"layer_types": ["full_attention"]},
        {"hidden_act": "none"},
        {"tie_word_embeddings": True},
    ],
    ids=str,
)
def test_a_config_that_is_not_that_of_the_weights_is_refused(plain, changes):
    edit_json(plain / "config.json", lambda config: config.update(changes))
    with pytest.raises(BadInput, match=str(plain)):
        Policy.load(plain)


@pytest.mark.parametrize("eos", ["x", 1.5, {}, [None], ["2"]])
def test_end_tokens_of_a_wrong_type_are_refused(plain, eos):
    """transformers would ignore the file."""
    edit_json(plain / "generation_config.json", lambda config: config.update(eos_token_id=eos))
    with pytest.raises(BadInput, match="generation_config.json"):
        Policy.load(plain)


def set_id(value: Any) -> Callable[[Any], None]:
    return lambda tokenizer: tokenizer["model"]["vocab"].update({"1": value})


@pytest.mark.parametrize(
    "change",
    [
        *[set_id(value) for value in (-1, 10**9, 30, "a", None)],
        lambda tokenizer: tokenizer.update(model=None),
        lambda tokenizer: tokenizer.update(model={"type": "None"}),
        lambda tokenizer: tokenizer.update(pre_tokenizer={"type": "None"}),
        lambda tokenizer: tokenizer.update(added_tokens=[{"id": 2**31, "content": "<eos>"}]),
        lambda tokenizer: tokenizer.pop("model"),
    ],
)
def test_a_tokenizer_that_no_library_loads_is_refused(plain, change):
    edit_json(plain / "tokenizer.json", change)
    with pytest.raises(BadInput, match=str(plain)):
        Policy.load(plain)


def test_a_chat_template_that_does_not_parse_is_refused_when_it_is_used(plain):
    edit_json(plain / "tokenizer_config.json", lambda config: config.update(chat_template="{% for %}"))
    policy = Policy.load(plain)
    assert policy.encode(["1 + 2"])
    with pytest.raises(BadInput, match="expected a chat template that can be applied"):
        policy.encode(["1 + 2"], PromptFormat(chat=True))


def test_a_header_of_absurd_length_is_refused_before_it_is_read(plain, monkeypatch):
    with (plain / WEIGHTS).open("wb") as handle:
        handle.write((10_000_001).to_bytes(8, "little"))
        handle.truncate(30_000_000)
    monkeypatch.setattr(json, "loads", lambda *args, **more: pytest.fail("the header was parsed"))
    monkeypatch.setattr("interp.policy.directory.check_config", lambda path: {"model_type": "qwen3"})
    monkeypatch.setattr("interp.policy.directory._expect_stop_tokens", lambda path: None)
    with pytest.raises(BadInput, match="expected a safetensors header of up to 10,000,000 bytes, got 10,000,001"):
        fingerprint_of(plain)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"3",
        b'{"a": 3}',
        b'{"a": {"dtype": "F32"}}',
        b'{"a": {"shape": [1], "data_offsets": ["x", "y"]}}',
        b"[" * 9999,
    ],
)
def test_a_header_without_tensors_is_refused(plain, header):
    (plain / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(BadInput, match=f"{plain / WEIGHTS}: expected a safetensors header"):
        Policy.load(plain)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    path = tmp_path / "policy"
    policy = tiny_policy()
    policy.model.save_pretrained(path, max_shard_size="20KB")
    policy.tokenizer.save_pretrained(path)
    first, second = sorted(path.glob("model-*.safetensors"))[:2]
    save_file(load_file(first) | load_file(second), second, {"format": "pt"})
    assert_refused(path, str(second), "expected tensors of its own, got")


MEASURE = """
import json, resource, sys
from pathlib import Path
from interp.artifacts import BadInput
from interp.policy import Policy
whole, case = Path(sys.argv[1]), Path(sys.argv[2])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
Policy.load(whole)
texts = {name: (case / name).read_text() for name in ("config.json", "tokenizer.json")}
for name, keys, value in json.loads(sys.argv[3]):
    content = json.loads(texts[name])
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (case / name).write_text(json.dumps(content))
    before = peak()
    try:
        Policy.load(case)
    except BadInput:
        print(json.dumps([keys[-1], peak() - before]))
    (case / name).write_text(texts[name])
"""


def test_a_refusal_takes_less_than_100_mb(tiny_dirs, plain):
    counts = ("hidden_size", "vocab_size", "num_hidden_layers", "num_labels")
    cases = [*(("config.json", [name], 10**9) for name in counts), ("tokenizer.json", ["model", "vocab", "1"], 10**9)]
    arguments = [str(tiny_dirs["qwen3"]), str(plain), json.dumps(cases)]
    child = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    taken = [json.loads(line) for line in child.stdout.splitlines()]
    assert len(taken) == len(cases), "each is refused"
    assert max(mb for _, mb in taken) < 100, taken
