"""Annotate ordinary mathematical text: its written equations as steps, and the role of its characters.

For each step:

    holds     its equation is true
    follows   every operand of its left side has a source: the problem, what its words and units imply, or the result
              of an earlier step; and the step passes over no number of the problem that counts what is asked for and
              is used nowhere (`interp.tasks.traces.unused`)

Neither is guessed: a step that cannot be judged gets None. `follows` is never False, because people also compute in
their heads. A 1 needs no source and is no source: from ones alone, any answer can be counted up.
"""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest

from interp.tasks.base import Span, Step
from interp.tasks.text.answers import Answer, find_answer
from interp.tasks.text.numerals import read_number
from interp.tasks.traces.equations import Equation
from interp.tasks.traces.expressions import (
    Expression,
    Number,
    evaluate,
    iter_numbers,
    iter_operations,
    written_value,
)
from interp.tasks.traces.lexer import Token, lex
from interp.tasks.traces.steps import find_steps
from interp.tasks.traces.units import implied_numbers
from interp.tasks.traces.unused import find_unused

MAX_TEXT = MAX_PROMPT = 20_000
ONE = frozenset({Fraction(1)})


@dataclass(frozen=True, slots=True)
class Trace:
    """The annotation of one text."""

    steps: tuple[Step, ...]
    derived_numbers: frozenset[Fraction]
    """Results of steps that use a number the prompt states, or a derived number. A stated 1 counts only if the prompt
    states nothing else."""
    spans: tuple[Span, ...]
    """Roles of characters, sorted and disjoint. Characters in no span are text."""
    answer: Answer | None
    complete: bool = True
    """False if the steps may not be the whole working: they leave out a number of the problem that counts what is asked
    for, or the text was too long and only its beginning was searched."""


def is_number(text: str) -> bool:
    return read_number(text) is not None


def annotate(text: str, prompt: str = "", can_read: Callable[[str], bool] = is_number) -> Trace:
    """The trace of `text`: its written equations as steps, spans that give characters a role, and its answer.

    `prompt` states the numbers that operands may come from. `can_read` says which texts count as an answer.
    """
    answer = find_answer(text, can_read)
    checked = [s for s in find_steps(text[:MAX_TEXT]) if answer is None or not answer.start <= s.start < answer.end]
    stated = stated_numbers(prompt)
    stated_sources = stated - ONE or stated
    steps: list[Step] = []
    roles: list[Span] = []
    results: set[Fraction] = set()
    derived: set[Fraction] = set()
    fresh_operands: list[list[Fraction]] = []
    latest: Fraction | None = None
    for step in checked:
        follows = True if step.left is not None and uses_only(step.left, stated | ONE | results) else None
        steps.append(Step(step.start, step.end, step.holds, follows))
        for equation in step.equations:
            roles.extend(_roles(equation, _Sources(frozenset(results), latest, stated)))
        fresh_operands.append(_fresh_operands(step.left, latest))
        latest = step.result
        if step.result is not None:
            results.add(step.result)
            if step.left is not None and uses_any(step.left, stated_sources | derived):
                derived.add(step.result)
    spans = _without_overlaps(() if answer is None else answer.spans, roles)
    unused = find_unused(prompt[:MAX_PROMPT], fresh_operands)
    doubted = tuple(replace(step, follows=None) if i in unused.steps else step for i, step in enumerate(steps))
    complete = len(text) <= MAX_TEXT and not unused.any
    return Trace(doubted, frozenset(derived), spans, answer, complete)


# --- sources of operands -----------------------------------------------------------------------------------------


@lru_cache(maxsize=64)  # a group's completions share their prompt
def stated_numbers(prompt: str) -> frozenset[Fraction]:
    """Every number that the prompt states in digits or words, and those that its units imply."""
    tokens = lex(prompt[:MAX_PROMPT])
    stated: set[Fraction] = set()
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.value is not None:
            stated.add(token.value)
            if following is not None and following.kind == "pct":
                stated |= {token.value / 100, Fraction(100)}
        elif token.kind == "word":
            for word in token.text.lower().split("-"):
                stated |= implied_numbers(word)
    stated |= {top / bottom for top, bottom in _written_fractions(tokens)}
    return frozenset(stated)


