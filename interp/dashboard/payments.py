"""What a credit read in the rollouts of a report and what it paid them, beside what a control would have paid.

    values            a row for each rollout: p, gate, paid, log-odds at the mean of the labels, what was added to its
                      advantage, and log-odds by source
    tokens[block]     a row for each token of a block: what each source read there, in log-odds; the control's advantage

NaN stands for what was not read. A report without explanations of credit has none of it, and says so.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from interp.dashboard.extras import rollout_key
from interp.dashboard.readings import Reading
from interp.dashboard.report import Report
from interp.dashboard.rollouts import TRAINING
from interp.rollouts.record import Rollout

if TYPE_CHECKING:
    from interp.credit.explanation import CreditExplanation, SchemePayments

COLUMNS = ("p", "gate", "paid", "at_mean", "added")
"""Numbers of a rollout before those of its sources."""


def add_payments(
    report: Report, readings: Sequence[Reading], explanations: "Iterable[CreditExplanation]"
) -> list[dict[str, Any]]:
    """Add every explanation, as far as its rollouts are shown. One of which none is shown is left out."""
    entries = []
    for explanation in explanations:
        entry = _entry(report, len(entries), readings, explanation)
        if entry is None:
            report.leave_out(f"No rollout that {explanation.scheme.name} was explained for is shown.")
        else:
            entries.append(entry)
    return entries


def _entry(
    report: Report, number: int, readings: Sequence[Reading], explanation: "CreditExplanation"
) -> dict[str, Any] | None:
    """The part of the index of one explanation."""
    rows, indices, blocks, first = list[int](), list[int](), dict[int, list[int | None]](), 0
    for block, reading in enumerate(readings):
        is_paid = reading.batch.source == TRAINING
        places = places_among(reading.batch.rows if is_paid else [], explanation.rollouts)
        if any(at is not None for at in places):
            blocks[block] = places
        for place, at in enumerate(places):
            if at is not None:
                rows.append(first + place)
                indices.append(at)
        first += len(reading.batch.rows)
    if not rows:
        return None
    sides = {"scheme": explanation.scheme} | ({} if explanation.control is None else {"control": explanation.control})
    return {
        "rows": report.add(f"payments.{number}.rows", rows, "u4"),
        "columns": list(COLUMNS),
        **{
            name: _side(report, f"payments.{number}.{name}", readings, blocks, indices, explanation, side)
            for name, side in ({"control": None} | sides).items()
        },
    }


def places_among(rows: Sequence[Rollout], explained: Sequence[Rollout]) -> list[int | None]:
    """The place of each rollout among those that were explained; None where it is not among them.

    A step that asks a problem twice has two rollouts of one key. They are told apart by their tokens; where these are
    the same too, by their advantages, and else they are paired in order."""
    free: dict[tuple[object, ...], list[int]] = {}
    for at, row in enumerate(explained):
        free.setdefault((rollout_key(row), row.tokens), []).append(at)
    places: list[int | None] = []
    for row in rows:
        candidates = free.get((rollout_key(row), row.tokens), [])
        of_group = [at for at in candidates if explained[at].advantages == row.advantages]
        places.append(next(iter(of_group or candidates), None))
        if places[-1] is not None:
            candidates.remove(places[-1])
    return places


def _side(
    report: Report,
    name: str,
    readings: Sequence[Reading],
    blocks: dict[int, list[int | None]],
    indices: list[int],
    explanation: "CreditExplanation",
    side: "SchemePayments | None",
) -> dict[str, Any] | None:
    """What a scheme, or its control, read and paid."""
    if side is None:
        return None
    added_B = torch.full_like(side.paid_B, torch.nan) if side.added_B is None else side.added_B
    numbers = (side.p_B, side.gate_B, side.paid_B, side.at_mean_B, added_B)
    values_RC = torch.cat([torch.stack(numbers, 1), side.by_source_BS], 1)[indices]
    starts = np.cumsum([0, *(len(row.tokens) for row in explanation.rollouts)])
    tokens = {}
    for block, found_at in blocks.items():
        lengths = [len(row.tokens) for row in readings[block].batch.rows]
        places = _token_places(found_at, lengths, starts)
        read_NS = _at(places, side.by_token_NS.numpy())
        arrays = {"read": report.add(f"{name}.read.{block}", read_NS, "f2") if side.sources else None}
        advantage_N = None if side.advantage_N is None else _at(places, side.advantage_N.numpy())
        arrays["advantage"] = (
            None if advantage_N is None else report.add(f"{name}.advantage.{block}", advantage_N, "f2")
        )
        tokens[str(block)] = arrays
    return {
        "name": side.name,
        "reader": side.reader,
        "sources": list(side.sources),
        "values": report.add(f"{name}.values", values_RC.numpy(), "f4"),
        "tokens": tokens,
    }


def _token_places(found_at: Sequence[int | None], lengths: Sequence[int], starts: np.ndarray) -> np.ndarray:
    """The place of each token of a block among those of an explanation; -1 where it has none."""
    parts = [
        np.full(length, -1) if at is None else np.arange(starts[at], starts[at] + length)
        for at, length in zip(found_at, lengths, strict=True)
    ]
    return np.concatenate([np.zeros(0, int), *parts])


def _at(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values at these places; NaN at -1."""
    chosen = values[places]
    chosen[places < 0] = np.nan
    return chosen
