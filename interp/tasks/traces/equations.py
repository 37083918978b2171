"""The equations of a text: one for every equals sign, with the expressions on its two sides.

The left side is the longest expression that ends at the sign, the right side the longest that begins behind it, both
within a clause. `2 + 3 = 5 * 2 = 10` gives two equations that share their middle. A side that cannot be parsed is
None. A sign behind words alone (`Total = 15`, `the answer = 3`) only names a number, and gives no equation.
"""

from dataclasses import dataclass

from interp.tasks.traces.expressions import Expression, Number, Operation
from interp.tasks.traces.lexer import Token
from interp.tasks.traces.parser import BREAKS, MAX_TOKENS, parse_exactly, parse_prefix

SIGNS = ("eq", "approx")
OPERATORS = ("+", "-", "*", "/", "^")


@dataclass(frozen=True, slots=True)
class Equation:
    """An equals sign with the expressions on its two sides."""

    sign: Token
    sign_index: int
    """Index of the sign among the tokens."""
    left: Expression | None
    right: Expression | None
    start: int
    end: int
    chained: bool = False
    """Whether another equals sign follows the right side directly."""
    loose: bool = False
    """Whether the text around it is ambiguous or outside the grammar, so that a false equation is not judged."""


def find_equations(tokens: list[Token]) -> list[Equation]:
    """All equations of the tokens, in order."""
    equations, clause_start = [], 0
    for i, token in enumerate(tokens):
        if token.kind == "stop":
            clause_start = i + 1
        elif token.kind in SIGNS:
            equation = _equation_at(tokens, max(clause_start, i - MAX_TOKENS), i)
            if equation is not None:
                equations.append(equation)
            clause_start = i + 1
    return equations


def _equation_at(tokens: list[Token], low: int, sign_index: int) -> Equation | None:
    """The equation at a sign. Its clause begins at token `low`."""
    sign = tokens[sign_index]
    left_index, left = _longest_before(tokens, low, sign_index)
    high = next((i for i in range(sign_index + 1, len(tokens)) if tokens[i].kind in ("stop", *SIGNS)), len(tokens))
    right, stop = parse_prefix(tokens, sign_index + 1, high)
    if _is_naming(tokens[low:sign_index], left, right) or (sign.text.isalpha() and not isinstance(left, Operation)):
        return None
    start = tokens[left_index].start if left_index is not None else sign.start
    end = sign.end if right is None else right.end if isinstance(right, Number) else tokens[stop - 1].end
    following = tokens[stop].kind if stop < len(tokens) else "stop"
    chained = right is not None and following in SIGNS
    after_dash = left_index is not None and left_index > low + 1 and tokens[left_index - 1].kind == "-"
    bullet = left_index is not None and _begins_with_dash(tokens, low, left_index)
    torn = left_index is not None and (_is_torn(tokens, low, left_index) or _is_range(tokens, left_index, left))
    three_words = sign_index - 3 >= low and all(t.kind == "word" for t in tokens[sign_index - 3 : sign_index])
    wordy = _is_multiple(tokens, low, left_index) or three_words
    wordy = wordy or (sign.text.lower() == "is" and not _ends_soon(tokens, stop))
    loose = following in (*OPERATORS, "(", "num", "bad", "frac") or after_dash or bullet or torn or wordy
    return Equation(sign, sign_index, left, right, start, end, chained, loose)


def _ends_soon(tokens: list[Token], stop: int) -> bool:
    """Whether the clause ends right behind the right side, or behind one word of unit: not `5 + 2 is 3 more than 4`."""
    is_over = stop >= len(tokens) or tokens[stop].kind == "stop"
    return is_over and tokens[stop - 1].kind in ("num", "word") and "num" in [t.kind for t in tokens[stop - 2 : stop]]


