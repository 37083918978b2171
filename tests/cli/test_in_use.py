"""A place that another process writes is refused by every command at once, before any model is loaded."""

import threading

import pytest
from commands import refused

from interp.artifacts import locked
from interp.policy import Policy

COMMANDS = ("roll-out", "bucket", "evaluate", "roles --tsae none", "grpo", "organism build", "study difficulty")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_in_use_is_refused_by_its_name(monkeypatch, capsys, tmp_path, command):
    is_locked, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path / "out"):
            is_locked.set()
            is_over.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    is_locked.wait(30)
    monkeypatch.setattr(Policy, "sample", lambda *_, **__: pytest.fail("the policy was sampled"))
    try:
        message = refused(monkeypatch, capsys, *command.split(), "--out", tmp_path / "out")
    finally:
        is_over.set()
        holder.join()
    assert f"{tmp_path / 'out'} is in use by process" in message
