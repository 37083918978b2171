"""Written numbers without sign and unit: integers, decimals, fractions, mixed and scientific, in digits or words."""

import re
from fractions import Fraction

from interp.tasks.text.number_words import SCALES, read_number_words, read_part

MAX_DIGITS, MAX_EXPONENT = 40, 30

_GLYPHS = {"½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅛": (1, 8)}
_GROUPED = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])"
_DECIMAL = re.compile(rf"({_GROUPED}|[0-9]+)?(\.[0-9]*(?=\\overline)|\.[0-9]+)?(?:\\overline\s*\{{([0-9]{{1,9}})\}})?")
_SLASHED = re.compile(rf"({_GROUPED}|[0-9]+)\s*/\s*({_GROUPED}|[0-9]+)(?![0-9.])")
_STACKED = re.compile(r"\\[dt]?frac\s*(?:\{\s*(-?[0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}|([0-9])([0-9]))")
_MIXED = re.compile(r"([0-9]+)(?:(?:\s+|\s+and\s+)(?=[0-9]+/)|\s*(?=\\[dt]?frac))")
_POWER = re.compile(
    r"\s*(?:\\times|\\cdot|[*×x])\s*10\s*(?:\^|\*\*)\s*(?:\{\s*(-?[0-9]{1,3})\s*\}|(-?[0-9]{1,3}))|[eE]([-+]?[0-9]{1,3})(?![0-9])"
)
_WORD_OF_NUMBER = re.compile(r"\s*-?\s*([a-zA-Z]+)")
_AND = re.compile(r"\s+and\s+")


def read_magnitude(text: str, start: int) -> tuple[Fraction | None, int]:
    """The number without sign that begins at `start`, and its end."""
    if text[start : start + 1].isalpha():
        return _worded(text, start)
    if (mixed := _MIXED.match(text, start)) is not None:
        part, end = _fraction(text, mixed.end())
        whole = _integer(mixed.group(1))
        if part is not None and whole is not None and 0 < part < 1:
            return whole + part, end
    part, end = _fraction(text, start)
    return (part, end) if part is not None else _decimal(text, start)


def _worded(text: str, start: int) -> tuple[Fraction | None, int]:
    number = read_number_words(leading_words(text[start:]))
    if number is None:
        return None, start
    value, n_words = number
    return value, _after_words(text, start, n_words)


def _after_words(text: str, start: int, count: int) -> int:
    for _ in range(count):
        match = _WORD_OF_NUMBER.match(text, start)
        assert match is not None, "the words were just read there"
        start = match.end()
    return start


def _decimal(text: str, start: int) -> tuple[Fraction | None, int]:
    decimal = _DECIMAL.match(text, start)
    if decimal is None or not decimal.group():
        return _glyph(text, start)
    digits = re.sub(r"[^0-9.]", "", (decimal.group(1) or "") + (decimal.group(2) or ""))
    if len(digits) > MAX_DIGITS or (decimal.group(3) and "." not in text[start : decimal.end()]):
        return None, start
    number, end = Fraction(digits or 0), decimal.end()
    if decimal.group(3):
        decimals = len(decimal.group(2) or ".") - 1
        number += Fraction(int(decimal.group(3)), (10 ** len(decimal.group(3)) - 1) * 10**decimals)
    part, end_of_part = _glyph(text, end)
    if part is not None and number.denominator == 1:
        return number + part, end_of_part
    if (joined := _AND.match(text, end)) is not None:
        fraction = read_part(leading_words(text[joined.end() :]))
        if fraction is not None and number.denominator == 1:
            return number + fraction[0], _after_words(text, joined.end(), fraction[1])
    power = _POWER.match(text, end)
    if power is None:
        return number, end
    exponent = int(next(group for group in power.groups() if group is not None))
    return (number * Fraction(10) ** exponent, power.end()) if abs(exponent) <= MAX_EXPONENT else (None, start)


def _glyph(text: str, start: int) -> tuple[Fraction | None, int]:
    position = start + (text[start : start + 1] == " ")
    glyph = _GLYPHS.get(text[position : position + 1])
    return (None, start) if glyph is None else (Fraction(*glyph), position + 1)


def _fraction(text: str, start: int) -> tuple[Fraction | None, int]:
    match = _SLASHED.match(text, start) or _STACKED.match(text, start)
    if match is None:
        return None, start
    top, bottom = (_integer(group) for group in match.groups() if group is not None)
    return (None, start) if top is None or not bottom else (Fraction(top, bottom), match.end())


def _integer(written: str) -> int | None:
    digits = re.sub(r"[^0-9-]", "", written)
    return int(digits) if len(digits) <= MAX_DIGITS else None


def read_scale(text: str, start: int) -> tuple[int, int]:
    """The power of ten written as a word (`million`), and its end."""
    word = re.compile(r"\s*([a-zA-Z]+)").match(text, start)
    if word is None or word.group(1).lower() not in SCALES:
        return 0, start
    return SCALES[word.group(1).lower()], word.end()


def leading_words(text: str) -> list[str]:
    """The words at the beginning, with hyphens as spaces."""
    words: list[str] = []
    position = 0
    while (match := _WORD_OF_NUMBER.match(text, position)) is not None:
        words.append(match.group(1))
        position = match.end()
    return words
