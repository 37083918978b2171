"""Arithmetic as a tree of numbers and operations, worked out in exact fractions.

A number keeps how it was written (decimals, percent sign, unit words, currency), because whether `7/20 = 35%` or
`$2.50 - $2.24 = 26 cents` is true depends on it. Exponents and sizes are bounded: nothing is expensive to work out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

MAX_EXPONENT, MAX_BITS = 64, 512


@dataclass(frozen=True, slots=True)
class Number:
    value: Fraction
    places: int
    start: int
    end: int
    percent: bool = False
    scale: int = 0
    """Power of ten spoken behind the digits: 6 for `million`."""
    units: tuple[str, ...] = ()
    money: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    op: str
    left: "Node"
    right: "Node"
    start: int
    """Where the operator stands, [start, end)."""
    end: int
    ambiguous: bool = False
    """Could be meant otherwise than the grammar reads it: `6 / 1/2`."""


Node = Number | Operation


def numbers(node: Node) -> Iterator[Number]:
    if isinstance(node, Number):
        yield node
    else:
        yield from numbers(node.left)
        yield from numbers(node.right)


def operations(node: Node) -> Iterator[Operation]:
    if isinstance(node, Operation):
        yield from operations(node.left)
        yield node
        yield from operations(node.right)


def as_written(number: Number) -> Fraction:
    value = number.value * 10**number.scale
    return value / 100 if number.percent else value


def work_out(node: Node, reading: Callable[[Number], Fraction] = as_written) -> Fraction | None:
    """The exact value, or `None` where there is none (division by zero) or it would be absurdly large."""
    if isinstance(node, Number):
        return reading(node)
    left, right = work_out(node.left, reading), work_out(node.right, reading)
    if left is None or right is None or (node.op == "/" and right == 0):
        return None
    match node.op:
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
