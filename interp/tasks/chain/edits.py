"""Exact counterfactuals of a worked chain: the same chain with one thing changed, and its consequences worked out.

    deleted      a step is left out                       (too few)
    repeated     a step is done twice                     (too many)
    swapped      two neighbouring steps change places
    operand      a step takes another number
    operator     a step does another operation
    result       a step states another result, and the chain goes on from it

After the change every step is worked out anew, so all of them hold but for a corrupted result, and the answer is what
the last one gives. (An inverse problem asks for a number that it hides: there the answer stays.) An edit whose answer
is the labelled one all the same is lucky: rewarded, and not valid.

A chain is written as the completion that it stands for: with the operations of each step, or as running values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from interp.tasks.chain.completions import EQUALS, FORMATS, MARKER, SEPARATOR, VALUE, parse_completion
from interp.tasks.chain.program import OPERATORS, Program, apply

EDITS = ("deleted", "repeated", "swapped", "operand", "operator", "result")
Operation = tuple[str, int]


@dataclass(frozen=True)
class Edit:
    """A changed chain."""

    kind: str
    """One of `EDITS`."""
    step: int
    """The step that was changed, from 0."""
    completion: str


@dataclass(frozen=True)
class Style:
    """How a completion writes its chain."""

    format: str = FORMATS[0]
    indent: str = ""
    """Spaces before the first word."""

    @classmethod
    def of(cls, completion: str, modulus: int) -> "Style":
        """The style of a completion; steps with their operations, where it cannot be parsed."""
        format = parse_completion(completion, modulus, OPERATORS).format
        indent = completion[: len(completion) - len(completion.lstrip(" "))]
        return cls(format, indent) if format in FORMATS else cls()


STEPS = Style()


def edits(program: Program, rng: Random, style: Style = STEPS) -> Iterator[Edit]:
    """One edit of every kind at every step of the program's chain, as far as the kind changes anything there."""
    operations = program.operations

    def write(operations: Sequence[Operation], **changes: int) -> str:
        return write_chain(program, operations, style=style, **changes)

    for step, (op, number) in enumerate(operations):
        before, after = operations[:step], operations[step + 1 :]
        if program.depth > 1:
            yield Edit("deleted", step, write([*before, *after]))
        yield Edit("repeated", step, write([*before, (op, number), (op, number), *after]))
        if after and after[0] != (op, number):
            yield Edit("swapped", step, write([*before, after[0], (op, number), *after[1:]]))
        other_number = rng.choice([n for n in range(program.modulus) if n != number])
        yield Edit("operand", step, write([*before, (op, other_number), *after]))
        other_op = rng.choice([other for other in OPERATORS if other != op])
        yield Edit("operator", step, write([*before, (other_op, number), *after]))
        shift = rng.randrange(1, program.modulus)
        yield Edit("result", step, write(operations, wrong_step=step, shift=shift))


def write_chain(
    program: Program,
    operations: Sequence[Operation],
    *,
    wrong_step: int | None = None,
    shift: int = 0,
    style: Style = STEPS,
) -> str:
    """The chain that does these operations, from the program's start. The result of `wrong_step` is off by `shift`."""
    parts, value = [], program.start
    for step, (op, number) in enumerate(operations):
        result = apply(op, value, number, program.modulus)
        if step == wrong_step:
            result = (result + shift) % program.modulus
        words = f"{value} {op} {number} {EQUALS} {result} {SEPARATOR}"
        parts.append(words if style.format == "steps" else f"{VALUE} {result}")
        value = result
    answer = value if program.masked_index is None else program.answer
    return style.indent + " ".join([*parts, f"{MARKER} {answer}"])
