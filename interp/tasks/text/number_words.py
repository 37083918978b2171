"""Numbers written as words: `eighteen`, `one hundred and eight`, `two thirds`, `half`."""

from collections.abc import Sequence
from fractions import Fraction

SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
twenty thirty forty fifty sixty seventy eighty ninety
"""
_UNITS, _TENS = _WORDS.split()[:20], {word: 20 + 10 * i for i, word in enumerate(_WORDS.split()[20:])}
_SMALL = {word: value for value, word in enumerate(_UNITS)}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8}
_PARTS |= {"ninth": 9, "tenth": 10, "hundredth": 100, "thousandth": 1000}
_PARTS |= {"halves": 2} | {f"{word}s": size for word, size in _PARTS.items() if word != "half"}
_ORDINALS = {"first", "twelfth", "twentieth", *(f"{word}th" for word in _UNITS if word != "zero")}

NUMBER_WORDS = frozenset({*_SMALL, *_TENS, *SCALES, *_PARTS, *_ORDINALS})
"""Every word that stands for a number, a part or a place."""


def read_number_words(words: Sequence[str]) -> tuple[Fraction, int] | None:
    """The number that the first words state, and how many words that takes. None if they state none."""
    words = [word.lower() for word in words]
    part, used = _part(words)
    if used:
        return part, used
    whole, used = _whole(words)
    if not used:
        return None
    part, length = _part(words[used + 1 :]) if words[used : used + 1] == ["and"] else (Fraction(0), 0)
    return (whole + part, used + 1 + length) if length and part < 1 else (Fraction(whole), used)


def read_part(words: Sequence[str]) -> tuple[Fraction, int] | None:
    """A fraction below 1 at the beginning, behind a number: the `a half` of `3 and a half`."""
    part, used = _part([word.lower() for word in words])
    return (part, used) if used and part < 1 else None


def _part(words: list[str]) -> tuple[Fraction, int]:
    """A fraction: `half`, `a half`, `two thirds`. (0, 0) without one."""
    if words[:1] == ["half"]:
        return Fraction(1, 2), 1
    if len(words) < 2 or words[1] not in _PARTS:
        return Fraction(0), 0
    top = 1 if words[0] in ("a", "an") else _SMALL.get(words[0], 0)
    is_plural = words[1].endswith("s")
    return (Fraction(top, _PARTS[words[1]]), 2) if top and is_plural == (top > 1) else (Fraction(0), 0)


def _whole(words: list[str]) -> tuple[int, int]:
    """A whole number and how many words it takes; (0, 0) without one."""
    total, used, smallest = 0, 0, 16
    while True:
        start = used + (total > 0 and words[used : used + 1] == ["and"])
        group, length = _below_thousand(words[start:])
        if not length:
            return total, used
        following = words[start + length] if start + length < len(words) else ""
        scale = SCALES.get(following, 0) if following != "hundred" else 0
        if scale >= smallest or (used and group == 0):
            return total, used
        total, used, smallest = total + group * 10**scale, start + length + (scale > 0), scale
        if not scale:
            return total, used


def _below_thousand(words: list[str]) -> tuple[int, int]:
    value, used = _below_hundred(words)
    if not used and words[:1] in (["a"], ["an"]) and len(words) > 1 and words[1] in SCALES:
        value, used = 1, 1
    if words[used : used + 1] == ["hundred"] and used and value:
        rest_start = used + 1 + (words[used + 1 : used + 2] == ["and"])
        rest, length = _below_hundred(words[rest_start:])
        return (100 * value + rest, rest_start + length) if length and rest else (100 * value, used + 1)
    return value, used


def _below_hundred(words: list[str]) -> tuple[int, int]:
    if not words:
        return 0, 0
    if words[0] in _SMALL:
        return _SMALL[words[0]], 1
    if words[0] not in _TENS:
        return 0, 0
    unit = _SMALL.get(words[1], 0) if len(words) > 1 else 0
    return (_TENS[words[0]] + unit, 2) if 0 < unit < 10 else (_TENS[words[0]], 1)
