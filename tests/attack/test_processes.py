"""A child's ending says what happened to it: its value, a refusal, an error, a hang, a signal, its memory."""

import os
import signal
import sys

import pytest

from attack.hooks import counting, signalled_at
from attack.processes import run_child
from interp.artifacts import BadInput


def refuse() -> None:
    raise BadInput("expected a, got b")


def spin() -> None:
    while True:
        pass


def test_a_value_comes_back():
    ending = run_child(lambda: {"a": [1, 2]})
    assert (ending.code, ending.value, ending.error) == (0, {"a": [1, 2]}, "")


def test_a_refusal_is_exit_code_2_with_its_message():
    ending = run_child(refuse)
    assert (ending.code, ending.message) == (2, "expected a, got b")


def test_an_error_names_its_class_and_line():
    ending = run_child(lambda: 1 / 0)
    assert ending.code == 1 and ending.error == "ZeroDivisionError" and "test_processes.py" in ending.message


def test_the_exit_code_of_a_command_and_what_it_wrote_come_back():
    ending = run_child(lambda: (sys.stderr.write("interp: no"), sys.exit(2)))
    assert ending.code == 2 and ending.output == "interp: no"


def test_a_child_that_computes_for_too_long_hangs():
    assert run_child(spin, seconds=1).hung


def test_a_child_that_waits_for_too_long_hangs():
    assert run_child(signal.pause, seconds=0.1).hung


def test_a_killed_child_ends_with_the_signal():
    assert run_child(lambda: os.kill(os.getpid(), signal.SIGKILL)).code == -signal.SIGKILL


def test_the_memory_that_a_child_took_is_known_in_megabytes():
    assert 90 < run_child(lambda: len(bytearray(100_000_000))).mb < 200


def test_memory_that_the_parent_has_freed_does_not_hide_what_a_child_takes():
    def take(count: int) -> list[bytearray]:
        return [bytearray(100_000) for _ in range(count)]

    taken, last = take(1000), take(1)
    del taken  # below what is still in use, so that the parent keeps it
    assert run_child(lambda: len(take(500))).mb > 45
    assert len(last) == 1


def test_memory_above_the_limit_is_refused_to_a_child():
    assert run_child(lambda: len(bytearray(100_000_000)), megabytes=50).error == "MemoryError"


@pytest.mark.parametrize(("when", "renamed"), [("before", 1), ("after", 2)])
def test_a_process_can_be_killed_before_or_after_its_second_rename(tmp_path, when, renamed):
    def work() -> None:
        for name in ("a", "b", "c"):
            (tmp_path / f"{name}.partial").touch()
            os.rename(tmp_path / f"{name}.partial", tmp_path / name)

    calls = run_child(counting(work)).value
    assert calls == 6, "three times a file is opened and renamed"
    for path in tmp_path.iterdir():
        path.unlink()
    ending = run_child(signalled_at(work, 3, when, signal.SIGKILL))
    assert ending.code == -signal.SIGKILL
    assert len([path for path in tmp_path.iterdir() if not path.suffix]) == renamed
