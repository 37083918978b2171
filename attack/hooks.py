"""Stop a process at an exact point: before or after its n-th call that changes the file system."""

import os
import signal
from collections.abc import Callable
from typing import Any

CALLS = ("rename", "replace", "fsync", "unlink", "remove", "mkdir", "rmdir", "open")
"""Functions of `os` at which a process can be stopped. Python's own library calls them by these names too."""


def counting(work: Callable[[], Any]) -> Callable[[], int]:
    """`work`, returning the number of calls it made."""

    def counted() -> int:
        seen = 0

        def count(name: str, before: bool) -> None:
            nonlocal seen
            seen += before

        _watch(count)
        work()
        return seen

    return counted


def signalled_at(work: Callable[[], Any], number: int, when: str, sent: signal.Signals) -> Callable[[], Any]:
    """`work`, sent a signal `before` or `after` its call of this number, counted from 0."""

    def signalled() -> Any:
        seen = 0

        def send(name: str, before: bool) -> None:
            nonlocal seen
            if before:
                seen += 1
            if seen == number + 1 and before == (when == "before"):
                seen += not before  # once
                os.kill(os.getpid(), sent)

        _watch(send)
        return work()

    return signalled


def _watch(callback: Callable[[str, bool], None]) -> None:
    """Call `callback` with the name before and after each of the calls."""

    def watched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            callback(name, True)
            result = original(*args, **kwargs)
            callback(name, False)
            return result

        return call

    for name in CALLS:
        setattr(os, name, watched(name, getattr(os, name)))
