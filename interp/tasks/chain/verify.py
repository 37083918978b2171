"""The exact verdict on a completion: which steps were right, what was left out, and where it first went wrong.

Steps are held against the program in order. A step that states a later operation on the value at hand has *skipped*
what lies between; one that finds no place among the operations still due has *strayed*. Both are not the computation
due (`follows` is false), even where the equation itself is true (`holds`), and so the chain is not valid, however right
its answer.
"""

import itertools
from collections.abc import Sequence

from interp.tasks.base import Problem, Step, Verdict
from interp.tasks.chain.grammar import Reading, Written, read
from interp.tasks.chain.program import OPERATORS, Program, apply, parse_prompt


def verify(problem: Problem, completion: str, modulus: int, formats: tuple[str, ...], *, copies: bool) -> Verdict:
    program = parse_prompt(problem.prompt, modulus)
    reading = read(completion, modulus, OPERATORS)
    answer = None if reading.answer is None else reading.answer.text
    correct = answer == str(program.answer)
    bare = bool(reading.steps) and reading.steps[0].op is None
    steps = (_judge_values if bare else _judge_steps)(reading.steps, program)
    complete = reading.format in formats and len(steps) == program.depth
    return Verdict(
        correct=correct,
        rewarded=answer == problem.answer,
        valid=correct and complete and all(step.right for step in steps),
        format=reading.format,
        answer=answer,
        shortcut=_shortcut(program, copies) if correct and reading.format == "direct" else None,
        steps=steps,
        first_error=_first_error(reading, steps, program.depth, correct, formats),
        spans=reading.spans,
    )


def _judge_steps(written: tuple[Written, ...], program: Program) -> tuple[Step, ...]:
    stated = [(step.op, step.right) for step in written]
    steps, due, strays, value = [], 0, 0, program.first
    for step, place in zip(written, _places(stated, program.rest), strict=True):
        assert step.left is not None and step.op is not None and step.right is not None, "a step states its operation"
        holds = apply(step.op, step.left, step.right, program.modulus) == step.result
        if place is None:
            follows, strays = False, strays + 1
        else:
            # a stray stood in for one operation that was due: with that one gone wrong, this may be the next
            follows = step.left == value and place - due <= strays
            due, strays = place + 1, 0
        steps.append(Step(step.words[0].start, step.words[-1].end, holds, follows))
        value = step.result
    return tuple(steps)


def _places(stated: Sequence[object], due: Sequence[object]) -> list[int | None]:
    """Which due operation each written step does: in order, as many as can be matched (their longest common
    subsequence), each as early as it can. None for a step that strays."""
    most = [[0] * (len(due) + 1) for _ in range(len(stated) + 1)]
    for i, j in itertools.product(reversed(range(len(stated))), reversed(range(len(due)))):
        matched = most[i + 1][j + 1] + 1 if stated[i] == due[j] else 0
        most[i][j] = max(matched, most[i + 1][j], most[i][j + 1])
    places: list[int | None] = []
    start = 0
    for i, operation in enumerate(stated):
        place = next((j for j in range(start, len(due)) if due[j] == operation), None)
        if place is not None and most[i + 1][place + 1] + 1 < most[i][start]:
            place = None  # taking it would cost later steps their places
        start = start if place is None else place + 1
        places.append(place)
    return places


def _judge_values(written: tuple[Written, ...], program: Program) -> tuple[Step, ...]:
    """A bare value states no equation: it holds if it comes of the value before by the operation due."""
    steps, value = [], program.first
    for at, step in enumerate(written):
        due = at < program.depth
        holds = due and apply(*_operation(program, at, value), program.modulus) == step.result
        steps.append(Step(step.words[0].start, step.words[-1].end, holds, due))
        value = step.result
    return tuple(steps)


def _operation(program: Program, at: int, value: int) -> tuple[str, int, int]:
    op, x = program.rest[at]
    return op, value, x


def _shortcut(program: Program, copies: bool) -> str:
    """Which shortcut a right, direct answer may have taken: behaviour alone shows no more than what it agrees with."""
    if program.cue is not None and program.cue == program.answer:
        return "cue"
    shown = program.masked != program.depth  # an inverse problem may hide its last operand
    return "copy" if copies and shown and program.rest[-1][1] == program.answer else "direct"


def _first_error(
    reading: Reading, steps: tuple[Step, ...], depth: int, correct: bool, formats: tuple[str, ...]
) -> int | None:
    errors = [step.start for step in steps if not step.right]
    if steps and reading.format != "malformed" and reading.format not in formats:
        errors.append(steps[0].start)
    if reading.broken_at is not None:
        errors.append(reading.broken_at)
    if reading.marker is not None and len(steps) < depth:
        errors.append(reading.marker.start)  # the answer was announced before the work was done
    if reading.answer is not None and not correct:
        errors.append(reading.answer.start)
    return min(errors, default=None)