def _written_fractions(tokens: list[Token]) -> Iterable[tuple[Fraction, Fraction]]:
    for top, bar, bottom in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if top.value is not None and bar.kind == "/" and bottom.value:
            yield top.value, bottom.value


def uses_only(expression: Expression, numbers: Set[Fraction]) -> bool:
    """Whether every operand is among `numbers`."""
    return all(_is_among(numbers, operand) for operand in _operands(expression, numbers))


def uses_any(expression: Expression, numbers: Set[Fraction]) -> bool:
    """Whether some operand is among `numbers`."""
    return any(_is_among(numbers, operand) for operand in _operands(expression, numbers))


def _operands(expression: Expression, numbers: Set[Fraction]) -> Iterator[Expression]:
    """The numbers of an expression. A fraction among `numbers` counts as one: `3/4` where the problem says 75%."""
    if isinstance(expression, Number) or _is_among(numbers, expression):
        yield expression
    else:
        yield from _operands(expression.left, numbers)
        yield from _operands(expression.right, numbers)


def _is_among(numbers: Set[Fraction], operand: Expression) -> bool:
    if isinstance(operand, Number):
        return abs(operand.value) in numbers or abs(written_value(operand)) in numbers
    is_fraction = operand.op == "/" and isinstance(operand.left, Number) and isinstance(operand.right, Number)
    return is_fraction and evaluate(operand) in numbers


def _fresh_operands(left: Expression | None, latest: Fraction | None) -> list[Fraction]:
    """The operands of a step's left side, without the result that it carries on."""
    values = [] if left is None else [abs(number.value) for number in iter_numbers(left)]
    if latest is not None and latest in values:
        values.remove(latest)
    return values


# --- roles of characters -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where the numbers of a step may come from."""

    results: frozenset[Fraction]
    latest: Fraction | None
    """The result of the step before."""
    stated: frozenset[Fraction]

    def is_carried(self, number: Number, *, is_latest_taken: bool) -> bool:
        """Whether a number is a running value. One that the problem states too is, if it is the result just before and
        the first such number of its side."""
        values = {number.value, written_value(number)}
        if self.latest in values and not is_latest_taken:
            return True
        return bool(values & self.results) and not values & self.stated


def _roles(equation: Equation, sources: _Sources) -> Iterator[Span]:
    if equation.left is not None:
        yield from _side_roles(equation.left, sources)
    yield Span(equation.sign.start, equation.sign.end, "equals")
    if equation.right is None:
        return
    if isinstance(equation.right, Number) or _ends_in_fraction(equation):
        for part in (*iter_numbers(equation.right), *iter_operations(equation.right)):
            yield Span(part.start, part.end, "result")
    else:
        first = next(iter_numbers(equation.right))
        yield Span(first.start, first.end, "result" if equation.chained else "operand")
        yield from _side_roles(equation.right, sources)


def _ends_in_fraction(equation: Equation) -> bool:
    """Whether the right side is a single fraction, which is a result: `1/2 + 1/4 = 3/4`."""
    operators = [] if equation.right is None else [operation.op for operation in iter_operations(equation.right)]
    return not equation.chained and operators == ["/"]


def _side_roles(expression: Expression, sources: _Sources) -> Iterator[Span]:
    is_latest_taken = False
    for number in iter_numbers(expression):
        carried = sources.is_carried(number, is_latest_taken=is_latest_taken)
        is_latest_taken = is_latest_taken or (carried and sources.latest in (number.value, written_value(number)))
        yield Span(number.start, number.end, "carry" if carried else "operand")
    for operation in iter_operations(expression):
        yield Span(operation.start, operation.end, "operator")


def _without_overlaps(answer: tuple[Span, ...], roles: list[Span]) -> tuple[Span, ...]:
    """Spans sorted and disjoint. The answer wins over the equation that it ends, an earlier role over a later one."""
    free = [r for r in roles if r.start < r.end and all(r.end <= a.start or a.end <= r.start for a in answer)]
    disjoint: list[Span] = []
    for span in sorted([*answer, *free], key=lambda span: span.start):
        if not disjoint or disjoint[-1].end <= span.start:
            disjoint.append(span)
    return tuple(disjoint)
