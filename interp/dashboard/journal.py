"""The rollouts of a report: a row for each with its verdict, and blocks of tokens, one for each batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from interp.credit.explanation import CreditExplanation
from interp.dashboard.config import DashboardConfig
from interp.dashboard.extras import Extra, add_extras
from interp.dashboard.levels import Levels
from interp.dashboard.payments import add_payments
from interp.dashboard.readings import Reading, add_block
from interp.dashboard.report import Report
from interp.dashboard.rollouts import Batch
from interp.dashboard.tokens import TokenTexts
from interp.rollouts.record import Rollout
from interp.tasks.base import TOKEN_ROLES

NO_BUCKET, UNKNOWN = 255, 2
DTYPES = {
    **dict.fromkeys(("checkpoint",), "u2"),
    **dict.fromkeys(("problem", "sample", "start", "length"), "u4"),
    **dict.fromkeys(("bucket", "correct", "valid", "lucky", "format", "truncated", "source"), "u1"),
    **{"reward": "f4", "gate": "f4", "first_error": "i4"},
}


def add_rollouts(
    report: Report,
    readings: Sequence[Reading],
    levels: Levels,
    buckets: Sequence[str],
    texts: TokenTexts,
    row_of_latent: Int[ndarray, " F"] | None,
    config: DashboardConfig,
    extras: Mapping[str, Extra],
    explanations: Sequence[CreditExplanation],
) -> dict[str, Any] | None:
    """Add all rollouts shown. None if there are none. (The texts of tokens are added last: more may come up.)"""
    if not readings:
        return None
    table = RolloutTable(levels, buckets)
    blocks, tokens = [], 0
    for number, reading in enumerate(readings):
        batch = reading.batch
        blocks.append(
            {
                "checkpoint": batch.checkpoint,
                "source": batch.source,
                "first": len(table.rows),
                "count": len(batch.rows),
                "start": tokens,
                "tokens": batch.tokens,
                "arrays": add_block(report, number, reading, texts, row_of_latent, config.codes),
            }
        )
        table.add(batch, tokens)
        tokens += batch.tokens
    columns = {name: report.add(f"rollouts.{name}", table.column(name), dtype) for name, dtype in DTYPES.items()}
    return {
        "count": len(table.rows),
        "problems": report.add_json("rollouts.problems", table.problems),
        "columns": columns | {"answer": report.add_json("rollouts.answer", table.column("answer"))},
        "formats": table.formats,
        "blocks": blocks,
        "extras": add_extras(report, readings, extras),
        "payments": add_payments(report, readings, explanations),
        "token_roles": list(TOKEN_ROLES),
    }


class RolloutTable:
    """Rows of rollouts, with their problems and formats by number."""

    def __init__(self, levels: Levels, buckets: Sequence[str]) -> None:
        self.levels, self.buckets = levels, list(buckets)
        self.rows: list[dict[str, Any]] = []
        self.problems: list[dict[str, Any]] = []
        self.formats: list[str] = []
        self._problem_of: dict[tuple[str, str], int] = {}

    def add(self, batch: Batch, start: int) -> None:
        """Add the rollouts of a batch, whose tokens begin at `start`."""
        for rollout in batch.rows:
            self.rows.append(self._row(rollout, batch, start))
            start += len(rollout.tokens)

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    def _row(self, rollout: Rollout, batch: Batch, start: int) -> dict[str, Any]:
        bucket = self._bucket(rollout)
        return {
            "checkpoint": batch.checkpoint,
            "problem": self._problem(rollout),
            "sample": rollout.sample,
            "bucket": NO_BUCKET if bucket is None else bucket,
            "correct": int(rollout.correct),
            "valid": UNKNOWN if rollout.valid is None else int(rollout.valid),
            "lucky": UNKNOWN if rollout.lucky is None else int(rollout.lucky),
            "format": self._format(rollout.format),
            "truncated": int(rollout.truncated),
            "reward": rollout.reward,
            "gate": np.nan if rollout.gate is None else rollout.gate,
            "first_error": -1 if rollout.first_error is None else rollout.first_error,
            "answer": rollout.answer,
            "source": batch.source,
            "start": start,
            "length": len(rollout.tokens),
        }

    def _bucket(self, rollout: Rollout) -> int | None:
        level = self.levels.of(rollout)
        bucket = NO_BUCKET if level is None else self.buckets.index(level)
        return bucket if bucket < NO_BUCKET else None

    def _problem(self, rollout: Rollout) -> int:
        key = rollout.problem, rollout.prompt
        if key not in self._problem_of:
            self._problem_of[key] = len(self.problems)
            problem = {"id": rollout.problem, "prompt": rollout.prompt, "label": rollout.label}
            self.problems.append(problem | {"bucket": self._bucket(rollout), "depth": rollout.depth})
        return self._problem_of[key]

    def _format(self, name: str) -> int:
        if name not in self.formats:
            self.formats.append(name)
        return self.formats.index(name)
