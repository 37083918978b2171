"""Whether a computation of plain numbers comes to a number: the `9 * 2` of `9 * 2 = 18`."""

import re
from fractions import Fraction

from interp.tasks.text.formula_tokens import Unreadable
from interp.tasks.text.formulas import Apply, Constant, Node, parse_formula

MAX_BITS = 400
_AROUND = re.compile(r"\\?[$€£]|(?<=[0-9])\s+[a-z]{3,}(?:\s+[a-z]{2,})*|\\(?=%)")


def computes_to(text: str, value: Fraction) -> bool:
    """Whether a text is a computation of plain numbers with this result. Words behind its numbers are left out."""
    try:
        return exact_value(parse_formula(_AROUND.sub("", text.replace(",", "")))) == value
    except Unreadable:
        return False


def exact_value(node: Node) -> Fraction | None:
    """The exact value of a tree of plain numbers. None with letters, roots or functions, or out of bounds."""
    if isinstance(node, Constant):
        return node.value
    if not isinstance(node, Apply) or node.name not in "+-*/^":
        return None
    values = [exact_value(argument) for argument in node.arguments]
    if len(values) != 2 or values[0] is None or values[1] is None:
        return None
    left, right = values[0], values[1]
    if max(n.bit_length() for n in (left.numerator, left.denominator, right.numerator, right.denominator)) > MAX_BITS:
        return None
    match node.name:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right if right else None
    return left**right.numerator if right.denominator == 1 and 0 <= right <= 10 else None
