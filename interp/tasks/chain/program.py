"""The computation that a chain problem states, and its prompt.

A program is `x0 op x1 op x2 ...`, evaluated from left to right modulo a prime. The prompt ends in `?`:

    3 + 4 * 2 ?          forward: the result is asked for (modulo 5 it is 4)
    3 + _ * 2 = 4 ?      inverse: the result is given, the masked number is asked for
    3 + _ * 2 ? # 4 ?    inverse: the question is kept, its answer is stated, the masked number is asked for
    3 + 4 * 2 @ 1 ?      with a cue: a number that may or may not be the answer
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

OPERATORS = ("+", "-", "*")
ASK = "?"
MASK = "_"
CUE = "@"
MARKER = "#"
"""Announces an answer."""


def apply(op: str, left: int, right: int, modulus: int) -> int:
    """`left op right` modulo `modulus`."""
    match op:
        case "+":
            return (left + right) % modulus
        case "-":
            return (left - right) % modulus
        case "*":
            return (left * right) % modulus
    raise ValueError(f"operator must be one of {' '.join(OPERATORS)}; got {op!r}")


@dataclass(frozen=True, slots=True)
class Program:
    """A start number and the operations on it, with what the prompt shows or hides."""

    modulus: int
    start: int
    operations: tuple[tuple[str, int], ...]
    """(operator, operand) pairs, in order."""
    cue: int | None = None
    """A number shown beside the question, which a policy may copy as its answer."""
    masked_index: int | None = None
    """Index into `numbers` of the number that an inverse problem hides."""
    keeps_question: bool = False
    """Whether an inverse problem keeps the question and states its answer, instead of giving the result."""

    @property
    def depth(self) -> int:
        """Number of operations."""
        return len(self.operations)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The start number and every operand."""
        return (self.start, *(operand for _, operand in self.operations))

    def values(self) -> Iterator[int]:
        """The running value after each operation."""
        value = self.start
        for op, operand in self.operations:
            value = apply(op, value, operand, self.modulus)
            yield value

    @property
    def result(self) -> int:
        """The last running value."""
        *_, last = self.values()
        return last

    @property
    def answer(self) -> int:
        """What the prompt asks for: the result, or the masked number."""
        return self.result if self.masked_index is None else self.numbers[self.masked_index]

    @property
    def copied(self) -> int | None:
        """The last operand, unless an inverse problem hides it."""
        return None if self.masked_index == self.depth else self.operations[-1][1]

    def apply(self, op: str, left: int, right: int) -> int:
        """`left op right` modulo the program's modulus."""
        return apply(op, left, right, self.modulus)

    def with_number(self, index: int, number: int) -> "Program":
        """The program with `numbers[index]` replaced."""
        if index == 0:
            return replace(self, start=number)
        operations = list(self.operations)
        operations[index - 1] = (operations[index - 1][0], number)
        return replace(self, operations=tuple(operations))

    def solutions(self, index: int) -> list[int]:
        """All numbers that give the same result at `index`. An inverse problem is fair if there is exactly one."""
        return [n for n in range(self.modulus) if self.with_number(index, n).result == self.result]

    def fair_indices(self) -> list[int]:
        """Indices into `numbers` of those that the result leaves no choice of."""
        return [index for index in range(self.depth + 1) if len(self.solutions(index)) == 1]

    def inverse(self, index: int, *, keeps_question: bool = False) -> "Program":
        """The same computation with the number at `index` asked for. It has no cue."""
        return replace(self, masked_index=index, keeps_question=keeps_question, cue=None)

    def content(self) -> str:
        """The computation alone, without cue or mask. It decides the split, so no computation is in two splits."""
        return " ".join([str(self.start), *(f"{op} {operand}" for op, operand in self.operations)])

    def prompt(self) -> str:
        """The prompt that states this program."""
        words = self.content().split()
        if self.masked_index is not None:
            words[2 * self.masked_index] = MASK
            words += [ASK, MARKER, str(self.result)] if self.keeps_question else ["=", str(self.result)]
        if self.cue is not None:
            words += [CUE, str(self.cue)]
        return " ".join([*words, ASK])


def parse_prompt(prompt: str, modulus: int) -> Program:
    """The program that a prompt states. A masked number is solved for and filled in."""
    words = prompt.split()
    if not words or words[-1] != ASK:
        raise ValueError(f"a chain prompt must end in {ASK!r}; got {prompt!r}")
    body = words[:-1]
    cue = int(body[-1]) if CUE in body else None
    body = body[:-2] if cue is not None else body
    keeps_question = body[-3:-1] == [ASK, MARKER]
    result = int(body[-1]) if keeps_question or "=" in body else None
    body = body[: -3 if keeps_question else -2] if result is not None else body
    masked_index = body.index(MASK) // 2 if MASK in body else None
    numbers = [0 if word == MASK else int(word) for word in body[::2]]
    program = Program(modulus, numbers[0], tuple(zip(body[1::2], numbers[1:], strict=True)), cue)
    if masked_index is None:
        return program
    solutions = [n for n in range(modulus) if program.with_number(masked_index, n).result == result]
    if len(solutions) != 1:
        raise ValueError(f"an inverse problem must have one solution; {prompt!r} has {len(solutions)}")
    solved = program.with_number(masked_index, solutions[0])
    return replace(solved, masked_index=masked_index, keeps_question=keeps_question)
