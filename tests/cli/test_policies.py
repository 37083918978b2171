"""The command `import-gguf`, and adapters and their base in the commands that open policies."""

import json
import shutil

import peft
import pytest
from commands import refused, run_json, run_text
from conftest import tiny_policy
from gguf_fixtures import random_model, write_gguf
from tracking_fixtures import LAYER, save_as_sae_lens

from interp.artifacts import InUse
from interp.policy import Policy
from interp.policy.fingerprints import fingerprint_of
from interp.rollouts import Series

# --- import-gguf ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", random_model("llama"), quantized=True, chat=True)


def test_import_gguf_says_what_it_read_and_the_directory_is_a_policy(file, tmp_path, monkeypatch, capsys):
    text = run_text(monkeypatch, capsys, "import-gguf", file, "--out", tmp_path / "out")
    assert "Architecture   llama, " in text and "Quantization   Q8_0, F32; restored to float32" in text
    assert "a chat template" in text and f"Saved in {tmp_path / 'out'}" in text
    result = run_json(monkeypatch, capsys, "import-gguf", file, "--out", tmp_path / "two", "--dtype", "bfloat16")
    assert set(result) == {"path", "architecture", "quantization", "parameters", "n_bytes", "has_chat_template"}
    assert result["path"] == str(tmp_path / "two") and result["has_chat_template"] is True
    assert Policy.load(tmp_path / "out").n_layers == 3


def test_a_file_without_a_template_is_said_to_have_none(tmp_path, monkeypatch, capsys):
    file = write_gguf(tmp_path / "base.gguf", random_model("qwen2"))
    assert "no chat template" in run_text(monkeypatch, capsys, "import-gguf", file, "--out", tmp_path / "out")


