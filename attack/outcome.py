"""What an attack counts: how many cases it tried, how each ended, and those that must be mended."""

import datetime
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interp.artifacts import to_json, versions, write_json

RESULTS = Path(__file__).parent / "results"
WHOLE, REFUSED, SAID, LOST, SILENT, OTHER, TRACEBACK, HANG = (
    "whole",
    "refused",
    "said",
    "lost",
    "silent",
    "silent without checksums",
    "traceback",
    "hang",
)
"""How a case can end.

whole                      the result is what it would have been without the attack
refused                    an error that says what was expected, and exit code 2
said                       another result, and a warning that names the file and what is left out of it
lost                       work that was finished is gone, or leftovers lie beside it
silent                     another result, without a word
silent without checksums   the same in a directory that has none: older ones, and those of other tools
traceback                  any other error
hang                       no end within the limit of time
"""
FAILED = (LOST, SILENT, TRACEBACK, HANG)
"""Endings that must be mended."""
MAX_FAILURES = 200
"""Failures that a result lists; the rest are counted alone."""


@dataclass(frozen=True)
class Failure:
    """A case that ended badly."""

    case: int
    what: str
    """What was done, to what."""
    ending: str
    message: str = ""


@dataclass
class Outcome:
    """What one attack has found."""

    name: str
    seed: int
    tried: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Cases by their ending."""
    failures: list[Failure] = field(default_factory=list)
    peak_mb: float | None = None
    """Most memory taken by one case before it ended, beyond what the same case takes undisturbed."""
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    """Further counts, by name."""

    def add(self, ending: str, what: str, message: str = "", *, mb: float | None = None) -> None:
        """Count a case, and list it if it ended badly."""
        self.counts[ending] = self.counts.get(ending, 0) + 1
        if ending in FAILED and len(self.failures) < MAX_FAILURES:
            self.failures.append(Failure(self.tried, what, ending, message[-2000:]))
        if mb is not None:
            self.peak_mb = max(self.peak_mb or 0.0, round(mb, 1))
        self.tried += 1

    @property
    def failed(self) -> int:
        return sum(self.counts.get(ending, 0) for ending in FAILED)

    def save(self, directory: Path = RESULTS) -> None:
        """Write the result, dated, with the version and the commit it is of."""
        when = {"date": datetime.date.today().isoformat(), "version": versions("interp").get("interp"), **commit()}
        write_json(directory / f"{self.name}.json", {**when, **to_json(self), "failures": to_json(self.failures)})


def commit() -> dict[str, str | None]:
    """The commit of the working tree; with a `+` if its code differs from it."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ":/interp")
        return {"commit": git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None}


def load_results(directory: Path = RESULTS) -> list[dict[str, Any]]:
    """Every saved result, by name."""
    return [{"name": file.stem, **json.loads(file.read_text())} for file in sorted(directory.glob("*.json"))]


def cases(outcome: Outcome, budget_s: float, most: int) -> Iterator[int]:
    """Numbers of the cases to try, until there are `most` or the time is over, with a line of progress on stderr."""
    start = last = time.monotonic()
    for case in range(most):
        now = time.monotonic()
        outcome.seconds = round(now - start, 1)
        if now - start > budget_s:
            break
        if now - last > 10:
            last = now
            counts = ", ".join(f"{ending} {count}" for ending, count in sorted(outcome.counts.items()))
            sys.stderr.write(f"{outcome.name}: {case} of {most} in {outcome.seconds:.0f} s: {counts}\n")
            sys.stderr.flush()
        yield case
    outcome.seconds = round(time.monotonic() - start, 1)
