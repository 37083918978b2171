"""Equality of an answer with the true one: exact for numbers, by value for formulae, by spelling for words.

If the truth is a number, the answer must be a number too: an unfinished `16 - 3` does not count. Times, dates and
ratios are of a kind of their own. The work is bounded by the length of the texts, whatever they say
(`interp.tasks.text.values`), and no text reaches a parser that evaluates it.
"""

import re
from functools import lru_cache
from typing import Literal

from interp.tasks.text.answers import clean
from interp.tasks.text.choices import same_choice, same_yes_no
from interp.tasks.text.clock import read_clock, same_clock
from interp.tasks.text.formula_tokens import Unreadable
from interp.tasks.text.numerals import plain, read_number, same_number
from interp.tasks.text.shape_equality import same_shape
from interp.tasks.text.shapes import is_comparable, parse_shape
from interp.tasks.text.vocabulary import Vocabulary, vocabulary_of

Kind = Literal["number", "clock", "words", "formula"]
MAX_ANSWER = 300

_WORDS = re.compile(r"[^\W\d_](?:[^\W\d_]|[ .'’-]){0,60}")
_NOT_WORDS = frozenset({"nan", "inf", "infinity", "null", "undefined", "lambda", "eval", "exec", "import"})
_UNITS_BEHIND = re.compile(r"\s*\\(?:text|mathrm|mbox)\s*\{([a-zA-Z ./]{1,40})\}(?:\^\{?[23]\}?)?\s*$")


def answer_kind(answer: str, vocabulary: Vocabulary | None = None) -> Kind | None:
    """The kind of an answer. None if it cannot be compared. Without a vocabulary, its own words count as units."""
    answer = _strip_typesetting(answer)
    if len(answer) > MAX_ANSWER:
        return None
    if read_number(answer, vocabulary or vocabulary_of("", answer)) is not None:
        return "number"
    if read_clock(plain(answer)) is not None:
        return "clock"
    if _WORDS.fullmatch(answer) and not _NOT_WORDS & set(re.split(r"[ .'’-]+", answer.lower())):
        return "words"
    return "formula" if is_formula(answer) else None


@lru_cache(maxsize=256)
def _kind_of_label(truth: str, vocabulary: Vocabulary) -> Kind | None:
    return answer_kind(truth, vocabulary)


def is_formula(text: str) -> bool:
    """Whether the text is a formula that can be compared."""
    try:
        return bool(re.search(r"[a-zA-Z0-9]", text)) and is_comparable(parse_shape(text))
    except Unreadable:
        return False


def same_answer(truth: str, answer: str, prompt: str = "") -> bool:
    """Whether the two answers to a problem are equal."""
    vocabulary = vocabulary_of(prompt, truth)
    truth, answer = _strip_typesetting(truth), _strip_typesetting(answer)
    kind = _kind_of_label(truth, vocabulary)
    if kind is None or len(answer) > MAX_ANSWER:
        return False
    if kind == "number":
        left, right = read_number(truth, vocabulary), read_number(answer, vocabulary)
        return left is not None and right is not None and same_number(left, right, vocabulary)
    if kind == "clock":
        reading = read_clock(plain(truth))
        return reading is not None and same_clock(reading, plain(answer))
    if kind == "words":
        if _normalize(truth) == _normalize(answer) and (len(truth) > 1 or truth.isupper() or truth == answer):
            return True
        if same_choice(truth, answer, prompt) or same_yes_no(truth, answer):
            return True
        if len(truth) > 1:
            return False
    return _same_formula(truth, answer, vocabulary)


def is_same_kind(truth: str, answer: str, prompt: str = "") -> bool:
    """Whether an answer is of the kind of the true one. A number also counts as a formula, a time or a ratio."""
    vocabulary = vocabulary_of(prompt, truth)
    kind = _kind_of_label(truth, vocabulary)
    truth, answer = _strip_typesetting(truth), _strip_typesetting(answer)
    if kind is None or len(answer) > MAX_ANSWER:
        return False
    kind_of_answer = answer_kind(answer, vocabulary)
    if kind == "words":
        is_choice = same_choice(truth, answer, prompt) or (len(truth) == 1 and kind_of_answer is not None)
        return kind_of_answer == "words" or is_choice or same_yes_no(truth, answer)
    if kind == "formula":
        return kind_of_answer in ("formula", "number") or is_formula(_without_units(answer, vocabulary))
    return kind_of_answer == kind or (kind == "clock" and kind_of_answer == "number")


def _same_formula(truth: str, answer: str, vocabulary: Vocabulary) -> bool:
    try:
        left, right = parse_shape(truth), parse_shape(_without_units(answer, vocabulary))
    except Unreadable:
        return False
    return same_shape(left, right, truth, answer)


def _without_units(text: str, vocabulary: Vocabulary) -> str:
    units = _UNITS_BEHIND.search(text)
    is_harmless = units is not None and all(vocabulary.allows(word) for word in re.findall("[a-zA-Z]+", units.group(1)))
    return text[: units.start()] if units is not None and is_harmless else text


def _strip_typesetting(text: str) -> str:
    text = clean(text)
    whole = re.fullmatch(r"\\(?:text|mathrm|mbox|textbf|mathbf)\s*\{([^{}]*)\}|\(([a-zA-Z])\)", text)
    return clean(next(g for g in whole.groups() if g is not None)) if whole else text


def _normalize(text: str) -> str:
    words = re.sub(r"\s+", " ", text).strip().casefold()
    return re.sub(r"^(?:it is|it's|on|the|an|a) ", "", words)