def test_import_gguf_refuses_in_one_line(file, tmp_path, monkeypatch, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").touch()
    assert "out exists already" in refused(monkeypatch, capsys, "import-gguf", file, "--out", tmp_path / "out")
    wheel = tmp_path / "wheel.gguf"
    wheel.write_bytes(b"PK\x03\x04")
    assert "expected a GGUF file" in refused(monkeypatch, capsys, "import-gguf", wheel, "--out", tmp_path / "new")
    error = refused(monkeypatch, capsys, "roll-out", "--policy", wheel)
    assert "make a directory of it first (interp import-gguf" in error


def test_a_place_that_another_process_writes_is_refused(file, tmp_path, monkeypatch, capsys):
    def in_use(*_: object, **__: object) -> None:
        raise InUse(f"{tmp_path / 'out'} is in use by process 7")

    monkeypatch.setattr("interp.policy.gguf.reserve", in_use)
    assert "in use by process 7" in refused(monkeypatch, capsys, "import-gguf", file, "--out", tmp_path / "out")


# --- adapters ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A base, and a TRL run of LoRA: checkpoints with an adapter and a tokenizer, without a config.json."""
    root = tmp_path_factory.mktemp("lora")
    tiny_policy().save(root / "base")
    for step in (2, 4):
        policy = Policy.load(root / "base")
        adapters = peft.get_peft_model(policy.model, peft.LoraConfig(r=2, target_modules="all-linear"))
        for name, weight in adapters.named_parameters():
            if "lora_B" in name:
                weight.data.normal_(0, 0.02 * step)
        adapters.save_pretrained(root / "run" / f"checkpoint-{step}")
        policy.tokenizer.save_pretrained(root / "run" / f"checkpoint-{step}")
        (root / "run" / f"checkpoint-{step}" / "optimizer.pt").write_bytes(b"never opened")
    return root


@pytest.fixture
def moved(trained, tmp_path):
    """The same on another machine: the place that the adapters name as their base is not there."""
    root = shutil.copytree(trained, tmp_path / "moved")
    for step in (2, 4):
        file = root / "run" / f"checkpoint-{step}" / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": "org/model"}))
    return root


def problems(path):
    lines = [
        {"id": f"{split}{i}", "prompt": f"{i} {sign} 1 =", "answer": "1", "split": split, "bucket": "easy"}
        for split, sign in (("train", "*"), ("eval", "+"), ("probe", "-"))
        for i in range(8)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_series_of_adapters_is_opened_with_and_without_a_base(trained, moved):
    plain, named = Series.from_dir(trained / "run"), Series.from_dir(moved / "run", base=moved / "base")
    assert plain.steps == (2, 4) and named.steps == (0, 2, 4)
    assert [each.fingerprint() for each in plain] == [each.fingerprint() for each in named[1:]]
    assert plain.last.load().fingerprint() == plain.last.fingerprint() != named.base.fingerprint()
    listed = Series.from_dirs(
        [trained / "base", *(moved / "run" / f"checkpoint-{n}" for n in (2, 4))], base=moved / "base"
    )
    assert [each.fingerprint() for each in listed] == [each.fingerprint() for each in named]
    assert listed.last.model_path == moved / "base" and listed.base.model_path == trained / "base"


def test_a_series_is_refused_without_a_reachable_base(moved, monkeypatch, capsys):
    error = refused(monkeypatch, capsys, "evaluate", "--series", moved / "run")
    assert "expected an adapter whose base can be found, got the name 'org/model'" in error and "--base" in error


WORDS = {
    "roll-out": ["--problems", 2, "--split", "eval"],
    "bucket": ["--problems", 2, "--split", "eval", "--n", 8],
    "grpo": ["--steps", 1, "--prompts", 2, "--group", 2, "--lora-rank", 2, "--kl-every", 0],
}


@pytest.mark.parametrize("command", WORDS)
def test_an_adapter_is_a_policy_in_every_command(trained, tmp_path, monkeypatch, capsys, command):
    adapter = trained / "run" / "checkpoint-4"
    words = [command, "--policy", adapter, "--jsonl", problems(tmp_path / "mine.jsonl"), *WORDS[command]]
    words += ["--max-new-tokens", 4, "--device", "cpu", "--out", tmp_path / "out"]
    assert run_json(monkeypatch, capsys, *words)
    if command == "grpo":
        assert fingerprint_of(tmp_path / "out" / "checkpoint-0") == fingerprint_of(adapter)


def test_compare_takes_a_base_and_an_adapter(trained, moved, tmp_path, monkeypatch, capsys):
    words = ["--jsonl", problems(tmp_path / "mine.jsonl"), "--levels", "easy", "--group", "2", "--loss-rollouts", "4"]
    words += [
        "--tsae",
        save_as_sae_lens(tmp_path / "sae"),
        "--layer",
        LAYER,
        "--max-new-tokens",
        "4",
        "--device",
        "cpu",
    ]
    adapter = moved / "run" / "checkpoint-4"
    error = refused(monkeypatch, capsys, "compare", moved / "base", adapter, *words, "--out", tmp_path / "c")
    assert "expected an adapter whose base can be found" in error
    named = ["compare", moved / "base", adapter, *words, "--base", moved / "base", "--out", tmp_path / "c"]
    result = run_json(monkeypatch, capsys, *named)
    assert str(adapter) in result["checkpoints"].values() and result["drift"]
    plain = ["compare", trained / "base", trained / "run" / "checkpoint-4", *words, "--out", tmp_path / "d"]
    assert run_json(monkeypatch, capsys, *plain)["drift"]


def test_evaluate_reads_a_series_of_adapters_with_its_base(moved, tmp_path, monkeypatch, capsys):
    words = ["evaluate", "--series", moved / "run", "--base", moved / "base", "--jsonl", problems(tmp_path / "a.jsonl")]
    words += ["--problems", "2", "--group", "2", "--k", "1", "--max-new-tokens", "4", "--device", "cpu"]
    assert run_json(monkeypatch, capsys, *words)
    assert fingerprint_of(moved / "run" / "checkpoint-4", moved / "base")
