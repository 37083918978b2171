"""Written numbers: integers, decimals, fractions, mixed and scientific, with their sign, currency and unit.

A number is read exactly, and only if nothing is left to compute: neither `16 - 3` nor `17 or 18` is a number. (A
verifier that finished the sum would reward a policy that did not.) Only ASCII digits count, and sizes are bounded.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_LENGTH, MAX_DIGITS, MAX_EXPONENT = 200, 40, 30
SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}

_LEAD = re.compile(r"(?:[a-zA-Z]\s*=\s*)?([-−+]?)\s*(?:\\?[$€£]\s*)?([-−]?)\s*")
_GROUPED = r"[0-9]{1,3}(?:(?:,|\{,\}|\\,)[0-9]{3})+(?![0-9])"
_DECIMAL = re.compile(rf"({_GROUPED}|[0-9]+)?(\.[0-9]+)?")
_SLASHED = re.compile(rf"({_GROUPED}|[0-9]+)\s*/\s*({_GROUPED}|[0-9]+)(?![0-9.])")
_STACKED = re.compile(r"\\[dt]?frac\s*(?:\{\s*(-?[0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}|([0-9])([0-9]))")
_MIXED = re.compile(r"([0-9]+)(?:\s+(?=[0-9]+/)|\s*(?=\\[dt]?frac))")
_POWER = re.compile(
    r"\s*(?:\\times|\\cdot|[*×x])\s*10\s*\^\s*(?:\{\s*(-?[0-9]{1,3})\s*\}|([0-9]{1,3}))|[eE]([-+]?[0-9]{1,3})(?![0-9])"
)
_PERCENT = re.compile(r"\s*(?:\\?%|per ?cent\b)")
_UNIT = re.compile(
    r"\s*(?:\\?[$€£¢°]|\^\{?\\circ\}?|\\(?:text|mathrm|mbox)\s*\{[a-zA-Z /.]*\}"
    r"|\(?[/-]?[a-zA-Z]{1,20}\)?\.?(?:\^\{?[23]\}?|[²³])?)"
)
_NO_UNIT = frozenset(
    {"or", "and", "not", "to", "but", "either", "neither", "nor", "maybe", "perhaps", "nan", "inf", "infinity"}
    | {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "half", "dozen"}
)
_MAX_UNITS = 6


@dataclass(frozen=True, slots=True)
class Value:
    """A number as written; `percent` if a percent sign follows it."""

    value: Fraction
    percent: bool = False


def read_number(text: str) -> Value | None:
    """The number that the whole text states. None if it is not a number."""
    text = text.strip()
    if len(text) > MAX_LENGTH:
        return None
    lead = _LEAD.match(text)
    assert lead is not None, "every part of the pattern is optional"
    magnitude, end = _magnitude(text, lead.end())
    if magnitude is None or (lead.group(1) and lead.group(2)):
        return None
    percent = _PERCENT.match(text, end)
    power, end = _scale(text, percent.end() if percent else end)
    if not _only_units(text[end:]):
        return None
    sign = -1 if (lead.group(1) or "+") + lead.group(2) != "+" else 1
    return Value(sign * magnitude * 10**power, percent is not None)


def same_number(truth: Value, answer: Value) -> bool:
    """Whether two numbers are equal. A percent sign on one side only may be a unit: 35% equals 35 as well as 0.35."""
    if truth.percent == answer.percent:
        return truth.value == answer.value
    percent, bare = (truth, answer) if truth.percent else (answer, truth)
    as_unit = percent.value == bare.value and (truth.percent or abs(bare.value) >= 1)
    return percent.value == 100 * bare.value or as_unit


def _magnitude(text: str, start: int) -> tuple[Fraction | None, int]:
    """The number without sign that begins at `start`, and its end."""
    if (mixed := _MIXED.match(text, start)) is not None:
        part, end = _fraction(text, mixed.end())
        whole = _integer(mixed.group(1))
        if part is not None and whole is not None and 0 < part < 1:
            return whole + part, end
    part, end = _fraction(text, start)
    if part is not None:
        return part, end
    decimal = _DECIMAL.match(text, start)
    if decimal is None or not decimal.group():
        return None, start
    digits = re.sub(r"[^0-9.]", "", decimal.group())
    if len(digits) > MAX_DIGITS:
        return None, start
    power = _POWER.match(text, decimal.end())
    if power is None:
        return Fraction(digits), decimal.end()
    exponent = int(next(g for g in power.groups() if g is not None))
    return (
        (Fraction(digits) * Fraction(10) ** exponent, power.end()) if abs(exponent) <= MAX_EXPONENT else (None, start)
    )


def _fraction(text: str, start: int) -> tuple[Fraction | None, int]:
    match = _SLASHED.match(text, start) or _STACKED.match(text, start)
    if match is None:
        return None, start
    top, bottom = (_integer(group) for group in match.groups() if group is not None)
    return (None, start) if top is None or not bottom else (Fraction(top, bottom), match.end())


def _integer(written: str) -> int | None:
    digits = re.sub(r"[^0-9-]", "", written)
    return int(digits) if len(digits) <= MAX_DIGITS else None


def _scale(text: str, start: int) -> tuple[int, int]:
    """The power of ten written as a word (`million`), and its end."""
    word = re.compile(r"\s*([a-zA-Z]+)").match(text, start)
    if word is None or word.group(1).lower() not in SCALES:
        return 0, start
    return SCALES[word.group(1).lower()], word.end()


def _only_units(rest: str) -> bool:
    """Whether only unit words follow the number."""
    position, words = 0, 0
    while rest[position:].strip():
        unit = _UNIT.match(rest, position)
        if unit is None or words == _MAX_UNITS or unit.group().strip(" ()/-.").lower() in _NO_UNIT:
            return False
        position, words = unit.end(), words + 1
    return True
