"""The computation that a word problem states, and its prompt.

    Mia has 12 apples. She gives 5 to Leo. The sun is shining. She buys 3 more. How many apples does Mia have now?

A number is stated and then changed by one sentence after the other. Numbers are whole and stay between 0 and the
task's largest. Other sentences do not matter, even where they have a number. A backward problem (`backward.py`) states
the answer and asks for one of the numbers.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from interp.tasks.words.phrases import CUE, UNKNOWN, read_sentence

OPERATORS = ("+", "-", "*")


def apply(op: str, left: int, right: int) -> int:
    """`left op right`."""
    match op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    raise ValueError(f"operator must be one of {' '.join(OPERATORS)}; got {op!r}")


@dataclass(frozen=True, slots=True)
class Story:
    """A start number and the changes to it, as the sentences of a prompt state them."""

    name: str
    """The person."""
    unit: str
    """What is counted."""
    start: int
    operations: tuple[tuple[str, int], ...]
    """(operator, operand) pairs, in order."""
    sentences: tuple[str, ...]
    """All sentences of the prompt."""
    changes: tuple[str, ...] = ()
    """The sentences that state the operations, one for each."""
    cue: int | None = None
    """The answer that the cue predicts, where the prompt has it."""
    masked_index: int | None = None
    """Index into `numbers` of the number that a backward problem asks for."""

    @property
    def depth(self) -> int:
        """Number of operations."""
        return len(self.operations)

    def apply(self, op: str, left: int, right: int) -> int:
        """`left op right`."""
        return apply(op, left, right)

    def values(self) -> Iterator[int]:
        """The running value after each operation."""
        value = self.start
        for op, operand in self.operations:
            value = apply(op, value, operand)
            yield value

    @property
    def numbers(self) -> tuple[int, ...]:
        """The start number and every operand."""
        return (self.start, *(operand for _, operand in self.operations))

    @property
    def result(self) -> int:
        """The last running value."""
        *_, last = self.values()
        return last

    @property
    def answer(self) -> int:
        """What the prompt asks for: the result, or the masked number."""
        return self.result if self.masked_index is None else self.numbers[self.masked_index]

    def with_number(self, index: int, number: int) -> "Story":
        """The story with `numbers[index]` replaced, its sentences as they are."""
        if index == 0:
            return replace(self, start=number)
        operations = list(self.operations)
        operations[index - 1] = (operations[index - 1][0], number)
        return replace(self, operations=tuple(operations))

    def solution(self, index: int, result: int) -> int | None:
        """The only whole number at `index` that gives `result`. None if there is none, or more than one."""
        at_zero, at_one = (self.with_number(index, n).result for n in (0, 1))
        slope = at_one - at_zero  # a result is linear in each of its numbers
        if not slope or (result - at_zero) % slope:
            return None
        return (result - at_zero) // slope

    @property
    def copied(self) -> int:
        """The last number of the prompt, which a policy may copy as its answer. It may be one that does not matter."""
        return int(re.findall(r"[0-9]+", self.prompt())[-1])

    def content(self) -> str:
        """The computation alone. It decides the split, so no computation is in two splits."""
        return content_of(self.start, self.operations)

    def prompt(self) -> str:
        """The prompt that tells this story."""
        return " ".join(self.sentences)


def content_of(start: int, operations: tuple[tuple[str, int], ...]) -> str:
    """A computation in signs: `12 - 5 + 3`."""
    return " ".join([str(start), *(f"{op} {operand}" for op, operand in operations)])


def parse_story(prompt: str, cue_answer: int) -> Story:
    """The story that a prompt tells. `cue_answer` is the answer that the cue predicts."""
    sentences = tuple(re.findall(r"\S[^.?]*[.?]", prompt))
    start: tuple[str, str, int] | None = None
    operations: list[tuple[str, int]] = []
    changes: list[str] = []
    masked_index, result = None, None
    for sentence in sentences:
        meaning, match = read_sentence(sentence)
        if meaning.kind == "start" and meaning.unit is not None:
            start = (match["name"], meaning.unit, _number(match))
        elif meaning.kind in OPERATORS:
            operations.append((meaning.kind, _number(match)))
            changes.append(sentence)
        elif meaning.kind == "result":
            result = _number(match)
        if "n" in match.groupdict() and match["n"] == UNKNOWN:
            masked_index = len(operations)
    if start is None or not operations:
        raise ValueError(f"a word problem must state a number and change it; got {prompt!r}")
    cue = cue_answer if CUE in sentences else None
    story = Story(*start, tuple(operations), sentences, tuple(changes), cue)
    if masked_index is None:
        return story
    solution = None if result is None else story.solution(masked_index, result)
    if solution is None:
        raise ValueError(f"a backward problem must have one solution; got {prompt!r}")
    return replace(story.with_number(masked_index, solution), masked_index=masked_index)


def _number(match: re.Match[str]) -> int:
    """The number that a sentence states; 0 in the place of the unknown one."""
    return 0 if match["n"] == UNKNOWN else int(match["n"])
