"""The steps of a text: its equations, each joined with the calculator annotation that repeats it.

`48+24 = <<48+24=72>>72` is one step, not two. The outer equation is judged, because readers see it. The annotation is
judged if the outer equation cannot be parsed or checked (`$5/person * the number of guests = $<<5*2=10>>10`), and is
its own step if there is no outer equation (`she has <<16-3=13>>13 left`).
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from fractions import Fraction

from interp.tasks.traces.checking import check_equation, running_head
from interp.tasks.traces.equations import Equation, find_equations
from interp.tasks.traces.expressions import Expression, Number, Operation, evaluate, written_value
from interp.tasks.traces.lexer import Token, lex


@dataclass(frozen=True, slots=True)
class CheckedStep:
    """Characters [start, end) of the text that state one computation, and whether it is true."""

    start: int
    end: int
    holds: bool | None
    left: Expression | None
    """The computation. Its operands must come from somewhere."""
    result: Fraction | None
    equations: tuple[Equation, ...]
    """The outer equation and those inside the annotation."""


def find_steps(text: str) -> list[CheckedStep]:
    """All steps of a text, in order and disjoint."""
    tokens = lex(text)
    plain = [token for token in tokens if token.kind != "note"]
    starts = [token.start for token in plain]
    steps = {equation.sign_index: _step(equation) for equation in find_equations(plain)}
    separate = []
    for note in (token for token in tokens if token.kind == "note"):
        inner = [_step(equation) for equation in find_equations(lex(text, note.start + 2, note.end - 2))]
        if not inner:
            continue
        sign_index = bisect_left(starts, note.start) - 1  # the annotation belongs to the sign right before it
        if sign_index in steps:
            steps[sign_index] = _join(steps[sign_index], _annotation(note, inner))
        elif isinstance(inner[0].left, Operation):
            separate.append(_annotation(note, inner))
    return _disjoint(sorted([*steps.values(), *separate], key=lambda step: (step.start, step.end)))


def _step(equation: Equation) -> CheckedStep:
    head = running_head(equation)
    end = head.end if head is not None else equation.end
    result = _result(head or equation.right)
    return CheckedStep(equation.start, end, check_equation(equation), equation.left, result, (equation,))


def _result(right: Expression | None) -> Fraction | None:
    return None if right is None else written_value(right) if isinstance(right, Number) else evaluate(right)


def _annotation(note: Token, inner: list[CheckedStep]) -> CheckedStep:
    """An annotation as one step, even if it is a chain of equations: it holds if all of them hold."""
    verdicts = [step.holds for step in inner]
    holds = False if False in verdicts else None if None in verdicts else True
    equations = tuple(equation for step in inner for equation in step.equations)
    return CheckedStep(note.start, note.end, holds, inner[0].left, inner[-1].result, equations)


def _join(outer: CheckedStep, note: CheckedStep) -> CheckedStep:
    end = max(outer.end, note.end)
    if outer.holds is not None:
        return replace(outer, end=end, equations=outer.equations + note.equations)
    left = outer.left if isinstance(outer.left, Operation) else note.left
    result = note.result if outer.result is None else outer.result
    return CheckedStep(outer.start, end, note.holds, left, result, outer.equations + note.equations)


def _disjoint(steps: list[CheckedStep]) -> list[CheckedStep]:
    """Overlaps belong to the earlier step. (The equations of a running line share their middle.)"""
    disjoint: list[CheckedStep] = []
    for step in steps:
        start = max(step.start, disjoint[-1].end) if disjoint else step.start
        if start < step.end:
            disjoint.append(replace(step, start=start))
    return disjoint
