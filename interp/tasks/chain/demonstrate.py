"""How a chain is answered in each habit: what a base is taught before any reward is paid."""

import random

from interp.tasks.chain.grammar import write_answer, write_step, write_value
from interp.tasks.chain.program import Program, apply

HABITS = ("steps", "values", "direct", "copy", "cue")


def demonstrate(program: Program, habit: str, rng: random.Random, *, skip: float = 0.0) -> str:
    """A completion in `habit`. Each written step is left out with probability `skip`, work and all: what follows goes
    on from the value before it, and the answer is the last value written, right only by luck."""
    match habit:
        case "direct":
            return write_answer(program.answer)
        case "copy":
            return write_answer(program.rest[-1][1])
        case "cue":
            assert program.cue is not None, "a cue can only be followed where one is shown"
            return write_answer(program.cue)
        case "steps" | "values":
            return _chain(program, habit, rng, skip)
    raise ValueError(f"habit must be one of {', '.join(HABITS)}; got {habit!r}")


def _chain(program: Program, habit: str, rng: random.Random, skip: float) -> str:
    kept = [pair for pair in program.rest if rng.random() >= skip]
    words, value = [], program.first
    for op, x in kept or [rng.choice(program.rest)]:  # a chain has a step: without one it would be a direct answer
        result = apply(op, value, x, program.modulus)
        words.append(write_step(value, op, x, result) if habit == "steps" else write_value(result))
        value = result
    return " ".join([*words, write_answer(value if program.masked is None else program.answer)])
