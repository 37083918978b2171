"""Is a written equation true? `True`, `False`, or `None` where text leaves it open.

Held to exact fractions. A written decimal counts as true if it is the exact value correctly rounded to the decimals
written (a tie may go either way), or off by float noise only (1e-12, relative). After a division or product, decimals
cut off instead of rounded (`2/3 = 0.66`) and whole numbers next to the exact value (31 buses for 30.2) are open. So is
any false reading of loose text. A true reading is believed: sums do not come right by accident.

Text can be read in more ways than one, and is true if one of them makes it so: `%` as a hundredth (`7/20 = 35%`) or
as a unit (`25 + 5 = 30%`); units converted (`$2.50 - $2.24 = 26 cents`); and in a running line, `2 + 3 = 5 * 2 = 10`,
each sign judged against the number right behind it. In a sum of units of one family (`1 hour + 30 minutes`) the
converted reading alone counts.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from interp.tasks.traces.equations import Link
from interp.tasks.traces.nodes import Node, Number, Operation, as_written, numbers, operations, work_out
from interp.tasks.traces.sources import unit_of

Reading = Callable[[Number], Fraction]
FLOAT_NOISE = Fraction(1, 10**12)


def judge(link: Link) -> bool | None:
    left, right = link.left, link.right
    if left is None or right is None:
        return None
    verdict = judge_sides(left, right, approx=link.sign.kind == "approx")
    if verdict is True or (isinstance(left, Number) and isinstance(right, Number)):
        return verdict or None  # two bare numbers set equal are a statement about units, or a slip: not a computation
    if (head := running_head(link)) is not None:
        verdict = judge_sides(left, head, approx=False)
    elif isinstance(right, Operation) and judge_sides(left, next(numbers(right)), approx=False):
        return None  # `5 + 5 = 10 - 2`: perhaps a running line, perhaps not
    return None if verdict is False and is_loose(link) else verdict


def running_head(link: Link) -> Number | None:
    """The number right behind the sign, where the line runs on from it and the sides as wholes differ."""
    if not (link.chained and isinstance(link.right, Operation) and link.left is not None):
        return None
    return None if judge_sides(link.left, link.right, approx=False) else next(numbers(link.right))


def is_loose(link: Link) -> bool:
    sides = [side for side in (link.left, link.right) if side is not None]
    if link.loose or any(o.ambiguous for side in sides for o in operations(side)):
        return True
    if link.right is not None and any(o.op == "of" for o in operations(link.right)):
        return True  # `3/3 - 2/3 = 1/3 of $150`
    return any(n.units and len(n.units[0]) == 1 for side in sides for n in numbers(side))  # `2L + 11`: litres, or L?


def judge_sides(left: Node, right: Node, *, approx: bool) -> bool | None:
    everything = [*numbers(left), *numbers(right)]
    converts = _converts(everything)
    if converts and _is_sum(left) and _is_sum(right) and all(unit_of(n) is not None for n in everything):
        return _compare(left, right, _converted, approx)
    verdict = _compare(left, right, as_written, approx)
    if verdict is not True and any(n.percent for n in everything):
        sure = (_is_sum(left) and _is_sum(right)) or not any(n.percent for n in numbers(left))
        verdict = _or(verdict, _compare(left, right, _percent_as_unit, approx), sure)
    if verdict is not True and any(n.scale for n in everything):
        verdict = _or(verdict, _compare(left, right, _unscaled, approx), True)
    if verdict is not True and converts:
        verdict = _or(None, _compare(left, right, _converted, approx), True)
    return verdict


def _or(verdict: bool | None, other: bool | None, sure: bool) -> bool | None:
    """True if the other reading is and can be trusted; open if it leaves the matter open."""
    if other is False:
        return verdict
    return True if other and sure else None


def _converted(number: Number) -> Fraction:
    unit = unit_of(number)
    return as_written(number) * (1 if unit is None else unit[1])


def _percent_as_unit(number: Number) -> Fraction:
    return number.value * 10**number.scale


def _unscaled(number: Number) -> Fraction:
    """`16 + 12 = $28 million`"""
    return as_written(replace(number, scale=0))


def _converts(everything: list[Number]) -> bool:
    """Two units of one family, but of different size, meet."""
    units = {unit for n in everything if (unit := unit_of(n)) is not None}
    return len(units) > len({family for family, _ in units})


def _is_sum(node: Node) -> bool:
    return all(o.op in "+-" for o in operations(node))


def _compare(left: Node, right: Node, reading: Reading, approx: bool) -> bool | None:
    exact, stated = work_out(left, reading), work_out(right, reading)
    if exact is None or stated is None:
        return None
    gap = abs(exact - stated)
    if gap <= FLOAT_NOISE * abs(exact):
        return True
    written = right if isinstance(right, Number) else left if isinstance(left, Number) else None
    if written is None:
        return False
    unit = abs(reading(replace(written, value=Fraction(10) ** -written.places)))
    if 2 * gap <= unit and (written.places > 0 or approx):
        return True
    inexact = any(o.op in "*/" for side in (left, right) for o in operations(side))
    cut_off = written.places <= 0 or abs(reading(written)) < abs(stated if written is left else exact)
    return None if gap < unit and inexact and cut_off else False
