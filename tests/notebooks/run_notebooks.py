"""Execute every notebook and every example at its tiny size: `make test-notebooks`.

Not part of `make test`, which must stay short: pytest collects this file only if it is named.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from real_fixtures import chat_policy, write_problems

from notebooks.test_notebooks import EXAMPLES, NOTEBOOKS, ROOT, each_notebook

PYTHON = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


execute = module_at(ROOT / "notebooks" / "execute.py")


# --- notebooks -------------------------------------------------------------------------------------------------------


@each_notebook
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    """In a copy of the tree, so that nothing is opened that another notebook has made."""
    (tmp_path / "notebooks").mkdir()
    for name in ("data", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    executed = execute.run(path, tiny=True, cwd=tmp_path / "notebooks")
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert code[0].source.startswith("TINY = True")
    assert all(cell.execution_count for cell in code)
    assert "Traceback" not in "".join(str(cell.outputs) for cell in code)
    assert [path.name for path in tmp_path.iterdir() if not path.is_symlink()] == ["notebooks", "runs"]
    assert list((tmp_path / "notebooks").iterdir()) == []
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["notebooks"]


# --- examples --------------------------------------------------------------------------------------------------------


def run_example(name: str, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "examples" / f"{name}.py", *words]
    return subprocess.run([*map(str, command)], cwd=cwd, env=os.environ | PYTHON, capture_output=True, text=True)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """A base, checkpoints of a trainer, problems, runs, and a dictionary of SAELens, all tiny and of random weights."""
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig

    from interp.grpo import GRPOConfig, train
    from interp.policy import SampleConfig
    from interp.tasks import JsonlTask

    place = tmp_path_factory.mktemp("examples")
    write_problems(place / "problems.jsonl", 60)
    policy = chat_policy()
    policy.save(place / "base")
    with torch.no_grad():
        for step in (4, 8):
            policy.model.get_output_embeddings().weight.add_(0.01)
            policy.save(place / "outputs" / f"checkpoint-{step}")
    sae = StandardSAE(StandardSAEConfig(d_in=32, d_sae=64))
    sae.cfg.metadata.hook_name = "blocks.1.hook_resid_post"
    torch.nn.init.normal_(sae.W_enc)
    sae.save_model(place / "sae")
    task, base = JsonlTask(place / "problems.jsonl", prompt_field="question"), type(policy).load(place / "base")
    for seed in (0, 1):
        sampling = SampleConfig(group=2, max_new_tokens=8, seed=seed)
        config = GRPOConfig(steps=1, prompts=2, sampling=sampling, without_signal="go on")
        train(base, task, config=config, out=place / "sweep" / f"seed-{seed}")
    (place / "sweep" / "notes").mkdir()
    return place


ASKING = ("--jsonl", "problems.jsonl", "--prompt-field", "question", "--chat", "--max-new-tokens", 8, "--problems", 4)


def test_a_trl_run_is_compared_with_its_base(workshop):
    done = run_example(
        "trl_run_against_base", "--run", "outputs", "--base", "base", "--layer", 1, *ASKING,
        "--tokens", 4000, "--fit-steps", 4, "--batch", 64, cwd=workshop,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "A resampled" in done.stdout and "pass_rate" in done.stdout
    assert (workshop / "runs" / "trl-against-base" / "comparison.html").exists()


def test_a_dictionary_of_sae_lens_reads_two_checkpoints(workshop):
    done = run_example(
        "sae_lens_on_two_checkpoints", "--sae", "sae", "--a", "base", "--b", "outputs/checkpoint-8", *ASKING,
        cwd=workshop,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "verdict" in done.stdout and "A resampled" in done.stdout


def test_a_sweep_becomes_one_dashboard(workshop):
    runs = ("sweep/seed-0", "sweep/seed-1", "sweep/notes")
    done = run_example("sweep_into_one_dashboard", *runs, "--rollouts", 1, "--out", "sweep.html", cwd=workshop)
    assert done.returncode == 0, done.stderr
    assert "left out: sweep/notes" in done.stdout and "seed-1" in done.stdout
    assert "<script" in (workshop / "sweep.html").read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trl_run_against_base", ("--run", "sae", "--base", "base", "--layer", 1, "--jsonl", "problems.jsonl")),
        ("sae_lens_on_two_checkpoints", ("--sae", "base", "--a", "base", "--b", "base", "--jsonl", "problems.jsonl")),
        ("sweep_into_one_dashboard", ("outputs",)),
    ],
)
def test_an_example_says_what_is_wrong_without_a_traceback(name, words, workshop):
    done = run_example(name, *words, cwd=workshop)
    assert done.returncode == 1
    assert "expected" in done.stderr and "Traceback" not in done.stderr


def test_every_notebook_and_example_is_executed_here():
    text = Path(__file__).read_text()
    assert len(NOTEBOOKS) == 7 and all(f'"{path.stem}"' in text for path in EXAMPLES)
    assert all(json.loads(path.read_text())["nbformat"] == 4 for path in NOTEBOOKS)
