"""The task contract: problems by (split, level, index), and a verdict on every completion.

A task knows no tokenizer, so a verdict gives positions in characters of the completion. `token_roles` and `token_at`
translate them to tokens. Judgements have three values: True, False, and None for "not judged", which never means
"wrong". An exception in a verifier is a bug and stops the run; it never counts as a wrong answer.
"""

import hashlib
import random
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")
SPLITS = ("train", "eval", "probe")
"""Splits are disjoint by content: `train` to learn on, `eval` to measure on, `probe` for fixed teacher-forced text."""

BUCKETS = ("easy", "medium", "hard")
"""Difficulty as measured by the base policy's pass rate, easiest first. A task's own groups of problems are its
`levels`, under other names."""

TOKEN_ROLES = (
    "carry",  # a running value, from the step before
    "operator",
    "operand",  # a number from the problem
    "equals",
    "result",  # the result of a computation
    "separator",
    "marker",  # announces the answer
    "answer",
    "end",  # end of sequence
    "text",  # everything else
)
"""What a token of a completion does. Not to be confused with the role of a latent (`interp.features`)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its labelled answer."""

    id: str
    prompt: str
    answer: str
    """The rewarded answer. It differs from the true one only where a task plants wrong labels."""
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
    """The role of characters [start, end) of a completion."""

    start: int
    end: int
    role: str
    """One of `TOKEN_ROLES`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One written step: characters [start, end) of the completion."""

    start: int
    end: int
    holds: bool | None
    """Whether its equation is true as written."""
    follows: bool | None
    """Whether it is the computation due at this point, on the current values."""

    @property
    def valid(self) -> bool | None:
        """Whether it holds and follows."""
        if self.holds is False or self.follows is False:
            return False
        return None if self.holds is None or self.follows is None else True


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verifier's judgement of one completion."""

    correct: bool
    """Whether the answer is the true one."""
    rewarded: bool
    """Whether the answer is the labelled one. This is the reward."""
    valid: bool | None
    """Whether every step is valid, in order, none is missing, and the answer is true."""
    format: str
    """One of the task's formats, `direct` (an answer and nothing else), `unannounced` or `malformed` (no answer)."""
    answer: str | None = None
    shortcut: str | None = None
    """The shortcut that a correct answer agrees with: `direct`, `copy` or `cue`. None for any other completion."""
    steps: tuple[Step, ...] = ()
    first_error: int | None = None
    """Character at which the first wrong or missing thing begins. None if there is none."""
    spans: tuple[Span, ...] = ()

    @property
    def lucky(self) -> bool | None:
        """Whether it is correct but not valid. None where validity is not judged."""
        return None if self.correct and self.valid is None else self.correct and not self.valid

    @property
    def coherent(self) -> bool | None:
        """Whether every written step holds, even if some do not follow. None without steps."""
        if any(step.holds is False for step in self.steps):
            return False
        return None if not self.steps or any(step.holds is None for step in self.steps) else True


@runtime_checkable
class Task(Protocol):
    """The task contract. A new task subclasses it, defines what is abstract, and overrides the facts that apply to it.

    `level` selects problems: a depth (int), the name of one of `levels` (str), or None for all that a split has.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name, for tables and messages."""
        ...

    @abstractmethod
    def fingerprint(self) -> str:
        """Fingerprint of everything that decides which problems there are and how they are verified."""
        ...

    @abstractmethod
    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        """The problem at `index`, always the same one."""
        ...

    @abstractmethod
    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        """The `n` problems from index `start` on."""
        ...

    @abstractmethod
    def verify(self, problem: Problem, completion: str) -> Verdict:
        """The verdict on a completion, whatever its text."""
        ...

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
        """Number of problems of a split at a level. Default: None, the task generates any number."""
        return None

    def decoys(self, prompt: str) -> dict[str, str]:
        """Answer of each planted shortcut to `prompt`, by the shortcut's name. Default: none is planted."""
        return {}


def seeded_rng(*key: object) -> random.Random:
    """A random generator with its own stream for every key. (Streams of seed + index would overlap between seeds.)"""
    return random.Random(hash_of(*key))


def hash_of(*key: object) -> int:
    """A 64-bit hash of the key's parts, the same in every process."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()[:8], "little")


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """`count` items at even distances from first to last; all items if there are fewer."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def token_roles(verdict: Verdict, offsets: Sequence[tuple[int, int]]) -> list[str]:
    """The role of each token: that of the span it overlaps most. `offsets` are each token's characters [start, end)."""
    roles: list[str] = []
    first = 0
    for start, end in offsets:
        while first < len(verdict.spans) and verdict.spans[first].end <= start:
            first += 1
        role, largest_overlap = "text", 0
        for span in verdict.spans[first:]:
            if span.start >= end:
                break
            overlap = min(span.end, end) - max(span.start, start)
            if overlap > largest_overlap:
                role, largest_overlap = span.role, overlap
        roles.append(role)
    return roles


def token_at(character: int | None, offsets: Sequence[tuple[int, int]]) -> int | None:
    """Index of the first token that reaches past `character`.

    Something missing at the end belongs to the token after the last one: the end token, which came too soon.
    """
    if character is None:
        return None
    return next((i for i, (_, end) in enumerate(offsets) if end > character), len(offsets))
