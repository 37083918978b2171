"""The runs and checkpoints that a report refers to, each once, by number."""

from dataclasses import dataclass
from typing import Any

from interp.policy.fingerprints import weights_of


@dataclass(frozen=True)
class RunEntry:
    """A run as the report shows it."""

    name: str
    kind: str
    """run, series or evaluation."""
    note: str = ""
    """Why it is partial."""


@dataclass(frozen=True)
class CheckpointEntry:
    """A checkpoint of a run."""

    run: int
    """Number of its run."""
    step: int
    is_base: bool
    weights: str | None = None
    """Fingerprint of its weights, if it is known."""

    @property
    def label(self) -> str:
        return "base" if self.is_base else f"step {self.step}"


class Checkpoints:
    """Runs and checkpoints by number."""

    def __init__(self) -> None:
        self.runs: list[RunEntry] = []
        self.entries: list[CheckpointEntry] = []

    def add_run(self, name: str, kind: str, note: str = "") -> int:
        """The number of a run, which is added if there is none of this name."""
        for number, run in enumerate(self.runs):
            if run.name == name:
                return number
        self.runs.append(RunEntry(name, kind, note))
        return len(self.runs) - 1

    def add(self, run: int, step: int, *, is_base: bool = False, fingerprint: str | None = None) -> int:
        """The number of a checkpoint, which is added if there is none of this run and step."""
        for number, entry in enumerate(self.entries):
            if (entry.run, entry.step) == (run, step):
                return number
        weights = None if fingerprint is None else weights_of(fingerprint)
        self.entries.append(CheckpointEntry(run, step, is_base, weights))
        return len(self.entries) - 1

    def of_run(self, run: int) -> list[int]:
        """The checkpoints of a run, in order of step."""
        numbers = [number for number, entry in enumerate(self.entries) if entry.run == run]
        return sorted(numbers, key=lambda number: self.entries[number].step)

    def with_weights(self, fingerprint: str | None) -> list[int]:
        """The checkpoints with these weights: the base of several runs has several."""
        if fingerprint is None:
            return []
        return [number for number, entry in enumerate(self.entries) if entry.weights == weights_of(fingerprint)]

    def run_named(self, name: str) -> int | None:
        return next((number for number, run in enumerate(self.runs) if run.name == name), None)

    def name(self, checkpoint: int) -> str:
        """Run and label of a checkpoint."""
        entry = self.entries[checkpoint]
        return "base" if entry.is_base else f"{self.runs[entry.run].name}, {entry.label}"

    def to_index(self) -> dict[str, list[dict[str, Any]]]:
        """The entries of a report's index."""
        checkpoints = [
            {"run": entry.run, "step": entry.step, "label": entry.label, "is_base": entry.is_base}
            for entry in self.entries
        ]
        return {"runs": [vars(run) for run in self.runs], "checkpoints": checkpoints}
