"""The exact verdict on a completion of a chain problem: step by step, with the character of the first error.

Written steps are matched in order with the operations of the program. For a written step:

    holds     its equation is true as written
    follows   it does the operation that is due, on the running value

A step that does a later operation *skips* those between. A step that matches no operation still due *strays*. In both
cases `follows` is false, even if the equation is true, and the chain is not valid, even if its answer is right.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

from interp.tasks.base import Problem, Step, Verdict
from interp.tasks.chain.completions import ParsedCompletion, WrittenStep, parse_completion
from interp.tasks.chain.program import OPERATORS, parse_prompt


class Computation(Protocol):
    """A start number and the operations on it: what a verdict needs to know of a problem."""

    @property
    def start(self) -> int: ...
    @property
    def operations(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def depth(self) -> int: ...
    @property
    def answer(self) -> int: ...
    @property
    def cue(self) -> int | None: ...
    @property
    def copied(self) -> int | None:
        """The last number that the prompt shows, if it can be copied."""
        ...

    def apply(self, op: str, left: int, right: int) -> int: ...


def verify(problem: Problem, completion: str, modulus: int, formats: tuple[str, ...], *, copies: bool) -> Verdict:
    """The verdict. `formats` are those that count as valid; `copies` says that the copy shortcut is planted."""
    program = parse_prompt(problem.prompt, modulus)
    parsed = parse_completion(completion, modulus, OPERATORS)
    return verdict_on(program, problem.answer, parsed, formats=formats, copies=copies)


def verdict_on(
    program: Computation, label: str, parsed: ParsedCompletion, *, formats: tuple[str, ...], copies: bool
) -> Verdict:
    """The verdict on a parsed completion. `label` is the answer that is rewarded."""
    answer = None if parsed.answer is None else parsed.answer.text
    correct = answer == str(program.answer)
    values_only = bool(parsed.steps) and parsed.steps[0].op is None
    steps = (_check_values if values_only else _check_steps)(parsed.steps, program)
    complete = parsed.format in formats and len(steps) == program.depth
    return Verdict(
        correct=correct,
        rewarded=answer == label,
        valid=correct and complete and all(step.valid for step in steps),
        format=parsed.format,
        answer=answer,
        shortcut=_shortcut(program, copies) if correct and parsed.format == "direct" else None,
        steps=steps,
        first_error=_first_error(parsed, steps, program.depth, correct, formats),
        spans=parsed.spans,
    )


def _check_steps(written: tuple[WrittenStep, ...], program: Computation) -> tuple[Step, ...]:
    """Check steps that state their operation."""
    stated = [(step.op, step.right) for step in written]
    steps, due, strays, value = [], 0, 0, program.start
    for step, operation in zip(written, match_operations(stated, program.operations), strict=True):
        assert step.left is not None and step.op is not None and step.right is not None, "a step states its operation"
        holds = program.apply(step.op, step.left, step.right) == step.result
        if operation is None:
            follows, strays = False, strays + 1
        else:
            # Each stray step takes the turn of one due operation, so the operation after it may be the next.
            follows = step.left == value and operation - due <= strays
            due, strays = operation + 1, 0
        steps.append(Step(step.words[0].start, step.words[-1].end, holds, follows))
        value = step.result
    return tuple(steps)


def match_operations(stated: Sequence[Hashable], due: Sequence[Hashable]) -> list[int | None]:
    """Index of the due operation that each written step does, or None if it strays.

    The match keeps the order and is as large as possible (a longest common subsequence); each step gets the earliest
    operation that this allows.
    """
    size = len(due)
    longest = [[0] * (size + 1)]  # first from the last step to the first; [i][size - j]: of stated[i:] and due[j:]
    equal_to = {step: [step == operation for operation in reversed(due)] for step in set(stated)}
    for step in reversed(stated):
        behind, row, best = longest[-1], [0], 0
        for is_equal, both, below in zip(equal_to[step], behind, behind[1:], strict=False):
            best = both + 1 if is_equal else below if below > best else best
            row.append(best)
        longest.append(row)
    longest.reverse()
    matches: list[int | None] = []
    start = 0
    for i, operation in enumerate(stated):
        match = next((j for j in range(start, size) if due[j] == operation), None)
        if match is not None and longest[i + 1][size - match - 1] + 1 < longest[i][size - start]:
            match = None  # it would cost later steps their matches
        start = start if match is None else match + 1
        matches.append(match)
    return matches


def _check_values(written: tuple[WrittenStep, ...], program: Computation) -> tuple[Step, ...]:
    """Check running values. A value states no equation: it holds if the due operation on the value before gives it."""
    steps, value = [], program.start
    for i, step in enumerate(written):
        follows = i < program.depth
        holds = False
        if follows:
            op, operand = program.operations[i]
            holds = program.apply(op, value, operand) == step.result
        steps.append(Step(step.words[0].start, step.words[-1].end, holds, follows))
        value = step.result
    return tuple(steps)


def _shortcut(program: Computation, copies: bool) -> str:
    """Name of the shortcut that agrees with a correct direct answer. Behaviour alone cannot show more than that."""
    if program.cue is not None and program.cue == program.answer:
        return "cue"
    return "copy" if copies and program.copied == program.answer else "direct"


def _first_error(
    parsed: ParsedCompletion, steps: tuple[Step, ...], depth: int, correct: bool, formats: tuple[str, ...]
) -> int | None:
    """Character at which the first wrong or missing thing begins."""
    errors = [step.start for step in steps if not step.valid]
    if steps and parsed.format != "malformed" and parsed.format not in formats:
        errors.append(steps[0].start)
    if parsed.error_at is not None:
        errors.append(parsed.error_at)
    if parsed.marker is not None and len(steps) < depth:
        errors.append(parsed.marker.start)  # the answer is announced before the work is done
    if parsed.answer is not None and not correct:
        errors.append(parsed.answer.start)
    return min(errors, default=None)
