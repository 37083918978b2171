"""Verdicts of studies, from their result directories: the claim, what was found, and the numbers it rests on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.artifacts import parse_json, reading
from interp.stats.estimate import Estimate

RESULT, LEDGER = "result.json", "runs.jsonl"
READING = "exact shares"
"""The intervals that the corrected verdict rests on."""


@dataclass(frozen=True)
class StudyResult:
    """The result of a study, finished or not."""

    name: str
    path: Path
    content: Mapping[str, Any] | None
    """What its result.json holds. None if there is none yet."""

    @classmethod
    def load(cls, path: str | Path) -> "StudyResult":
        """The result in a study's directory."""
        path = Path(path)
        file, content = path / RESULT, None
        if file.exists():
            content = parse_json(file, "the result of a study")
            with reading(file, "the result of a study"):
                for entry in ("texts", "verdict", "measures"):
                    if not isinstance(content[entry], dict):
                        raise TypeError(f"{entry} that is a {type(content[entry]).__name__}")
        return cls(path.absolute().name, path, content)

    @property
    def partial(self) -> str | None:
        """Why it is partial. None if it is whole."""
        if self.content is None:
            return f"The study {self.name} is unfinished: it has runs and no {RESULT} yet."
        return None

    def verdicts(self) -> list[dict[str, Any]]:
        """A row for each claim, as the index of a report has it."""
        if self.content is None:
            return []
        with reading(self.path / RESULT, "the result of a study"):
            return [self._verdict(claim, verdict) for claim, verdict in self.content["verdict"].items()]

    def _verdict(self, claim: str, verdict: str) -> dict[str, Any]:
        content = self.content or {}
        prefix = f"{claim}: "
        measures = [
            {"name": name.removeprefix(prefix), **_interval(readings.get(READING) or next(iter(readings.values())))}
            for name, readings in content["measures"].items()
            if name.startswith(prefix)
        ]
        text = str(content["texts"][claim])
        return {"study": self.name, "claim": claim, "text": text, "verdict": str(verdict), "measures": measures}


def is_study(path: Path) -> bool:
    """Whether a directory is that of a study: its ledger, or a result with verdicts on claims."""
    if (path / LEDGER).is_file():
        return True
    if not (path / RESULT).is_file():
        return False
    content = parse_json(path / RESULT, "the result of a study", constants=True)
    return isinstance(content, dict) and {"texts", "verdict", "measures"} <= content.keys()


def interval(estimate: Estimate) -> dict[str, Any]:
    """An estimate as the index of a report has it: null where there is no number."""
    numbers = {name: getattr(estimate, name) for name in ("value", "low", "high")}
    return {name: None if math.isnan(number) else number for name, number in numbers.items()} | {"n": estimate.n}


def _interval(content: Mapping[str, Any]) -> dict[str, Any]:
    value, low, high = (content.get(name) for name in ("value", "low", "high"))
    return interval(Estimate(value, low, high, content.get("n") or 0))  # pyright: ignore[reportArgumentType]
