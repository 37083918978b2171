"""Bad input ends with exit code 2 and one line that says what was expected, what was given and what to do."""

import pytest
from commands import refused, run

NO_HUB = "got nothing there (models of a hub are not fetched: download it first)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["roll-out", "--policy", "/nowhere"], NO_HUB),
        (["roll-out", "--level", "deeper"], "level must be a depth or one of shallow, middle, deep; got 'deeper'"),
        (["roll-out", "--split", "test"], "split must be one of train, eval, probe, memorised; got 'test'"),
        (["roll-out", "--skip-bad"], "--skip-bad is for lines of --jsonl: expected --jsonl too, got none"),
        (["roll-out", "--jsonl", "a"], "--jsonl and --gym need a --policy"),
        (["roll-out", "--problems", "0"], "problems must be at least 1; got 0"),
        (["roll-out", "--jsonl", "a", "--gym", "b"], "expected one of --jsonl and --gym, got both"),
        (["roll-out", "--jsonl", "a", "--task.modulus", "7"], "--task flags are for the chain task"),
        (["roll-out", "--group", "0"], "group must be at least 1; got 0"),
        (["roll-out", "--device", "cuda"], "expected a device that this torch sees, got cuda"),
        (
            ["roll-out", "--device", "gpu"],
            "device must be auto, cpu, cuda, mps, or one of them with a number; got 'gpu'",
        ),
        (["roll-out", "--problems", "1", "--group", "1", "--out", "/dev/null/r"], "got the file /dev/null"),
        (["bucket", "--easy", "0.1"], "cut points must satisfy"),
        (["evaluate", "--series", "/nowhere"], "/nowhere: expected directories called checkpoint-<step>, got nothing"),
        (["evaluate", "--series", "a", "--policy", "b"], "expected one of --policy, --series and --checkpoints"),
        (["evaluate", "--series", "a", "--checkpoints", "b"], "expected one of --policy, --series and --checkpoints"),
        (["evaluate", "--base", "a"], "--base is step 0 of a --series: expected --series too, got none"),
        (["evaluate", "--group", "2"], "k must lie between 1 and group, which is 2; got 4"),
        (["evaluate", "--levels", "12"], "depth must lie between 1 and 10; got 12"),
        (["verify", "/nowhere/chain.jsonl"], "expected a table of cases, got no such file"),
        (["collect", "--layers", "4"], "layers must lie between 0 and 3; got [4]"),
        (["collect", "--layers", "1"], "expected checkpoint-<step> directories in one place"),
        (["collect", "--layers", "1", "--steps", "5"], "expected one of the steps 0; got 5"),
        (["tsae", "--store", "a", "--out", "b", "--threads", "0"], "threads must be at least 1; got 0"),
        (["grpo", "--out", "a", "--threads", "0"], "threads must be at least 1; got 0"),
        (["organism", "card", "/nowhere"], "expected a directory of kind 'organism', got no such directory"),
        (["organism", "build", "--out", "a", "--steps", "0"], "steps must be at least 1; got 0"),
        (["organism", "build", "--out", "a", "--lr", "0"], "lr must be positive; got 0.0"),
        (["demo", "--fit-steps", "-1"], "fit_steps must not be negative; got -1"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_bad_input_is_refused_in_one_line(monkeypatch, capsys, words, message):
    assert message in refused(monkeypatch, capsys, *words)


def test_a_task_whose_words_the_tokenizer_lacks_is_refused(monkeypatch, capsys):
    error = refused(monkeypatch, capsys, "roll-out", "--task.modulus", "11")
    assert "expected words of the tokenizer's vocabulary" in error


def test_an_unknown_flag_ends_with_2(monkeypatch):
    assert run(monkeypatch, "demo", "--colour", "red") == 2
