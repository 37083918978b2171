"""Equality of formulae, by their values at random points.

Two formulae that agree at several random points to half of `DIGITS` digits are equal, save with a chance that nobody
can use: the points come from a hash of the texts. The work is bounded: a tree has at most as many nodes as its text has
characters, and no value on the way may be larger than 10^`MAX_EXPONENT10` or, 0 aside, smaller than its inverse. So
neither time nor memory grows with what is written.

Values are real where the truth is real: an answer must be defined, real and equal wherever the truth is. So ln(x^2) is
equal to 2 ln(x) where that is the truth, but not the other way round, and sqrt(x^2) is not x. A truth that is nowhere
real, or contains `i`, is compared in complex numbers.
"""

from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from typing import Any

from interp.tasks.base import seeded_rng
from interp.tasks.text.formulas import Apply, Constant, Letter, Node, letters_of

DIGITS, MAX_EXPONENT10, NEEDED_POINTS = 260, 60, 2
RANGES = (
    *((0.3, 2.5, 0), (3, 12, 0), (0.1, 0.9, 0), (0.3, 2.5, 0)),
    *((0.3, 2.5, 0.5), (0.1, 0.9, 0.5), (0.3, 2.5, 1), (3, 12, 1)),
)
"""Of each point: smallest and largest size of its coordinates, and the chance that one is negative."""


class Undefined(Exception):
    """No value at this point: a division by 0, or a number out of bounds."""


@lru_cache(maxsize=1)
def _context() -> Any:
    """Arithmetic with `DIGITS` digits. A context of our own: the shared one is anybody's to change."""
    from mpmath.ctx_mp import MPContext

    context = MPContext()
    context.dps = DIGITS
    return context


def points_for(letters: Set[str], *key: str) -> list[dict[str, Any]]:
    """Points at which formulae with these letters are compared; one, if none is a variable."""
    variables = sorted(letters - {"e", "i", "pi"})
    rng, mp = seeded_rng("formula points", *key), _context()
    points = []
    for low, high, negative in RANGES if variables else RANGES[:1]:
        steps = [(variable, rng.randrange(10**30), rng.random() < negative) for variable in variables]
        sizes = {v: mp.mpf(low) + mp.mpf(high - low) * step / 10**30 for v, step, _ in steps}
        points.append({v: -sizes[v] if is_negative else sizes[v] for v, _, is_negative in steps})
    return points


def value_at(node: Node, point: Mapping[str, Any]) -> Any:
    """The value at a point, None where it is undefined."""
    try:
        return _value(node, point)
    except (Undefined, ZeroDivisionError):
        return None


def agree(truth: Sequence[Any], answer: Sequence[Any]) -> bool:
    """Whether values of an answer, point by point, are those of the truth. See the module's docstring."""
    defined = [(left, right) for left, right in zip(truth, answer, strict=True) if left is not None]
    real = [(left, right) for left, right in defined if left.imag == 0]
    pairs = real if len(real) >= min(NEEDED_POINTS, len(truth)) else defined
    if len(pairs) < min(NEEDED_POINTS, len(truth)):
        return False
    return all(right is not None and is_near(left, right) for left, right in pairs)


def is_near(left: Any, right: Any) -> bool:
    return abs(left - right) <= _context().mpf(10) ** (-DIGITS // 2)


def is_defined(node: Node) -> bool:
    """Whether a formula has a value at enough points to be compared."""
    points = points_for(letters_of(node))
    return sum(value_at(node, point) is not None for point in points) >= min(NEEDED_POINTS, len(points))


def _value(node: Node, point: Mapping[str, Any]) -> Any:
    mp = _context()
    match node:
        case Constant(value):
            return _bounded(mp.mpf(value.numerator) / value.denominator)
        case Letter("e"):
            return +mp.e
        case Letter("pi"):
            return +mp.pi
        case Letter("i"):
            return mp.mpc(0, 1)
        case Letter(name):
            return point[name]
        case Apply(name, arguments):
            return _bounded(_applied(name, [_value(argument, point) for argument in arguments]))
    raise AssertionError(f"no node: {node!r}")


def _bounded(value: Any) -> Any:
    """The value, 0 if only rounding keeps it from 0. Raises `Undefined` out of bounds."""
    mp = _context()
    noise = mp.mpf(10) ** (-DIGITS * 3 // 4)
    if mp.isnan(value) or mp.isinf(value):
        raise Undefined
    real, imaginary = (part if abs(part) > noise else mp.zero for part in (value.real, value.imag))
    size = max(abs(real), abs(imaginary))
    if size and not mp.mpf(10) ** -MAX_EXPONENT10 <= size <= mp.mpf(10) ** MAX_EXPONENT10:
        raise Undefined
    return real if imaginary == 0 else mp.mpc(real, imaginary)


def _applied(name: str, values: list[Any]) -> Any:
    mp = _context()
    match name, values:
        case "+", [a, b]:
            return a + b
        case "-", [a, b]:
            return a - b
        case "*", [a, b]:
            return a * b
        case "/", [a, b]:
            return a / b
        case "^", [a, b]:
            return _power(a, b)
        case "root", [a, index]:
            return _root(a, index)
        case "abs", [a]:
            return abs(a)
        case "exp", [a]:
            return _power(+mp.e, a)
        case "log", [a, base]:
            return _logarithm(a) / _logarithm(base)
        case "log", [a]:
            return _logarithm(a) / mp.log(10)
        case "ln", [a]:
            return _logarithm(a)
    if name.startswith("arc"):
        return {"arcsin": mp.asin, "arccos": mp.acos, "arctan": mp.atan}[name](values[0])
    if abs(values[0]) > 10**6 or abs(values[0].imag) > 100:
        raise Undefined
    return {"sin": mp.sin, "cos": mp.cos, "tan": mp.tan}[name](values[0])


def _logarithm(value: Any) -> Any:
    if value == 0:
        raise Undefined
    return _context().log(value)


def _power(base: Any, exponent: Any) -> Any:
    mp = _context()
    if base == 0:
        if exponent.imag != 0 or exponent.real <= 0:
            raise Undefined
        return mp.zero
    logarithm = mp.log(base)
    if abs((exponent * logarithm).real) > MAX_EXPONENT10 * 2.31 or abs(exponent) > 10**6:
        raise Undefined
    if exponent.imag == 0 and exponent == int(exponent.real) and abs(exponent) <= 1000:
        return base ** int(exponent.real)
    return mp.exp(exponent * logarithm)


def _root(value: Any, index: Any) -> Any:
    """The root: the real one of a negative number if the index is odd."""
    mp = _context()
    if index == 0:
        raise Undefined
    is_odd = index.imag == 0 and index == int(index.real) and int(index.real) % 2 == 1
    if value.imag == 0 and value < 0 and is_odd:
        return -_power(-value, 1 / index)
    if index == 2:
        return mp.sqrt(value)
    return _power(value, 1 / index)