def _longest_before(tokens: list[Token], low: int, sign_index: int) -> tuple[int | None, Expression | None]:
    """The longest expression that ends at the sign, and the index of its first token."""
    for start in range(low, sign_index):
        token = tokens[start]
        signed = token.kind == "-" and _is_unary(tokens, start)
        if signed or token.kind in ("num", "(", "frac"):
            expression = parse_exactly(tokens, start, sign_index)
            if expression is not None:
                return (start, expression) if _may_begin(tokens, low, start) else (None, None)
    return None, None


def _is_unary(tokens: list[Token], i: int) -> bool:
    """Whether a minus is the sign of the number behind it, not a dash: no space behind it, and a space before it."""
    is_spaced = i == 0 or tokens[i - 1].end < tokens[i].start or tokens[i - 1].kind in SIGNS
    return is_spaced and tokens[i].end == tokens[i + 1].start


def _may_begin(tokens: list[Token], low: int, start: int) -> bool:
    """Whether an expression may begin here. It may not if it continues something unknown: `x + 3 * 4`, `f(3)`."""
    if start == low:
        return True
    if tokens[start - 1].kind == "word" and tokens[start].kind == "(":
        return tokens[start - 1].end < tokens[start].start
    while start > low and tokens[start - 1].kind == "(":  # a bracket never closed, or closed behind the equation
        start -= 1
    before = tokens[start - 1] if start > low else None
    if before is None or (start - 1 == low and before.kind in OPERATORS):  # the operator is a list mark
        return True
    if before.kind == "-":  # a dash: `Total - 5 * 3 = 15`
        return len(tokens[start - 2].text) > 1 and tokens[start - 2].kind == "word" and before.end < tokens[start].start
    return before.kind not in (*OPERATORS, "bad", "frac")


def _begins_with_dash(tokens: list[Token], low: int, start: int) -> bool:
    """Whether a dash at the beginning of the clause is the expression's sign, or a list mark: `-30/3`."""
    if start == low:
        return tokens[low].kind == "-"
    return start == low + 1 and tokens[low].kind == "-" and tokens[low].end == tokens[start].start


def _is_torn(tokens: list[Token], low: int, start: int) -> bool:
    """Whether the expression may be the end of a longer one: `1/2 (68) + 10`, `14, 400 / 80`, `5 + some of 3 * 4`."""
    before = tokens[start - 1] if start > 0 else None
    if before is None or (start > low and before.kind in ("num", "pct", ")")):
        return before is not None
    if before.text == "," and start > 1 and tokens[start - 2].kind == "num" and len(tokens[start].text) == 3:
        return True
    first = start
    while first > low and tokens[first - 1].kind == "word" and tokens[first - 1].text.lower() not in BREAKS:
        first -= 1
    return low < first < start and tokens[first - 1].kind in ("+", "*")


def _is_range(tokens: list[Token], start: int, expression: Expression | None) -> bool:
    """Whether a difference names a range: `Weeks 1-2`."""
    if not isinstance(expression, Operation) or expression.op != "-" or start == 0:
        return False
    first, last = expression.left, expression.right
    if not isinstance(first, Number) or not isinstance(last, Number) or first.value >= last.value:
        return False
    glued = first.end == expression.start and expression.end == last.start
    return glued and tokens[start - 1].kind == "word" and tokens[start - 1].text.istitle()


def _is_multiple(tokens: list[Token], low: int, start: int | None) -> bool:
    """Whether the text multiplies the expression by a number before it: `8 packs of 5 bags * $8`."""
    if start is None or start - 2 < low or tokens[start - 1].text.lower() != "of":
        return False
    return any(tokens[i].kind == "num" for i in range(max(low, start - 4), start - 1))


def _is_naming(clause: list[Token], left: Expression | None, right: Expression | None) -> bool:
    """Whether the sign only names a number: `Total = 15`, `5 friends = 75 + 15`, `x = 3 * 4`; but not `x = 12`."""
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
    """Whether the token is a letter that stands for a number."""
    return token.kind == "word" and len(token.text) == 1 and token.text not in "aAI"
