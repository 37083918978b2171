"""Check whether a written equation is true: True, False, or None if the text is ambiguous.

Equations are checked in exact fractions.

- A written decimal is true if it is the exact value rounded to the decimals written (a tie may go either way), or
  differs from it by float noise only (1e-12, relative).
- After a division or product, truncated decimals (`2/3 = 0.66`) and whole numbers next to the exact value (31 buses for
  30.2) give None.
- A false equation in loose text gives None. A true one is accepted: sums are rarely right by accident.

Text can be read in several ways, and an equation is true if it is true in one of them: `%` as a hundredth
(`7/20 = 35%`) or as a unit (`25 + 5 = 30%`); with units converted (`$2.50 - $2.24 = 26 cents`); and in a running line,
`2 + 3 = 5 * 2 = 10`, with each sign checked against the number right behind it. In a sum of units of one family
(`1 hour + 30 minutes`) only the converted values count.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from interp.tasks.traces.equations import Equation
from interp.tasks.traces.expressions import (
    Expression,
    Number,
    Operation,
    evaluate,
    iter_numbers,
    iter_operations,
    written_value,
)
from interp.tasks.traces.units import unit_of

ValueOf = Callable[[Number], Fraction]
"""One reading of a written number: its value."""
FLOAT_NOISE = Fraction(1, 10**12)


def check_equation(equation: Equation) -> bool | None:
    """Whether the equation is true."""
    left, right = equation.left, equation.right
    if left is None or right is None:
        return None
    verdict = check_sides(left, right, approx=equation.sign.kind == "approx")
    head = running_head(equation)
    if verdict is True or (isinstance(left, Number) and isinstance(head or right, Number)):
        return verdict or None  # two bare numbers state a conversion, or are a slip: no computation
    if head is not None:
        verdict = check_sides(left, head, approx=False)
    elif isinstance(right, Operation) and check_sides(left, next(iter_numbers(right)), approx=False):
        return None  # `5 + 5 = 10 - 2`: perhaps a running line, perhaps not
    return None if verdict is False and _is_loose(equation) else verdict


def running_head(equation: Equation) -> Number | None:
    """The number right behind the sign, if the line runs on from it: the two sides as wholes are not equal."""
    if not (equation.chained and isinstance(equation.right, Operation) and equation.left is not None):
        return None
    return None if check_sides(equation.left, equation.right, approx=False) else next(iter_numbers(equation.right))


def _is_loose(equation: Equation) -> bool:
    sides = [side for side in (equation.left, equation.right) if side is not None]
    if equation.loose or any(operation.ambiguous for side in sides for operation in iter_operations(side)):
        return True
    if equation.right is not None and any(operation.op == "of" for operation in iter_operations(equation.right)):
        return True  # `3/3 - 2/3 = 1/3 of $150`
    if any(_may_be_unknown(number) for side in sides for number in iter_numbers(side)):
        return True
    return _states_share(equation.left) and not _states_share(equation.right)  # `1/3 of Sam = 66`


def _may_be_unknown(number: Number) -> bool:
    """Whether the words behind a number may stand for another: `2L + 11`, `.1(number of minutes)`."""
    return bool(number.units) and (len(number.units[0]) == 1 or number.units[0].startswith("("))


def _states_share(side: Expression | None) -> bool:
    """Whether a side is a share of something that is no number: `1/3 of Sam`."""
    return side is not None and any(number.units[:1] == ("of",) for number in iter_numbers(side))


def check_sides(left: Expression, right: Expression, *, approx: bool) -> bool | None:
    """Whether two sides are equal under any reading of their numbers."""
    numbers = [*iter_numbers(left), *iter_numbers(right)]
    converts = _mixes_units(numbers)
    if converts and _is_sum(left) and _is_sum(right) and all(unit_of(n) is not None for n in numbers):
        return _compare(left, right, _converted, approx)
    verdict = _compare(left, right, written_value, approx)
    if verdict is not True and any(n.percent for n in numbers):
        certain = (_is_sum(left) and _is_sum(right)) or not any(n.percent for n in iter_numbers(left))
        verdict = _alternative(verdict, _compare(left, right, _percent_as_unit, approx), certain)
    if verdict is not True and any(n.scale for n in numbers):
        verdict = _alternative(verdict, _compare(left, right, _unscaled, approx), True)
    if verdict is not True and converts:
        verdict = _alternative(None, _compare(left, right, _converted, approx), True)
    return verdict


def _alternative(verdict: bool | None, other: bool | None, certain: bool) -> bool | None:
    """The verdict, given that of another reading of the numbers: True if the other is True and certain."""
    if other is False:
        return verdict
    return True if other and certain else None


def _converted(number: Number) -> Fraction:
    """The value in the smallest unit of its family."""
    unit = unit_of(number)
    return written_value(number) * (1 if unit is None else unit[1])


def _percent_as_unit(number: Number) -> Fraction:
    """The value with `25%` as 25."""
    return number.value * 10**number.scale


def _unscaled(number: Number) -> Fraction:
    """The value without its scale: `16 + 12 = $28 million`."""
    return written_value(replace(number, scale=0))


def _mixes_units(numbers: list[Number]) -> bool:
    """Whether units of one family but of different size occur."""
    units = {unit for n in numbers if (unit := unit_of(n)) is not None}
    return len(units) > len({family for family, _ in units})


def _is_sum(expression: Expression) -> bool:
    return all(operation.op in "+-" for operation in iter_operations(expression))


def _compare(left: Expression, right: Expression, value_of: ValueOf, approx: bool) -> bool | None:
    left_value, right_value = evaluate(left, value_of), evaluate(right, value_of)
    if left_value is None or right_value is None:
        return None
    if left_value == right_value:
        return True
    gap = abs(left_value - right_value)
    if gap <= FLOAT_NOISE * abs(left_value):
        return True
    result = right if isinstance(right, Number) else left if isinstance(left, Number) else None
    if result is None:
        return False
    last_place = abs(value_of(replace(result, value=Fraction(10) ** -result.decimals)))
    if 2 * gap <= last_place and (result.decimals > 0 or approx):
        return True
    inexact = any(operation.op in "*/" for side in (left, right) for operation in iter_operations(side))
    exact_value = right_value if result is left else left_value
    cut_off = result.decimals <= 0 or abs(value_of(result)) < abs(exact_value)
    return None if gap < last_place and inexact and cut_off else False
