"""Arithmetic expressions: trees of numbers and operations, evaluated in exact fractions.

A number keeps how it was written (decimals, percent sign, unit words, currency), because whether `7/20 = 35%` or
`$2.50 - $2.24 = 26 cents` is true depends on it. Exponents and sizes are bounded, so evaluation is always cheap.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

MAX_EXPONENT, MAX_BITS = 64, 512


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written, at characters [start, end)."""

    value: Fraction
    decimals: int
    """Number of decimals written."""
    start: int
    end: int
    percent: bool = False
    scale: int = 0
    """Power of ten written as a word: 6 for `million`."""
    units: tuple[str, ...] = ()
    money: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with its two operands."""

    op: str
    """`+`, `-`, `*`, `/`, `^` or `of`."""
    left: "Expression"
    right: "Expression"
    start: int
    """The operator covers characters [start, end)."""
    end: int
    ambiguous: bool = False
    """Whether the writer may have grouped it otherwise than the grammar: `6 / 1/2`."""


Expression = Number | Operation


def iter_numbers(expression: Expression) -> Iterator[Number]:
    """The numbers of an expression, from left to right."""
    if isinstance(expression, Number):
        yield expression
    else:
        yield from iter_numbers(expression.left)
        yield from iter_numbers(expression.right)


def iter_operations(expression: Expression) -> Iterator[Operation]:
    """The operations of an expression, from left to right."""
    if isinstance(expression, Operation):
        yield from iter_operations(expression.left)
        yield expression
        yield from iter_operations(expression.right)


def written_value(number: Number) -> Fraction:
    """The value with its scale, and a percent as a hundredth."""
    value = number.value * 10**number.scale if number.scale else number.value
    return value / 100 if number.percent else value


def evaluate(expression: Expression, value_of: Callable[[Number], Fraction] = written_value) -> Fraction | None:
    """The exact value. None for a division by zero, or if the value would be absurdly large."""
    if isinstance(expression, Number):
        return value_of(expression)
    left, right = evaluate(expression.left, value_of), evaluate(expression.right, value_of)
    if left is None or right is None or (expression.op == "/" and right == 0):
        return None
    match expression.op:
        case "+":
            value = left + right
        case "-":
            value = left - right
        case "*" | "of":
            value = left * right
        case "/":
            value = left / right
        case _:
            value = _power(left, right)
    return value if value is not None and _bits(value) <= MAX_BITS else None


def _power(base: Fraction, exponent: Fraction) -> Fraction | None:
    small = exponent.denominator == 1 and 0 <= exponent <= MAX_EXPONENT and _bits(base) * exponent <= MAX_BITS
    return base ** int(exponent) if small else None


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())
