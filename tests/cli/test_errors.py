"""Bad input ends with exit code 2 and one line that says what was expected, what was given and what to do."""

import signal
import subprocess
import sys

import pytest
from commands import refused, run

from interp import cli
from interp.artifacts import BadInput

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
        (["tsae-eval", "--tsae", "a", "--store", "b", "--base", "c"], "--base is step 0 of a --series"),
        (["evaluate", "--base", "a"], "--base is step 0 of a --series, or the base of adapters"),
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


def stopped_by(monkeypatch, capsys, error: BaseException, *words: str) -> tuple[int, str]:
    """Exit code and stderr of a command whose work ends in this error."""

    def work(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.app, "cli", work)
    return run(monkeypatch, *words), capsys.readouterr().err


class OutOfMemoryError(RuntimeError):
    """As torch raises it on an accelerator."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        OutOfMemoryError("CUDA out of memory. Tried to\nallocate 9 GiB"),
    ],
    ids=["of Python", "of torch on the CPU", "of torch on an accelerator"],
)
def test_memory_that_runs_out_names_flags_that_take_less(monkeypatch, capsys, error):
    code, message = stopped_by(monkeypatch, capsys, error, "grpo")
    assert code == 2 and message.startswith("interp: out of memory: ask for fewer --rows or --micro-tokens or --batch")
    assert message.count("\n") == 1 and "allocate 9" in message


def test_another_error_of_the_program_is_not_hidden(monkeypatch, capsys):
    with pytest.raises(RuntimeError, match="a fault of ours"):
        stopped_by(monkeypatch, capsys, RuntimeError("a fault of ours"), "grpo")


@pytest.mark.parametrize(
    ("error", "words", "message"),
    [
        (KeyboardInterrupt("stopped before step 3"), ("grpo",), "interp: stopped before step 3\n"),
        (KeyboardInterrupt(), ("grpo",), "interp: stopped: the same command continues from what it has saved\n"),
        (KeyboardInterrupt(), ("roll-out",), "interp: stopped: nothing was saved\n"),
    ],
)
def test_ctrl_c_says_where_things_are(monkeypatch, capsys, error, words, message):
    assert stopped_by(monkeypatch, capsys, error, *words) == (130, message)


def test_a_message_is_one_line_and_moves_no_cursor(monkeypatch, capsys):
    code, message = stopped_by(monkeypatch, capsys, BadInput("a/\x1b[2Jb:\n  expected c"), "grpo")
    assert (code, message) == (2, "interp: a/\\x1b[2Jb: expected c\n")


def test_a_reader_that_has_gone_is_no_error():
    """As in `interp compare ... | head -1`. The reader is gone before the word comes that lets the command write."""
    write = "cli.app.cli = lambda **_: sys.stdout.write(sys.stdin.readline() * 99_999)"
    pipe = subprocess.PIPE
    code = f"import sys\nfrom interp import cli\n{write}\ncli.main()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(b"word\n")
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize("words", [("demo", "--train-steps", "0"), ("study", "roles", "--rejudge")])
def test_results_without_a_manifest_go_into_no_artifact(monkeypatch, capsys, tmp_path, words):
    (tmp_path / "manifest.json").write_text("{}")
    error = refused(monkeypatch, capsys, *words, "--out", tmp_path)
    assert f"{tmp_path}: expected a directory of its own, got an artifact: name another --out" in error
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
