"""Where the numbers of a step come from: the problem, what its words and units imply, or an earlier result.

An operand that none of these explains is not thereby wrong, since people compute silently: it is `None`, never `False`.
"""

from collections.abc import Iterable
from fractions import Fraction
from itertools import zip_longest

from interp.tasks.traces.lexer import Token, lex
from interp.tasks.traces.nodes import Node, Number, as_written, work_out
from interp.tasks.traces.units import implied_numbers

MAX_PROMPT = 20_000


def given_numbers(prompt: str) -> frozenset[Fraction]:
    """Every number the prompt states in digits or words, and those its units bring along. One whole is always given."""
    tokens = lex(prompt[:MAX_PROMPT])
    found: set[Fraction] = {Fraction(1)}
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


def is_sourced(node: Node, known: frozenset[Fraction] | set[Fraction]) -> bool:
    if isinstance(node, Number):
        return abs(node.value) in known or abs(as_written(node)) in known
    if node.op == "/" and isinstance(node.left, Number) and isinstance(node.right, Number) and work_out(node) in known:
        return True  # `3/4` where the problem says 75%
    return is_sourced(node.left, known) and is_sourced(node.right, known)
