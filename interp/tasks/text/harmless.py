"""Whitelist of texts for parsers that evaluate them, such as scorers of other packages: literals, small arithmetic.

The text is parsed into Python's syntax tree and never run. Everything that is not listed is refused: attributes,
comprehensions, f-strings, large powers, and all calls except those of plain mathematical functions.
"""

import ast
import re

MAX_LENGTH, MAX_DEPTH, MAX_DIGITS, MAX_TOTAL_EXPONENT = 1000, 30, 30, 200
FUNCTIONS = frozenset({"sin", "cos", "tan", "exp", "log", "ln", "sqrt", "atan", "asin", "acos", "abs", "Abs"})
_CONTAINERS = (ast.List, ast.Tuple, ast.Set, ast.Dict)
_SIGNS = (ast.Expression, ast.Load, ast.UnaryOp, ast.USub, ast.UAdd, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)


def is_harmless(text: str) -> bool:
    """Whether the text is safe to evaluate."""
    if len(text) > MAX_LENGTH or (not text.isprintable() and "\n" not in text) or _depth(text) > MAX_DEPTH:
        return False
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return _is_plain(text)
    nodes = list(ast.walk(tree))
    return all(_is_listed(node) for node in nodes) and _total_exponent(nodes) <= MAX_TOTAL_EXPONENT


def _is_plain(text: str) -> bool:
    """Whether the text is words, numbers or a grid: no expression, nor part of one."""
    return re.fullmatch(r"[A-Za-z0-9 ,.\n_-]*", text) is not None and "__" not in text


def _is_listed(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=int() | float() as value):
            return abs(value) < 10**MAX_DIGITS
        case ast.Constant(value=str() as value):
            return "__" not in value
        case ast.Constant(value=value):
            return value is None
        case ast.Name(id=name):
            return len(name) <= 2 or name in FUNCTIONS
        case ast.Call(func=ast.Name(id=name), args=[_], keywords=[]):
            return name in FUNCTIONS
        case ast.BinOp(left=left, right=right):  # `'a' * 10` and `[0] * 10` would repeat, so only numbers
            return _is_numeric(left) and _is_numeric(right)
    return isinstance(node, _CONTAINERS + _SIGNS)


def _is_numeric(node: ast.expr) -> bool:
    return not isinstance(node, _CONTAINERS) and not (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _total_exponent(nodes: list[ast.AST]) -> int:
    """The product of all exponents, which bounds powers of powers. An exponent that is no literal is too large."""
    total = 1
    for node in nodes:
        match node:
            case ast.BinOp(op=ast.Pow(), right=ast.Constant(value=int() as exponent)):
                total *= max(1, exponent)
            case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(operand=ast.Constant(value=int() as exponent))):
                total *= max(1, exponent)
            case ast.BinOp(op=ast.Pow()):
                return MAX_TOTAL_EXPONENT + 1
    return total


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in text:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(sign, 0)
        deepest = max(deepest, depth)
    return deepest
