"""A chain: `x0 op x1 op x2 ...`, worked out left to right modulo a prime. Its surface, and what it comes to."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

OPERATORS = ("+", "-", "*")
ASK = "?"
MASK = "_"
CUE = "@"


def apply(op: str, left: int, right: int, modulus: int) -> int:
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
    """`first` and then (operator, operand) pairs. Forward, the result is asked; inverse, one masked operand is."""

    modulus: int
    first: int
    rest: tuple[tuple[str, int], ...]
    cue: int | None = None
    """A number shown beside the question, which a policy may take for the answer."""
    masked: int | None = None
    """Index into `numbers` of the operand hidden by the inverse problem, whose result is then given."""

    @property
    def depth(self) -> int:
        return len(self.rest)

    @property
    def numbers(self) -> tuple[int, ...]:
        return (self.first, *(x for _, x in self.rest))

    def values(self) -> Iterator[int]:
        """The running value after each operation."""
        value = self.first
        for op, x in self.rest:
            value = apply(op, value, x, self.modulus)
            yield value

    @property
    def result(self) -> int:
        *_, last = self.values()
        return last

    @property
    def answer(self) -> int:
        return self.result if self.masked is None else self.numbers[self.masked]

    def with_number(self, index: int, number: int) -> "Program":
        if index == 0:
            return replace(self, first=number)
        rest = list(self.rest)
        rest[index - 1] = (rest[index - 1][0], number)
        return replace(self, rest=tuple(rest))

    def solutions(self, index: int) -> list[int]:
        """The numbers which, put at `index`, lead to the same result: an inverse problem is fair if there is one."""
        return [n for n in range(self.modulus) if self.with_number(index, n).result == self.result]

    def content(self) -> str:
        """The computation alone, whatever is shown beside it: what must not recur across splits."""
        return " ".join([str(self.first), *(f"{op} {x}" for op, x in self.rest)])

    def prompt(self) -> str:
        words = self.content().split()
        if self.masked is not None:
            words[2 * self.masked] = MASK
            words += ["=", str(self.result)]
        if self.cue is not None:
            words += [CUE, str(self.cue)]
        return " ".join([*words, ASK])


def parse_prompt(prompt: str, modulus: int) -> Program:
    """The program a prompt states. A masked operand is solved for, so that what is left is an ordinary program."""
    words = prompt.split()
    if not words or words[-1] != ASK:
        raise ValueError(f"a chain prompt must end in {ASK!r}; got {prompt!r}")
    body = words[:-1]
    cue = int(body[-1]) if CUE in body else None
    body = body[:-2] if cue is not None else body
    given = int(body[-1]) if "=" in body else None
    body = body[:-2] if given is not None else body
    masked = body.index(MASK) // 2 if MASK in body else None
    numbers = [0 if word == MASK else int(word) for word in body[::2]]
    program = Program(modulus, numbers[0], tuple(zip(body[1::2], numbers[1:], strict=True)), cue)
    if masked is None:
        return program
    fits = [n for n in range(modulus) if program.with_number(masked, n).result == given]
    if len(fits) != 1:
        raise ValueError(f"an inverse problem must have one solution; {prompt!r} has {len(fits)}")
    return replace(program.with_number(masked, fits[0]), masked=masked)
