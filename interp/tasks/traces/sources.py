"""Where the numbers of a step come from: the problem, what its words and units imply, or an earlier result.

An operand that none of these explains is not thereby wrong, since people compute silently: it is `None`, never `False`.
A 1 needs no explanation, but explains nothing either: out of ones alone, any answer can be counted up.
"""

from collections.abc import Iterable, Iterator, Set
from fractions import Fraction
from itertools import zip_longest

from interp.tasks.traces.lexer import Token, lex
from interp.tasks.traces.nodes import Node, Number, as_written, work_out
from interp.tasks.traces.units import implied_numbers

MAX_PROMPT = 20_000
WHOLE = frozenset({Fraction(1)})


def stated_numbers(prompt: str) -> frozenset[Fraction]:
    """Every number the prompt states in digits or words, and those its units bring along."""
    tokens = lex(prompt[:MAX_PROMPT])
    found: set[Fraction] = set()
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.value is not None:
            found.add(token.value)
            if following is not None and following.kind == "pct":
                found |= {token.value / 100, Fraction(100)}
        elif token.kind == "word":
            for word in token.text.lower().split("-"):
                found |= implied_numbers(word)
    found |= {n / d for n, d in _written_fractions(tokens)}
    return frozenset(found)


def _written_fractions(tokens: list[Token]) -> Iterable[tuple[Fraction, Fraction]]:
    for top, bar, bottom in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if top.value is not None and bar.kind == "/" and bottom.value:
            yield top.value, bottom.value


def is_sourced(node: Node, known: Set[Fraction]) -> bool:
    """Every operand is among `known`."""
    return all(_is_among(known, operand) for operand in _operands(node, known))


def draws_on(node: Node, known: Set[Fraction]) -> bool:
    """Some operand is among `known`."""
    return any(_is_among(known, operand) for operand in _operands(node, known))


def _operands(node: Node, known: Set[Fraction]) -> Iterator[Node]:
    """The numbers of an expression; a fraction is one where it is known: `3/4` where the problem says 75%."""
    if isinstance(node, Number) or _is_among(known, node):
        yield node
    else:
        yield from _operands(node.left, known)
        yield from _operands(node.right, known)


def _is_among(known: Set[Fraction], node: Node) -> bool:
    if isinstance(node, Number):
        return abs(node.value) in known or abs(as_written(node)) in known
    is_fraction = node.op == "/" and isinstance(node.left, Number) and isinstance(node.right, Number)
    return is_fraction and work_out(node) in known
