"""A terminal's view: tables in plain text, rollouts coloured by what each step did."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interp.rollouts import Buckets, Rollout, Rollouts, Share, Summary
from interp.tasks import BUCKETS, Chain
from interp.tasks.cases import CaseResult

COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2"}
LEGEND = (("green", "right"), ("yellow", "true, but not the step due"), ("red", "wrong"))
BY_DEPTH = {
    "pass_rate": "pass rate",
    "valid_rate": "valid rate",
    "lucky_rate": "lucky rate",
    "direct_share": "direct share",
    "valid_given_success": "P(valid | success)",
}
KINDS: dict[str, Callable[[Rollout], bool]] = {
    "a valid chain": lambda r: r.valid is True and len(r.steps) > 2,
    "a sloppy chain, lucky": lambda r: bool(r.lucky) and bool(r.steps),
    "a sloppy chain, unlucky": lambda r: not r.correct and bool(r.steps),
    "at once, lucky": lambda r: r.correct and r.format == "direct" and (r.depth or 0) > 2,
    "at once, unlucky": lambda r: not r.correct and r.format == "direct",
    "outside the grammar": lambda r: r.format == "malformed",
}


@dataclass(frozen=True)
class Painter:
    """Colours words, or leaves them alone where no one would see the colours."""

    colour: bool

    @classmethod
    def for_terminal(cls) -> "Painter":
        wanted = sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
        return cls(wanted and not os.environ.get("NO_COLOR"))

    def __call__(self, text: str, colour: str) -> str:
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.colour and text else text


def grid(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need to be, the first to the left and the rest to the right."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def introduction(task: Chain) -> str:
    return (
        f"Chains of arithmetic modulo {task.modulus}, worked out from left to right (no operator binds tighter), one\n"
        "operation a step. Answered at once (`# 4`, direct) or step by step. Valid: every step right, in order, none\n"
        "left out, and the answer right. Lucky: right, but not valid. [In brackets: 95% intervals over problems.]"
    )


def by_depth(summary: Summary, buckets: Mapping[Any, str]) -> str:
    rows = [
        [depth, buckets.get(depth, ""), *(measures[name] for name in BY_DEPTH)]
        for depth, measures in summary.rows.items()
    ]
    return grid(["depth", "bucket", *BY_DEPTH.values()], rows)


def finding(hard: dict[str, Share]) -> str:
    """What the table comes to."""
    return (
        f"In the hard bucket {hard['pass_rate']} of the answers are right. "
        f"Of these, {hard['valid_given_success']} come of a valid chain; the rest is luck."
    )


def shares(summary: Summary) -> str:
    """Every measure of every group, one a line."""
    rows = [
        [name, group, found, found.n] for group, measures in summary.rows.items() for name, found in measures.items()
    ]
    return grid(["measure", summary.by, "value", "of"], rows)


def bucket_table(buckets: Buckets) -> str:
    rows = []
    for name in BUCKETS:
        inside = [row for row in buckets if row.bucket == name]
        labels = [sum(row.at8 == f"{kind}@8" for row in inside) for kind in BUCKETS]
        rows.append([name, len(inside), sum(row.sure for row in inside), *labels])
    return grid(["bucket", "problems", "surely so", *(f"labelled {kind}@8" for kind in BUCKETS)], rows)


def gallery(rollouts: Rollouts, words: Callable[[Sequence[int]], list[str]], shown: int) -> str:
    """One rollout of each kind, as far as there are any, in colour; of middling depth, where each habit shows."""
    painter = Painter.for_terminal()
    depths = sorted(r.depth or 0 for r in rollouts)
    nearest = sorted(rollouts, key=lambda r: abs((r.depth or 0) - depths[len(depths) // 2]))
    picked = [(kind, r) for kind, is_one in KINDS.items() if (r := next(filter(is_one, nearest), None)) is not None]
    blocks = [f"{kind}:  {r.prompt} ({r.label})\n  {paint(r, words(r.tokens), painter)}" for kind, r in picked[:shown]]
    legend = ["", "  ".join(painter(meaning, colour) for colour, meaning in LEGEND)] if painter.colour else []
    return "\n".join([*blocks, *legend])


def paint(rollout: Rollout, words: Sequence[str], painter: Painter) -> str:
    """A completion, token by token (`words`): steps by whether they were right, the answer by whether it was."""
    colours = ["dim"] * len(words)
    for step in rollout.steps:
        colour = "red" if step.holds is False else "green" if step.holds and step.follows else "yellow"
        colours[step.start : step.end] = [colour] * (step.end - step.start)
    for at, role in enumerate(rollout.roles):
        if role == "answer":
            colours[at] = "green" if rollout.correct else "red"
    return "".join(map(painter, words, colours))


def case_table(results: Sequence[CaseResult]) -> str:
    """Counts by verifier, and every case whose verdict was not the expected one."""
    tables = sorted({result.table for result in results})
    counts = [[t, sum(r.table == t for r in results), sum(r.table == t and r.agreed for r in results)] for t in tables]
    wrong = [f"{r.table}: {r.case}: expected {r.expected}, got {r.got}" for r in results if not r.agreed]
    return "\n".join([grid(["verifier", "cases", "as expected"], counts), *wrong])
