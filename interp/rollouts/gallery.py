"""Examples of rollouts for a terminal: one of each kind, with every step coloured by its verdict."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from interp.display import one_line
from interp.rollouts.record import Rollout

COLOR_CODES = {"green": "32", "red": "31", "yellow": "33", "dim": "2"}
LEGEND = (("green", "right"), ("yellow", "true, but not the step due"), ("red", "wrong"))
KINDS: Mapping[str, Callable[[Rollout], bool]] = {
    "valid chain": lambda r: r.valid is True and len(r.steps) > 2,
    "invalid chain, lucky answer": lambda r: bool(r.lucky) and bool(r.steps),
    "invalid chain, wrong answer": lambda r: not r.correct and bool(r.steps),
    "direct answer, lucky": lambda r: r.correct and r.format == "direct" and (r.depth or 0) > 2,
    "direct answer, wrong": lambda r: not r.correct and r.format == "direct",
    "right number, not announced": lambda r: r.format == "unannounced",
    "malformed": lambda r: r.format == "malformed",
}


@dataclass(frozen=True)
class Painter:
    """Colours words with ANSI codes, or leaves them as they are."""

    enabled: bool

    @classmethod
    def for_terminal(cls) -> "Painter":
        """Colours if stdout is a terminal or FORCE_COLOR is set, and never if NO_COLOR is set."""
        is_wanted = sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
        return cls(is_wanted and not os.environ.get("NO_COLOR"))

    def __call__(self, text: str, color: str) -> str:
        return f"\x1b[{COLOR_CODES[color]}m{text}\x1b[0m" if self.enabled and text else text


def examples(rollouts: Sequence[Rollout]) -> dict[str, Rollout]:
    """One rollout of each kind that occurs, by kind, none of them twice.

    Their depth is near the median, where every kind is common.
    """
    depths = sorted(rollout.depth or 0 for rollout in rollouts)
    by_distance = sorted(rollouts, key=lambda rollout: abs((rollout.depth or 0) - depths[len(depths) // 2]))
    by_kind: dict[str, Rollout] = {}
    for kind, is_of_kind in KINDS.items():
        for rollout in by_distance:
            if is_of_kind(rollout) and rollout not in by_kind.values():
                by_kind[kind] = rollout
                break
    return by_kind


def gallery(rollouts: Sequence[Rollout], token_texts: Callable[[Sequence[int]], list[str]], n: int) -> str:
    """At most `n` examples as text, each below its kind, its prompt and the labelled answer."""
    painter = Painter.for_terminal()
    blocks = []
    for kind, rollout in list(examples(rollouts).items())[:n]:
        painted = paint(rollout, token_texts(rollout.tokens), painter)
        blocks.append(f"{kind}:  {one_line(rollout.prompt)} ({one_line(rollout.label)})\n  {painted}")
    legend = ["", "  ".join(painter(meaning, color) for color, meaning in LEGEND)] if painter.enabled else []
    return "\n".join([*blocks, *legend])


def paint(rollout: Rollout, token_texts: Sequence[str], painter: Painter) -> str:
    """A completion, token by token: steps coloured by whether they are right, the answer by whether it is correct."""
    colors = ["dim"] * len(token_texts)
    for step in rollout.steps:
        color = "red" if step.holds is False else "green" if step.holds and step.follows else "yellow"
        colors[step.start : step.end] = [color] * (step.end - step.start)
    for position, role in enumerate(rollout.roles):
        if role == "answer":
            colors[position] = "green" if rollout.correct else "red"
    return "".join(map(painter, map(one_line, token_texts), colors))
