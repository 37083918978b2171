"""The command `grpo`: training that resumes, problems by level or bucket, credit by name."""

import pytest
from commands import refused, run_json, run_text

from interp.cli.args import TrainArgs
from interp.cli.grpo_strategies import StrategyArgs
from interp.grpo import Run
from interp.organism import shipped_path
from interp.policy import Policy
from interp.rollouts import BucketConfig, BucketedProblem, Buckets, bucket
from interp.tasks import BUCKETS, Chain


def test_a_run_is_resumed_by_the_same_command_and_refused_with_another_loss(monkeypatch, capsys, tmp_path):
    words = ("grpo", "--out", tmp_path / "run", "--levels", "middle", "--steps", "2", "--prompts", "4")
    words += ("--group", "4", "--save-every", "1", "--max-new-tokens", "24")
    for _ in range(2):
        result = run_json(monkeypatch, capsys, *words)
        assert result["checkpoints"] == [0, 1, 2] == [row["step"] for row in result["summary"]]
    text = run_text(monkeypatch, capsys, *words)
    assert "direct share" in text and f"Saved in {tmp_path / 'run'}" in text
    assert "config.loss (expected dapo, got grpo)" in refused(monkeypatch, capsys, *words, "--loss", "dapo")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--levels", "deeper"), "level must be a depth or one of shallow, middle, deep; got 'deeper'"),
        (("--levels", "11"), "depth must lie between 1 and 10; got 11"),
        (("--credit", "fair"), "credit must be one of uniform"),
        (("--credit", "features"), "expected --tsae and --roles for credit by features"),
        (("--group", "1"), "group must be at least 2; got 1"),
        (("--buckets", "b"), "--buckets and --bucket go together"),
        (("--buckets", "b", "--bucket", "hard", "--levels", "deep"), "expected one of --levels and --buckets"),
    ],
)
def test_bad_input_is_refused_before_training(monkeypatch, capsys, tmp_path, words, message):
    assert message in refused(monkeypatch, capsys, "grpo", "--out", tmp_path / "run", *words)


SMALL = ("--steps", "2", "--prompts", "4", "--group", "4", "--save-every", "1", "--max-new-tokens", "24")


def test_strategies_and_a_curriculum_are_flags_of_the_command(monkeypatch, capsys, tmp_path):
    rollouts = ("roll-out", "--split", "train", "--level", "1", "--problems", "4", "--group", "8")
    run_json(monkeypatch, capsys, *rollouts, "--max-new-tokens", "24", "--out", tmp_path / "rollouts")
    words = ("grpo", "--out", tmp_path / "run", *SMALL, "--levels", "shallow", "middle", "--by-pass-rate")
    words += ("--curriculum.window", "1", "--backward.share", "0.25", "--replay.share", "0.25")
    words += ("--hints.rollouts", tmp_path / "rollouts", "--hints.share", "0.5")
    last = run_json(monkeypatch, capsys, *words)["last"]
    assert (last["backward_share"], last["hint_share"], last["curriculum_part"]) == (0.25, 0.5, 1)
    assert Run.open(tmp_path / "run").manifest["problems"]["strategies"][0]["settings"] == {"share": 0.25}


def test_by_pass_rate_takes_the_buckets_that_hold_problems(tmp_path):
    problems = Chain().problems("train", 1, 3)
    rows = [
        BucketedProblem(p, 8, 8, 1, 0.7, 1, name, True, "easy@8") for p, name in zip(problems, BUCKETS, strict=True)
    ]
    Buckets(rows[1:], config={}, made_from={}).save(tmp_path / "b")
    parts = StrategyArgs(by_pass_rate=True).problems(TrainArgs(buckets=tmp_path / "b")).named_parts()
    assert {name: [p.prompt for p in part] for name, part in parts.items()} == {
        "medium": [problems[1].prompt],
        "hard": [problems[2].prompt],
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--by-pass-rate",), "--by-pass-rate goes through two --levels or more"),
        (("--by-pass-rate", "--levels", "deep"), "--by-pass-rate goes through two --levels or more"),
        (("--by-pass-rate", "--levels", "1", "2", "--buckets", "b"), "name the one or the other, and no --bucket"),
        (("--by-pass-rate", "--levels", "1", "--buckets", "b"), "name the one or the other, and no --bucket"),
        (("--by-pass-rate", "--buckets", "b", "--bucket", "hard"), "name the one or the other, and no --bucket"),
        (("--curriculum.target", "0.7"), "--curriculum flags are for --by-pass-rate: expected it too"),
        (("--hints.share", "0.7"), "--hints flags are for hints from --hints.rollouts: expected it too"),
        (("--replay.audits", "3"), "--replay flags are for a --replay.share above 0"),
        (("--backward.share", "1.5"), "share must lie between 0 and 1; got 1.5"),
        (("--backward.share", "0.7", "--replay.share", "0.6"), "shares of strategies must be at most 1 together"),
        (("--hints.rollouts", "nowhere"), "nowhere"),
    ],
)
def test_strategies_that_cannot_be_are_refused_before_training(monkeypatch, capsys, tmp_path, words, message):
    assert message in refused(monkeypatch, capsys, "grpo", "--out", tmp_path / "run", *words)


def test_levels_are_depths_or_names_and_no_levels_are_the_whole_split():
    assert TrainArgs(levels=("2", "deep")).problems() == [2, "deep"]
    assert TrainArgs().problems() is None


def test_a_measured_bucket_gives_its_problems(tmp_path):
    base, task = Policy.load(shipped_path(), device="cpu"), Chain()
    config = BucketConfig(n=8, max_new_tokens=24)
    buckets = bucket(base, task, task.problems("train", 1, 4), config=config, progress=False)
    buckets.save(tmp_path / "b")
    problems = TrainArgs(buckets=tmp_path / "b", bucket="easy").problems()
    assert problems == buckets.problems("easy")
