"""Ordinary mathematical text, annotated: its written equations as steps, and what the characters of each do.

A step `holds` if its equation is true, and `follows` if every operand of its left side has a source (the problem, what
its words and units imply, or an earlier step's result). Neither is guessed: what cannot be judged is `None`, and
`follows` is never `False`, since people compute in their heads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from interp.tasks.base import Span, Step
from interp.tasks.text.answers import Answer, find_answer
from interp.tasks.text.numerals import read_number
from interp.tasks.traces.claims import find_claims
from interp.tasks.traces.equations import Link
from interp.tasks.traces.nodes import Node, Number, as_written, numbers, operations
from interp.tasks.traces.sources import WHOLE, draws_on, is_sourced, stated_numbers

MAX_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Trace:
    steps: tuple[Step, ...]
    derived: frozenset[Fraction]
    """The outcomes of the steps that use a number the prompt states, or the outcome of another that does. The 1 that
    needs no source is not stated; one that is written counts only where the prompt states nothing else."""
    spans: tuple[Span, ...]
    """Sorted and disjoint. What no span covers is text."""
    answer: Answer | None
    whole: bool = True
    """False if the text was too long to be annotated to its end."""


def is_number(text: str) -> bool:
    return read_number(text) is not None


def annotate(text: str, prompt: str = "", reads: Callable[[str], bool] = is_number) -> Trace:
    """Find and check the equations of `text`; `prompt` is where operands may come from, `reads` knows an answer."""
    answer = find_answer(text, reads)
    claims = [c for c in find_claims(text[:MAX_TEXT]) if answer is None or not answer.start <= c.start < answer.end]
    stated = stated_numbers(prompt)
    telling = stated - WHOLE or stated
    steps: list[Step] = []
    roles: list[Span] = []
    earlier: set[Fraction] = set()
    derived: set[Fraction] = set()
    for claim in claims:
        follows = True if claim.left is not None and is_sourced(claim.left, stated | WHOLE | earlier) else None
        steps.append(Step(claim.start, claim.end, claim.holds, follows))
        for link in claim.links:
            roles.extend(_roles(link, earlier))
        if claim.result is not None:
            earlier.add(claim.result)
            if claim.left is not None and draws_on(claim.left, telling | derived):
                derived.add(claim.result)
    spans = _tidy(() if answer is None else answer.spans, roles)
    return Trace(tuple(steps), frozenset(derived), spans, answer, len(text) <= MAX_TEXT)


def _roles(link: Link, earlier: set[Fraction]) -> Iterator[Span]:
    if link.left is not None:
        yield from _side(link.left, earlier)
    yield Span(link.sign.start, link.sign.end, "equals")
    if link.right is None:
        return
    if isinstance(link.right, Number) or _is_fraction(link):
        for part in (*numbers(link.right), *operations(link.right)):
            yield Span(part.start, part.end, "result")
    else:
        first = next(numbers(link.right))
        yield Span(first.start, first.end, "result" if link.chained else "operand")
        yield from _side(link.right, earlier)


def _is_fraction(link: Link) -> bool:
    return not link.chained and link.right is not None and [o.op for o in operations(link.right)] == ["/"]


def _side(node: Node, earlier: set[Fraction]) -> Iterator[Span]:
    for number in numbers(node):
        carried = number.value in earlier or as_written(number) in earlier
        yield Span(number.start, number.end, "carry" if carried else "operand")
    for operation in operations(node):
        yield Span(operation.start, operation.end, "operator")


def _tidy(answer: tuple[Span, ...], roles: list[Span]) -> tuple[Span, ...]:
    """Sorted and disjoint. The answer wins over the equation it may end; of two roles, the one given first."""
    free = [r for r in roles if r.start < r.end and all(r.end <= a.start or a.end <= r.start for a in answer)]
    kept: list[Span] = []
    for span in sorted([*answer, *free], key=lambda s: s.start):
        if not kept or kept[-1].end <= span.start:
            kept.append(span)
    return tuple(kept)
