"""The command line, as a person meets it."""

import dataclasses
import json
import re
import resource
import subprocess
import sys
import typing

import pytest
from commands import run
from conftest import tiny_policy

from interp.cli import (
    Bucket,
    Build,
    Card,
    Collect,
    Compare,
    Demo,
    Dictionary,
    Difficulty,
    EarnRoles,
    EvalTsae,
    Evaluate,
    FeaturesStudy,
    FitTsae,
    Grpo,
    RolesStudy,
    RollOut,
    Track,
    Verify,
)
from interp.demo.plan import Sizes
from interp.organism import OrganismConfig, Shape, shipped
from interp.organism.training import raise_organism
from interp.rollouts import Evaluation
from interp.tasks import Chain


def seconds(*code: str, tries: int = 3) -> float:
    """Of processor time, so that a busy machine does not count: alone, it is what passes on the clock."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def once() -> float:
        start = spent()
        subprocess.run([sys.executable, *code], check=True, capture_output=True)
        return spent() - start

    return min(once() for _ in range(tries))


def test_importing_interp_is_instant():
    assert seconds("-c", "import interp") - seconds("-c", "pass") < 0.1


def test_help_comes_at_once_and_without_torch():
    """At once is long before torch would be there, however fast the machine is."""
    assert seconds("-m", "interp", "--help") < 0.4 * seconds("-c", "import torch", tries=1)
    code = (
        "import sys, interp.cli; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'polars', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def fields_of(kind: type) -> list[str]:
    names: list[str] = []
    for name, hint in typing.get_type_hints(kind).items():
        names += fields_of(hint) if dataclasses.is_dataclass(hint) else [name]  # pyright: ignore[reportArgumentType]
    return names


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (["demo"], Demo),
        (["organism", "build"], Build),
        (["organism", "card"], Card),
        (["roll-out"], RollOut),
        (["bucket"], Bucket),
        (["evaluate"], Evaluate),
        (["collect"], Collect),
        (["tsae"], FitTsae),
        (["tsae-eval"], EvalTsae),
        (["roles"], EarnRoles),
        (["track"], Track),
        (["compare"], Compare),
        (["grpo"], Grpo),
        (["study", "dictionary"], Dictionary),
        (["study", "difficulty"], Difficulty),
        (["study", "roles"], RolesStudy),
        (["study", "features"], FeaturesStudy),
        (["verify"], Verify),
    ],
)
def test_every_field_of_a_config_is_a_flag_and_every_flag_a_field(monkeypatch, capsys, words, config):
    assert run(monkeypatch, *words, "--help") == 0
    shown = capsys.readouterr().out
    flags = {name.replace("-", "_") for name in re.findall(r"--(?:[a-z-]+\.)*(?!no-)([a-z][a-z-]*)", shown)}
    positional = {Verify: {"tables"}, Card: {"organism"}, Compare: {"a", "b"}}
    expected = set(fields_of(config)) - positional.get(config, set())
    assert flags - {"help"} == expected


def test_the_demo_tells_what_it_found_as_json(monkeypatch, capsys):
    assert run(monkeypatch, "demo", "--json", "--problems", "4", "--group", "2", "--steps", "0") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["by_depth"]) == {str(depth) for depth in range(1, 11)}
    assert found["by_depth"]["1"]["pass_rate"]["n"] == 8


def test_the_demo_shows_a_table_and_rollouts_without_colour_where_nobody_sees_it(monkeypatch, capsys):
    assert run(monkeypatch, "demo", "--problems", "6", "--group", "4", "--steps", "0") == 0
    out = capsys.readouterr().out
    assert out.startswith("Chains of arithmetic modulo 5")
    assert any(line.split()[:2] == ["depth", "bucket"] for line in out.splitlines())
    assert "a valid chain:" in out and "at once, lucky:" in out
    assert "\x1b" not in out


def test_the_demo_trains_and_shows_what_came_of_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("interp.demo.plan.SIZES", Sizes(problems=2, answers=2))
    little = ("--problems", "1", "--group", "1", "--steps", "1", "--learn", "0")
    words = ("demo", *little, "--out", str(tmp_path / "demo"))
    assert run(monkeypatch, *words) == 0
    out = capsys.readouterr().out
    arms = ("(the base)", "medium", "hard", "hard, only valid answers paid")
    assert all(any(line.startswith(f"{arm} ") for line in out.splitlines()) for arm in arms)
    assert len(list((tmp_path / "demo").iterdir())) == 4  # three runs, and the page
    assert run(monkeypatch, *words, "--seed", "1") == 0  # other settings have other places
    assert len(list((tmp_path / "demo").iterdir())) == 7


def test_a_policy_is_trained_measured_and_goes_on_when_asked_again(monkeypatch, capsys, tmp_path):
    words = ("grpo", "--out", str(tmp_path / "run"), "--levels", "medium", "--steps", "2", "--prompts", "4")
    small = ("--group", "4", "--save-every", "1", "--max-new-tokens", "24", "--json")
    for _ in range(2):
        assert run(monkeypatch, *words, *small) == 0
        assert json.loads(capsys.readouterr().out)["checkpoints"] == [0, 1, 2]
    assert run(monkeypatch, *words, *small, "--loss", "dapo") == 2
    assert "config.loss was 'grpo', now 'dapo'" in capsys.readouterr().err
    evaluation = ("evaluate", "--series", str(tmp_path / "run"), "--problems", "1", "--group", "2", "--k", "1", "2")
    assert run(monkeypatch, *evaluation) == 0
    assert "valid pass@2" in capsys.readouterr().out


def test_training_is_told_on_what_by_what_and_by_whom(monkeypatch, capsys, tmp_path):
    out = ("--out", str(tmp_path / "run"))
    for words, told in (
        (("--levels", "harder"), "level must be a depth or one of easy, medium, hard; got 'harder'"),
        (("--credit", "fair"), "credit must be one of uniform"),
        (("--levels", "11"), "depth must lie between 1 and 10; got 11"),
        (("--group", "1"), "group must be at least 2; got 1"),
        (("--buckets", str(tmp_path), "--levels", "easy", "hard"), "--buckets needs one bucket in --levels; got 2"),
    ):
        assert run(monkeypatch, "grpo", *out, *words) == 2
        assert told in capsys.readouterr().err


def test_rollouts_are_coloured_when_asked(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run(monkeypatch, "roll-out", "--problems", "6", "--group", "2") == 0
    assert "\x1b[32m" in capsys.readouterr().out


def test_rollouts_and_buckets_are_kept_where_asked(monkeypatch, capsys, tmp_path):
    assert (
        run(
            monkeypatch,
            "roll-out",
            "--level",
            "hard",
            "--problems",
            "3",
            "--group",
            "2",
            "--json",
            "--out",
            str(tmp_path / "r"),
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["rows"] == 6
    assert run(monkeypatch, "bucket", "--problems", "4", "--n", "8", "--out", str(tmp_path / "b")) == 0
    assert "labelled hard@8" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "r"]


EXAM = ("--problems", "2", "--levels", "2", "hard", "--group", "2", "--k", "1", "2")


def test_an_evaluation_is_shown_by_bucket_and_step_and_kept_where_asked(monkeypatch, capsys, tmp_path):
    for step in (10, 20):
        (tmp_path / "run" / f"checkpoint-{step}").parent.mkdir(exist_ok=True)
        (tmp_path / "run" / f"checkpoint-{step}").symlink_to(shipped())
    words = ("evaluate", "--series", str(tmp_path / "run"), "--base", str(shipped()), *EXAM)
    assert run(monkeypatch, *words, "--out", str(tmp_path / "e")) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^(\w+) +(\d+) ", out, re.MULTILINE) == [
        (group, step) for group in ("easy", "hard", "all") for step in ("0", "10", "20")
    ]
    assert "Step 20: " in out and "every step true" in out
    assert Evaluation.load(tmp_path / "e").steps == (0, 10, 20)


def test_residuals_of_a_series_are_collected_and_told_of_by_checkpoint_and_corpus(monkeypatch, capsys, tmp_path):
    for step in (0, 10):
        tiny_policy(seed=step).save(tmp_path / "run" / f"checkpoint-{step}")
    lines = [{"id": f"{s}{i}", "prompt": f"{i} {s} 1 =", "answer": "1", "split": split}
             for s, split in (("+", "train"), ("-", "probe")) for i in range(5)]  # fmt: skip
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    asked = ("--jsonl", str(tmp_path / "mine.jsonl"), "--layers", "0", "2", "--group", "2", "--max-new-tokens", "4")
    assert run(monkeypatch, "collect", "--series", str(tmp_path / "run"), *asked) == 0
    out = capsys.readouterr().out
    told = re.findall(r"^(\d+) +(\S+) +1 +[\d.e-]+ +10 ", out, re.MULTILINE)
    assert told == [("0", "on-policy"), ("0", "probe"), ("10", "on-policy"), ("10", "probe")]
    assert re.search(r"the store is \S+/run/activations-\w+: \d+ tokens of layers 0, 2 in 4 shards", out)
    assert run(monkeypatch, "collect", "--series", str(tmp_path / "run"), *asked, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layers"] == [0, 2] and found["tokens"] == sum(row["tokens"] for row in found["read"])
    alone = ("--policy", str(tmp_path / "run" / "checkpoint-0"), "--out", "/dev/null/store")
    assert run(monkeypatch, "collect", *asked, *alone) == 2


@pytest.mark.parametrize("asked", [(), ("--policy", str(shipped())), ("--checkpoints", str(shipped()), str(shipped()))])
def test_an_evaluation_is_told_as_json_of_one_policy_or_of_a_list(monkeypatch, capsys, asked):
    assert run(monkeypatch, "evaluate", *asked, *EXAM, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [*found["policies"]] == [str(step) for step in range(max(1, len(asked) - 1))]
    everything = [row for row in found["table"] if (row["by"], row["measure"]) == ("all", "pass_rate")]
    assert [row["n"] for row in everything] == [8] * len(found["policies"])


def test_another_task_can_be_asked_with_its_own_knobs(monkeypatch, capsys):
    words = ("roll-out", "--json", "--problems", "4", "--group", "2", "--task.copy-rate", "1.0", "--level", "2")
    assert run(monkeypatch, *words) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["roll-out", "--policy", "/nowhere"],
            "got nothing there (models of a hub are not fetched: download it first)",
        ),
        (["roll-out", "--level", "hrad"], "level must be a depth or one of easy, medium, hard; got 'hrad'"),
        (["roll-out", "--split", "test"], "split must be one of train, eval, probe, memorised; got 'test'"),
        (["roll-out", "--skip-bad"], "--skip-bad is about the lines of --jsonl"),
        (["roll-out", "--jsonl", "a"], "need a --policy: the organism only knows the words of its own world"),
        (["roll-out", "--problems", "0"], "problems must be at least 1; got 0"),
        (["demo", "--group", "0"], "interp: group must be at least 1; got 0"),
        (["roll-out", "--jsonl", "a", "--gym", "b"], "expected one of --jsonl and --gym, got both"),
        (["roll-out", "--jsonl", "a", "--task.modulus", "7"], "--task flags shape the chain task"),
        (["roll-out", "--group", "0"], "group must be at least 1; got 0"),
        (["roll-out", "--device", "cuda"], "device cuda was asked for, but this torch sees 0"),
        (
            ["roll-out", "--device", "gpu"],
            "device must be auto, cpu, cuda, mps, or one of them with a number; got 'gpu'",
        ),
        (["organism", "card", "/nowhere"], "expected a directory of kind 'organism', got no such directory"),
        (["roll-out", "--task.modulus", "11"], "expected words of the tokenizer's vocabulary, got some it does not"),
        (["bucket", "--easy", "0.1"], "cut points must satisfy"),
        (["roll-out", "--problems", "1", "--group", "1", "--out", "/dev/null/r"], "got the file /dev/null"),
        (["evaluate", "--series", "/nowhere"], "/nowhere: expected directories called checkpoint-<step>, got nothing"),
        (["evaluate", "--series", "a", "--policy", "b"], "expected one of --policy, --series and --checkpoints"),
        (["evaluate", "--base", "a"], "--base is step 0 of a --series, and none was given"),
        (["evaluate", "--group", "2"], "k must lie between 1 and group, which is 2; got 4"),
        (["evaluate", "--levels", "12"], "depth must lie between 1 and 10; got 12"),
        (["collect", "--layers", "4"], "layers must lie between 0 and 3; got [4]"),
        (["collect", "--layers", "1"], "expected checkpoint-<step> directories in one place"),
        (["collect", "--layers", "1", "--steps", "5"], "expected one of the steps 0; got 5"),
        (["evaluate", "--series", "a", "--checkpoints", "b"], "expected one of --policy, --series and --checkpoints"),
        (["tsae", "--store", "a", "--out", "b", "--threads", "0"], "threads must be at least 1; got 0"),
        (["grpo", "--out", "a", "--threads", "0"], "threads must be at least 1; got 0"),
        (["organism", "build", "--out", "a", "--steps", "0"], "steps must be at least 1; got 0"),
        (["organism", "build", "--out", "a", "--lr", "0"], "lr must be positive; got 0.0"),
        (["demo", "--learn", "-1"], "learn must not be negative; got -1"),
        (["verify", "/nowhere/chain.jsonl"], "expected a table of cases, got no such file"),
    ],
)
def test_bad_input_is_told_in_one_line_and_ends_with_2(monkeypatch, capsys, words, told):
    assert run(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert told in error and error.startswith("interp: ") and error.count("\n") == 1


def test_an_unknown_flag_ends_with_2(monkeypatch, capsys):
    assert run(monkeypatch, "demo", "--colour", "red") == 2


def test_what_stands_is_not_overwritten_unasked(monkeypatch, capsys, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "precious").touch()
    words = ("roll-out", "--problems", "2", "--group", "2", "--out", str(tmp_path / "r"))
    assert run(monkeypatch, *words) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "r" / "precious").exists()
    assert run(monkeypatch, *words, "--overwrite") == 0


@pytest.fixture
def words(tmp_path) -> tuple[str, ...]:
    """A file with three lines, two of them bad, and a policy that can be asked them."""
    lines = ['{"id": "a", "prompt": "1 + 1 =", "answer": "2"}', "{not json", '{"id": "b"}']
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    tiny_policy().save(tmp_path / "policy")
    asked = ("--jsonl", str(tmp_path / "mine.jsonl"), "--policy", str(tmp_path / "policy"))
    return ("roll-out", *asked, "--group", "2", "--max-new-tokens", "4")


def test_bad_lines_stop_the_run_or_are_counted_and_listed(monkeypatch, capsys, words):
    assert run(monkeypatch, *words) == 2
    assert "line 2" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--skip-bad", "--json") == 0
    told = capsys.readouterr()
    assert [row["line"] for row in json.loads(told.out)["skipped"]] == [2, 3]
    assert "2 lines skipped" in told.err


def test_all_of_a_file_is_asked_unless_told_otherwise(monkeypatch, capsys, words, tmp_path):
    lines = [{"id": str(i), "prompt": f"{i} + 1 =", "answer": str(i + 1)} for i in range(7)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for more, rows in ((), 14), (("--problems", "3"), 6):
        assert run(monkeypatch, *words, *more, "--json") == 0
        assert json.loads(capsys.readouterr().out)["rows"] == rows
    assert run(monkeypatch, *words, "--problems", "8") == 2
    assert "asked for 8 problems, it holds 7 of that kind" in capsys.readouterr().err


def test_the_version_is_told(monkeypatch, capsys):
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("interp ")


def test_an_organism_is_asked_in_its_own_world(monkeypatch, capsys, tmp_path):
    task = Chain(depths=(1, 3), easy=(1,), medium=(2,), hard=(3,))
    config = OrganismConfig(task=task, steps=1, batch=4, threads=1, shape=Shape(16, 1, 2, 1, 8, 32, 64))
    raise_organism(config, tmp_path / "o")
    assert (
        run(
            monkeypatch,
            "demo",
            "--policy",
            str(tmp_path / "o"),
            "--problems",
            "2",
            "--group",
            "2",
            "--steps",
            "0",
            "--json",
        )
        == 0
    )
    assert set(json.loads(capsys.readouterr().out)["by_depth"]) == {"1", "2", "3"}


def test_verify_ends_with_1_where_a_verdict_is_not_the_expected_one(monkeypatch, capsys, tmp_path):
    case = {"case": "wrong", "prompt": "1 + 1 ?", "answer": "2", "completion": "# 2", "expect": {"correct": False}}
    (tmp_path / "chain.jsonl").write_text(json.dumps(case))
    assert run(monkeypatch, "verify", str(tmp_path / "chain.jsonl")) == 1
    assert "wrong: expected {'correct': False}, got {'correct': True}" in capsys.readouterr().out
