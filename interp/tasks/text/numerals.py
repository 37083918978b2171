r"""Written numbers: integers, decimals, fractions, mixed and scientific, in digits or words, with sign and unit.

A number is read exactly, and only if the whole text is understood: one number, nothing left to compute, and around it
nothing but harmless words (`interp.tasks.text.vocabulary`). Neither `16 - 3`, `17 or 18`, `18 possibly` nor `18x` is a
number. (A verifier that finished the sum would reward a policy that did not.) What may stand around it:

    a name or the computation before an equals sign    `x = 18`, `9 * 2 = 18`
    words before it                                    `Janet makes $18`
    units and words behind it                          `18 dollars per day`, `18 cm^2`
    a repetition in brackets or behind a comma         `18 (eighteen)`, `18 (9 * 2)`, `18, so she makes $18`

Only ASCII digits count, and sizes are bounded.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from interp.tasks.text.computing import computes_to
from interp.tasks.text.magnitudes import leading_words, read_magnitude, read_scale
from interp.tasks.text.number_words import NUMBER_WORDS, SCALES, read_number_words
from interp.tasks.text.units import Unit
from interp.tasks.text.vocabulary import JOINING, LIGHT_WORDS, RATE_WORDS, Vocabulary, stem, vocabulary_of

__all__ = ["SCALES", "Value", "read_number", "same_number"]

MAX_LENGTH, MAX_WORDS, MAX_SIDES = 200, 16, 4
MEASURED = ("length", "feet")
DANGLING = frozenset(
    {"per", "the", "a", "an", "of", "for", "at", "on", "by", "from", "with", "and", "to", "so", "is", "are"}
)
SQUARE_WORDS = frozenset({"square", "sq", "cubic"})
NO_PROBLEM = vocabulary_of("")

_PLAIN = (
    (re.compile(r"\\(?:text|mathrm|mbox|textbf|mathbf|textit)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\{,\}|\\,(?=[0-9]{3})|,\\!"), ","),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree"), "°"),
    (re.compile(r"\\([$%#&])"), r"\1"),
    (re.compile(r"\\[,;:! ]|(?<=[0-9a-zA-Z}])~(?=[a-zA-Z\\])|\\q?quad(?![a-z])|\u00a0|\u202f"), " "),
    (re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\displaystyle(?![a-z])"), ""),
    (re.compile(r"\u2044"), "/"),
    (re.compile(r"\bleft over\b"), "left"),
    (re.compile(r"(?<![0-9a-zA-Z)])(\*\*|__)([^*_]+)\1(?![0-9a-zA-Z(])"), r"\2"),
)
_SIGN = re.compile(r"\s*([-−–+]|(?:negative|minus)(?=\s))?\s*(US\$|[$€£¥₹])?\s*([-−–]?)\s*")
_PERCENT = re.compile(r"\s*(?:%|per ?cent\b)", re.I)
_WORD = re.compile(r"[a-zA-Z]+(?:['’-][a-zA-Z]+)*")
_BEFORE = re.compile(r"\s*([a-zA-Z]+(?:['’-][a-zA-Z]+)*)(?:\s*[,:]\s*|\s+|(?=[$€£¥₹]))")
_BEHIND = re.compile(
    r"\s*(?:(?P<aside>\([^()]*\))|(?P<repeat>[,;]\s*(?:so|thus|hence|therefore|which is|that is|i\.e\.)(?![a-zA-Z]),?)"
    r"|(?P<rate>(?:km|mi|ft|m)/(?:h|hr|s|min)(?![a-zA-Z]))|(?P<power>\^\{?[23]\}?|[²³])|(?P<currency>[$€£¥₹¢°])|(?P<link>[,/])|(?P<word>[a-zA-Z]+(?:['’-][a-zA-Z]+)*)\.?)"
)
_LETTER = re.compile(r"\s*[a-zA-Z](?:_(?:[a-zA-Z0-9]|\{[a-zA-Z0-9]{1,4}\}))?\s*(?:\([a-zA-Z]\)\s*)?")


@dataclass(frozen=True, slots=True)
class Value:
    """A number as written."""

    value: Fraction
    percent: bool = False
    """Whether a percent sign follows it."""
    unit: Unit | None = None
    nouns: frozenset[str] = frozenset()
    """Stems of other words behind it."""
    name: str = ""
    """The letter that it is the value of."""


def read_number(text: str, vocabulary: Vocabulary = NO_PROBLEM) -> Value | None:
    """The number that the whole text states. None if it is not a number."""
    if len(text) > MAX_LENGTH:
        return None
    *sides, last = plain(text).split("=")
    if len(sides) >= MAX_SIDES:
        return None
    value = _stated(last, vocabulary)
    if value is None or not all(_names(side, vocabulary) or computes_to(side, value.value) for side in sides):
        return None
    letters = [side.strip() for side in sides if _LETTER.fullmatch(side) is not None]
    return replace(value, name=letters[0]) if letters else value


def same_number(truth: Value, answer: Value, vocabulary: Vocabulary = NO_PROBLEM) -> bool:
    """Whether two numbers are equal, in the units they state."""
    if truth.name and answer.name and truth.name != answer.name:
        return False
    if truth.percent != answer.percent:
        return _same_percent(truth, answer, vocabulary)
    if _are_of_other_things(truth, answer, vocabulary):
        return False
    if answer.unit is None:
        return truth.value == answer.value
    unit = truth.unit or vocabulary.expected_unit(answer.unit)
    if unit is None or (truth.unit is None and unit.power != answer.unit.power):
        return truth.value == answer.value
    factor = answer.unit.value_in(unit)
    return factor is not None and truth.value == answer.value * factor


def _are_of_other_things(truth: Value, answer: Value, vocabulary: Vocabulary) -> bool:
    """Whether the answer counts other things than the label or the question: `18 hours` for `18 dollars`."""
    if truth.unit is None and not truth.nouns:
        if answer.unit is None and answer.nouns and vocabulary.asks_for_money:
            return True
        if answer.unit is not None and vocabulary.counted and answer.unit.family not in vocabulary.families:
            return True
        families = {vocabulary.unit.family, "speed"} if vocabulary.unit is not None else vocabulary.families
        return answer.unit is not None and bool(families) and answer.unit.family not in families
    if truth.unit is not None and answer.unit is not None:
        return False
    names = truth.nouns and answer.nouns and not truth.nouns & answer.nouns
    return bool(names) or (truth.unit is None) != (answer.unit is None) and bool(answer.unit or answer.nouns)


def _same_percent(truth: Value, answer: Value, vocabulary: Vocabulary) -> bool:
    """Whether a percentage and a bare number are equal: 35% is 0.35, and also 35 where the percent sign is a unit.

    It is a unit if the truth has it, or the problem speaks of percentages. 100% of a whole number is none.
    """
    percent, bare = (truth, answer) if truth.percent else (answer, truth)
    if truth.percent and (answer.unit is not None or answer.nouns):
        return False
    if percent.value == bare.value:
        return truth.percent or (vocabulary.percent and abs(bare.value) >= 1)
    is_share = truth.percent or vocabulary.percent or bare.value.denominator > 1
    return is_share and percent.value == 100 * bare.value


def plain(text: str) -> str:
    """The text without LaTeX that only sets type."""
    for pattern, replacement in _PLAIN:
        text = pattern.sub(replacement, text)
    return text.strip()


# --- around the number -------------------------------------------------------------------------------------------


def _names(side: str, vocabulary: Vocabulary) -> bool:
    """Whether the left side of an equation names something: a letter, or harmless words, then perhaps a letter."""
    side = re.sub(r"(?<=[a-z] )[a-zA-Z]\s*$", "", side)
    words = _WORD.findall(side)
    is_words = re.fullmatch(r"[a-zA-Z'’\s]+", side) is not None and 0 < len(words) <= MAX_WORDS
    return _LETTER.fullmatch(side) is not None or (is_words and all(map(vocabulary.allows, words)))


def _stated(text: str, vocabulary: Vocabulary, *, repeats: bool = True) -> Value | None:
    """The one number that a text states, with harmless words around it."""
    position = _skip_words(text, vocabulary)
    sign = _SIGN.match(text, position)
    assert sign is not None, "every part of the pattern is optional"
    magnitude, end = read_magnitude(text, sign.end())
    if magnitude is None or (sign.group(1) and sign.group(3)):
        return None
    negative = (sign.group(1) or "+") + sign.group(3) != "+"
    percent = _PERCENT.match(text, end)
    end = percent.end() if percent else end
    power, end = read_scale(text, end)
    value = Value(-magnitude * 10**power if negative else magnitude * 10**power, percent is not None)
    if sign.group(2):
        value = replace(value, unit=vocabulary.unit_of(sign.group(2)[-1]))
    return _with_words_behind(value, text, end, vocabulary, repeats)


def _skip_words(text: str, vocabulary: Vocabulary) -> int:
    """Where the harmless words before the number end."""
    position = joined_from = 0
    for _ in range(MAX_WORDS):
        word = _BEFORE.match(text, position)
        if word is None or word.group(1) == "US" or _begins_number(text, position):
            break
        is_joining = position > 0 and word.group(1).lower() in JOINING
        if not is_joining and not all(map(vocabulary.allows, word.group(1).split("-"))):
            break
        position = word.end()
        joined_from = joined_from if is_joining else position
    return joined_from


def _begins_number(text: str, position: int) -> bool:
    words = leading_words(text[position : position + 40])
    return words[:1] != [] and (words[0].lower() in NUMBER_WORDS or read_number_words(words) is not None)


def _with_words_behind(value: Value, text: str, end: int, vocabulary: Vocabulary, repeats: bool) -> Value | None:
    """The value with the units and words that follow it. None if one of them is not harmless."""
    last, position = "number", end
    for _ in range(MAX_WORDS):
        if not text[position:].strip():
            return value if _is_complete(value, text[end:], last) else None
        match = _BEHIND.match(text, position)
        if match is None:
            return None
        kind, part = str(match.lastgroup), match.group(str(match.lastgroup))
        if kind == "repeat":
            return value if repeats and _repeats(value, text[match.end() :], vocabulary) else None
        if kind == "aside" and not (repeats and _repeats(value, part[1:-1], vocabulary)):
            return None
        if kind == "link" and last == "link":
            return None
        if kind == "power":
            if last != "unit" or value.unit is None or value.unit.family not in MEASURED:
                return None
            value = replace(value, unit=replace(value.unit, power=3 if "3" in part or "³" in part else 2))
        elif kind in ("word", "currency", "rate"):
            added = _add_word(value, part, vocabulary, is_first=last == "number", is_glued=match.start(kind) == end)
            if added is None:
                return None
            value, kind = added, "unit" if vocabulary.unit_of(part) else kind
        last, position = kind, match.end()
    return None


def _is_complete(value: Value, behind: str, last: str) -> bool:
    """Whether the words behind a number end as a phrase may: not in `per` or `of`, nor in `square` without a unit."""
    words = _WORD.findall(behind)
    return last != "link" and not value.nouns & SQUARE_WORDS and not (words and words[-1].lower() in DANGLING)


def _repeats(value: Value, text: str, vocabulary: Vocabulary) -> bool:
    """Whether a text says nothing more: the same number again, a computation of it, or harmless words."""
    words = _WORD.findall(text)
    if re.fullmatch(r"[a-zA-Z'’\s/-]*", text) and words and all(map(vocabulary.allows, words)):
        return True
    stated = _stated(text, vocabulary, repeats=False)
    return computes_to(text, value.value) if stated is None else stated.value == value.value


def _add_word(value: Value, word: str, vocabulary: Vocabulary, *, is_first: bool, is_glued: bool) -> Value | None:
    """The value with one more word behind it. None if the word is not harmless there."""
    unit, lower = vocabulary.unit_of(word), word.lower()
    if lower in RATE_WORDS and not vocabulary.rate:
        return None
    if lower in SQUARE_WORDS and is_first and not is_glued:
        return replace(value, nouns=frozenset({lower}))
    if lower in ("squared", "cubed"):
        power = 3 if lower == "cubed" else 2
        can_be_squared = value.unit is not None and value.unit.family in MEASURED and value.unit.power == 1
        return (
            None if not can_be_squared or value.unit is None else replace(value, unit=replace(value.unit, power=power))
        )
    if value.nouns & SQUARE_WORDS and (unit is None or unit.family not in MEASURED):
        return replace(value, nouns=value.nouns - SQUARE_WORDS) if lower in ("unit", "units") else None
    if unit is not None:
        behind_square = value.nouns & SQUARE_WORDS
        power = 3 if "cubic" in behind_square else 2 if behind_square else 1
        is_unit_of_number = value.unit is None and (is_first or behind_square)
        nouns = value.nouns - SQUARE_WORDS
        return replace(value, unit=replace(unit, power=power) if is_unit_of_number else value.unit, nouns=nouns)
    if lower in JOINING and not is_first:
        return value
    if is_glued or not all(map(vocabulary.allows, word.split("-"))):
        return None
    return value if lower in LIGHT_WORDS else replace(value, nouns=value.nouns | {stem(word)})
