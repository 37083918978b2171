"""The commands `track` and `compare`: flags, JSON, figures and refusals."""

import json
import shutil
from pathlib import Path

from commands import refused, run
from tracking_fixtures import LAYER, D, save_as_sae_lens

from interp.artifacts import with_checksum, write_json

TRACK_ONCE = ("--levels", "1", "--problems", "2", "--group", "2", "--loss-rollouts", "0")


def write_problems(path: Path, key: str, value: object, n: int) -> Path:
    lines = [
        {"id": f"{split}{i}", "prompt": f"{i} {sign} 1 =", "answer": "1", "split": split, key: value}
        for split, sign in (("eval", "+"), ("probe", "-"))
        for i in range(n)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_track_shows_changes_and_where_latents_are_active(new_policy, tmp_path, monkeypatch, capsys):
    for step in (0, 20):
        new_policy(seed=step).save(tmp_path / "run" / f"checkpoint-{step}")
    problems, tsae = write_problems(tmp_path / "mine.jsonl", "depth", 1, 8), save_as_sae_lens(tmp_path / "sae")
    words = ["track", "--tsae", tsae, "--layer", LAYER, "--series", tmp_path / "run", "--jsonl", problems]
    words += ["--levels", "1", "--group", "2", "--loss-rollouts", "0", "--max-new-tokens", "6", "--device", "cpu"]

    def command(*more: object) -> int:
        return run(monkeypatch, *words, *more)

    out = ("--out", tmp_path / "t")
    assert command(*out, "--latents", "64") == 2
    assert "expected latents of a dictionary of 64, from 0 to 63; got 64" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()
    assert command(*out, "--latents", "3", "7", "--by", "position") == 0
    assert command(*out, "--latents", "3", "7", "--measure", "mean_when_active", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {row["latent"] for row in result["breakdown"]} == {3, 7}
    assert {"role", "mean_when_active"} <= set(result["breakdown"][0]) and {
        row["latent"] for row in result["table"]
    } == set(range(2 * D))
    assert command("--out", tmp_path / "one", "--steps", "0", "--json") == 0
    assert {"out", "drift"} <= set(json.loads(capsys.readouterr().out))


def test_compare_takes_two_directories_and_a_dictionary_of_sae_lens(new_policy, tmp_path, monkeypatch, capsys):
    for name, seed in (("first", 0), ("second", 1)):
        new_policy(seed=seed).save(tmp_path / name)
    problems = write_problems(tmp_path / "mine.jsonl", "bucket", "easy", 20)
    words = ["compare", tmp_path / "first", tmp_path / "second", "--jsonl", problems, "--levels", "easy"]
    words += ["--group", "2", "--loss-rollouts", "4", "--tsae", save_as_sae_lens(tmp_path / "sae")]
    words += ["--out", tmp_path / "c", "--device", "cpu"]
    assert run(monkeypatch, *words) == 2
    assert "expected a layer, got none" in capsys.readouterr().err
    words += ["--layer", LAYER, "--max-new-tokens", "6", "--corpus", "probe"]
    assert run(monkeypatch, *words, "--figure", tmp_path / "c.html") == 0
    output = capsys.readouterr().out
    assert str(tmp_path / "first") in output and "B less A" in output and "pass_rate" in output
    assert "<html" in (tmp_path / "c.html").read_text()[:200]
    assert run(monkeypatch, *words, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert {row["latent"] for row in result["table"]} == set(range(2 * D))
    assert [row["verdict"] for row in result["drift"]] and set(result["checkpoints"]) == {"A", "B"}
    assert {row["measure"] for row in result["behavior"]} >= {"pass_rate", "valid_rate"}
    assert run(monkeypatch, *words[:2], tmp_path / "nowhere", *words[3:]) == 2


def test_a_single_checkpoint_is_tracked_without_changes(axes_tsae, monkeypatch, capsys, tmp_path):
    words = ("track", "--tsae", axes_tsae, *TRACK_ONCE, "--out", tmp_path / "tracks")
    assert run(monkeypatch, *words, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["out"] == str(tmp_path / "tracks") and len(printed["drift"]) == 1
    assert printed["summary"] == printed["table"] == []
    assert run(monkeypatch, *words) == 0
    assert "There is one checkpoint, so there are no changes" in capsys.readouterr().out


def test_roles_that_do_not_belong_to_the_dictionary_are_refused_before_tracking(
    axes_tsae, axes_roles, monkeypatch, capsys, tmp_path
):
    other = shutil.copytree(axes_roles[1], tmp_path / "roles")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["made_from"]["tsae"] = "another"
    write_json(other / "manifest.json", with_checksum(manifest))
    for roles, problem in (
        (tmp_path / "nowhere", "kind 'roles', got no such directory: is the path right?"),
        (axes_tsae, "expected kind 'roles', got 'tsae'"),
        (other, "another"),
    ):
        words = ("track", "--tsae", axes_tsae, *TRACK_ONCE, "--out", tmp_path / "tracks", "--roles", roles)
        assert problem in refused(monkeypatch, capsys, *words)
        assert not (tmp_path / "tracks").exists()
