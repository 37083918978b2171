"""`interp check`: every file of artifacts is compared with its checksum."""

import json
import shutil
from pathlib import Path

import pytest
from commands import refused, run, run_json, run_text

from interp.artifacts import MANIFEST, write_json, write_manifest
from interp.grpo import GRPOConfig, train
from interp.grpo.run import Run
from interp.organism import shipped_path
from interp.policy import Policy, SampleConfig
from interp.tasks import Chain


@pytest.fixture
def organism(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_path(), tmp_path / "runs" / "organism"))


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_whole_artifacts_are_listed_wherever_they_lie_below_a_directory(monkeypatch, capsys, organism):
    assert run_text(monkeypatch, capsys, "check", organism.parent).split()[-2:] == [str(organism), "whole"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", MANIFEST])
def test_a_damaged_artifact_is_named_with_the_reason_and_exit_code_1(monkeypatch, capsys, organism, name):
    flip_a_byte(organism / name)
    assert run(monkeypatch, "check", organism) == 1
    out = capsys.readouterr().out
    assert "damaged" in out and str(organism / name) in out


def test_checksums_are_added_to_an_artifact_of_an_earlier_version_on_demand(monkeypatch, capsys, organism):
    manifest = json.loads((organism / MANIFEST).read_text())
    write_json(organism / MANIFEST, {key: manifest[key] for key in manifest if key not in ("files", "checksum")})
    assert run_json(monkeypatch, capsys, "check", organism)["artifacts"][0]["state"] == "no checksums"
    assert run_json(monkeypatch, capsys, "check", organism, "--add")["artifacts"][0]["state"] == "whole"
    flip_a_byte(organism / "config.json")
    assert run(monkeypatch, "check", organism) == 1


def test_a_path_without_artifacts_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / MANIFEST).write_text('{"name": "of another program"}')
    assert "expected a directory with a manifest.json in it" in refused(monkeypatch, capsys, "check", tmp_path)


@pytest.mark.parametrize("text", ['{"schema": "https://example.org"}', '{"checksum": "abc"}', "[1]", '{"loss": NaN}'])
def test_manifests_of_other_programs_are_no_artifacts(monkeypatch, capsys, organism, text):
    other = organism.parent / "other"
    other.mkdir()
    (other / MANIFEST).write_text(text)
    assert [row["path"] for row in run_json(monkeypatch, capsys, "check", organism.parent)["artifacts"]] == [
        str(organism)
    ]
    (other / MANIFEST).write_text('{"schema": 1, "kind": "organ')
    assert run(monkeypatch, "check", organism.parent) == 1, "it may have been one of ours"


def test_sizes_alone_are_compared_after_the_flag_integrity(monkeypatch, capsys, organism):
    monkeypatch.setenv("INTERP_INTEGRITY", "full")
    flip_a_byte(organism / "tokenizer.json")
    assert run(monkeypatch, "--integrity", "sizes", "check", organism) == 0
    assert "integrity must be full or sizes; got 'fast'" in refused(monkeypatch, capsys, "--integrity", "fast", "check")


def test_checksums_are_added_to_what_lies_inside_first(monkeypatch, capsys, tmp_path):
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    for path in (inner, outer):
        path.mkdir(exist_ok=True, parents=True)
        write_json(path / MANIFEST, {"schema": 1, "kind": "toy", "config": {}, "made_from": {}})
    for words in (("--add",), ()):
        states = [row["state"] for row in run_json(monkeypatch, capsys, "check", tmp_path, *words)["artifacts"]]
        assert states == ["whole", "whole"]


def test_files_of_a_run_still_change_so_its_manifest_alone_gets_a_checksum(monkeypatch, capsys, tmp_path):
    write_json(tmp_path / MANIFEST, {"schema": 1, "kind": "grpo-run", "config": {}, "made_from": {}})
    (tmp_path / "metrics.jsonl").write_text("")
    run_json(monkeypatch, capsys, "check", tmp_path, "--add")
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n')
    assert run_json(monkeypatch, capsys, "check", tmp_path)["artifacts"][0]["state"] == "whole"


def test_an_outer_artifact_that_recorded_the_manifest_of_an_older_inner_one_stays_whole(monkeypatch, capsys, tmp_path):
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    write_json(inner / MANIFEST, {"schema": 1, "kind": "toy", "config": {}, "made_from": {}})
    write_manifest(outer, "toy", config={}, made_from={})
    states = [row["state"] for row in run_json(monkeypatch, capsys, "check", tmp_path, "--add")["artifacts"]]
    assert states == ["whole", "whole"]
    assert run(monkeypatch, "check", tmp_path) == 0


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("check") / "run"
    base, task = Policy.load(shipped_path(), device="cpu"), Chain()
    sampling = SampleConfig(group=2, max_new_tokens=8)
    train(base, task, "shallow", config=GRPOConfig(steps=4, prompts=2, save_every=2, sampling=sampling), out=out)
    return out


def cut_in_half(run: Path) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[: len(lines) // 2]))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: flip_a_byte(run / "metrics.jsonl"), "metrics.jsonl"),
        (cut_in_half, "expected metrics of 4 steps, up to the last checkpoint; got 2"),
        (lambda run: shutil.rmtree(run / "checkpoint-2"), "got no checkpoint-2: put it back"),
    ],
)
def test_a_run_with_damaged_metrics_or_without_a_checkpoint_is_damaged(
    monkeypatch, capsys, finished_run, tmp_path, damage, reason
):
    copy = Path(shutil.copytree(finished_run, tmp_path / "run"))
    states = {row["path"]: row["state"] for row in run_json(monkeypatch, capsys, "check", copy)["artifacts"]}
    assert set(states.values()) == {"whole"}
    damage(copy)
    assert run(monkeypatch, "check", copy) == 1
    assert reason in capsys.readouterr().out


def test_a_summary_of_a_run_says_what_is_missing(finished_run, tmp_path):
    copy = Path(shutil.copytree(finished_run, tmp_path / "run"))
    cut_in_half(copy)
    shutil.rmtree(copy / "checkpoint-2")
    with pytest.warns(UserWarning) as warned:
        Run.open(copy).summary()
    assert any("expected metrics of 4 steps" in str(one.message) for one in warned)
    assert any("got no checkpoint-2" in str(one.message) for one in warned)


def test_without_a_path_nothing_is_said_to_be_whole(monkeypatch, capsys):
    assert "expected directories to check, got none" in refused(monkeypatch, capsys, "check")
