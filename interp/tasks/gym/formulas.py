"""Formulae of bounded cost: values and derivatives of answers that a policy wrote.

A formula is parsed into Python's syntax tree and never run. Its length, depth and number of nodes are bounded, it holds
only numbers, listed names, `+ - * / **` and plain mathematical functions, and no value in it may be huge: each is
computed in floating point of `DIGITS` digits, and before a power or an exponential is computed, its size is known to be
small. So `exp(exp(exp(9)))`, `9**9**9` and a thousand nested brackets all cost microseconds.
"""

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from interp.tasks.base import seeded_rng

MAX_LENGTH, MAX_NODES, MAX_DEPTH, MAX_NUMBER = 1000, 500, 100, 10**30
DIGITS, TOLERANCE = 50, 1e-30
MAX_LOG = 500
"""Largest natural logarithm of a value, in size."""
_ALPHABET = re.compile(r"[0-9A-Za-z+\-*/(). ]+")
_REFUSED = re.compile(r"(?:[-+] *){4}|[0-9.][A-Za-z]|[0-9]{31}")
"""Rows of signs, exponents such as `1e-999999999`, and long numbers."""
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)

_SLOPES: dict[str, Callable[[Any, Any], Any]] = {
    "sin": lambda m, u: m.cos(u),
    "cos": lambda m, u: -m.sin(u),
    "tan": lambda m, u: 1 + m.tan(u) ** 2,
    "exp": lambda m, u: m.exp(u),
    "log": lambda m, u: 1 / u,
    "ln": lambda m, u: 1 / u,
    "sqrt": lambda m, u: 1 / (2 * m.sqrt(u)),
    "asin": lambda m, u: 1 / m.sqrt(1 - u * u),
    "acos": lambda m, u: -1 / m.sqrt(1 - u * u),
    "atan": lambda m, u: 1 / (1 + u * u),
}
"""The functions that a formula may call, and their derivatives. `m` is mpmath's context."""


class TooLarge(ValueError):
    """A value of the formula is huge or undefined. It never leaves this file: callers get None."""


@dataclass(frozen=True, slots=True)
class Dual:
    """A value and its derivative."""

    value: Any
    slope: Any


def parse(text: str, names: frozenset[str]) -> ast.expr | None:
    """The syntax tree of a formula in these names. None for any other text."""
    text = text.strip()
    if len(text) > MAX_LENGTH or _ALPHABET.fullmatch(text) is None or _REFUSED.search(text) is not None:
        return None
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if _is_small(tree) and all(_is_listed(node, names) for node in ast.walk(tree)) else None


