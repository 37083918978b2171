"""Where text writes an equation: one link for every equals sign, with the expressions on its two sides.

The left side is the longest expression that ends at the sign, the right side the longest that begins behind it, both
within a clause. `2 + 3 = 5 * 2 = 10` has two links, which share their middle. A side that cannot be read is `None`;
a sign behind mere words (`Total = 15`, `the answer = 3`) names something and claims nothing, and makes no link.
"""

from dataclasses import dataclass

from interp.tasks.traces.lexer import Token
from interp.tasks.traces.nodes import Node, Number, Operation
from interp.tasks.traces.reader import MAX_TOKENS, read_prefix, read_whole

SIGNS = ("eq", "approx")
OPERATORS = ("+", "-", "*", "/", "^")


@dataclass(frozen=True, slots=True)
class Link:
    sign: Token
    at: int
    """Index of the sign among the tokens."""
    left: Node | None
    right: Node | None
    start: int
    end: int
    chained: bool = False
    """Another equals sign follows the right side at once."""
    loose: bool = False
    """The text goes on in a way the grammar does not follow, or is ambiguous: only a true reading is to be believed."""


def find_links(tokens: list[Token]) -> list[Link]:
    links, last = [], 0
    for at, token in enumerate(tokens):
        if token.kind == "stop":
            last = at + 1
        elif token.kind in SIGNS:
            if (link := _link(tokens, max(last, at - MAX_TOKENS), at)) is not None:
                links.append(link)
            last = at + 1
    return links


def _link(tokens: list[Token], low: int, at: int) -> Link | None:
    sign = tokens[at]
    left_at, left = _longest_before(tokens, low, at)
    high = next((i for i in range(at + 1, len(tokens)) if tokens[i].kind in ("stop", *SIGNS)), len(tokens))
    right, stop = read_prefix(tokens, at + 1, high)
    if _is_naming(tokens[low:at], left, right) or (sign.text.isalpha() and not isinstance(left, Operation)):
        return None
    start = tokens[left_at].start if left_at is not None else sign.start
    end = sign.end if right is None else right.end if isinstance(right, Number) else tokens[stop - 1].end
    following = tokens[stop].kind if stop < len(tokens) else "stop"
    chained = right is not None and following in SIGNS
    after_dash = left_at is not None and left_at > low + 1 and tokens[left_at - 1].kind == "-"
    bullet = left_at is not None and left_at == low and tokens[low].kind == "-"
    wordy = _is_multiple(tokens, low, left_at) or (at - 3 >= low and all(t.kind == "word" for t in tokens[at - 3 : at]))
    loose = following in (*OPERATORS, "(", "num", "bad", "frac") or after_dash or bullet or wordy
    return Link(sign, at, left, right, start, end, chained, loose)


def _longest_before(tokens: list[Token], low: int, at: int) -> tuple[int | None, Node | None]:
    for start in range(low, at):
        token = tokens[start]
        signed = token.kind == "-" and _is_unary(tokens, start)
        if signed or token.kind in ("num", "(", "frac"):
            node = read_whole(tokens, start, at)
            if node is not None:
                return (start, node) if _may_begin(tokens, low, start) else (None, None)
    return None, None


def _is_unary(tokens: list[Token], at: int) -> bool:
    """A sign of the number behind it, not a dash: glued to that, and to nothing before."""
    apart = at == 0 or tokens[at - 1].end < tokens[at].start or tokens[at - 1].kind in SIGNS
    return apart and tokens[at].end == tokens[at + 1].start


def _may_begin(tokens: list[Token], low: int, start: int) -> bool:
    """An expression torn off something we cannot read (`x + 3 * 4`, `f(3)`) is not one; behind a list mark it is."""
    if start == low:
        return True
    if tokens[start - 1].kind == "word" and tokens[start].kind == "(":
        return tokens[start - 1].end < tokens[start].start
    while start > low and tokens[start - 1].kind == "(":  # never closed, or closed behind the equation
        start -= 1
    before = tokens[start - 1] if start > low else None
    if before is None or (start - 1 == low and before.kind in OPERATORS):
        return True
    if before.kind == "-":  # `Total - 5 * 3 = 15`: a dash
        return len(tokens[start - 2].text) > 1 and tokens[start - 2].kind == "word" and before.end < tokens[start].start
    return before.kind not in (*OPERATORS, "bad", "frac")


def _is_multiple(tokens: list[Token], low: int, start: int | None) -> bool:
    """`8 packs of 5 bags * $8`: the text multiplies by 8 before the expression begins."""
    if start is None or start - 2 < low or tokens[start - 1].text.lower() != "of":
        return False
    return any(tokens[i].kind == "num" for i in range(max(low, start - 4), start - 1))


def _is_naming(clause: list[Token], left: Node | None, right: Node | None) -> bool:
    """`Total = 15`, `5 friends = 75 + 15`, `let x = the price`, `x = 3 * 4`; but not `x = 12`, a claimed solution."""
    if left is not None:
        return isinstance(left, Number) and bool(left.units)
    if not clause or clause[-1].kind != "word":
        return not clause
    numeric = any(t.kind in ("num", "bad") for t in clause)
    if len(clause[-1].text) > 1 or clause[-1].text in "aAI":
        return not numeric and not any(_is_symbol(t) for t in clause)
    alone = len(clause) == 1 or clause[-2].kind not in ("num", "bad", ")", *OPERATORS)
    return alone and (isinstance(right, Operation) or (right is None and not numeric))


def _is_symbol(token: Token) -> bool:
    return token.kind == "word" and len(token.text) == 1 and token.text not in "aAI"
