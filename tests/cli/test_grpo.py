"""The command `grpo`: training that resumes, problems by level or bucket, credit by name."""

import pytest
from commands import refused, run_json, run_text

from interp.cli.args import TrainArgs
from interp.organism import shipped_path
from interp.policy import Policy
from interp.rollouts import BucketConfig, bucket
from interp.tasks import Chain


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