def _is_small(tree: ast.expr) -> bool:
    nodes, stack = 0, [(tree, 1)]
    while stack and nodes <= MAX_NODES:
        node, depth = stack.pop()
        if depth > MAX_DEPTH:
            return False
        nodes += 1
        stack += [(child, depth + 1) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return nodes <= MAX_NODES


def _is_listed(node: ast.AST, names: frozenset[str]) -> bool:
    match node:
        case ast.Constant(value=bool()):
            return False
        case ast.Constant(value=int() | float() as value):
            return value == 0 or 1 / MAX_NUMBER < value < MAX_NUMBER
        case ast.Name(id=name):
            return name in names or name in _SLOPES  # a function without brackets has no value, see `_dual`
        case ast.Call(func=ast.Name(id=name), args=[_], keywords=[]):
            return name in _SLOPES
    return isinstance(node, (ast.BinOp, ast.UnaryOp, ast.USub, ast.UAdd, ast.Load, *_OPERATORS))


# --- values --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _context() -> Any:
    from mpmath import MPContext

    context = MPContext()
    context.dps = DIGITS
    return context


def evaluate(tree: ast.expr, names: Mapping[str, Dual] | None = None) -> Dual | None:
    """Value and derivative of a formula, given those of its names. None if one in it is huge or undefined."""
    try:
        return _dual(tree, names or {})
    except (TooLarge, ArithmeticError):
        return None


def equals(tree: ast.expr, number: int) -> bool:
    """Whether a formula without names has this value."""
    dual = evaluate(tree)
    return dual is not None and abs(dual.value - number) < TOLERANCE


def is_bounded(tree: ast.expr, names: Iterable[str]) -> bool:
    """Whether no value of a formula is huge where all names are 3. (A name alone never makes one.)"""
    return evaluate(tree, {name: Dual(_context().mpf(3), 1) for name in names}) is not None


def is_antiderivative(answer: str, integrand: str, variable: str) -> bool:
    """Whether the derivative of a formula is the integrand: at random points of the complex plane, to 30 digits.

    Two formulae that differ agree nowhere but at single points. `C` is any constant.
    """
    names = frozenset({variable, "C", "c", "E", "pi"})
    left, right = parse(answer, names), parse(integrand, names)
    if left is None or right is None:
        return False
    m, rng = _context(), seeded_rng("gym integral", answer, integrand)
    any_number = Dual(m.mpf(rng.uniform(1, 2)), 0)
    constants = {"C": any_number, "c": any_number, "E": Dual(m.exp(1), 0), "pi": Dual(+m.pi, 0)}
    for _ in range(3):
        point = m.mpc(rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.3))
        at_point = constants | {variable: Dual(point, 1)}
        antiderivative, function = evaluate(left, at_point), evaluate(right, at_point)
        if antiderivative is None or function is None:
            return False
        if abs(antiderivative.slope - function.value) > TOLERANCE * (1 + abs(function.value)):
            return False
    return True


def _dual(node: ast.expr, names: Mapping[str, Dual]) -> Dual:
    match node:
        case ast.Constant(value=value):
            return Dual(_context().mpf(repr(value)), 0)
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp(op=op, operand=operand):
            inner = _dual(operand, names)
            return Dual(-inner.value, -inner.slope) if isinstance(op, ast.USub) else inner
        case ast.BinOp(left=left, op=op, right=right):
            return _sized(_operation(op, _dual(left, names), _dual(right, names)))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return _sized(_call(name, _dual(argument, names)))
    raise TooLarge("a function without an argument")


def _operation(op: ast.operator, left: Dual, right: Dual) -> Dual:
    match op:
        case ast.Add():
            return Dual(left.value + right.value, left.slope + right.slope)
        case ast.Sub():
            return Dual(left.value - right.value, left.slope - right.slope)
        case ast.Mult():
            return Dual(left.value * right.value, left.slope * right.value + left.value * right.slope)
        case ast.Div():
            quotient = left.value / right.value
            return Dual(quotient, (left.slope - quotient * right.slope) / right.value)
    return _power(left, right)


def _power(base: Dual, exponent: Dual) -> Dual:
    m, n = _context(), exponent.value
    if base.value == 0:
        if exponent.slope != 0 or not (m.isint(n) and n >= 1):
            raise TooLarge("a power of zero")
        return Dual(m.mpf(0), base.slope if n == 1 else m.mpf(0))
    logarithm = m.log(base.value)
    if abs(logarithm * n) > MAX_LOG:
        raise TooLarge("a huge power")
    value = m.exp(logarithm * n)  # bounded work for any exponent, and the principal branch that sympy takes too
    return Dual(value, value * (exponent.slope * logarithm + n * base.slope / base.value))


def _call(name: str, argument: Dual) -> Dual:
    m, u = _context(), argument.value
    bounded = name in ("log", "ln", "sqrt", "asin", "acos", "atan")
    if not bounded and abs(u) > MAX_LOG:
        raise TooLarge("a huge exponential")
    return Dual(getattr(m, name)(u), _SLOPES[name](m, u) * argument.slope)


def _sized(dual: Dual) -> Dual:
    """The value as it is, if it and its derivative are neither huge nor tiny."""
    m = _context()
    for part in (dual.value, dual.slope):
        if part != 0 and not abs(m.mag(part)) < 2 * MAX_LOG:
            raise TooLarge("a huge value")
    return dual
