"""What a task is: problems by (split, level, index), and a verdict on every completion.

A verdict speaks in characters of the completion, since a task knows no tokenizer; `token_roles` and `token_at`
carry it over to tokens. Three-valued judgements are `True`, `False` or `None`, and `None` always means "not judged",
never "wrong". An exception in a verifier is a bug and stops the run: it is not a wrong answer.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")
SPLITS = ("train", "eval", "probe")
"""Disjoint by content: learn on `train`, measure on `eval`, and keep `probe` for fixed teacher-forced text."""

BUCKETS = ("easy", "medium", "hard")
"""Difficulty as measured by the base policy's pass rate, easiest first. A task's own groups of problems are its
`levels`, under other names."""

ROLES = (
    "carry",  # a running value taken over from the step before
    "operator",
    "operand",  # a number fetched from the problem
    "equals",
    "result",  # the outcome of a computation
    "separator",
    "marker",  # announces the answer
    "answer",
    "end",  # end of sequence
    "text",  # everything else
)
"""What a token of a completion does. (What a *feature* does is also called a role, but that one has to be earned.)"""


@dataclass(frozen=True, slots=True)
class Problem:
    id: str
    prompt: str
    answer: str
    """What is rewarded. With `wrong_labels` planted it may differ from the truth."""
    split: str = "eval"
    depth: int | None = None
    level: str | None = None
    """Name of the group the problem belongs to: one of the task's `levels`, or the bucket it was measured to be in."""


@dataclass(frozen=True, slots=True)
class SkippedLine:
    """A line of a user's file that cannot be used."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Span:
    start: int
    end: int
    role: str


@dataclass(frozen=True, slots=True)
class Step:
    """One written step, as characters [start, end) of the completion."""

    start: int
    end: int
    holds: bool | None
    """The equation is true as it stands."""
    follows: bool | None
    """It is the computation due at this point, on the values at hand."""

    @property
    def right(self) -> bool | None:
        if self.holds is False or self.follows is False:
            return False
        return None if self.holds is None or self.follows is None else True


@dataclass(frozen=True, slots=True)
class Verdict:
    correct: bool
    """The answer is the true one."""
    rewarded: bool
    """The answer is the labelled one: what a reward sees."""
    valid: bool | None
    """Every step right, in order, complete, and the answer right."""
    format: str
    """How it was written: a format of the task, `direct` (an answer and nothing else), or `malformed`."""
    answer: str | None = None
    shortcut: str | None = None
    """How a correct answer was reached without the computation, if it was: `direct`, `copy` or `cue`."""
    steps: tuple[Step, ...] = ()
    first_error: int | None = None
    """The character at which the first wrong or missing thing begins."""
    spans: tuple[Span, ...] = ()

    @property
    def lucky(self) -> bool | None:
        """Correct but not valid. Unknown where validity is."""
        return None if self.correct and self.valid is None else self.correct and not self.valid

    @property
    def coherent(self) -> bool | None:
        """Every written step is true as it stands, whether or not it was the one due. Unknown without steps."""
        if any(step.holds is False for step in self.steps):
            return False
        return None if not self.steps or any(step.holds is None for step in self.steps) else True


@runtime_checkable
class Task(Protocol):
    """The contract. `level` selects problems: a depth, the name of a group, or `None` for all that the split holds.

    A task that subclasses `Task` states only what is true of it: the optional facts have defaults.
    """

    @property
    def name(self) -> str: ...

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the task's own groups of problems, easiest first. Default: none."""
        return ()

    @property
    def depths(self) -> tuple[int, int] | None:
        """Smallest and largest depth, both included. Default: None, problems have no depth."""
        return None

    @property
    def skipped(self) -> tuple[SkippedLine, ...]:
        """Lines of the task's file that were left out. Default: none."""
        return ()

    def size(self, split: str, level: int | str | None) -> int | None:
        """Number of problems of a split at a level. Default: None, the task draws as many as it is asked for."""
        return None

    def decoys(self, prompt: str) -> dict[str, str]:
        """Answer that each planted shortcut gives to `prompt`, by the shortcut's name. Default: none are planted."""
        return {}

    def fingerprint(self) -> str:
        """Of everything that decides which problems there are and how they are judged."""
        ...

    def problem(self, split: str, level: int | str | None, index: int) -> Problem: ...

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]: ...

    def verify(self, problem: Problem, completion: str) -> Verdict: ...


def seeded(*key: object) -> random.Random:
    """A generator of its own for every key. Never seed + index: two such streams overlap."""
    return random.Random(hash_of(*key))


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """So many of them, evenly from first to last; all, if there are fewer."""
    count = min(count, len(items))
    return [items[at * len(items) // count] for at in range(count)]


def hash_of(*key: object) -> int:
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()[:8], "little")


def token_roles(verdict: Verdict, offsets: Sequence[tuple[int, int]]) -> list[str]:
    """The role of each token, given the characters [start, end) it covers: that of the span it overlaps most."""
    roles: list[str] = []
    first = 0
    for start, end in offsets:
        while first < len(verdict.spans) and verdict.spans[first].end <= start:
            first += 1
        best, most = "text", 0
        for span in verdict.spans[first:]:
            if span.start >= end:
                break
            overlap = min(span.end, end) - max(span.start, start)
            if overlap > most:
                best, most = span.role, overlap
        roles.append(best)
    return roles


def token_at(character: int | None, offsets: Sequence[tuple[int, int]]) -> int | None:
    """The first token that reaches past `character`. What is missing at the end falls to the token after the last: the
    one that ended the completion too soon."""
    if character is None:
        return None
    return next((i for i, (_, end) in enumerate(offsets) if end > character), len(offsets))
