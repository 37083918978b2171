"""Exact counterfactuals of a worked chain: the same chain with one thing changed, and its consequences worked out.

    deleted      a step is left out                       (too few)
    repeated     a step is done twice                     (too many)
    swapped      two neighbouring steps change places
    operand      a step takes another number
    operator     a step does another operation
    result       a step states another result, and the chain goes on from it

After the change every step is worked out anew, so all of them hold but for a corrupted result, and the answer is what
the last one gives. An edit whose answer is the labelled one all the same is lucky: rewarded, and not valid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from interp.tasks.chain.completions import EQUALS, MARKER, SEPARATOR
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


def edits(program: Program, rng: Random) -> Iterator[Edit]:
    """One edit of every kind at every step of the program's chain, as far as the kind changes anything there."""
    operations = program.operations
    for step, (op, number) in enumerate(operations):
        before, after = operations[:step], operations[step + 1 :]
        if program.depth > 1:
            yield Edit("deleted", step, write_chain(program, [*before, *after]))
        yield Edit("repeated", step, write_chain(program, [*before, (op, number), (op, number), *after]))
        if after and after[0] != (op, number):
            yield Edit("swapped", step, write_chain(program, [*before, after[0], (op, number), *after[1:]]))
        other_number = rng.choice([n for n in range(program.modulus) if n != number])
        yield Edit("operand", step, write_chain(program, [*before, (op, other_number), *after]))
        other_op = rng.choice([other for other in OPERATORS if other != op])
        yield Edit("operator", step, write_chain(program, [*before, (other_op, number), *after]))
        shift = rng.randrange(1, program.modulus)
        yield Edit("result", step, write_chain(program, operations, wrong_step=step, shift=shift))


def write_chain(
    program: Program, operations: Sequence[Operation], *, wrong_step: int | None = None, shift: int = 0
) -> str:
    """The chain that does these operations, from the program's start. The result of `wrong_step` is off by `shift`."""
    parts, value = [], program.start
    for step, (op, number) in enumerate(operations):
        result = apply(op, value, number, program.modulus)
        if step == wrong_step:
            result = (result + shift) % program.modulus
        parts.append(f"{value} {op} {number} {EQUALS} {result} {SEPARATOR}")
        value = result
    return " ".join([*parts, f"{MARKER} {value}"])
