"""A number written out: integer, decimal, fraction, mixed or scientific, with its sign, currency and unit.

Read exactly, and only where nothing is left to work out: `16 - 3` is no number here, nor is `17 or 18`, since a reader
that finishes the sum rewards the one who did not. Only ASCII digits count, and sizes are bounded.
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
    value: Fraction
    percent: bool = False


def read_number(text: str) -> Value | None:
    text = text.strip()
    if len(text) > MAX_LENGTH:
        return None
    lead = _LEAD.match(text)
    assert lead is not None, "every part of the lead is optional"
    magnitude, at = _magnitude(text, lead.end())
    if magnitude is None or (lead.group(1) and lead.group(2)):
        return None
    percent = _PERCENT.match(text, at)
    power, at = _scale(text, percent.end() if percent else at)
    if not _only_units(text[at:]):
        return None
    sign = -1 if (lead.group(1) or "+") + lead.group(2) != "+" else 1
    return Value(sign * magnitude * 10**power, percent is not None)


def same_number(truth: Value, given: Value) -> bool:
    """Equal as numbers. A percent sign on one side only may be a unit: 35% answers 35 as well as 0.35."""
    if truth.percent == given.percent:
        return truth.value == given.value
    percent, bare = (truth, given) if truth.percent else (given, truth)
    as_unit = percent.value == bare.value and (truth.percent or abs(bare.value) >= 1)
    return percent.value == 100 * bare.value or as_unit


def _magnitude(text: str, at: int) -> tuple[Fraction | None, int]:
    """The number without sign that begins at `at`, and where it ends."""
    if (mixed := _MIXED.match(text, at)) is not None:
        part, end = _fraction(text, mixed.end())
        whole = _integer(mixed.group(1))
        if part is not None and whole is not None and 0 < part < 1:
            return whole + part, end
    part, end = _fraction(text, at)
    if part is not None:
        return part, end
    decimal = _DECIMAL.match(text, at)
    if decimal is None or not decimal.group():
        return None, at
    digits = re.sub(r"[^0-9.]", "", decimal.group())
    if len(digits) > MAX_DIGITS:
        return None, at
    power = _POWER.match(text, decimal.end())
    if power is None:
        return Fraction(digits), decimal.end()
    exponent = int(next(g for g in power.groups() if g is not None))
    return (Fraction(digits) * Fraction(10) ** exponent, power.end()) if abs(exponent) <= MAX_EXPONENT else (None, at)


def _fraction(text: str, at: int) -> tuple[Fraction | None, int]:
    match = _SLASHED.match(text, at) or _STACKED.match(text, at)
    if match is None:
        return None, at
    top, bottom = (_integer(group) for group in match.groups() if group is not None)
    return (None, at) if top is None or not bottom else (Fraction(top, bottom), match.end())


def _integer(written: str) -> int | None:
    digits = re.sub(r"[^0-9-]", "", written)
    return int(digits) if len(digits) <= MAX_DIGITS else None


def _scale(text: str, at: int) -> tuple[int, int]:
    word = re.compile(r"\s*([a-zA-Z]+)").match(text, at)
    if word is None or word.group(1).lower() not in SCALES:
        return 0, at
    return SCALES[word.group(1).lower()], word.end()


def _only_units(rest: str) -> bool:
    at, words = 0, 0
    while rest[at:].strip():
        unit = _UNIT.match(rest, at)
        if unit is None or words == _MAX_UNITS or unit.group().strip(" ()/-.").lower() in _NO_UNIT:
            return False
        at, words = unit.end(), words + 1
    return True
